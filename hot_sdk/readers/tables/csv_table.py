"""Read and write tables: one row for each person in each frame.

The columns are ``frame``, perhaps ``timestamp`` (seconds) and ``track_id``, and ``JOINT_x``,
``JOINT_y`` and perhaps ``JOINT_score`` for each joint of a skeleton, by the names that
``skeleton_format`` lists. An empty cell is a missing joint. Columns ``image_width``,
``image_height`` and ``fps``, if there are any, have one value in all rows.

Other spellings of joints (see ``joint_names``) and of columns are read too, such as ``NOSE_X``,
``nose.x`` and ``nose_likelihood``; cells may be separated by semicolons or tabs, with commas in
numbers. Further columns are ignored. The smallest number of a frame is that of the clip's first.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    ArrayDetections,
    Detection,
    KeypointFrames,
    format_error,
    frame_count,
    require_room,
)
from hot_sdk.readers.frame_lists import require_frame_numbers
from hot_sdk.readers.joint_names import plain_name
from hot_sdk.readers.named import skeleton_of_names
from hot_sdk.readers.tables.cells import Columns, Table, track_id
from hot_sdk.readers.tables.rows import Lines
from hot_sdk.skeletons import skeleton_format

KIND = "a CSV table"
_FRAMES = ("frame", "frame_id", "frame_idx", "frame_index", "frame_number", "frameid", "frame#")
_TIMES = ("timestamp", "timestamp_s", "time", "time_s")
_ABOUT = ("image_width", "image_height", "fps")
_TRACKS = ("track_id", "trackid", "track", "person_id", "person", "id")
_COORDINATE = re.compile(
    r"(.+)[ _.\-](x|y|score|scores|likelihood|confidence|conf|visibility)", re.IGNORECASE
)

_BLOCK = 1000
"""Lines that are read at once."""


def matches(content: bytes) -> bool:
    """Return whether a file's first line names columns of coordinates."""
    header, _ = _header(content[:40_000])
    return any(_coordinate(column)[1] == "x" for column in header)


def read(content: bytes) -> KeypointFrames:
    """Read a table.

    Raises:
        KeypointsError: A column or a cell is not as expected.
    """
    try:
        return _read(content)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise format_error(KIND, f"it cannot be read: {reason}") from error


def _read(content: bytes) -> KeypointFrames:
    lines = Lines(content)
    header, delimiter = _header(content)
    next(csv.reader(lines, delimiter=delimiter))
    plain = [column.strip().lower() for column in header]
    if len(set(plain)) < len(plain):
        raise format_error(KIND, "two of its columns have one name")
    frame_at = _place(plain, _FRAMES)
    if frame_at is None:
        raise KeypointsError(
            f"The input was read as {KIND}, but it has no column 'frame'.",
            hint="Add a first column 'frame' with the number of each row's frame, from 0.",
        )
    at = {_coordinate(column): number for number, column in enumerate(header)}
    names = [name for name, part in at if part == "x"]
    skeleton, chosen = skeleton_of_names(KIND, names)
    joints = [names[number] for number in chosen]
    if not all((joint, "y") in at for joint in joints):
        raise ValueError("a joint has an x and no y")
    scores_at = [at[joint, "score"] for joint in joints if (joint, "score") in at]
    if len(scores_at) not in (0, len(joints)):
        raise ValueError("some joints have a score, and others none")
    columns = Columns(
        header,
        delimiter,
        frame=frame_at,
        points=[at[joint, axis] for joint in joints for axis in "xy"],
        scores=scores_at,
        time=_place(plain, _TIMES),
        track=_place(plain, _TRACKS),
        about=tuple(plain.index(name) if name in plain else None for name in _ABOUT),
    )
    ends = content.count(b"\n"), content.count(b"\r")
    require_room(KIND, max(ends), len(joints))
    table = Table(KIND, columns, sum(ends) + 1)
    while block := list(itertools.islice(lines, _BLOCK)):
        if any('"' in line for line in block):
            # From here on, a row may be several lines.
            table.add_rows(itertools.chain(block, lines), lines.number - len(block))
        elif not table.add_block(block):
            table.add_rows(block, lines.number - len(block))
    source = _clip(table, skeleton)
    return source if skeleton else dataclasses.replace(source, joints=tuple(joints))


def _clip(table: Table, skeleton: str | None) -> KeypointFrames:
    if not table.rows:
        raise format_error(KIND, "it has no rows")
    first, last = int(table.frame.min()), int(table.frame.max())
    frame_count(KIND, first)
    frame_count(KIND, last)
    require_frame_numbers(table.frame, KIND)
    timestamps = None
    if table.time is not None:
        # Of several rows of a frame, the last one's counts.
        known, at = np.unique(table.frame[::-1], return_index=True)
        times = table.time[::-1][at]
        if np.isnan(times).any():
            raise format_error(KIND, "it has timestamps, but not for every row")
        # A frame that shows no one has no row.
        timestamps = np.interp(np.arange(first, last + 1), known, times)
    width, height, fps = map(_only, table.about)
    return KeypointFrames(
        KIND,
        last - first + 1,
        _people(table, first, last - first + 1),
        skeleton,
        image_size=None if width is None or height is None else (int(width), int(height)),
        fps=fps,
        timestamps=timestamps,
        notes=(f"the file's frame {first} is frame 0 here",) if first else (),
        first_frame=first,
    )


def _people(table: Table, first: int, frames: int) -> Sequence[Detection]:
    at, points, scores = table.frame - first, table.points, table.scores
    if len(set(table.track)) > 1 or (np.diff(at) < 1).any() or frames > 2 * table.rows:
        return tuple(
            Detection(
                int(frame),
                points[row].astype(np.float64),
                None if scores is None else scores[row].astype(np.float64),
                table.track[row],
            )
            for row, frame in enumerate(at)
        )
    if frames > table.rows:
        found = np.full((frames, *points.shape[1:]), np.nan, np.float32)
        found[at] = points
        points = found
        if scores is not None:
            rated = np.zeros(found.shape[:2], np.float32)
            rated[at] = scores
            scores = rated
    return ArrayDetections(
        points[None], None if scores is None else scores[None], (table.track[0],)
    )


def write(
    points: NDArray[np.float32],
    scores: NDArray[np.float32] | None,
    about: dict[str, Any],
) -> bytes:
    """Return the table of one person.

    Args:
        points: (frames, joints, 2).
        scores: (frames, joints), or None.
        about: ``skeleton``, ``image_size``, ``fps``, ``timestamps``, ``track_id`` and
            ``first_frame``.
    """
    timestamps, track, fps = about["timestamps"], about["track_id"], about["fps"]
    if isinstance(track, str) and track_id(track) != track:
        raise KeypointsError(
            f"A table cannot hold the track id {track!r}, which would be read as another.",
            hint="Write an npz file.",
        )
    parts = ("x", "y") if scores is None else ("x", "y", "score")
    constant = {
        "track_id": track,
        "image_width": about["image_size"][0],
        "image_height": about["image_size"][1],
        "fps": fps,
    }
    constant = {name: value for name, value in constant.items() if value is not None}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    joints = skeleton_format(about["skeleton"]).joints
    writer.writerow(
        ["frame"]
        + ([] if timestamps is None else ["timestamp"])
        + [*constant]
        + [f"{joint}_{part}" for joint in joints for part in parts]
    )
    table = points if scores is None else np.concatenate([points, scores[..., None]], axis=-1)
    for frame, row in enumerate(table.reshape(len(table), -1)):
        # The shortest text that gives the same float32 again.
        cells = ["" if np.isnan(value) else str(value) for value in row]
        time = [] if timestamps is None else [repr(float(timestamps[frame]))]
        writer.writerow([about["first_frame"] + frame, *time, *constant.values(), *cells])
    return stream.getvalue().encode()


def _header(content: bytes) -> tuple[list[str], str]:
    """Return the names of the columns, and what separates them."""
    line = content[: content.find(b"\n") if b"\n" in content else len(content)]
    first = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    delimiter = max((",", ";", "\t"), key=first.count)
    try:
        return next(csv.reader([first.rstrip("\r")], delimiter=delimiter), []), delimiter
    except csv.Error:
        return [], delimiter


def _coordinate(column: str) -> tuple[str, str]:
    """Split a column's name into a joint's name and x, y or score; "" if it is something else."""
    found = _COORDINATE.fullmatch(column.strip())
    if found is None:
        return column, ""
    part = found[2].lower()
    return plain_name(found[1]), part if part in "xy" else "score"


def _place(columns: list[str], names: tuple[str, ...]) -> int | None:
    return next((columns.index(name) for name in names if name in columns), None)


def _only(texts: set[str]) -> float | None:
    """Return the one number in all rows of a column; None if they differ."""
    try:
        number = float(next(iter(texts))) if len(texts) == 1 else math.nan
    except ValueError:
        return None
    return number if 0.0 < number < 1e6 else None
