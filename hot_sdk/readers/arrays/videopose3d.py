"""Read the npz files of VideoPose3D, which hold pickled objects, without running anything in them.

- ``positions_2d`` and ``metadata``: 2D keypoints by subject or video, then by action, with an array
  (frames, joints, 2) for each camera; ``layout_name`` and ``video_metadata`` (w, h) describe them
  (facebookresearch/VideoPose3D, DATASETS.md and data/prepare_data_2d_custom.py).
- ``keypoints``, ``boxes`` and ``metadata`` (w, h): Detectron2's for each frame, as
  ``infer_video_d2.py`` writes them: for each class the people, (people, 4, 17), of which the rows
  are x, y, a logit and the heatmap's probability, which is no confidence and is left out.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np

from hot_sdk._base.budget import input_budget
from hot_sdk._base.safe_pickle import (
    BROKEN,
    UnsafePickleError,
    items,
    mapping,
    numbers,
    one_object,
    read_objects,
)
from hot_sdk.errors import KeypointsError
from hot_sdk.readers.arrays.npy import frames_of
from hot_sdk.readers.detections import Detection, Floats, KeypointFrames, format_error, frame_count

CUSTOM = "VideoPose3D's keypoints"
DETECTRON = "keypoints of VideoPose3D's infer_video_d2"
_LAYOUTS = {"coco": "coco17", "h36m": "h36m17"}


def read_custom(content: bytes) -> KeypointFrames:
    """Read ``positions_2d``, if it holds one sequence.

    Raises:
        KeypointsError: It holds several, or is broken or unsafe.
    """
    try:
        held = mapping(one_object(_objects(content, "positions_2d")))
        about = _metadata(content)
        sequences = [
            (str(subject), str(action), camera, array)
            for subject, actions in held.items()
            for action, cameras in mapping(actions).items()
            for camera, array in enumerate(items(cameras))
        ]
        layout = about.get("layout_name")
        skeleton = _LAYOUTS.get(layout) if isinstance(layout, str) else None
        videos = about.get("video_metadata")
        sizes = {
            name: (int(size["w"]), int(size["h"]))
            for name, size in (videos.items() if isinstance(videos, dict) else ())
        }
        if len(sequences) != 1:
            raise _several(sequences, skeleton, sizes)
        source = frames_of(numbers(sequences[0][3]), CUSTOM)
    except KeypointsError:
        raise
    except UnsafePickleError as error:
        raise _unsafe(CUSTOM, error) from error
    except BROKEN as error:
        raise _broken(CUSTOM, error) from error
    return KeypointFrames(
        CUSTOM, source.frames, source.detections, skeleton, image_size=sizes.get(sequences[0][0])
    )


def read_detectron(content: bytes) -> KeypointFrames:
    """Read ``keypoints`` of ``infer_video_d2.py``.

    Raises:
        KeypointsError: It is broken or unsafe.
    """
    try:
        about = mapping(one_object(_objects(content, "metadata")))
        size = int(about["w"]), int(about["h"])
        frames = _frames(_objects(content, "keypoints"))
        people = []
        for frame, persons in enumerate(frames):
            if persons is None:
                continue
            table = persons.astype(np.float64)
            if table.ndim != 3 or table.shape[1:] not in ((3, 17), (4, 17)):
                raise ValueError(f"frame {frame} has keypoints of shape {table.shape}")
            people += [Detection(frame, person[:2].T.copy(), None, None) for person in table]
    except UnsafePickleError as error:
        raise _unsafe(DETECTRON, error) from error
    except BROKEN as error:
        raise _broken(DETECTRON, error) from error
    count = frame_count(DETECTRON, len(frames) - 1)
    return KeypointFrames(DETECTRON, count, tuple(people), "coco17", image_size=size)


def _frames(held: list[Any]) -> list[Floats | None]:
    """Return the people of each frame, the last of the classes."""
    # NumPy makes pairs of equal length a second axis of the array.
    paired = len(held) % 2 == 0 and all(
        isinstance(value, list) and not value for value in held[::2]
    )
    pairs = [list(pair) for pair in zip(held[::2], held[1::2], strict=True)] if paired else held
    found: list[Floats | None] = []
    for pair in pairs:
        last = items(pair)[-1]
        # A list, if no one was detected.
        found.append(None if isinstance(last, list) and not last else numbers(last))
    return found


def _metadata(content: bytes) -> dict[str, Any]:
    try:
        return mapping(one_object(_objects(content, "metadata")))
    except KeyError:
        return {}


def _objects(content: bytes, member: str) -> list[Any]:
    return read_objects(io.BytesIO(content), member, max_bytes=input_budget().unpacked_bytes)


def _several(
    sequences: list[tuple[str, str, int, Any]],
    skeleton: str | None,
    sizes: dict[str, tuple[int, int]],
) -> KeypointsError:
    if not sequences:
        return format_error(CUSTOM, "it holds no sequence")
    subject, action, camera, _ = sequences[0]
    known = f", skeleton={skeleton!r}" if skeleton else ""
    size = f", image_size={sizes[subject]}" if subject in sizes else ""
    names = ", ".join(ascii(f"{one[0]}/{one[1]}/{one[2]}"[:60]) for one in sequences[:5])
    # The hint is a command, into which a file must not put another.
    if not all(re.fullmatch(r"[\w .\-]{1,60}", name, re.ASCII) for name in (subject, action)):
        subject, action = "SUBJECT", "ACTION"
    one = f"d[{subject!r}][{action!r}][{camera}][..., :2]"
    return KeypointsError(
        f"The input was read as {CUSTOM}, but it holds {len(sequences)} sequences ({names}, ...)."
        " A whole data set is evaluated by hot-eval.",
        hint='If you trust the file, take one: python -c "import numpy as np;'
        " d = np.load('FILE', allow_pickle=True)['positions_2d'].item();"
        f" np.savez('clip.npz', points={one}{known}{size})\"",
    )


def _unsafe(kind: str, error: Exception) -> KeypointsError:
    return KeypointsError(
        f"The input was read as {kind}, but it is not safe to read: {error}.",
        hint="Make the file again from its source.",
    )


def _broken(kind: str, error: Exception) -> KeypointsError:
    return format_error(kind, f"it cannot be read: {' '.join(str(error).split())[:200]}")
