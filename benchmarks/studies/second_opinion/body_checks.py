"""Whether 3D poses are ones that a body can take; no check here needs a true pose.

Poses are (frames, 17, 3), the joints of ``H36M17`` along a camera's axes (x right, y down, z
forward), in any unit. A skeleton that is mirrored, turned inside out along the camera's line of
sight, or has its sides exchanged bends its knees backwards: the sides say where ahead is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.clip_errors import Floats
from hot_sdk.skeletons import H36M17

SIDES = ("left", "right")
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

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bends:
    """How the two joints of a kind, left and right, are bent.

    Attributes:
        degrees: (frames, 2), how far the joint is bent; 0 where it is straight.
        counted: (frames, 2), True where the joint is bent far enough for its direction to be told.
        possible: (frames, 2), True where it is bent as a body's can be; no meaning where not
            counted.
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
        """Of these, the share bent as a body's can be; NaN where none is counted."""
        return percent(self.possible[self.counted])


def percent(values: Mask) -> float:
    """Share that is True, percent; NaN of nothing."""
    return 100.0 * float(values.mean()) if values.size else math.nan


def stands(down: Floats) -> Mask:
    """Where the head is above the pelvis, and the pelvis above both ankles.

    Args:
        down: (frames, 17), how far down each joint is, along the image or the camera's y axis.

    Returns:
        (frames,).
    """
    head, pelvis, left, right = (
        down[:, _joint(name)] for name in ("head", "pelvis", "left_ankle", "right_ankle")
    )
    upright: Mask = (head < pelvis) & (pelvis < np.minimum(left, right))
    return upright


def to_the_left(poses: Floats, joint: str) -> Floats:
    """Unit vectors (frames, 3) from the right one of two joints to the left one."""
    return _unit(poses[:, _joint(f"left_{joint}")] - poses[:, _joint(f"right_{joint}")])


def left_is_left(poses: Floats, others: Floats) -> Mask:
    """Where the lines of hips and of shoulders, right to left, both run as those of other poses.

    They do while they are less than 90° apart in space, so that sides exchanged, a mirror image
    and, of a body in profile, near and far exchanged are all found.

    Args:
        poses: What is checked.
        others: (frames, 17, 3), what knows which side is left.

    Returns:
        (frames,).
    """
    hips, shoulders = (
        (to_the_left(poses, joint) * to_the_left(others, joint)).sum(axis=-1) > 0.0
        for joint in ("hip", "shoulder")
    )
    both: Mask = hips & shoulders
    return both


def limb(poses: Floats, name: str) -> Floats:
    """The bones of a name of ``LIMBS``, (frames, 2, axes), left and right, away from the trunk."""
    near, far = LIMBS[name]
    return np.stack(
        [poses[:, _joint(f"{side}_{far}")] - poses[:, _joint(f"{side}_{near}")] for side in SIDES],
        axis=1,
    )


def angles_degrees(vectors: Floats, others: Floats) -> Floats:
    """Angle between vectors (..., 3) and others, 0 to 180 degrees."""
    across = np.linalg.norm(np.cross(vectors, others), axis=-1)
    angles: Floats = np.degrees(np.arctan2(across, (vectors * others).sum(axis=-1)))
    return angles


def off_in_image_degrees(poses: Floats, points: Floats) -> Floats:
    """How far the directions of limb bones are from those that the image shows.

    Poses are looked at without perspective, which turns a bone of a body in full view by a few
    degrees at most. Bones count by their length in the image: one that points at the camera has no
    direction there.

    Args:
        poses: Along the axes of the camera that took the image.
        points: (frames, 17, 2), keypoints, pixels.

    Returns:
        (frames,), degrees; the mean over the eight bones.
    """
    flat = np.concatenate([poses[..., :2], np.zeros_like(poses[..., :1])], axis=-1)
    image = np.concatenate([points, np.zeros_like(points[..., :1])], axis=-1)
    angles = np.stack(
        [angles_degrees(limb(flat, name), limb(image, name)) for name in LIMBS], axis=1
    )
    lengths = limb_lengths(image)
    whole = np.maximum(lengths.sum(axis=(1, 2)), _SMALLEST)
    off: Floats = (lengths * angles).sum(axis=(1, 2)) / whole
    return off


def knee_bends(poses: Floats) -> Bends:
    """Which knees are bent, and which of these as a knee bends: the shin goes back.

    A knee is a hinge whose axis lies across the body, however far the thigh is lifted: bending
    turns the shin from the thigh's direction about an axis that points to the body's left. It
    bends as it can where that axis is less than 90° from the line through the hips, right to left.
    """
    thighs, shins = limb(poses, "thighs"), limb(poses, "shins")
    axis = np.cross(thighs, shins)
    leftwards = to_the_left(poses, "hip")[:, None]
    degrees = angles_degrees(thighs, shins)
    return Bends(
        degrees=degrees,
        counted=degrees > BENT_DEGREES,
        possible=(axis * leftwards).sum(axis=-1) > 0.0,
    )


def elbow_bends(poses: Floats) -> Bends:
    """Which elbows are bent, and which of these as the shoulder allows.

    An elbow's axis turns with the upper arm. So the arm is first let down, by the smallest rotation
    that makes the upper arm hang along the trunk. There a forearm that points ahead (its axis then
    points to the body's right, across the shoulders) is in the middle of what a shoulder can do,
    outwards and behind the back are about its ends; one that is over ``TWIST_DEGREES`` from ahead,
    seen along the upper arm, is bent as no arm can be. Upper arms within 45° of straight up are not
    counted: there the smallest rotation leaps.
    """
    upper, fore = _unit(limb(poses, "upper arms")), limb(poses, "forearms")
    down = _unit(poses[:, _joint("pelvis")] - poses[:, _joint("thorax")])[:, None]
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
    return Bends(
        degrees=degrees,
        counted=counted,
        possible=angles_degrees(hanging, level) < TWIST_DEGREES,
    )


def limb_lengths(poses: Floats) -> Floats:
    """Lengths of the bones of ``LIMBS``, (frames, 4, 2), in the poses' unit; left and right."""
    return np.stack([np.linalg.norm(limb(poses, name), axis=-1) for name in LIMBS], axis=1)


def length_variation_percent(poses: Floats) -> float:
    """How far limb bones are from constant: standard deviation over frames by mean length.

    Returns:
        The mean of it over the eight bones, percent; 0 for a rigid body.
    """
    lengths = limb_lengths(poses)
    spread = lengths.std(axis=0) / np.maximum(lengths.mean(axis=0), _SMALLEST)
    return 100.0 * float(spread.mean())


def length_asymmetry_percent(poses: Floats) -> float:
    """How far left limb bones are from as long as right ones.

    Returns:
        Difference of the two median lengths by their mean, the mean over the four pairs, percent.
    """
    left, right = np.median(limb_lengths(poses), axis=0).T
    return 100.0 * float((2.0 * np.abs(left - right) / np.maximum(left + right, _SMALLEST)).mean())


def _joint(name: str) -> int:
    return H36M17.joints.index(name)


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    directions: Floats = vectors / np.maximum(lengths, _SMALLEST)
    return directions
