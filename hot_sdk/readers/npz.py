"""Read NumPy archives: MediaPipe's landmarks, HoT's demo, VideoPose3D's data sets, a plain layout.

- ``kp`` (frames, 33, 3) of x, y in pixels and visibility, ``wh`` and ``fps``: MediaPipe's.
- ``reconstruction`` (people, frames, 17, 2), pixels, Human3.6M's joints: the demo of HoT
  (demo/vis.py of NationalGAILab/HoT).
- ``points`` (frames, joints, 2) with ``skeleton`` and ``image_size``, and perhaps ``scores``,
  ``fps`` and ``timestamps``: the fields of ``Keypoints``.
- ``positions_2d``: the data sets of VideoPose3D (facebookresearch/VideoPose3D, DATASETS.md), whose
  arrays are pickles, which run code when they are read; they are refused, with the way round.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.safe_npz import NpzError, open_npz
from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    MAX_DETECTIONS,
    Detection,
    Floats,
    KeypointFrames,
    format_error,
    frame_count,
)

_MAX_BYTES = 256 << 20
_MAX_NUMBERS = 1 << 25

KIND = "a NumPy archive"
_CONVERT = (
    'If you trust the file, convert one sequence: python -c "import numpy as np;'
    " d = np.load('FILE', allow_pickle=True)['positions_2d'].item();"
    " np.savez('clip.npz', points=d['S9']['Walking'][0], skeleton='h36m17',"
    ' image_size=(1000, 1002), fps=50)"'
)


def matches(content: bytes) -> bool:
    """Return whether a file's content is a zip archive, as npz files are."""
    return content[:4] == b"PK\x03\x04"


def read(content: bytes) -> KeypointFrames:
    """Read any of the layouts.

    Raises:
        KeypointsError: The archive has none of them, is broken, or holds pickles.
    """
    try:
        with open_npz(io.BytesIO(content), max_bytes=_MAX_BYTES) as arrays:
            return _read(arrays)
    except NpzError as error:
        raise format_error(KIND, f"it cannot be read: {error}") from error


def _read(arrays: Mapping[str, NDArray[Any]]) -> KeypointFrames:
    names = set(arrays)
    if "positions_2d" in names:
        raise KeypointsError(
            "The file is a data set of VideoPose3D, whose arrays are pickles: reading them can run"
            " any program.",
            hint=_CONVERT,
        )
    fps = _fps(arrays["fps"]) if "fps" in names else None
    if {"kp", "wh"} <= names:
        table = _numbers(arrays["kp"], 3)
        return _frames(
            "a NumPy archive of MediaPipe's landmarks",
            table[None, ..., :2],
            table[None, ..., 2] if table.shape[2] > 2 else None,
            skeleton="mediapipe33",
            image_size=_image_size(arrays["wh"]),
            fps=fps,
        )
    if "reconstruction" in names:
        if arrays["reconstruction"].shape[-1:] == (3,):
            raise KeypointsError(
                "The file is the 3D output of HoT's demo, not keypoints.",
                hint="Give input_keypoints_2d.npz from the demo's folder input_2D.",
            )
        table = _numbers(arrays["reconstruction"], 4)
        # If no person was found, the demo leaves zeros.
        table[(table == 0.0).all(axis=-1)] = np.nan
        return _frames("keypoints of HoT's demo", table, None, skeleton="h36m17")
    if "points" in names:
        return _frames(
            "a NumPy archive of keypoints",
            _numbers(arrays["points"], 3)[None],
            _numbers(arrays["scores"], 2)[None] if "scores" in names else None,
            skeleton=_name(arrays["skeleton"]) if "skeleton" in names else None,
            image_size=_image_size(arrays["image_size"]) if "image_size" in names else None,
            fps=fps,
            timestamps=_numbers(arrays["timestamps"], 1) if "timestamps" in names else None,
        )
    raise format_error(KIND, "it holds neither kp and wh, nor reconstruction, nor points")


def _frames(
    kind: str,
    table: Floats,
    scores: Floats | None,
    **known: Any,  # noqa: ANN401
) -> KeypointFrames:
    """Build the frames from points (people, frames, joints, 2) and scores of the same shape."""
    # An array without joints holds no bytes, whatever number of frames it claims.
    if table.shape[-1] != 2 or 0 in table.shape:
        raise format_error(kind, f"its points have shape {table.shape}")
    frames = frame_count(kind, table.shape[1] - 1)
    if table.shape[0] * frames > MAX_DETECTIONS:
        raise format_error(kind, f"{table.shape[0]} people in {frames} frames are too many")
    if scores is not None and scores.shape != table.shape[:-1]:
        raise format_error(kind, f"its scores have shape {scores.shape}")
    people = tuple(
        Detection(
            frame,
            table[person, frame],
            None if scores is None else scores[person, frame],
            person if len(table) > 1 else None,
        )
        for person in range(len(table))
        for frame in range(frames)
    )
    return KeypointFrames(kind, frames, people, **known)


def _numbers(array: NDArray[Any], dimensions: int) -> Floats:
    if array.dtype.kind not in "fiu" or array.ndim != dimensions:
        raise ValueError(f"an array holds {array.dtype} of shape {array.shape}")
    if array.size > _MAX_NUMBERS:
        raise ValueError(f"an array holds {array.size} numbers, over {_MAX_NUMBERS}")
    return array.astype(np.float64)


def _image_size(array: NDArray[Any]) -> tuple[int, int]:
    size = _numbers(array, 1)
    if len(size) != 2 or (size % 1 != 0).any():
        raise ValueError("its image size is not two whole numbers")
    return int(size[0]), int(size[1])


def _fps(array: NDArray[Any]) -> float:
    if array.size != 1:
        raise ValueError(f"fps is {array.dtype} of shape {array.shape}")
    return float(_numbers(array.reshape(1), 1)[0])


def _name(array: NDArray[Any]) -> str:
    if array.dtype.kind != "U" or array.size != 1 or not 4 <= array.dtype.itemsize <= 400:
        raise ValueError(f"its skeleton is {array.dtype} of shape {array.shape}")
    # numpy makes texts of numbers that are no characters, over which Python itself fails.
    codes = array.astype(array.dtype.newbyteorder("=")).reshape(1).view(np.uint32)
    if (codes > 127).any():
        raise ValueError("its skeleton's name has unusual characters")
    return str(array.reshape(1)[0])
