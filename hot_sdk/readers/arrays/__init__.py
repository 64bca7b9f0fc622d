"""Read keypoints from files of NumPy arrays, without running what pickles name."""
