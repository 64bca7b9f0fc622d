"""Read keypoints from tables of text: csv, DeepLabCut, Sports2D."""
