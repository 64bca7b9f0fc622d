"""MediaPipe's landmarks and named points, as programs write them to JSON: one entry for each frame.

A frame is a list of 33 landmarks, or an object with one under ``landmarks`` or ``pose_landmarks``;
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
from hot_sdk.readers.frames import Detection, Floats, KeypointFrames, broken, checked_frames
from hot_sdk.readers.json_values import is_record
from hot_sdk.skeleton_formats import list_skeletons, skeleton_format

KIND = "MediaPipe landmarks"
NAMED = "named points"
_LANDMARKS = 33
_LISTS = ("landmarks", "pose_landmarks")
_SHARE = 4.0
"""No landmark in pixels is so near the corner in all frames, and no share so far outside."""


def matches(data: object) -> bool:
    """Whether parsed JSON is a list of frames of landmarks."""
    return isinstance(data, list) and any(_landmarks(frame) is not None for frame in data[:100])


def matches_named(data: object) -> bool:
    """Whether parsed JSON is a list of frames of named points."""
    return isinstance(data, list) and len(data) > 0 and is_record(data[0], "nose")


def read(data: list[Any], image_size: tuple[int, int] | None) -> KeypointFrames:
    """Read landmarks; a frame that is null or empty shows nobody.

    Raises:
        KeypointsError: They are shares of an image whose size is not known.
    """
    people = []
    for frame, entry in enumerate(data):
        found = _landmarks(entry)
        if found is None:
            if entry:
                raise broken(KIND, f"frame {frame} is no list of {_LANDMARKS} landmarks")
            continue
        people.append(_person([_point(value, KIND) for value in found], frame))
    table = np.stack([person.points for person in people])
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
    names = set(data[0])
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


def _landmarks(entry: object) -> list[Any] | None:
    if isinstance(entry, dict):
        entry = next((entry[name] for name in _LISTS if name in entry), None)
    # One list for each person, as the landmarker's results hold them.
    if isinstance(entry, list) and len(entry) == 1 and isinstance(entry[0], list):
        entry = entry[0]
    return entry if isinstance(entry, list) and len(entry) == _LANDMARKS else None


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
    if (isinstance(value, (int, float)) and abs(value) < 1e300) or value != value:
        return float(value)  # type: ignore[arg-type]
    raise broken(kind, "a coordinate is no number")
