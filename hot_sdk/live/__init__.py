"""Run a live network: frame by frame, with what it remembers of each person."""
