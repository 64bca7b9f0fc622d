"""Read and write NumPy archives.

- ``points`` (frames, joints, 2) with ``skeleton`` and ``image_size``, and perhaps ``scores``,
  ``fps``, ``timestamps``, ``track_id`` and ``first_frame``, and what ``camera_fields`` describes:
  the fields of ``Keypoints``, as it writes them. A third number of each point is its score.
- ``kp`` (frames, 33, 3) of x, y in pixels and visibility, ``wh`` and ``fps``: MediaPipe's.
- ``reconstruction`` (people, frames, 17, 2 or 3), pixels and perhaps scores, Human3.6M's joints:
  the demos of HoT (NationalGAILab/HoT) and MotionAGFormer (TaatiTeam/MotionAGFormer).
- ``keypoints`` and perhaps ``scores``: arrays as ``npy`` describes them.
- Those of ``videopose3d``.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.safe_npz import NpzError, open_npz
from hot_sdk.errors import KeypointsError
from hot_sdk.readers import camera_fields
from hot_sdk.readers.arrays.npy import frames_of, scores_column
from hot_sdk.readers.detections import (
    MAX_DETECTIONS,
    MAX_FRAMES,
    ArrayDetections,
    Floats,
    KeypointFrames,
    TrackId,
    format_error,
    frame_count,
    require_room,
)

KIND = "a NumPy archive"
_LARGEST_POSE_M = 10.0
"""Poses in meters have no larger coordinate, and keypoints in pixels some."""


def matches(content: bytes) -> bool:
    """Return whether a file's content is a zip archive, as npz files are."""
    return content[:4] == b"PK\x03\x04"


def read(content: bytes) -> KeypointFrames:
    """Read any of the layouts.

    Raises:
        KeypointsError: The archive has none of them, is broken, or holds pickles.
    """
    try:
        with open_npz(io.BytesIO(content)) as arrays:
            names = set(arrays)
            custom = "positions_2d" in names
            if not custom and not {"keypoints", "boxes", "metadata"} <= names:
                return _read(arrays)
        # Here, because these two alone hold pickles, whose reader others need not import.
        from hot_sdk.readers.arrays import videopose3d

        return videopose3d.read_custom(content) if custom else videopose3d.read_detectron(content)
    except NpzError as error:
        raise format_error(KIND, f"it cannot be read: {error}") from error


def _read(arrays: Mapping[str, NDArray[Any]]) -> KeypointFrames:
    names = set(arrays)
    fps = _fps(arrays["fps"]) if "fps" in names else None
    if {"kp", "wh"} <= names:
        table = _coordinates(arrays["kp"], 3)
        return _frames(
            "a NumPy archive of MediaPipe's landmarks",
            table[None, ..., :2],
            table[None, ..., 2] if table.shape[2] > 2 else None,
            skeleton="mediapipe33",
            image_size=_image_size(arrays["wh"]),
            fps=fps,
        )
    size = _image_size(arrays["image_size"]) if "image_size" in names else None
    if "reconstruction" in names:
        return _demo(arrays["reconstruction"], size, fps)
    skeleton = _text(arrays["skeleton"], "its skeleton") if "skeleton" in names else None
    if skeleton is not None and not skeleton.isascii():
        raise ValueError("its skeleton's name has unusual characters")
    if "points" in names:
        points, scores = _split(
            _coordinates(arrays["points"], 3)[None], "a NumPy archive of keypoints"
        )
        if "scores" in names:
            scores = _coordinates(arrays["scores"], 2)[None]
        stated = {
            name: _stated(arrays[name], name) for name in camera_fields.NAMES if name in names
        }
        return _frames(
            "a NumPy archive of keypoints",
            points,
            scores,
            skeleton=skeleton,
            image_size=size,
            fps=fps,
            timestamps=_numbers(arrays["timestamps"], 1) if "timestamps" in names else None,
            track=_track_id(arrays["track_id"]) if "track_id" in names else None,
            first_frame=_first_frame(arrays["first_frame"]) if "first_frame" in names else 0,
            stated=stated,
        )
    if "keypoints" in names:
        kind = "a NumPy archive of keypoints and scores"
        name = next((one for one in ("scores", "keypoint_scores") if one in names), None)
        source = frames_of(arrays["keypoints"], kind, None if name is None else arrays[name])
        return dataclasses.replace(source, skeleton=skeleton, image_size=size, fps=fps)
    held = ascii(", ".join(sorted(names))[:200])
    raise KeypointsError(
        f"The input was read as {KIND}, but it holds none of points, keypoints, kp and wh,"
        f" reconstruction and positions_2d; it holds {held}.",
        hint="Load it with np.load and give the arrays: Keypoints(points, scores, skeleton=...,"
        " image_size=...).",
    )


def _demo(array: NDArray[Any], size: tuple[int, int] | None, fps: float | None) -> KeypointFrames:
    table = _numbers(array, array.ndim if array.ndim in (3, 4) else 4)
    table = table[None] if table.ndim == 3 else table
    scores = None
    kind = "keypoints of HoT's demo"
    if table.shape[-1] == 3:
        scores = scores_column(table[..., 2])
        farthest = np.fmax.reduce(np.abs(table[..., :2]), axis=None)  # NaN if missing.
        if scores is None or not farthest > _LARGEST_POSE_M:
            raise KeypointsError(
                "The file is the 3D output of a demo, such as HoT's or MotionAGFormer's, not"
                " keypoints.",
                hint="Give input_keypoints_2d.npz, or keypoints.npz, from the demo's folder"
                " input_2D.",
            )
        kind = "keypoints and scores of MotionAGFormer's demo"
        table = table[..., :2].copy()
    # If no person was found, the demos leave zeros.
    table[(table == 0.0).all(axis=-1)] = np.nan
    return _frames(kind, table, scores, skeleton="h36m17", image_size=size, fps=fps)


def _split(table: Floats, kind: str) -> tuple[Floats, Floats | None]:
    """Return the points and, if there is a third number, the scores."""
    if table.shape[-1] != 3:
        return table, None
    scores = scores_column(table[..., 2])
    if scores is None:
        raise format_error(kind, "the third numbers of its points are no scores from 0 to 1")
    return table[..., :2], scores


def write(
    stream: BinaryIO,
    points: NDArray[np.float32],
    scores: NDArray[np.float32] | None,
    about: dict[str, Any],
) -> None:
    """Write the archive of one person.

    Args:
        stream: The file.
        points: (frames, joints, 2).
        scores: (frames, joints), or None.
        about: ``skeleton``, ``image_size``, ``fps``, ``timestamps``, ``track_id`` and
            ``first_frame``, and ``camera_fields``; None, and a first frame of 0, are left out.
    """
    fields = {"points": points, "scores": scores, **about}
    fields["first_frame"] = fields.get("first_frame") or None
    arrays: dict[str, Any] = {
        name: np.asarray(value) for name, value in fields.items() if value is not None
    }
    np.savez_compressed(stream, **arrays)


def _frames(
    kind: str,
    table: Floats,
    scores: Floats | None,
    *,
    track: TrackId = None,
    stated: Mapping[str, Floats] | None = None,
    **known: Any,  # noqa: ANN401
) -> KeypointFrames:
    """Build the frames from points (people, frames, joints, 2) and scores of the same shape."""
    # An array without joints holds no bytes, whatever number of frames it claims.
    if table.shape[-1] != 2 or 0 in table.shape:
        raise format_error(kind, f"its points have shape {table.shape}")
    frames = frame_count(kind, table.shape[1] - 1)
    if table.shape[0] * frames > MAX_DETECTIONS:
        raise format_error(kind, f"{table.shape[0]} people in {frames} frames are too many")
    require_room(kind, table.shape[0] * frames, 0)
    if scores is not None and scores.shape != table.shape[:-1]:
        raise format_error(kind, f"its scores have shape {scores.shape}")
    names = tuple(range(len(table))) if len(table) > 1 else (track,)
    knowledge = camera_fields.stated_knowledge(kind, stated or {}, frames)
    people = ArrayDetections(table, scores, names)
    return KeypointFrames(kind, frames, people, knowledge=knowledge, **known)


def _numbers(array: NDArray[Any], dimensions: int) -> Floats:
    if array.dtype.kind not in "fiu" or array.ndim != dimensions:
        raise ValueError(f"an array holds {array.dtype} of shape {array.shape}")
    return array.astype(np.float64)


def _coordinates(array: NDArray[Any], dimensions: int) -> NDArray[Any]:
    """Return numbers as float64, or as they are if they are float32, half of its memory."""
    return (
        array
        if array.dtype == np.float32 and array.ndim == dimensions
        else _numbers(array, dimensions)
    )


def _stated(array: NDArray[Any], name: str) -> Floats:
    if array.dtype.kind not in "bfiu":
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
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


def _first_frame(array: NDArray[Any]) -> int:
    if array.size != 1 or array.dtype.kind not in "iu" or not 0 <= array.reshape(1)[0] < MAX_FRAMES:
        raise ValueError(f"first_frame is {array.dtype} of shape {array.shape}, or out of range")
    return int(array.reshape(1)[0])


def _track_id(array: NDArray[Any]) -> TrackId:
    if array.size == 1 and array.dtype.kind in "iu":
        return int(array.reshape(1)[0])
    return _text(array, "its track_id")


def _text(array: NDArray[Any], name: str) -> str:
    if array.size != 1 or array.dtype.kind not in "US" or not 1 <= array.dtype.itemsize <= 800:
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
    if array.dtype.kind == "S":
        return bytes(array.reshape(1)[0]).decode("ascii")
    return str(array.reshape(1)[0])
