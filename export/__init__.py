"""From a PyTorch checkpoint to a verified static-shape ONNX file."""
