"""Lengths of bones and heights of people, in the unit of the poses that are passed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_PARENTS = [max(parent, 0) for parent in H36M17.parents]
_SHORTEST = np.float32(1e-6)
"""Shortest bone that has a direction, as a share of its median length."""

# One leg, the trunk and the head, from the sole to the crown: the bones that end in these joints.
_LEGS = ("right_knee", "right_ankle", "left_knee", "left_ankle")
_TRUNK_AND_HEAD = ("spine", "thorax", "neck_nose", "head")
_LEG_BONES = np.array([H36M17.joints.index(name) for name in _LEGS]).reshape(2, 2)
_TRUNK_BONES = [H36M17.joints.index(name) for name in _TRUNK_AND_HEAD]

# From the ankle to the ground, as a share of the height (Drillis and Contini, Body Segment
# Parameters, 1966: 0.039).
_FOOT = 0.039


def bone_lengths(poses: Floats) -> Floats:
    """Return the length of the bone that ends in each joint, (frames, 17); 0 at the root."""
    lengths: Floats = np.linalg.norm(poses - poses[:, _PARENTS], axis=-1).astype(np.float32)
    return lengths


def median_bone_lengths(poses: Floats, valid: Mask) -> Floats:
    """Return the median length of each bone, (17,), over the frames where both ends are valid.

    A bone that is never wholly valid has the median of the network's guesses, and NaN if there is
    no pose at all.
    """
    lengths = bone_lengths(poses)
    whole = valid & valid[:, _PARENTS] & np.isfinite(lengths)
    median = np.full(lengths.shape[1], np.nan, dtype=np.float32)
    for joint in range(len(median)):
        counted = whole[:, joint]
        known = lengths[counted if counted.any() else np.isfinite(lengths[:, joint]), joint]
        if len(known):
            median[joint] = np.median(known)
    return median


def constant_bones(poses: Floats, valid: Mask) -> Floats:
    """Return poses whose bones have their median length in each frame, left as right.

    Args:
        poses: (frames, 17, 3), relative to the pelvis.
        valid: (frames, 17).
    """
    lengths, median = bone_lengths(poses), median_bone_lengths(poses, valid)
    median = (median + median[list(H36M17.mirror)]) / np.float32(2)
    moved: Floats = poses.copy()
    for joint, parent in enumerate(H36M17.parents):
        if parent < 0:
            continue
        bone = poses[:, joint] - poses[:, parent]
        # A bone of no length has no direction, and stays so.
        length = np.maximum(lengths[:, joint], _SHORTEST * median[joint])
        factor = np.divide(median[joint], length, out=np.zeros_like(length), where=length > 0.0)
        moved[:, joint] = moved[:, parent] + bone * factor[:, None]
    return moved


def upright_height(poses: Floats, valid: Mask) -> float:
    """Return the height of the person who stands upright, from the sole to the crown; may be NaN.

    The sum of the bones of one leg (the mean of both), the trunk and the head, each the median
    over the clip, with the foot's height below the ankle as Drillis and Contini (Body Segment
    Parameters, 1966) measured it. The person does not have to stand upright in the clip.
    """
    median = median_bone_lengths(poses, valid)
    legs, trunk = (
        sum(float(median[H36M17.joints.index(name)]) for name in names)
        for names in (_LEGS, _TRUNK_AND_HEAD)
    )
    return (legs / 2 + trunk) / (1.0 - _FOOT)


def standing_height(pose: NDArray[np.floating], valid: Mask) -> float:
    """Return what ``upright_height`` says of one pose; NaN unless trunk, head and a leg are valid.

    Args:
        pose: (17, 3).
        valid: (17,).
    """
    lengths = np.linalg.norm(pose - pose[_PARENTS], axis=-1)
    lengths = np.where(valid & valid[_PARENTS], lengths, np.nan)
    legs = lengths[_LEG_BONES].sum(axis=1)
    known = legs[np.isfinite(legs)]
    if not len(known):
        return math.nan
    return float(known.mean() + lengths[_TRUNK_BONES].sum()) / (1.0 - _FOOT)
