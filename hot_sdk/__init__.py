"""HoT SDK: 3D human poses from 2D keypoint sequences, on edge devices.

Each public name is imported when it is first used, so importing this package costs nothing; torch,
onnx and inference engines are imported by what needs them.
"""

import importlib
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

# In a checkout, this folder is only a part of the package; the rest is where it is installed.
__path__ = extend_path(__path__, __name__)

from hot_sdk._base.quiet_imports import silence
from hot_sdk.version import __version__

silence()

if TYPE_CHECKING:
    from hot_sdk.cameras import CameraPose, Intrinsics
    from hot_sdk.contacts import FootContacts, foot_contacts, hold_standing_feet
    from hot_sdk.errors import HotSDKError
    from hot_sdk.keypoints import Keypoints
    from hot_sdk.latency import LatencyReport
    from hot_sdk.pose_engine import Pose3DEngine
    from hot_sdk.preprocessing.policies import InputPolicies
    from hot_sdk.results.angles import JointAngles, joint_angles
    from hot_sdk.results.bvh import BvhFile, save_bvh
    from hot_sdk.results.result import Pose3DResult
    from hot_sdk.results.rotations import BoneRotations, bone_rotations
    from hot_sdk.root import solve_root
    from hot_sdk.skeletons import H36M17, list_skeletons
    from hot_sdk.streams import Pose3DStream, StreamPose

_MODULES = {
    "BoneRotations": "hot_sdk.results.rotations",
    "BvhFile": "hot_sdk.results.bvh",
    "CameraPose": "hot_sdk.cameras",
    "FootContacts": "hot_sdk.contacts",
    "H36M17": "hot_sdk.skeletons",
    "HotSDKError": "hot_sdk.errors",
    "InputPolicies": "hot_sdk.preprocessing.policies",
    "Intrinsics": "hot_sdk.cameras",
    "JointAngles": "hot_sdk.results.angles",
    "Keypoints": "hot_sdk.keypoints",
    "LatencyReport": "hot_sdk.latency",
    "Pose3DEngine": "hot_sdk.pose_engine",
    "Pose3DResult": "hot_sdk.results.result",
    "Pose3DStream": "hot_sdk.streams",
    "StreamPose": "hot_sdk.streams",
    "bone_rotations": "hot_sdk.results.rotations",
    "foot_contacts": "hot_sdk.contacts",
    "hold_standing_feet": "hot_sdk.contacts",
    "joint_angles": "hot_sdk.results.angles",
    "list_skeletons": "hot_sdk.skeletons",
    "save_bvh": "hot_sdk.results.bvh",
    "solve_root": "hot_sdk.root",
}

__all__ = [
    "H36M17",
    "BoneRotations",
    "BvhFile",
    "CameraPose",
    "FootContacts",
    "HotSDKError",
    "InputPolicies",
    "Intrinsics",
    "JointAngles",
    "Keypoints",
    "LatencyReport",
    "Pose3DEngine",
    "Pose3DResult",
    "Pose3DStream",
    "StreamPose",
    "__version__",
    "bone_rotations",
    "foot_contacts",
    "hold_standing_feet",
    "joint_angles",
    "list_skeletons",
    "save_bvh",
    "solve_root",
]


# Lazy, because hot-doctor has to start if numpy itself is broken.
def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _MODULES:
        raise AttributeError(f"module 'hot_sdk' has no attribute '{name}'")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
