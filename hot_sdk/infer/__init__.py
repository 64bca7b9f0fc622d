"""Lift keypoint files, videos and cameras from the command line: ``hot-infer``."""
