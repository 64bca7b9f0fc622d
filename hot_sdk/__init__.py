"""HoT SDK: 3D human poses from 2D keypoint sequences, on edge devices.

Importing this package costs numpy and little else; what needs torch, onnx or an inference engine
imports it when it is used.
"""

from pkgutil import extend_path

# Run from a checkout, where this folder is only a part of the package, the rest is found where the
# package is installed.
__path__ = extend_path(__path__, __name__)

from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyReport
from hot_sdk.policies import InputPolicies
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.result import Pose3DResult
from hot_sdk.skeleton_formats import list_skeletons
from hot_sdk.streams import Pose3DStream, StreamPose
from hot_sdk.version import __version__

__all__ = [
    "InputPolicies",
    "Keypoints",
    "LatencyReport",
    "Pose3DEngine",
    "Pose3DResult",
    "Pose3DStream",
    "StreamPose",
    "__version__",
    "list_skeletons",
]
