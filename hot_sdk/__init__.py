"""HoT SDK: 3D human poses from 2D keypoint sequences, on edge devices.

Importing this package costs nothing; each of its names is imported when it is first used, and what
needs torch, onnx or an inference engine imports it then.
"""

import importlib
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

# Run from a checkout, where this folder is only a part of the package, the rest is found where the
# package is installed.
__path__ = extend_path(__path__, __name__)

from hot_sdk.version import __version__

if TYPE_CHECKING:
    from hot_sdk.keypoints import Keypoints
    from hot_sdk.latency import LatencyReport
    from hot_sdk.pose_engine import Pose3DEngine
    from hot_sdk.preprocessing.policies import InputPolicies
    from hot_sdk.results.result import Pose3DResult
    from hot_sdk.skeletons import list_skeletons
    from hot_sdk.streams import Pose3DStream, StreamPose

_HOMES = {
    "InputPolicies": "hot_sdk.preprocessing.policies",
    "Keypoints": "hot_sdk.keypoints",
    "LatencyReport": "hot_sdk.latency",
    "Pose3DEngine": "hot_sdk.pose_engine",
    "Pose3DResult": "hot_sdk.results.result",
    "Pose3DStream": "hot_sdk.streams",
    "StreamPose": "hot_sdk.streams",
    "list_skeletons": "hot_sdk.skeletons",
}

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


# Not imported here: hot-doctor has to start where numpy itself is broken.
def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOMES:
        raise AttributeError(f"module 'hot_sdk' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
