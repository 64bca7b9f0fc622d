"""From a detector's keypoints to a network's input, by the named policies."""

from hot_sdk.preprocessing.clip import PreparedClip, prepare_clip
from hot_sdk.preprocessing.normalization import NetworkInput, network_input_of

__all__ = ["NetworkInput", "PreparedClip", "network_input_of", "prepare_clip"]
