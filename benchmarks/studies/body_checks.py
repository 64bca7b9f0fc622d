"""Check whether a body can take 3D poses; no true pose is needed.

Poses are (frames, 17, 3), the joints of ``H36M17`` along a camera's axes (x right, y down, z
forward), in any unit. A skeleton that is mirrored, turned inside out along the camera's line of
sight, or has its sides exchanged bends its knees backwards: the sides define where ahead is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.clip_errors import Floats
from hot_sdk.skeletons import H36M17

LIMBS = {
    "upper arms": ("shoulder", "elbow"),
    "forearms": ("elbow", "wrist"),
    "thighs": ("hip", "knee"),
    "shins": ("knee", "ankle"),
}
"""The bones of arms and legs: each from the joint nearer to the trunk, without its side."""

BENT_DEGREES = 30.0
"""Between two bones in line, the axis of a bend is noise; below this a joint counts as straight."""

TWIST_DEGREES = 120.0
"""How far an upper arm turns about itself to either side of pointing the forearm ahead."""

_RAISED = -math.cos(math.radians(45.0))
_SMALLEST = 1e-12
_JOINT = {name: number for number, name in enumerate(H36M17.joints)}
_NEAR, _FAR = (
    [[_JOINT[f"{side}_{ends[end]}"] for side in ("left", "right")] for ends in LIMBS.values()]
    for end in (0, 1)
)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bends:
    """The bends of the two joints of a kind, left and right.

    Attributes:
        degrees: (frames, 2), how far the joint is bent; 0 if it is straight.
        counted: (frames, 2), True if the joint is bent far enough to have a direction.
        possible: (frames, 2), True if it is bent as a body's can be; undefined if not counted.
    """

    degrees: Floats
    counted: Mask
    possible: Mask

    @property
    def count(self) -> int:
        """Number of joints counted, over all frames."""
        return int(self.counted.sum())

    @property
    def percent(self) -> float:
        """Share of these that is bent as a body's can be; NaN if none is counted."""
        return percent(self.possible[self.counted])


def percent(values: Mask) -> float:
    """Return the share that is True in percent; NaN for no values."""
    return 100.0 * float(values.mean()) if values.size else math.nan


def stands(down: Floats) -> Mask:
    """Return (frames,), True if the head is above the pelvis, and the pelvis above both ankles.

    ``down``, (frames, 17), is how far down each joint is, along the image's or the camera's y axis.
    """
    head, pelvis, left, right = (
        down[:, _JOINT[name]] for name in ("head", "pelvis", "left_ankle", "right_ankle")
    )
    upright: Mask = (head < pelvis) & (pelvis < np.minimum(left, right))
    return upright


def to_the_left(poses: Floats, joint: str) -> Floats:
    """Return unit vectors (frames, 3) from the right one of two joints to the left one."""
    return _unit(poses[:, _JOINT[f"left_{joint}"]] - poses[:, _JOINT[f"right_{joint}"]])


def left_is_left(poses: Floats, others: Floats) -> Mask:
    """Return (frames,), True if hip and shoulder lines, right to left, run as those of other poses.

    They do while they are less than 90° apart in space, so that sides exchanged, a mirror image
    and, of a body in profile, near and far exchanged are all found.
    """
    hips, shoulders = (
        (to_the_left(poses, joint) * to_the_left(others, joint)).sum(axis=-1) > 0.0
        for joint in ("hip", "shoulder")
    )
    both: Mask = hips & shoulders
    return both


def limbs(poses: Floats) -> Floats:
    """Return the bones of ``LIMBS``, (frames, 4, 2, axes), left and right, away from the trunk."""
    bones: Floats = poses[:, _FAR] - poses[:, _NEAR]
    return bones


def limb_lengths(poses: Floats) -> Floats:
    """Return the lengths of the bones of ``LIMBS``, (frames, 4, 2), in the poses' unit."""
    lengths: Floats = np.linalg.norm(limbs(poses), axis=-1)
    return lengths


def angles_degrees(vectors: Floats, others: Floats) -> Floats:
    """Return the angles between vectors (..., 3) and others, 0 to 180 degrees."""
    across = np.linalg.norm(np.cross(vectors, others), axis=-1)
    angles: Floats = np.degrees(np.arctan2(across, (vectors * others).sum(axis=-1)))
    return angles


def off_in_image_degrees(poses: Floats, points: Floats) -> Floats:
    """Return (frames,), the mean angle of limb bones from their directions in the image.

    Poses, along the axes of the camera that took the image, are projected without perspective,
    which turns a bone of a body in full view by a few degrees at most. Bones count by their length
    between the keypoints (frames, 17, 2): one that points at the camera has no direction there.
    """
    flat, image = (
        np.concatenate([each[..., :2], np.zeros_like(each[..., :1])], axis=-1)
        for each in (poses, points)
    )
    lengths = limb_lengths(image)
    whole = np.maximum(lengths.sum(axis=(1, 2)), _SMALLEST)
    off: Floats = (lengths * angles_degrees(limbs(flat), limbs(image))).sum(axis=(1, 2)) / whole
    return off


def knee_bends(poses: Floats) -> Bends:
    """Return which knees are bent, and which of these as a knee bends: the shin goes back.

    A knee is a hinge whose axis lies across the body, however far the thigh is lifted: bending
    turns the shin from the thigh's direction about an axis that points to the body's left. A bend
    is possible if that axis is less than 90° from the line through the hips, right to left.
    """
    _, _, thighs, shins = limbs(poses).swapaxes(0, 1)
    leftwards = to_the_left(poses, "hip")[:, None]
    degrees = angles_degrees(thighs, shins)
    possible = (np.cross(thighs, shins) * leftwards).sum(axis=-1) > 0.0
    return Bends(degrees, degrees > BENT_DEGREES, possible)


def elbow_bends(poses: Floats) -> Bends:
    """Return which elbows are bent, and which of these as the shoulder allows.

    An elbow's axis turns with the upper arm. So the arm is first let down, by the smallest rotation
    that makes the upper arm hang along the trunk. There a forearm that points ahead (its axis then
    points to the body's right, across the shoulders) is in the middle of what a shoulder can do,
    outwards and behind the back are about its ends; one that is over ``TWIST_DEGREES`` from ahead,
    seen along the upper arm, is bent as no arm can be. Upper arms within 45° of straight up are not
    counted: there the smallest rotation is discontinuous.
    """
    upper, fore, _, _ = limbs(poses).swapaxes(0, 1)
    upper = _unit(upper)
    down = _unit(poses[:, _JOINT["pelvis"]] - poses[:, _JOINT["thorax"]])[:, None]
    lowered = (upper * down).sum(axis=-1)
    degrees = angles_degrees(upper, fore)
    counted = (degrees > BENT_DEGREES) & (lowered > _RAISED)
    # Rodrigues' formula for the smallest rotation between two directions.
    turn = np.cross(upper, down)
    hinge = np.cross(upper, fore)
    once = np.cross(turn, hinge)
    share = np.where(counted, 1.0 / np.where(counted, 1.0 + lowered, 1.0), 0.0)
    hanging = hinge + once + share[..., None] * np.cross(turn, once)
    across = -to_the_left(poses, "shoulder")[:, None]
    level = across - (across * down).sum(axis=-1, keepdims=True) * down
    return Bends(degrees, counted, angles_degrees(hanging, level) < TWIST_DEGREES)


def length_variation_percent(poses: Floats) -> float:
    """Return how far limb bones are from constant: standard deviation over frames by mean length.

    The mean over the eight bones, percent; 0 for a rigid body.
    """
    lengths = limb_lengths(poses)
    spread = lengths.std(axis=0) / np.maximum(lengths.mean(axis=0), _SMALLEST)
    return 100.0 * float(spread.mean())


def length_asymmetry_percent(poses: Floats) -> float:
    """Return the difference of left and right limb bones: of the two median lengths, by their mean.

    The mean over the four pairs, percent.
    """
    left, right = np.median(limb_lengths(poses), axis=0).T
    return 100.0 * float((2.0 * np.abs(left - right) / np.maximum(left + right, _SMALLEST)).mean())


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    directions: Floats = vectors / np.maximum(lengths, _SMALLEST)
    return directions
