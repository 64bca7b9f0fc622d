"""Tables: one row for each person in each frame.

The columns are ``frame``, perhaps ``timestamp`` (seconds) and ``track_id``, and ``JOINT_x``,
``JOINT_y`` and perhaps ``JOINT_score`` for each joint of a skeleton, by the names that
``skeleton_format`` lists. An empty cell is a joint that is missing.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

import numpy as np

from hot_sdk.readers.detections import (
    MOST_DETECTIONS,
    Detection,
    Floats,
    KeypointFrames,
    TrackId,
    broken,
    checked_frames,
)
from hot_sdk.skeletons import list_skeletons, skeleton_format

KIND = "a CSV table"


@dataclass(frozen=True)
class _Layout:
    """Numbers of the columns; None where there is none."""

    frame: int
    timestamp: int | None
    track_id: int | None
    points: tuple[int, ...]
    scores: tuple[int, ...]


def matches(content: bytes) -> bool:
    """Whether a file's content begins as such a table does."""
    first = content[:20_000].split(b"\n", 1)[0].lstrip(b"\xef\xbb\xbf").replace(b'"', b"")
    return first.startswith(b"frame,") and b"_x" in first


def read(content: bytes) -> KeypointFrames:
    """Read a table.

    Raises:
        KeypointsError: A column or a cell is not as expected.
    """
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        columns = next(rows)
        if len(set(columns)) < len(columns):
            raise broken(KIND, "two of its columns have one name")
        skeleton = _skeleton(columns)
        joints = skeleton_format(skeleton).joints
        layout = _layout(columns, joints)
        people: list[Detection] = []
        times: dict[int, float] = {}
        for row in rows:
            if not row:
                continue
            if len(row) != len(columns):
                how = "shorter" if len(row) < len(columns) else "longer"
                raise ValueError(f"line {rows.line_num}, a row, is {how} than the header")
            if len(people) == MOST_DETECTIONS:
                raise ValueError(f"it has more than {MOST_DETECTIONS} rows")
            people.append(_person(row, layout))
            if layout.timestamp is not None:
                times[people[-1].frame] = float(row[layout.timestamp])
    except (UnicodeDecodeError, csv.Error, ValueError, StopIteration) as error:
        reason = " ".join(str(error).split())[:120]
        raise broken(KIND, f"it cannot be read: {reason}") from error
    if not people:
        raise broken(KIND, "it has no rows")
    frames = checked_frames(KIND, max(person.frame for person in people))
    checked_frames(KIND, min(person.frame for person in people))
    timestamps = None
    if times:
        if len(times) != frames:
            raise broken(KIND, "it has timestamps, but not of every frame")
        timestamps = np.array([times[frame] for frame in range(frames)])
    return KeypointFrames(KIND, frames, tuple(people), skeleton, timestamps=timestamps)


def _skeleton(columns: list[str]) -> str:
    named = {column.removesuffix("_x") for column in columns if column.endswith("_x")}
    for name in list_skeletons():
        if set(skeleton_format(name).joints) == named:
            return name
    raise broken(KIND, f"no skeleton has just the {len(named)} joints of its columns")


def _layout(columns: list[str], joints: tuple[str, ...]) -> _Layout:
    place = {column: number for number, column in enumerate(columns)}
    points = [place.get(f"{joint}_{axis}") for joint in joints for axis in "xy"]
    scores = [place.get(f"{joint}_score") for joint in joints]
    if None in points:
        raise ValueError("a joint has an x and no y")
    if any(score is not None for score in scores) and None in scores:
        raise ValueError("some joints have a score, and others none")
    return _Layout(
        place["frame"],
        place.get("timestamp"),
        place.get("track_id"),
        tuple(number for number in points if number is not None),
        tuple(number for number in scores if number is not None),
    )


def _person(row: list[str], layout: _Layout) -> Detection:
    points: Floats = np.array([_cell(row[number]) for number in layout.points]).reshape(-1, 2)
    scores = None
    if layout.scores:
        scores = np.nan_to_num([_cell(row[number]) for number in layout.scores], nan=0.0)
    text = None if layout.track_id is None else row[layout.track_id] or None
    name: TrackId = text
    if text is not None and text.isdecimal() and len(text) < 18:
        name = int(text)
    return Detection(int(row[layout.frame]), points, scores, name)


def _cell(text: str) -> float:
    number = float(text) if text else math.nan
    return number if math.isfinite(number) else math.nan
