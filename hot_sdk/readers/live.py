"""Convert the results that a detector's loop has in hand, without importing the detector.

Each function accepts one result (one frame) or an iterable of one for each frame, in which None is
a frame without people, recognizes results by their attributes, and raises ``KeypointsError`` for
others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    MAX_FRAMES,
    Detection,
    Floats,
    KeypointFrames,
    checked_image_size,
)

_SKELETONS = {17: "coco17", 26: "halpe26", 133: "coco_wholebody133"}

# Points (people, joints, 2), scores (people, joints) and track ids of one frame.
_People = tuple[Floats, Floats | None, Sequence[int] | None]


def mediapipe_frames(results: object, image_size: tuple[int, int]) -> KeypointFrames:
    """Convert results that have ``pose_landmarks``; see ``Keypoints.from_mediapipe``."""
    size = checked_image_size(image_size)

    def convert(result: Any) -> _People:  # noqa: ANN401
        people = result.pose_landmarks
        # The legacy solutions hold one person in a message, and None if there is none.
        people = [people.landmark] if hasattr(people, "landmark") else people or []
        rows = [[(p.x, p.y, _score(p.visibility)) for p in person] for person in people]
        table = np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 33, 3)
        return table[..., :2] * size, table[..., 2], None

    def is_result(result: object) -> bool:
        return hasattr(result, "pose_landmarks")

    kind = "MediaPipe's pose results"
    source = _convert(kind, results, is_result, convert, "mediapipe33")
    return source.with_defaults(image_size=size)


def ultralytics_frames(results: object, skeleton: str | None = None) -> KeypointFrames:
    """Convert results that have ``keypoints``, ``orig_shape`` and perhaps ``boxes.id``.

    See ``Keypoints.from_ultralytics``.
    """
    kind = "Ultralytics' pose results"
    sizes: set[tuple[int, int]] = set()

    def convert(result: Any) -> _People:  # noqa: ANN401
        height, width = result.orig_shape
        sizes.add((int(width), int(height)))
        points, scores = _array(result.keypoints.xy), result.keypoints.conf
        # It writes 0, 0 for a joint that it is not sure of.
        points[(points == 0.0).all(axis=-1)] = np.nan
        ids = getattr(result.boxes, "id", None)
        return (
            points,
            None if scores is None else _array(scores),
            None if ids is None else [int(name) for name in _array(ids)],
        )

    def is_result(result: object) -> bool:
        return hasattr(result, "orig_shape") and getattr(result, "keypoints", None) is not None

    source = _convert(kind, results, is_result, convert, skeleton)
    if len(sizes) != 1:
        raise KeypointsError(
            f"The images of {kind} have {len(sizes)} sizes; expected one.",
            hint="Give the results of one video.",
        )
    return source.with_defaults(image_size=sizes.pop())


def rtmlib_frames(
    results: object, image_size: tuple[int, int], skeleton: str | None = None
) -> KeypointFrames:
    """Convert pairs of arrays, keypoints and scores; see ``Keypoints.from_rtmlib``."""
    size = checked_image_size(image_size)

    def is_result(result: object) -> bool:
        return (
            isinstance(result, (tuple, list))
            and len(result) == 2
            and all(isinstance(array, np.ndarray) for array in result)
        )

    def convert(result: Any) -> _People:  # noqa: ANN401
        return _array(result[0]), _array(result[1]), None

    source = _convert("rtmlib's results", results, is_result, convert, skeleton)
    return source.with_defaults(image_size=size)


def _convert(
    kind: str,
    results: Any,  # noqa: ANN401
    is_result: Callable[[object], bool],
    convert: Callable[[object], _People],
    skeleton: str | None,
) -> KeypointFrames:
    # A single result may be a sequence itself.
    frames = [results] if is_result(results) or not isinstance(results, Iterable) else [*results]
    if not 1 <= len(frames) <= MAX_FRAMES:
        raise KeypointsError(
            f"{kind} have {len(frames)} frames; expected 1 to {MAX_FRAMES}.",
            hint="Give one result for each frame.",
        )
    detections: list[Detection] = []
    joints: set[int] = set()
    for frame, result in enumerate(frames):
        if result is None and len(frames) > 1:
            continue
        if not is_result(result):
            raise _not_a_result(kind, frame, f"a {type(result).__name__}")
        try:
            points, scores, names = convert(result)
            if points.size == 0:
                joints |= set(points.shape[1:2]) - {0}
                continue
            if (
                points.ndim != 3
                or points.shape[2] != 2
                or (scores is not None and scores.shape != points.shape[:2])
            ):
                raise ValueError(f"points of shape {points.shape} without fitting scores")
            joints.add(points.shape[1])
            for person, placed in enumerate(points):
                score = None if scores is None else scores[person]
                name = None if names is None else names[person]
                detections.append(Detection(frame, placed, score, name))
        except (AttributeError, TypeError, ValueError, LookupError) as error:
            raise _not_a_result(kind, frame, " ".join(str(error).split())[:120]) from error
    if any(person.track_id is not None for person in detections):
        # The tracker has not confirmed the others.
        detections = [person for person in detections if person.track_id is not None]
    if skeleton is None and len(joints) == 1:
        skeleton = _SKELETONS.get(joints.pop())
    return KeypointFrames(kind, len(frames), tuple(detections), skeleton)


def _not_a_result(kind: str, frame: int, found: str) -> KeypointsError:
    return KeypointsError(
        f"{kind} were expected, but frame {frame} has {found}.",
        hint="Give one result of the detector for each frame, or None if it found no people.",
    )


def _score(visibility: float | None) -> float:
    return 1.0 if visibility is None else visibility


def _array(values: Any) -> Floats:  # noqa: ANN401
    """Copy a tensor of any device, or an array."""
    if hasattr(values, "cpu"):
        values = values.cpu()
    return np.array(values, dtype=np.float64)
