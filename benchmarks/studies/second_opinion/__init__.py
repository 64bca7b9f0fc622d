"""Compare a model's poses on real clips with BlazePose's own 3D landmarks."""
