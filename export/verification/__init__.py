"""Compare an exported file with PyTorch on real clips."""
