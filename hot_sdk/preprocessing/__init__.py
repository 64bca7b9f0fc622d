"""Preprocess a detector's keypoints into a network's input, by named policies."""

from hot_sdk.preprocessing.clip import PreparedClip, prepare_clip
from hot_sdk.preprocessing.normalization import InputSpec

__all__ = ["InputSpec", "PreparedClip", "prepare_clip"]
