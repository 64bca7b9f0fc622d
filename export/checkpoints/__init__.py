"""Read checkpoints safely and fit them to a network."""
