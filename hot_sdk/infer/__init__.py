"""``hot-infer``: keypoint files to 3D poses from the command line."""
