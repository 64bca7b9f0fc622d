"""Read MediaPipe's landmarks and named points, as programs write them to JSON.

There is one entry for each frame: a list of 33 landmarks, or of people who are such lists, or an
object with either under ``landmarks`` or ``pose_landmarks``; null and empty entries are frames
without people. A landmark is an object with x, y and perhaps visibility or score, or a list of x, y
and perhaps more. Or an entry is an object that maps joint names to x, y and perhaps score, as
TensorFlow.js's demos write it. Coordinates that all lie about 0 to 1 are fractions of the image, as
MediaPipe gives them. See the guide of MediaPipe's pose landmarker.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import Detection, KeypointFrames, format_error, frame_count
from hot_sdk.readers.json_values import has_keys
from hot_sdk.skeletons import find_skeleton, skeleton_format

KIND = "MediaPipe landmarks"
NAMED = "named points"
_LANDMARKS = 33
_LISTS = ("landmarks", "pose_landmarks")
_HIPS = (23, 24)
_AT_ORIGIN = 0.01
"""World landmarks have their origin between the hips; images have theirs in a corner."""
_FRACTION = 4.0
"""No landmark in pixels is so near the corner in all frames, and no fraction so far outside."""


def matches(data: object) -> bool:
    """Return whether parsed JSON is a list of frames of landmarks."""
    people = _people(next(filter(_people, data), None)) if isinstance(data, list) else []
    return len(people) > 0 and isinstance(people[0], list) and len(people[0]) == _LANDMARKS


def matches_named(data: object) -> bool:
    """Return whether parsed JSON is a list of frames of named points."""
    return isinstance(data, list) and has_keys(_first(data), "nose")


def read(data: list[Any]) -> KeypointFrames:
    """Read landmarks.

    Raises:
        KeypointsError: They are world landmarks, or broken.
    """
    people = []
    for frame, entry in enumerate(data):
        for found in _people(entry):
            if not isinstance(found, list) or len(found) != _LANDMARKS:
                raise format_error(KIND, f"frame {frame} is no list of {_LANDMARKS} landmarks")
            people.append(_person(found, frame, KIND))
    table = np.stack([person.points for person in people])
    hips = table[:, _HIPS].mean(axis=1)
    hips = hips[~np.isnan(hips)]
    if hips.size and np.abs(hips).max() < _AT_ORIGIN:
        raise KeypointsError(
            f"The input was read as {KIND}, but the hips are at the origin: these are MediaPipe's"
            " world landmarks, meters in 3D.",
            hint="Write pose_landmarks, not pose_world_landmarks.",
        )
    relative = bool(np.nanmax(np.abs(table), initial=0.0) <= _FRACTION)
    frames = frame_count(KIND, len(data) - 1)
    return KeypointFrames(KIND, frames, tuple(people), "mediapipe33", relative=relative)


def read_named(data: list[Any]) -> KeypointFrames:
    """Read named points, in the skeleton that has exactly these names."""
    names = _first(data)
    skeleton = find_skeleton(names)
    if skeleton is None:
        raise format_error(NAMED, f"no skeleton has just its {len(names)} names")
    joints = skeleton_format(skeleton).joints
    people = []
    for frame, entry in enumerate(data):
        if not entry:
            continue
        if not has_keys(entry, *joints):
            raise format_error(NAMED, f"frame {frame} has other names than the first")
        people.append(_person([entry[joint] for joint in joints], frame, NAMED))
    return KeypointFrames(NAMED, frame_count(NAMED, len(data) - 1), tuple(people), skeleton)


def _first(frames: list[Any]) -> Any:  # noqa: ANN401
    """Return the first frame with people."""
    return next((frame for frame in frames if frame), None)


def _people(entry: object) -> list[object]:
    """Return the people of a frame, unchecked."""
    if isinstance(entry, dict):
        if not any(name in entry for name in _LISTS):
            return [entry]
        entry = next(entry[name] for name in _LISTS if name in entry)
    if not entry:
        return []
    # One list for each person, as the landmarker's results hold them, or a person.
    if isinstance(entry, list) and isinstance(entry[0], list) and len(entry[0]) == _LANDMARKS:
        return entry
    return [entry]


def _person(landmarks: list[Any], frame: int, kind: str) -> Detection:
    table = [_point(value, kind) for value in landmarks]
    scores = None
    if any(score is not None for _, _, score in table):
        scores = np.array([1.0 if score is None else score for _, _, score in table])
    return Detection(frame, np.array([point[:2] for point in table]), scores, None)


def _point(value: object, kind: str) -> tuple[float, float, float | None]:
    if isinstance(value, dict):
        score = value.get("visibility", value.get("score"))
        x, y = value.get("x"), value.get("y")
    elif isinstance(value, list) and len(value) >= 2:
        x, y = value[:2]
        score = value[3] if len(value) == 4 else None
    else:
        raise format_error(kind, "a landmark is neither an object nor a list")
    return _number(x, kind), _number(y, kind), None if score is None else _number(score, kind)


def _number(value: object, kind: str) -> float:
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
