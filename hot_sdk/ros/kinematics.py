"""A body's frame and the angles of REP-155's model of a human, from 17 joints.

Frame ``body_ID``: origin midway between the hips, x out of the chest, y to the person's left, z
from there to the thorax (REP-155, Body Frames). As the 17 joints do not show how the pelvis is
tilted against the spine, z is along the trunk, and the line through the hips, made perpendicular to
it, is y.

Angles are those of the URDF in ROS4HRI's package human_description, the model that REP-155 names,
by inverting its chains:

- arm: y_shoulder, p_shoulder and r_shoulder about z, x and z, then elbow about y;
- leg: y_hip, p_hip and r_hip about z, x and y, then knee about y.

``waist`` is 0 by the choice of the frame, and shoulders move against the hips, because the model's
trunk does not twist. What 17 joints do not show has no angle: how a head is turned, and, of a limb
that is nearly straight, how it is turned about itself, which stays 0.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float64]

STRAIGHT = math.radians(10.0)
"""Bent less than this, a limb does not show how it is turned about itself."""

_AT = {name: at for at, name in enumerate(H36M17.joints)}
_MIRROR = np.array([1.0, -1.0, 1.0])
_SIDES = (("l", "left", np.ones(3)), ("r", "right", _MIRROR))


def body_rotation(joints: Floats) -> Floats | None:
    """Return the rotation of a body's frame, (3, 3): its columns are x, y and z.

    Args:
        joints: (17, 3), along any right-handed axes; NaN if not valid.

    Returns:
        None if a hip, the pelvis or the thorax is not known, or the hips lie along the trunk.
    """
    up = joints[_AT["thorax"]] - joints[_AT["pelvis"]]
    across = joints[_AT["left_hip"]] - joints[_AT["right_hip"]]
    z = _unit(up)
    y = _unit(across - (across @ z) * z)
    if not (np.isfinite(y).all() and np.isfinite(z).all()):
        return None
    return np.stack([np.cross(y, z), y, z], axis=1)


def joint_angles(joints: Floats) -> dict[str, float]:
    """Return the angles of REP-155's joints that are known, radians, by their names without id.

    Args:
        joints: (17, 3), along any right-handed axes, relative to any point; NaN if not valid.

    Returns:
        Empty if the body's frame is not known. A joint of the model is absent if a joint that it
        needs is not valid.
    """
    rotation = body_rotation(joints)
    if rotation is None:
        return {}
    angles = {"waist": 0.0}
    for short, side, mirror in _SIDES:
        for part, ends in (("shoulder", "elbow wrist"), ("hip", "knee ankle")):
            points = [joints[_AT[f"{side}_{name}"]] for name in (part, *ends.split())]
            upper, lower = (
                _unit((end - start) @ rotation) * mirror
                for start, end in itertools.pairwise(points)
            )
            if not np.isfinite(upper).all():
                continue
            straight = lower if (bends := bool(np.isfinite(lower).all())) else upper
            if part == "shoulder":
                found = _arm(upper, straight)
                known = 4 if bends else 2
            else:
                yaw, *rest = _leg(upper, straight)
                # Both hips of the model turn about one axis, its shoulders about mirrored ones.
                found = (yaw * mirror[1], *rest)
                known = 4 if bends else 3
            names = [f"{short}_{axis}_{part}" for axis in "ypr"] + [f"{short}_{ends.split()[0]}"]
            angles.update(zip(names[:known], found[:known], strict=True))
    return angles


def _arm(upper: Floats, lower: Floats) -> tuple[float, ...]:
    """Solve Rz(-y) Rx(p) Rz(r) Ry(-e) of a left arm for the directions of its bones."""
    pitch = math.acos(_cosine(-upper[2]))
    yaw = math.atan2(upper[0], upper[1]) if math.sin(pitch) > 1e-6 else 0.0
    x, y, z = _about_x(-pitch) @ _about_z(yaw) @ lower
    bend = math.acos(_cosine(-z))
    if bend < STRAIGHT:
        return yaw, pitch, 0.0, math.atan2(x, -z)
    return yaw, pitch, math.atan2(y, x), bend


def _leg(upper: Floats, lower: Floats) -> tuple[float, ...]:
    """Solve Rz(-y) Rx(p) Ry(-r) Ry(-k) of a left leg for the directions of its bones."""
    axis = np.cross(upper, lower)
    length = float(np.linalg.norm(axis))
    if length < math.sin(STRAIGHT):
        yaw, pitch = 0.0, math.atan2(upper[1], -upper[2])
    else:
        # A knee that is bent forward is overextended, and no leg that is turned backward.
        axis /= math.copysign(length, axis[1])
        yaw, pitch = math.atan2(axis[0], axis[1]), math.asin(_cosine(axis[2]))
    back = _about_x(-pitch) @ _about_z(yaw)
    thigh, shin = back @ upper, back @ lower
    roll = math.atan2(thigh[0], -thigh[2])
    knee = math.atan2(shin[0], -shin[2]) - roll
    return yaw, pitch, roll, math.remainder(knee, 2.0 * math.pi)


def _cosine(value: float) -> float:
    return min(1.0, max(-1.0, float(value)))


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else np.full(3, np.nan)


def _about_x(angle: float) -> Floats:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _about_z(angle: float) -> Floats:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
