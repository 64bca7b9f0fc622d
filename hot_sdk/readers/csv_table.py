"""Read tables: one row for each person in each frame.

The columns are ``frame``, perhaps ``timestamp`` (seconds) and ``track_id``, and ``JOINT_x``,
``JOINT_y`` and perhaps ``JOINT_score`` for each joint of a skeleton, by the names that
``skeleton_format`` lists. An empty cell is a missing joint.
"""

from __future__ import annotations

import csv
import io
import math

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


def matches(content: bytes) -> bool:
    """Return whether a file's content begins as such a table does."""
    first = content[:20_000].split(b"\n", 1)[0].lstrip(b"\xef\xbb\xbf").replace(b'"', b"")
    return first.startswith(b"frame,") and b"_x" in first


def read(content: bytes) -> KeypointFrames:
    """Read a table.

    Raises:
        KeypointsError: A column or a cell is not as expected.
    """
    people: list[Detection] = []
    times: dict[int, float] = {}
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        header = next(rows)
        place = {column: number for number, column in enumerate(header)}
        if len(place) < len(header):
            raise format_error(KIND, "two of its columns have one name")
        names = {column.removesuffix("_x") for column in header if column.endswith("_x")}
        skeleton = find_skeleton(names)
        if skeleton is None:
            raise format_error(KIND, f"no skeleton has just the {len(names)} joints of its columns")
        joints = skeleton_format(skeleton).joints
        if not all(f"{joint}_y" in place for joint in joints):
            raise ValueError("a joint has an x and no y")
        points_at = [place[f"{joint}_{axis}"] for joint in joints for axis in "xy"]
        scores_at = [place[name] for joint in joints if (name := f"{joint}_score") in place]
        if len(scores_at) not in (0, len(joints)):
            raise ValueError("some joints have a score, and others none")
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                how = "shorter" if len(row) < len(header) else "longer"
                raise ValueError(f"line {rows.line_num}, a row, is {how} than the header")
            if len(people) == MAX_DETECTIONS:
                raise ValueError(f"it has more than {MAX_DETECTIONS} rows")
            frame = int(row[place["frame"]])
            points = _cells(row, points_at).reshape(-1, 2)
            scores = np.nan_to_num(_cells(row, scores_at), nan=0.0) if scores_at else None
            track = _track_id(row[place["track_id"]]) if "track_id" in place else None
            people.append(Detection(frame, points, scores, track))
            if "timestamp" in place:
                times[frame] = float(row[place["timestamp"]])
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


def _cells(row: list[str], at: list[int]) -> Floats:
    """Return numbers, NaN for empty cells and infinities."""
    numbers = np.array([float(row[number] or math.nan) for number in at])
    numbers[np.isinf(numbers)] = np.nan
    return numbers


def _track_id(text: str) -> TrackId:
    return int(text) if text.isdecimal() and len(text) < 18 else text or None
