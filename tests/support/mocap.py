"""Real bodies in front of a camera with a known pose."""

from pathlib import Path

import numpy as np

from hot_sdk import Keypoints, Pose3DResult
from hot_sdk.cameras import Intrinsics
from hot_sdk.results.result import CAMERA_AXES

SIZE = (1280, 720)
CAMERA = Intrinsics.from_field_of_view(70.0, SIZE)
NAMES = ("walk", "jump", "climb", "sit")


def body(name):
    """Joints along a camera's axes, (frames, 17, 3), meters, the pelvis in front of it."""
    with np.load(Path(__file__).parent / "data" / "mocap_h36m17.npz") as arrays:
        world = arrays[name].astype(np.float64) / 1000.0
    # World axes have y up; a camera that stands on the same floor has y down and looks along z.
    turned = world * [1.0, -1.0, -1.0]
    middle = turned[:, 0].mean(axis=0)
    return turned - middle + [0.3, 0.2, 4.5]


def result_of(joints, **changes):
    """The result of a perfect lifter."""
    settings = {
        "poses": (joints - joints[:, :1]).astype(np.float32),
        "valid": np.ones(joints.shape[:2], dtype=bool),
        "unit": "m",
        "axes": CAMERA_AXES,
        "root": None,
        "root_error": None,
        "timestamps": np.arange(len(joints)) / 10.0,
        "track_id": 3,
        "policies": (),
        "seams": None,
        "latency": None,
        "model": "perfect",
        "warnings": ("made up",),
        **changes,
    }
    return Pose3DResult(**settings)


def seen(joints, noise=0.0, seed=0):
    """Keypoints of joints, with noise in pixels."""
    points = CAMERA.project(joints)
    points = points + np.random.default_rng(seed).normal(size=points.shape) * noise
    return Keypoints(points, skeleton="h36m17", image_size=SIZE, fps=10.0)
