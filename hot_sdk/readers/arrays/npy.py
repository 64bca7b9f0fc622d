"""Read NumPy arrays (.npy) of keypoints, whose skeleton the caller names.

They are (frames, joints, 2) or (frames, joints, 3), the third number a score, in pixels; one frame
may come without its first axis, and one person with another axis of length 1. Points at exactly
0, 0 are missing, as detectors write them.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.budget import input_budget
from hot_sdk._base.safe_npz import BROKEN_ARCHIVE, PickledArrayError, read_npy
from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    MAX_DETECTIONS,
    ArrayDetections,
    Floats,
    KeypointFrames,
    format_error,
    frame_count,
)

KIND = "a NumPy array"


def matches(content: bytes) -> bool:
    """Return whether a file's content is an npy file."""
    return content.startswith(b"\x93NUMPY")


def read(content: bytes) -> KeypointFrames:
    """Read an array.

    Raises:
        KeypointsError: It is broken, or its shape or numbers are not those of keypoints.
    """
    try:
        array = read_npy(io.BytesIO(content), len(content), input_budget())
    except PickledArrayError as error:
        raise KeypointsError(
            f"The input was read as {KIND}, but it holds Python objects, a pickle, which runs code"
            " when it is loaded.",
            hint="If you trust it, load it with np.load(..., allow_pickle=True) and give the"
            " arrays: Keypoints(points, scores, skeleton=..., image_size=...).",
        ) from error
    except BROKEN_ARCHIVE as error:
        reason = " ".join(str(error).split())[:200]
        raise format_error(KIND, f"it cannot be read: {reason}") from error
    return frames_of(array, KIND)


def frames_of(array: NDArray[Any], kind: str, scores: NDArray[Any] | None = None) -> KeypointFrames:
    """Return the frames of an array without a named skeleton.

    Args:
        array: (frames, joints, 2 or 3), or with an axis of people, of length 1, before or after
            the frames.
        kind: What the source was recognized as.
        scores: (frames, joints), if the array does not hold them; or None.
    """
    if array.dtype.kind not in "fiu" or array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise _shape_error(kind, array)
    if array.shape[-1] not in (2, 3):
        raise _shape_error(kind, array)
    table = array if array.dtype == np.float32 else array.astype(np.float64)
    if table.ndim == 2:
        table = table[None]
    elif table.ndim == 4:
        if 1 not in table.shape[:2]:
            raise _shape_error(kind, array)
        table = table.reshape(-1, *table.shape[2:])
    points = table[..., :2].copy()
    if table.shape[-1] == 3:
        third = scores_column(table[..., 2])
        if third is None:
            raise KeypointsError(
                f"The input was read as {kind} of shape {array.shape}, but its third numbers are no"
                " scores from 0 to 1.",
                hint="If they are depths, leave them out: Keypoints(array[..., :2], skeleton=...,"
                " image_size=...).",
            )
        found: Floats | None = third
    else:
        found = None if scores is None else np.nan_to_num(scores.astype(np.float64))
        if found is not None:
            if found.size != points.size // 2:
                raise format_error(kind, f"its scores have shape {found.shape}")
            found = found.reshape(points.shape[:2])
    points[(points == 0.0).all(axis=-1)] = np.nan
    frames = frame_count(kind, len(points) - 1)
    if frames > MAX_DETECTIONS:
        raise format_error(kind, "it has too many frames")
    people = ArrayDetections(points[None], None if found is None else found[None], (None,))
    return KeypointFrames(kind, frames, people, None)


def scores_column(values: Floats) -> Floats | None:
    """Return numbers as scores, NaN as 0; None if they are no scores from 0 to 1."""
    known = values[np.isfinite(values)]
    # All zeros are depths that were never estimated: as scores, they would leave no joint.
    if not known.size or known.min() < 0.0 or known.max() > 1.001 or known.max() == 0.0:
        return None
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _shape_error(kind: str, array: NDArray[Any]) -> KeypointsError:
    return KeypointsError(
        f"The input was read as {kind} of {array.dtype} of shape {array.shape}; expected"
        " (frames, joints, 2) or (frames, joints, 3) with scores.",
        hint="Choose one person or camera and the joints of one skeleton, for example"
        " Keypoints(array[0, :, :33, :2], skeleton='mediapipe33', image_size=...).",
    )
