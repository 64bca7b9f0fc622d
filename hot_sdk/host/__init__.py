"""Facts about the machine, for hot-doctor and hot-benchmark alike."""
