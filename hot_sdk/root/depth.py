"""Read how far people are in the image of a depth camera."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import UsageError

Doubles = NDArray[np.float64]

_PATCH = 1.0 / 80.0
"""Half the side of the square about a joint, as a share of the image's longer side."""

_FEWEST = 0.3
"""Share of the square's pixels that have a reading, so that their median counts."""

_NEAREST_M, _FARTHEST_M = 0.05, 100.0

_SKIPPED = 8
"""Rows and columns from one pixel that is looked at to the next, to tell an image's unit."""


def checked_depth(depth: object) -> float | NDArray[np.floating]:
    """Return a reading in meters, or an image of them.

    Raises:
        UsageError: It is neither, or cannot be meters.
    """
    array = np.asarray(depth)
    if array.ndim == 0 and array.dtype.kind in "fiu":
        reading = float(array)
        # A camera that has no reading says 0.
        if reading == 0.0 or math.isnan(reading):
            return math.nan
        if not _NEAREST_M <= reading <= _FARTHEST_M:
            raise UsageError(
                f"depth is {reading:g}; expected meters along the optical axis.",
                hint="Divide millimeters by 1000; NaN if there is no reading.",
            )
        return reading
    if array.ndim == 2 and array.dtype.kind == "f" and array.size:
        some = array[::_SKIPPED, ::_SKIPPED]
        # A camera that has no reading says 0, NaN or infinity.
        known = some[(some > 0.0) & np.isfinite(some)]
        if np.count_nonzero(known > _FARTHEST_M) * 2 > known.size:
            raise UsageError(
                f"depth has readings up to {known.max():g}, most of them over {_FARTHEST_M:g};"
                " expected meters.",
                hint="Divide millimeters by 1000.",
            )
        return array
    hint = "Give float meters at the pelvis, or an image (height, width) of them."
    if array.ndim == 2 and array.dtype.kind in "iu":
        hint = "Whole numbers look like millimeters: give image.astype('float32') / 1000."
    raise UsageError(
        f"depth is an array of {array.dtype} of shape {array.shape}; expected meters.", hint=hint
    )


def depth_at(
    depth: float | NDArray[np.floating],
    points: NDArray[np.floating],
    image_size: tuple[int, int],
) -> Doubles:
    """Return the depth at joints, (joints,), meters; NaN where there is none.

    Args:
        depth: What ``checked_depth`` returned; a single reading is that of the first joint.
        points: (joints, 2), pixels of the image that the keypoints were found in.
        image_size: Of that image: width and height. The depth image shows the same at any size.
    """
    found = np.full(len(points), np.nan)
    if not isinstance(depth, np.ndarray):
        found[0] = depth
        return found
    height, width = depth.shape
    reach = max(round(max(depth.shape) * _PATCH), 1)
    for joint, point in enumerate(points):
        if not np.isfinite(point).all():
            continue
        column = math.floor(point[0] * width / image_size[0])
        row = math.floor(point[1] * height / image_size[1])
        if not (0 <= column < width and 0 <= row < height):
            continue
        patch = depth[
            max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1
        ]
        known = patch[(patch > _NEAREST_M) & (patch < _FARTHEST_M)]
        if len(known) >= _FEWEST * patch.size:
            found[joint] = float(np.median(known))
    return found
