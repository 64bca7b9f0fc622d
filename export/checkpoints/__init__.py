"""Read checkpoints safely, and reconcile them with the requested network."""
