"""How a clip is cut into windows, and the windows' poses put together again.

Pure functions of numbers: nothing here knows an engine.
"""

from hot_sdk.windows.planning import MHFORMER_CENTER, MODES, OVERLAP, Plan, Window, check_mode, plan
from hot_sdk.windows.stitching import Stitcher, stitch

__all__ = [
    "MHFORMER_CENTER",
    "MODES",
    "OVERLAP",
    "Plan",
    "Stitcher",
    "Window",
    "check_mode",
    "plan",
    "stitch",
]
