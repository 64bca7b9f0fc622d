"""Check the arrays of keypoints, and convert them to the types that the rest of the code uses."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.arrays import as_array
from hot_sdk.errors import KeypointsError
from hot_sdk.plausibility import check_pixels
from hot_sdk.readers.detections import MAX_FRAMES
from hot_sdk.skeletons import list_skeletons, skeleton_format

_Float = TypeVar("_Float", np.float32, np.float64)

_FARTHEST = 1e7


def checked_points(values: object, skeleton: str) -> NDArray[np.float32]:
    """Return a copy of points, (frames, joints, 2), of a skeleton.

    Raises:
        KeypointsError: They are not, or no such skeleton exists.
    """
    points = numbers(values, "points", np.float32)
    check_points(points, checked_skeleton(skeleton, points), skeleton)
    return points


def mark_missing(
    points: NDArray[np.float32], scores: object, image_size: tuple[int, int]
) -> NDArray[np.float32] | None:
    """Set points to NaN of which either coordinate is, and return scores that are 0 there.

    Args:
        points: What ``checked_points`` returned.
        scores: (frames, joints), or None.
        image_size: Width and height, pixels.

    Returns:
        A copy of the scores, 0 to 1; None if there are none.

    Raises:
        KeypointsError: The points cannot be pixels of the image, or the scores do not fit them.
    """
    absent = np.isnan(points)
    missing = absent.any(axis=-1) if absent.any() else None
    if missing is not None:
        points[missing] = np.nan
    check_pixels(points, image_size)
    if scores is None:
        return None
    checked = checked_scores(scores, points.shape[:2])
    if missing is not None:
        checked[missing] = 0.0
    return checked


def checked_skeleton(name: str, points: NDArray[np.float32]) -> int:
    """Return the number of a skeleton's joints.

    Raises:
        KeypointsError: None is named, or no such skeleton exists.
    """
    if name is None or (isinstance(name, str) and not name):
        joints = points.shape[1] if points.ndim == 3 else "?"
        raise KeypointsError(
            f"No skeleton is named for an array of {joints} joints. It is not guessed, because"
            " equal numbers of joints do not mean equal joints: COCO's 17 and Human3.6M's 17 differ"
            " in order and in place.",
            hint=f"Give skeleton=, one of: {', '.join(list_skeletons())}.",
        )
    return len(skeleton_format(name).joints)


def numbers(values: object, name: str, dtype: type[_Float]) -> NDArray[_Float]:
    """Return a copy of numbers, as an array of a type.

    Raises:
        KeypointsError: They are no array of numbers.
    """
    array = as_array(values, name)
    if array.dtype.kind not in "fiu":
        raise KeypointsError(
            f"{name} holds {array.dtype} values; expected numbers.",
            hint="Convert it to a floating-point array, with NaN for missing values.",
        )
    if array.dtype == dtype:
        return np.array(array, order="C")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(array, dtype=dtype, order="C")


def check_points(points: NDArray[np.float32], joints: int, skeleton: object) -> None:
    """Check the shape of points, (frames, joints, 2), and that none is too far away.

    Raises:
        KeypointsError: The shape is another, or a point is too far away.
    """
    if points.ndim != 3 or points.shape[1:] != (joints, 2):
        hint = "Give one row of x and y for each joint of each frame."
        if points.ndim == 3 and points.shape[2] == 3:
            hint = "Give the third column as scores: Keypoints(a[..., :2], a[..., 2], ...)."
        raise KeypointsError(
            f"points has shape {points.shape}; expected (frames, {joints}, 2) for the skeleton"
            f" '{skeleton}'.",
            hint=hint,
        )
    if not 1 <= len(points) <= MAX_FRAMES:
        raise KeypointsError(
            f"points has {len(points)} frames; expected 1 to {MAX_FRAMES}.",
            hint="Give a clip that has frames, or cut it in parts.",
        )
    # Of NaN and a number, the number is taken; nothing as large as the array is allocated.
    farthest = max(np.fmax.reduce(points, axis=None), -np.fmin.reduce(points, axis=None))
    if farthest > _FARTHEST:
        frame, joint, _ = (int(index) for index in np.argwhere(np.abs(points) > _FARTHEST)[0])
        raise KeypointsError(
            f"The point of joint {joint} in frame {frame} is infinite or over {_FARTHEST:.0e}"
            " pixels away.",
            hint="Mark missing joints with NaN.",
        )


def checked_scores(values: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a copy of scores, 0 to 1.

    Raises:
        KeypointsError: They are no numbers of this shape.
    """
    scores = numbers(values, "scores", np.float32)
    if scores.shape != shape:
        raise KeypointsError(
            f"scores has shape {scores.shape}; expected {shape}, as for points.",
            hint="Give one score for each joint of each frame, or leave scores out.",
        )
    # The larger of NaN and 0 is 0 here; this runs for every pushed frame. In its own copy.
    np.fmax(scores, np.float32(0.0), out=scores)
    np.fmin(scores, np.float32(1.0), out=scores)
    return scores
