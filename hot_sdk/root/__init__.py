"""Where people are, how fast they move, and how sure that is: roots over time.

``measure_root`` finds the pelvis in each frame on its own, with a covariance; ``RootTracker`` and
``track_clip`` filter it over time, with what is known of the person's size.
"""

from hot_sdk.root.estimate import RootEstimate
from hot_sdk.root.measurement import RootMeasurements, measure_root, solve_root
from hot_sdk.root.model import RootOptions
from hot_sdk.root.scale import ADULT_SPREAD, DepthReading, Floor, LengthReading, ScalePrior
from hot_sdk.root.tracking import RootPath, RootTracker, track_clip

__all__ = [
    "ADULT_SPREAD",
    "DepthReading",
    "Floor",
    "LengthReading",
    "RootEstimate",
    "RootMeasurements",
    "RootOptions",
    "RootPath",
    "RootTracker",
    "ScalePrior",
    "measure_root",
    "solve_root",
    "track_clip",
]
