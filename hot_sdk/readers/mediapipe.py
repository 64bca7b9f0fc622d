"""MediaPipe's landmarks and named points, as programs write them to JSON: one entry for each frame.

A frame is a list of 33 landmarks, or of people who are such lists, or an object with either under
``landmarks`` or ``pose_landmarks``; null and what is empty are frames with nobody;
a landmark is an object with x, y and perhaps visibility or score, or a list of x, y and perhaps
more. Or it is an object that maps joint names to x, y and perhaps score, as TensorFlow.js's demos
write it. Coordinates that all lie about 0 to 1 are shares of the image, as MediaPipe gives them.
See the guide of MediaPipe's pose landmarker.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import Detection, Floats, KeypointFrames, broken, checked_frames
from hot_sdk.readers.json_values import is_record
from hot_sdk.skeletons import list_skeletons, skeleton_format

KIND = "MediaPipe landmarks"
NAMED = "named points"
_LANDMARKS = 33
_LISTS = ("landmarks", "pose_landmarks")
_HIPS = (23, 24)
_AT_ORIGIN = 0.01
"""World landmarks have their origin between the hips; images have theirs in a corner."""
_SHARE = 4.0
"""No landmark in pixels is so near the corner in all frames, and no share so far outside."""


def matches(data: object) -> bool:
    """Whether parsed JSON is a list of frames of landmarks."""
    people = _people(next(filter(_people, data), None)) if isinstance(data, list) else []
    return len(people) > 0 and isinstance(people[0], list) and len(people[0]) == _LANDMARKS


def matches_named(data: object) -> bool:
    """Whether parsed JSON is a list of frames of named points."""
    return isinstance(data, list) and is_record(_first(data), "nose")


def read(data: list[Any], image_size: tuple[int, int] | None) -> KeypointFrames:
    """Read landmarks.

    Raises:
        KeypointsError: They are shares of an image whose size is not known, or world landmarks.
    """
    people = []
    for frame, entry in enumerate(data):
        for found in _people(entry):
            if not isinstance(found, list) or len(found) != _LANDMARKS:
                raise broken(KIND, f"frame {frame} is no list of {_LANDMARKS} landmarks")
            people.append(_person([_point(value, KIND) for value in found], frame))
    table = np.stack([person.points for person in people])
    hips = table[:, _HIPS].mean(axis=1)
    hips = hips[~np.isnan(hips)]
    if hips.size and np.abs(hips).max() < _AT_ORIGIN:
        raise KeypointsError(
            f"The file, taken for {KIND}, has the hips at the origin: those are MediaPipe's world"
            " landmarks, metres in 3D.",
            hint="Write pose_landmarks, not pose_world_landmarks.",
        )
    if np.nanmax(np.abs(table), initial=0.0) <= _SHARE:
        if image_size is None:
            raise KeypointsError(
                f"The file, taken for {KIND}, gives shares of the image and not its size.",
                hint="Give image_size=, or --image-size on a command line.",
            )
        people = [
            Detection(person.frame, person.points * image_size, person.scores, None)
            for person in people
        ]
    frames = checked_frames(KIND, len(data) - 1)
    return KeypointFrames(KIND, frames, tuple(people), "mediapipe33")


def read_named(data: list[Any]) -> KeypointFrames:
    """Read named points, in the skeleton that has just these names."""
    names = set(_first(data))
    fitting = [name for name in list_skeletons() if set(skeleton_format(name).joints) == names]
    if not fitting:
        raise broken(NAMED, f"no skeleton has just its {len(names)} names")
    joints = skeleton_format(fitting[0]).joints
    people = []
    for frame, entry in enumerate(data):
        if not entry:
            continue
        if not is_record(entry, *joints):
            raise broken(NAMED, f"frame {frame} has other names than the first")
        people.append(_person([_point(entry[joint], NAMED) for joint in joints], frame))
    frames = checked_frames(NAMED, len(data) - 1)
    return KeypointFrames(NAMED, frames, tuple(people), fitting[0])


def _first(frames: list[Any]) -> Any:  # noqa: ANN401
    """The first frame with somebody."""
    return next((frame for frame in frames if frame), None)


def _people(entry: object) -> list[object]:
    """Those of a frame, whatever they are."""
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


def _person(points: list[tuple[float, float, float | None]], frame: int) -> Detection:
    places: Floats = np.array([point[:2] for point in points], dtype=np.float64)
    known = [point[2] for point in points]
    scores = None
    if any(score is not None for score in known):
        scores = np.array([1.0 if score is None else score for score in known])
    return Detection(frame, places, scores, None)


def _point(value: object, kind: str) -> tuple[float, float, float | None]:
    if isinstance(value, dict):
        score = value.get("visibility", value.get("score"))
        x, y = value.get("x"), value.get("y")
    elif isinstance(value, list) and len(value) >= 2:
        x, y = value[:2]
        score = value[3] if len(value) == 4 else None
    else:
        raise broken(kind, "a landmark is neither an object nor a list")
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
        raise broken(kind, "a coordinate is no number")
    return float(value) if math.isfinite(value) else math.nan
