"""HoT SDK: 3D human poses from 2D keypoint sequences, on edge devices.

Importing this package costs numpy and nothing else; what needs torch, onnx or an inference engine
lives in ``hot_sdk.export`` and ``hot_sdk.engines`` and imports it when it is used.
"""

from pkgutil import extend_path

from hot_sdk.version import __version__

# Run from a checkout, where this folder is only a part of the package, the rest is found where the
# package is installed.
__path__ = extend_path(__path__, __name__)

__all__ = ["__version__"]
