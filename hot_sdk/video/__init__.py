"""Video in and out: frames, 2D keypoint detectors, and tracking of several people.

OpenCV, MediaPipe, rtmlib and the tracker are imported when they are first used.
"""

from hot_sdk.video.decode import Frame, VideoReader, open_video, parse_source
from hot_sdk.video.detector import Detector, create_detector, list_detectors
from hot_sdk.video.encode import VideoWriter
from hot_sdk.video.keypoints_from_video import VideoKeypoints, keypoints_from_video
from hot_sdk.video.people import PeopleTimeline
from hot_sdk.video.tracking import Tracker

__all__ = [
    "Detector",
    "Frame",
    "PeopleTimeline",
    "Tracker",
    "VideoKeypoints",
    "VideoReader",
    "VideoWriter",
    "create_detector",
    "keypoints_from_video",
    "list_detectors",
    "open_video",
    "parse_source",
]
