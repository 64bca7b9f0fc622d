"""Export to weights for PyTorch, and the engine that runs them."""
