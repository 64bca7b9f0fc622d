"""Make the arrays that a model file takes, whether or not it has an input of conditions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.session import Arrays, format_shape
from hot_sdk.errors import UsageError
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, Manifest


def feeds(
    manifest: Manifest,
    keypoints: NDArray[np.float32],
    conditions: NDArray[np.float32] | None = None,
) -> Arrays:
    """Return the arrays of one run of a model file, by the names of its inputs.

    Args:
        manifest: The file's manifest.
        keypoints: (batch, frames, joints, channels), as the network takes them.
        conditions: What is known, (batch, frames, conditions), in the order of the manifest; None
            if nothing is, and for a file without conditions.

    Raises:
        UsageError: The file takes no conditions, or others than these.
    """
    return input_arrays(len(manifest.conditions), keypoints, conditions)


def input_arrays(
    count: int, keypoints: NDArray[np.float32], conditions: NDArray[np.float32] | None = None
) -> Arrays:
    """Return the same for a network that takes a number of conditions; 0 is no such input.

    Raises:
        UsageError: The network takes no conditions, or not as many, or of other frames.
    """
    shape = (*keypoints.shape[:2], count)
    if conditions is not None and (not count or conditions.shape != shape):
        raise UsageError(
            f"The conditions have the shape {format_shape(conditions.shape)}; the model takes"
            f" {format_shape(shape) if count else 'none'}.",
            hint="Give one row for each frame of each window, or None if nothing is known.",
        )
    if not count:
        return {KEYPOINTS: keypoints}
    if conditions is None:
        conditions = np.zeros(shape, dtype=np.float32)
    return {KEYPOINTS: keypoints, CONDITIONS: conditions}
