"""CUDA through PyCUDA: the driver, the device, and buffers on it."""
