"""How a clip is cut into windows, and the windows' poses put together again.

Pure functions of numbers: nothing here knows an engine.
"""

from hot_sdk.windows.planning import (
    AGFORMER_RESAMPLE,
    HOT_CENTERED_EDGE,
    MHFORMER_CENTER,
    MIXSTE_LAST_OVERLAP,
    MODES,
    MOTIONBERT_TAIL_SHORT,
    OVERLAP,
    Plan,
    Window,
    check_mode,
    plan,
)
from hot_sdk.windows.stitching import Stitcher, stitch

__all__ = [
    "AGFORMER_RESAMPLE",
    "HOT_CENTERED_EDGE",
    "MHFORMER_CENTER",
    "MIXSTE_LAST_OVERLAP",
    "MODES",
    "MOTIONBERT_TAIL_SHORT",
    "OVERLAP",
    "Plan",
    "Stitcher",
    "Window",
    "check_mode",
    "plan",
    "stitch",
]
