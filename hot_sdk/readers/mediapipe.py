"""Read MediaPipe's landmarks, as programs write them to JSON in Python, the web and protobuf.

Each frame, taken from the file as ``frame_lists`` describes, is a list of 33 landmarks, or of
people who are such lists, or an object with either under ``landmarks``, ``pose_landmarks``,
``poseLandmarks`` or ``landmark``; null and empty entries are frames without people. A landmark is
an object with x, y and perhaps visibility, score or presence, or a list of x, y and perhaps more;
or the numbers of all landmarks follow each other in one list. Coordinates that all lie about 0 to 1
are fractions of the image, as MediaPipe gives them. See the guide of MediaPipe's pose landmarker.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import Detection, Floats, KeypointFrames, TrackId, format_error
from hot_sdk.readers.frame_lists import FrameList, frame_list
from hot_sdk.readers.json_values import track_id

KIND = "MediaPipe landmarks"
_LANDMARKS = 33
_LISTS = ("landmarks", "pose_landmarks", "poseLandmarks", "landmark", "NormalizedLandmarkList")
_WORLD = ("worldLandmarks", "pose_world_landmarks", "poseWorldLandmarks", "world_landmarks")
_IDS = ("track_id", "trackId", "person_id", "personId", "id")
_HIPS = (23, 24)
_AT_ORIGIN = 0.01
"""World landmarks have their origin between the hips; images have theirs in a corner."""

# Numbers of a landmark in a list: x, y, and in this order z, visibility, presence.
_WIDTHS = (2, 3, 4, 5)
_FLAT = {width * _LANDMARKS: width for width in _WIDTHS}


def matches(data: object) -> bool:
    """Return whether parsed JSON holds frames of landmarks."""
    frames = _frames(data)
    if frames is None:
        return False
    people = next((found for entry in frames.entries if (found := _people(entry))), [])
    if not people:
        return any(_is_world(entry) for entry in frames.entries)
    return all(_is_person(landmarks) for landmarks, _ in people)


def read(data: Any) -> KeypointFrames:  # noqa: ANN401
    """Read landmarks.

    Raises:
        KeypointsError: They are world landmarks, or broken.
    """
    frames = _frames(data)
    if frames is None:
        raise format_error(KIND, "it has no frames")
    tables: list[tuple[int, Floats, TrackId]] = []
    for place, (frame, entry) in enumerate(zip(frames.numbers(KIND), frames.entries, strict=True)):
        for landmarks, name in _people(entry):
            if not _is_person(landmarks):
                raise format_error(KIND, f"entry {place} is no list of {_LANDMARKS} landmarks")
            tables.append((frame, _table(landmarks), track_id(name, KIND)))
    world = not tables and any(_is_world(entry) for entry in frames.entries)
    if tables:
        table = np.stack([found[:, :5] for _, found, _ in tables])
        hips = table[:, _HIPS, :2].mean(axis=1)
        hips = hips[~np.isnan(hips)]
        world = bool(hips.size) and bool(np.abs(hips).max() < _AT_ORIGIN)
    if world:
        raise KeypointsError(
            f"The input was read as {KIND}, but they are MediaPipe's world landmarks: meters in 3D,"
            " with the hips at the origin.",
            hint="Write pose_landmarks, not pose_world_landmarks.",
        )
    scores = _scores(np.stack([found for _, found, _ in tables])) if tables else None
    people = [
        Detection(frame, found[:, :2], None if scores is None else scores[place], name)
        for place, (frame, found, name) in enumerate(tables)
    ]
    return frames.clip(KIND, people, "mediapipe33")


def _frames(data: object) -> FrameList | None:
    if isinstance(data, dict) and not any(name in data for name in _WORLD):
        for name in _LISTS:
            inner = data.get(name)
            # Several lists without world landmarks next to them are frames, not people.
            if isinstance(inner, list) and len(inner) > 1 and not _is_person(inner):
                return FrameList(inner, None, data)
    return frame_list(data, one_frame=(*_LISTS, *_WORLD))


def _people(entry: object) -> list[tuple[object, object]]:
    """Return the landmarks and the id of each person of a frame, unchecked."""
    landmarks, name = _inner(entry)
    if not landmarks:
        return []
    if _is_person(landmarks) or not isinstance(landmarks, list):
        return [(landmarks, name)]
    if _is_point(landmarks[0]) or not isinstance(landmarks[0], (list, dict)):
        return [(landmarks, name)]
    # One for each person, as the landmarker's results hold them.
    return [_inner(person) for person in landmarks]


def _inner(value: object) -> tuple[object, object]:
    """Return what lies under the known keys, however often, and the id next to it."""
    name = None
    for _ in range(3):
        if not isinstance(value, dict) or not value:
            break
        name = next((value[key] for key in _IDS if key in value), name)
        key = next((key for key in _LISTS if key in value), None)
        if key is None:
            return (None if _is_world(value) else value), name
        value = value[key]
    return value, name


def _is_world(entry: object) -> bool:
    if not isinstance(entry, dict) or entry.keys().isdisjoint(_WORLD):
        return False
    return any(entry.get(name) for name in _WORLD)


def _is_person(value: object) -> bool:
    if not isinstance(value, list):
        return False
    if len(value) in _FLAT and not isinstance(value[0], (list, dict)):
        return True
    return len(value) == _LANDMARKS and _is_point(value[0])


def _is_point(value: object) -> bool:
    if isinstance(value, dict):
        return not any(name in value for name in _LISTS)
    return (
        isinstance(value, list)
        and len(value) in _WIDTHS
        and not any(isinstance(number, (list, dict)) for number in value)
    )


def _table(landmarks: Any) -> Floats:  # noqa: ANN401
    """Return (33, 5): x, y, z, visibility and the width of the landmark's list, 0 for objects."""
    if not isinstance(landmarks[0], (list, dict)):
        width = _FLAT[len(landmarks)]
        landmarks = [landmarks[at : at + width] for at in range(0, len(landmarks), width)]
    return np.array([_point(value) for value in landmarks], dtype=np.float64)


def _point(value: object) -> tuple[float, float, float, float, float]:
    if isinstance(value, dict):
        score = next(
            (value[key] for key in ("visibility", "score", "presence") if key in value), None
        )
        return number(value.get("x"), KIND), number(value.get("y"), KIND), 0.0, _score(score), 0.0
    if not _is_point(value) or not isinstance(value, list):
        raise format_error(KIND, "a landmark is neither an object nor a list of numbers")
    third = number(value[2], KIND) if len(value) > 2 else 0.0
    score = _score(value[3]) if len(value) > 3 else math.nan
    return number(value[0], KIND), number(value[1], KIND), third, score, float(len(value))


def _score(value: object) -> float:
    return number(value, KIND)


def _scores(table: Floats) -> Floats | None:
    """Return scores from (people, 33, 5), None if there are none."""
    third, scores = table[..., 2], table[..., 3]
    if (table[..., 4] == 3.0).all():
        # x, y, z or x, y, visibility: depths are relative to the hips, so that some are negative.
        depths = not ((third >= 0.0) & (third <= 1.0)).all() or third.max() <= 0.5
        return None if depths else third
    return None if np.isnan(scores).all() else np.where(np.isnan(scores), 1.0, scores)


def number(value: object, kind: str) -> float:
    """Return a coordinate as a float, NaN if it is None or infinite."""
    if value is None:
        return math.nan
    # An integer can be larger than any float.
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or 1e300 < abs(value) < math.inf
    ):
        raise format_error(kind, "a coordinate is no number")
    return float(value) if math.isfinite(value) else math.nan
