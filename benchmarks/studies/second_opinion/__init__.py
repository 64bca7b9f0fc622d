"""Compare the starter model with another lifter on real clips."""
