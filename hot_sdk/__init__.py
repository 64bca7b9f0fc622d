"""HoT SDK: 3D human poses from 2D keypoint sequences, on edge devices.

Importing this package costs numpy and nothing else; what needs torch, onnx or an inference engine
lives in ``hot_sdk.export`` and ``hot_sdk.engines`` and imports it when it is used.
"""

from hot_sdk.version import __version__

__all__ = ["__version__"]
