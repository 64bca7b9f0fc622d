"""Read tables: one row for each person in each frame.

The columns are ``frame``, perhaps ``timestamp`` (seconds) and ``track_id``, and ``JOINT_x``,
``JOINT_y`` and perhaps ``JOINT_score`` for each joint of a skeleton, by the names that
``skeleton_format`` lists. An empty cell is a missing joint.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

import numpy as np

from hot_sdk.readers.detections import (
    MAX_DETECTIONS,
    Detection,
    Floats,
    KeypointFrames,
    TrackId,
    format_error,
    frame_count,
)
from hot_sdk.skeletons import find_skeleton, skeleton_format

KIND = "a CSV table"


@dataclass(frozen=True)
class _Columns:
    """Numbers of the columns; None if there is no such column."""

    frame: int
    timestamp: int | None
    track_id: int | None
    points: tuple[int, ...]
    scores: tuple[int, ...]


def matches(content: bytes) -> bool:
    """Return whether a file's content begins as such a table does."""
    first = content[:20_000].split(b"\n", 1)[0].lstrip(b"\xef\xbb\xbf").replace(b'"', b"")
    return first.startswith(b"frame,") and b"_x" in first


def read(content: bytes) -> KeypointFrames:
    """Read a table.

    Raises:
        KeypointsError: A column or a cell is not as expected.
    """
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        header = next(rows)
        if len(set(header)) < len(header):
            raise format_error(KIND, "two of its columns have one name")
        names = {column.removesuffix("_x") for column in header if column.endswith("_x")}
        skeleton = find_skeleton(names)
        if skeleton is None:
            raise format_error(KIND, f"no skeleton has just the {len(names)} joints of its columns")
        columns = _columns(header, skeleton_format(skeleton).joints)
        people: list[Detection] = []
        times: dict[int, float] = {}
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                how = "shorter" if len(row) < len(header) else "longer"
                raise ValueError(f"line {rows.line_num}, a row, is {how} than the header")
            if len(people) == MAX_DETECTIONS:
                raise ValueError(f"it has more than {MAX_DETECTIONS} rows")
            people.append(_person(row, columns))
            if columns.timestamp is not None:
                times[people[-1].frame] = float(row[columns.timestamp])
    except (UnicodeDecodeError, csv.Error, ValueError, StopIteration) as error:
        reason = " ".join(str(error).split())[:120]
        raise format_error(KIND, f"it cannot be read: {reason}") from error
    if not people:
        raise format_error(KIND, "it has no rows")
    frames = frame_count(KIND, max(person.frame for person in people))
    frame_count(KIND, min(person.frame for person in people))
    timestamps = None
    if times:
        if len(times) != frames:
            raise format_error(KIND, "it has timestamps, but not for every frame")
        timestamps = np.array([times[frame] for frame in range(frames)])
    return KeypointFrames(KIND, frames, tuple(people), skeleton, timestamps=timestamps)


def _columns(header: list[str], joints: tuple[str, ...]) -> _Columns:
    place = {column: number for number, column in enumerate(header)}
    points = [place.get(f"{joint}_{axis}") for joint in joints for axis in "xy"]
    scores = [place.get(f"{joint}_score") for joint in joints]
    if None in points:
        raise ValueError("a joint has an x and no y")
    if any(score is not None for score in scores) and None in scores:
        raise ValueError("some joints have a score, and others none")
    return _Columns(
        place["frame"],
        place.get("timestamp"),
        place.get("track_id"),
        tuple(number for number in points if number is not None),
        tuple(number for number in scores if number is not None),
    )


def _person(row: list[str], columns: _Columns) -> Detection:
    points: Floats = np.array([_cell(row[number]) for number in columns.points]).reshape(-1, 2)
    scores = None
    if columns.scores:
        scores = np.nan_to_num([_cell(row[number]) for number in columns.scores], nan=0.0)
    text = None if columns.track_id is None else row[columns.track_id] or None
    name: TrackId = text
    if text is not None and text.isdecimal() and len(text) < 18:
        name = int(text)
    return Detection(int(row[columns.frame]), points, scores, name)


def _cell(text: str) -> float:
    number = float(text) if text else math.nan
    return number if math.isfinite(number) else math.nan
