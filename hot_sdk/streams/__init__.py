"""Lift keypoints as they arrive, frame by frame."""

from hot_sdk.streams.options import StreamOptions
from hot_sdk.streams.pose import StreamPose
from hot_sdk.streams.report import StreamCounters, StreamReport
from hot_sdk.streams.stream import Pose3DStream

__all__ = ["Pose3DStream", "StreamCounters", "StreamOptions", "StreamPose", "StreamReport"]
