"""Read Ultralytics' pose results: ``tojson()`` or ``summary()``, and folders of labels.

``summary`` is a list of people of one frame, each with ``keypoints`` as lists ``x``, ``y`` and
``visible``, and ``track_id``; ``tojson`` is the same as text. A clip is a list of either. A label
file (``save_txt``) has one line for each person: class, box, then x, y (and visibility) of each of
COCO's 17 joints as shares of the image, perhaps the confidence and the track id. Frames without
people have no label file. See "Predict" in the documentation of Ultralytics.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from hot_sdk.readers.detections import (
    Detection,
    Floats,
    KeypointFrames,
    format_error,
    joint_count,
    skeleton_by_joints,
)
from hot_sdk.readers.frame_names import read_by_name
from hot_sdk.readers.json_values import floats, has_keys, track_id

KIND = "Ultralytics results"
LABELS = "Ultralytics labels"
_SKELETONS = {17: "coco17"}
_JOINTS, _BOX = 17, 5


def matches_frame(data: object) -> bool:
    """Return whether parsed JSON is the summary of one frame."""
    return isinstance(data, list) and any(_is_person(person) for person in data)


def matches(data: object) -> bool:
    """Return whether parsed JSON is the summary of a frame, or a list or an object of them."""
    if isinstance(data, dict):
        first = next((frame for frame in data.values() if frame), None)
        return isinstance(first, (list, str)) and matches_frame(_decoded(first))
    if not isinstance(data, list):
        return False
    return matches_frame(data) or any(
        isinstance(frame, (list, str)) and matches_frame(_decoded(frame)) for frame in data
    )


def read(data: list[Any] | dict[str, Any]) -> KeypointFrames:
    """Read one frame, a list of frames, in which None has no people, or frames by their names."""
    if isinstance(data, dict):
        return read_by_name(data, KIND, read)
    frames = [data] if matches_frame(data) else [_decoded(frame) for frame in data]
    people: list[Detection] = []
    for number, frame in enumerate(frames):
        if frame is None:
            continue
        if not isinstance(frame, list):
            raise format_error(KIND, f"frame {number} is no list of people")
        # Models of several classes also find things without keypoints.
        people += [_person(person, number) for person in frame if has_keys(person, "keypoints")]
    joint_count(KIND, people)
    table = np.concatenate([person.points for person in people])
    relative = bool(np.nanmax(np.abs(table), initial=0.0) <= 1.0)
    return _finished(KIND, len(frames), people, relative=relative)


def matches_labels(text: str) -> bool:
    """Return whether a text is a label file of poses."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    return bool(rows) and all(_numbers(row) is not None for row in rows)


def read_labels(frames: list[str | None]) -> KeypointFrames:
    """Read the texts of label files, one for each frame; None if a frame has none."""
    rows = [
        (number, line.split())
        for number, text in enumerate(frames)
        for line in (text or "").splitlines()
        if line.strip()
    ]
    tables = []
    for number, row in rows:
        values = _numbers(row)
        if values is None:
            raise format_error(LABELS, f"frame {number} has a line that is no pose of 17 joints")
        tables.append(values)
    rests = [len(row) - _BOX - table.size for (_, row), table in zip(rows, tables, strict=True)]
    # The confidence of every detection is a whole number at most by chance.
    ids = [row[-1] if rest else "" for (_, row), rest in zip(rows, rests, strict=True)]
    tracked = bool(ids) and all(name.isdecimal() and len(name) < 16 for name in ids)
    people = []
    for (number, _), table, name in zip(rows, tables, ids, strict=True):
        scores = table[:, 2] if table.shape[1] == 3 else None
        seen = np.asarray(table[:, :2].max(axis=1) > 0.0 if scores is None else scores > 0.0)
        points = np.where(seen[:, None], table[:, :2], np.nan)
        people.append(Detection(number, points, scores, int(name) if tracked else None))
    return _finished(LABELS, len(frames), people, relative=True)


def _finished(kind: str, frames: int, people: list[Detection], *, relative: bool) -> KeypointFrames:
    skeleton, problem = skeleton_by_joints(kind, people, _SKELETONS)
    return KeypointFrames(
        kind,
        frames,
        tuple(people),
        skeleton,
        relative=relative,
        guessed=True,
        problem=problem,
    )


def _numbers(row: list[str]) -> Floats | None:
    """Return (17, 2 or 3) of a label, None if it is none."""
    for width in (3, 2):
        if 0 <= len(row) - _BOX - _JOINTS * width <= 2:
            try:
                values = np.array([float(word) for word in row], dtype=np.float64)
            except ValueError:
                return None
            table = values[_BOX : _BOX + _JOINTS * width].reshape(_JOINTS, width)
            return table if np.isfinite(table).all() and np.abs(table).max() <= 3.0 else None
    return None


def _is_person(person: object) -> bool:
    return has_keys(person, "keypoints") and has_keys(person["keypoints"], "x", "y")  # type: ignore[index]


def _decoded(frame: object) -> object:
    if not isinstance(frame, str):
        return frame
    try:
        return json.loads(frame)
    except (ValueError, RecursionError):
        return frame


def _person(person: Any, frame: int) -> Detection:  # noqa: ANN401
    if not _is_person(person):
        raise format_error(KIND, f"a person of frame {frame} has no keypoints of x and y")
    found = person["keypoints"]
    x, y = floats(found["x"], KIND, "x"), floats(found["y"], KIND, "y")
    given = found.get("visible")
    scores = None if given is None else np.nan_to_num(floats(given, KIND, "visible"), nan=0.0)
    if not len(x) or len(x) != len(y) or (scores is not None and len(scores) != len(x)):
        raise format_error(KIND, f"a person of frame {frame} has x, y, visible of other lengths")
    points = np.stack([x, y], axis=1)
    # Joints that were not found lie in the corner.
    seen = np.asarray((points != 0.0).any(axis=1) if scores is None else scores > 0.0)
    points = np.where(seen[:, None], points, math.nan)
    return Detection(frame, points, scores, track_id(person.get("track_id"), KIND))
