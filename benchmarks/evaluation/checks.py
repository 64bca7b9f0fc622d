"""Check that poses can be compared: joints and size of a person, unit and axes as stated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.clip_errors import BONES, MIRRORED_BONES
from hot_sdk.errors import DatasetError, ResultError
from hot_sdk.results.result import CAMERA_AXES, METERS, MILLIMETERS, Pose3DResult
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float64]

UNITS_PER_METER = {METERS: 1.0, MILLIMETERS: 1000.0}
MM_PER_UNIT = {unit: 1000.0 / count for unit, count in UNITS_PER_METER.items()}

_LEG_AND_TRUNK = tuple(
    BONES.index((H36M17.parents[joint], joint))
    for joint in map(H36M17.joints.index, ("left_knee", "left_ankle", "spine", "thorax"))
)
_SHORTEST_M, _LONGEST_M = 0.3, 2.5
"""Shin, thigh and trunk together: 1.3 to 1.5 m of an adult, 0.4 of an infant."""

_LOOKS_LIKE = {"meters": 1.0, "centimeters": 100.0, "millimeters": 1000.0}
_TYPICAL_M = (0.6, 2.0)
_UNEVEN = 0.25
"""Mean difference of a left bone and its mirror image, as a share of their lengths. Of a person it
is a few percent at most, of joints in another order half of their length and more."""


def check_axes(result: Pose3DResult) -> None:
    """Check that a result can be compared with a truth along the camera's axes.

    Raises:
        ResultError: It is along other axes.
    """
    if result.axes != CAMERA_AXES:
        raise ResultError(
            f"The poses are along '{result.axes}', the truth along '{CAMERA_AXES}'.",
            hint="Save the result before it is rotated to a robot's frame.",
        )


def check_millimeters(poses: Floats, which: str) -> None:
    """Check that poses of an array are not in meters.

    Args:
        poses: (frames, 17, 3), joints of ``H36M17``.
        which: What they are called in an error.

    Raises:
        ResultError: A body would be a few millimeters tall.
    """
    if unit_of_length(length := body_length(poses)) == "meters":
        raise ResultError(
            f"The {which} poses cannot be in millimeters: shin, thigh and trunk are {length:.3g}"
            " long, as if they were in meters.",
            hint="Multiply them by 1000, or give a Pose3DResult, which states its unit.",
        )


def body_length(poses: Floats) -> float:
    """Return the median length of shin, thigh and trunk together; NaN if there is no whole pose.

    Args:
        poses: (frames, 17, 3), joints of ``H36M17``, in any unit.
    """
    whole = poses[np.isfinite(poses).all(axis=(1, 2))]
    if not len(whole):
        return float("nan")
    return float(np.median(_bone_lengths(whole)[:, _LEG_AND_TRUNK].sum(axis=1)))


def unit_of_length(length: float) -> str | None:
    """Return the unit in which a body is about this long, in words; None if there is none."""
    low, high = _TYPICAL_M
    return next((name for name, per in _LOOKS_LIKE.items() if low <= length / per <= high), None)


def check_body(poses: Floats, unit: str | None, what: str) -> Floats:
    """Check true poses, and return them in meters.

    Args:
        poses: (frames, 17, 3), joints of ``H36M17``.
        unit: ``m`` or ``mm``; None if it is not known, which is refused.
        what: What they are called in an error.

    Raises:
        DatasetError: There is no whole pose, the unit is unknown or cannot be right, or left and
            right are so different that the joints must be in another order.
    """
    length = body_length(poses)
    if np.isnan(length):
        raise DatasetError(f"{what} has no frame in which all joints are known.", hint="Check it.")
    looks = unit_of_length(length)
    if unit not in UNITS_PER_METER:
        said = "states no unit" if unit is None else f"is in {unit[:40]!r}, which is not known"
        raise DatasetError(
            f"{what} {said}{f'; it looks like {looks}' if looks else ''}.",
            hint="State m or mm: the array 'unit' of an npz file, columns such as left_wrist_x_mm,"
            " or --unit.",
        )
    per_meter = UNITS_PER_METER[unit]
    if not _SHORTEST_M <= length / per_meter <= _LONGEST_M:
        guess = f"; it looks like {looks}" if looks else ", and in no other unit"
        raise DatasetError(
            f"{what} cannot be in {unit}: shin, thigh and trunk would be {length / per_meter:.3g} m"
            f" long{guess}.",
            hint="State the unit that it is in, m or mm."
            if looks != "centimeters"
            else "Multiply it by 10 and state mm.",
        )
    uneven = unevenness(poses)
    if uneven > _UNEVEN:
        raise DatasetError(
            f"The left and right bones of {what} differ by {uneven:.0%} of their length, so its"
            " joints are in another order.",
            hint="Name the order: poses_skeleton, one of list_skeletons().",
        )
    return poses / per_meter


def check_order(poses: Floats, which: str) -> None:
    """Check that an array of poses can be in the order of ``H36M17``.

    Raises:
        ResultError: Left and right are too different.
    """
    if (uneven := unevenness(poses)) > _UNEVEN:
        raise ResultError(
            f"The left and right bones of the {which} poses differ by {uneven:.0%} of their length,"
            " so their joints are in another order.",
            hint="Give the 17 joints of hot_sdk.H36M17, in its order.",
        )


def unevenness(poses: Floats) -> float:
    """Return how much left and right bones differ, as a share of their lengths.

    Args:
        poses: (frames, 17, 3), joints of ``H36M17``, in any unit.
    """
    whole = poses[np.isfinite(poses).all(axis=(1, 2))]
    if not len(whole):
        return 0.0
    left, right = np.median(_bone_lengths(whole), axis=0)[np.array(MIRRORED_BONES).T]
    return float(np.mean(np.abs(left - right) / np.maximum((left + right) / 2.0, 1e-9)))


def _bone_lengths(poses: Floats) -> Floats:
    nearer, farther = np.array(BONES).T
    lengths: Floats = np.linalg.norm(poses[:, farther] - poses[:, nearer], axis=-1)
    return lengths
