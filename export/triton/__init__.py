"""Write a model repository for Triton Inference Server."""
