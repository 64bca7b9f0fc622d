"""Draw keypoints, poses and latency: frames of a video, a static overview, a Rerun file.

OpenCV, matplotlib and rerun are imported when they are first used.
"""

from hot_sdk.drawing.live import LiveViewer
from hot_sdk.drawing.people import PersonClip, PersonFrame
from hot_sdk.drawing.plot import plot_result
from hot_sdk.drawing.rerun import write_rerun
from hot_sdk.drawing.side_by_side import SideBySide, draw_side_by_side
from hot_sdk.drawing.style import Style

__all__ = [
    "LiveViewer",
    "PersonClip",
    "PersonFrame",
    "SideBySide",
    "Style",
    "draw_side_by_side",
    "plot_result",
    "write_rerun",
]
