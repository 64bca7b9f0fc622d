"""Someone who stands before a camera, as a stream returns it."""

import numpy as np

from hot_sdk.skeletons import H36M17
from hot_sdk.streams import StreamPose

# Someone who stands 3 m before the camera, and looks at it, along the camera's axes; meters.
STANDING = {
    "pelvis": (0.0, 0.0, 0.0),
    "right_hip": (-0.13, 0.0, 0.0),
    "right_knee": (-0.13, 0.45, -0.05),
    "right_ankle": (-0.13, 0.88, 0.05),
    "left_hip": (0.13, 0.0, 0.0),
    "left_knee": (0.13, 0.45, -0.05),
    "left_ankle": (0.13, 0.88, 0.05),
    "spine": (0.0, -0.25, 0.0),
    "thorax": (0.0, -0.5, 0.0),
    "neck_nose": (0.0, -0.58, 0.0),
    "head": (0.0, -0.7, 0.0),
    "left_shoulder": (0.18, -0.48, 0.0),
    "left_elbow": (0.22, -0.2, 0.0),
    "left_wrist": (0.22, -0.15, -0.25),
    "right_shoulder": (-0.18, -0.48, 0.0),
    "right_elbow": (-0.4, -0.6, 0.0),
    "right_wrist": (-0.42, -0.85, -0.05),
}
ROOT = np.array([0.2, -0.1, 3.0])


def standing():
    return np.array([STANDING[name] for name in H36M17.joints])


def at(name):
    return H36M17.joints.index(name)


def pose_of(timestamp=0.0, track_id=1, *, missing=(), **fields):
    pose = standing()
    valid = np.ones(17, dtype=np.bool_)
    valid[[at(name) for name in missing]] = False
    joints = np.where(valid[:, None], pose + ROOT, np.nan)
    given = {
        "pose": pose.astype(np.float32),
        "valid": valid,
        "unit": "m",
        "delay_s": 0.02,
        "root": ROOT,
        "joints": joints,
        "velocity": np.full((17, 3), 0.25),
        "joints_covariance": np.tile(np.diag([1e-4, 4e-4, 9e-2]), (17, 1, 1)),
    }
    return StreamPose(timestamp=timestamp, track_id=track_id, **{**given, **fields})
