"""Video in and out: frames, 2D keypoint detectors, and tracking of several people.

OpenCV, MediaPipe, rtmlib and the tracker are imported when they are first used.
"""

from hot_sdk.video.detector import Detector, create_detector, list_detectors
from hot_sdk.video.extraction import VideoKeypoints, keypoints_from_video
from hot_sdk.video.files import Frame
from hot_sdk.video.reader import VideoReader, open_video, parse_source
from hot_sdk.video.tracking import PeopleTimeline, Tracker
from hot_sdk.video.writer import VideoWriter

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
