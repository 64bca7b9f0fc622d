"""``hot-infer --archive``: thousands of inputs on the workers of a machine or of a cluster."""
