"""Precision written into the graph, as casts or quantising nodes that every engine reads."""

from hot_sdk.export.precision.calibration import CalibrationData, calibration_windows
from hot_sdk.export.precision.conversion import Converted, convert
from hot_sdk.export.precision.cost import Speed, measure_speed
from hot_sdk.export.precision.sensitivity import BlockSensitivity, measure_sensitivity

__all__ = [
    "BlockSensitivity",
    "CalibrationData",
    "Converted",
    "Speed",
    "calibration_windows",
    "convert",
    "measure_sensitivity",
    "measure_speed",
]
