"""Speed, memory, energy and accuracy of exported models on this machine: ``hot-benchmark``."""
