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
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    Detection,
    Floats,
    KeypointFrames,
    TrackId,
    format_error,
    frame_count,
    require_room,
)
from hot_sdk.readers.frame_lists import require_frame_numbers
from hot_sdk.readers.joint_names import plain_name
from hot_sdk.readers.named import skeleton_of_names
from hot_sdk.readers.tables.rows import Rows
from hot_sdk.skeletons import skeleton_format

KIND = "a CSV table"
_FRAMES = ("frame", "frame_id", "frame_idx", "frame_index", "frame_number", "frameid", "frame#")
_TIMES = ("timestamp", "timestamp_s", "time", "time_s")
_TRACKS = ("track_id", "trackid", "track", "person_id", "person", "id")
_COORDINATE = re.compile(
    r"(.+)[ _.\-](x|y|score|scores|likelihood|confidence|conf|visibility)", re.IGNORECASE
)


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
    header, delimiter = _header(content)
    rows = Rows(content, delimiter)
    next(rows)
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
    points_at = [at[joint, axis] for joint in joints for axis in "xy"]
    scores_at = [at[joint, "score"] for joint in joints if (joint, "score") in at]
    if len(scores_at) not in (0, len(joints)):
        raise ValueError("some joints have a score, and others none")
    time_at, track_at = _place(plain, _TIMES), _place(plain, _TRACKS)
    about: dict[str, set[str]] = {"image_width": set(), "image_height": set(), "fps": set()}
    about_at = {name: plain.index(name) for name in about if name in plain}

    require_room(KIND, max(content.count(b"\n"), content.count(b"\r")), len(joints))
    people: list[Detection] = []
    times: dict[int, float] = {}

    def cell(row: list[str], number: int) -> float:
        text = row[number].strip()
        try:
            # Tables with semicolons have commas in numbers.
            value = float((text if delimiter == "," else text.replace(",", ".")) or math.nan)
        except ValueError as error:
            raise ValueError(
                f"line {rows.line}, column '{header[number][:40]}': {text[:40]!a} is no number"
            ) from error
        return value if math.isfinite(value) else math.nan

    def cells(row: list[str], numbers: list[int]) -> Floats:
        try:
            # Several times as fast, for rows without empty cells.
            values = np.array([float(row[number]) for number in numbers])
        except ValueError:
            return np.array([cell(row, number) for number in numbers])
        values[np.isinf(values)] = np.nan
        return values

    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            how = "shorter" if len(row) < len(header) else "longer"
            raise ValueError(f"line {rows.line}, a row, is {how} than the header")
        frame = _whole(row[frame_at], rows.line, header[frame_at])
        points = cells(row, points_at).reshape(-1, 2)
        points[np.isnan(points).any(axis=1)] = np.nan
        scores = np.nan_to_num(cells(row, scores_at)) if scores_at else None
        track = None if track_at is None else _track_id(row[track_at].strip())
        people.append(Detection(frame, points, scores, track))
        if time_at is not None:
            times[frame] = cell(row, time_at)
        for name, number in about_at.items():
            about[name].add(row[number].strip())
    if not people:
        raise format_error(KIND, "it has no rows")
    frame_count(KIND, min(person.frame for person in people))
    frame_count(KIND, max(person.frame for person in people))
    source = _clip(people, times, skeleton, about)
    return source if skeleton else dataclasses.replace(source, joints=tuple(joints))


def _clip(
    people: list[Detection],
    times: dict[int, float],
    skeleton: str | None,
    about: dict[str, set[str]],
) -> KeypointFrames:
    require_frame_numbers([person.frame for person in people], KIND)
    first = min(person.frame for person in people)
    frames = max(person.frame for person in people) - first + 1
    timestamps = None
    if times:
        known = sorted(frame for frame, time in times.items() if not math.isnan(time))
        if len(known) < len(times):
            raise format_error(KIND, "it has timestamps, but not for every row")
        # A frame that shows no one has no row.
        timestamps = np.interp(
            np.arange(first, first + frames), known, [times[frame] for frame in known]
        )
    found = tuple(
        Detection(one.frame - first, one.points, one.scores, one.track_id) for one in people
    )
    width, height = _only(about["image_width"]), _only(about["image_height"])
    return KeypointFrames(
        KIND,
        frames,
        found,
        skeleton,
        image_size=None if width is None or height is None else (int(width), int(height)),
        fps=_only(about["fps"]),
        timestamps=timestamps,
        notes=(f"the file's frame {first} is frame 0 here",) if first else (),
        first_frame=first,
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
    if isinstance(track, str) and _track_id(track) != track:
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


def _whole(text: str, line: int, column: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        try:
            number = float(text.replace(",", "."))
        except ValueError:
            number = math.nan
        if not number.is_integer():
            raise ValueError(
                f"line {line}, column '{column[:40]}': {text[:40]!a} is no whole number"
            ) from error
        return int(number)


def _only(texts: set[str]) -> float | None:
    """Return the one number in all rows of a column; None if they differ."""
    try:
        number = float(next(iter(texts))) if len(texts) == 1 else math.nan
    except ValueError:
        return None
    return number if 0.0 < number < 1e6 else None


def _track_id(text: str) -> TrackId:
    # Tables of pandas write whole numbers as 2.0, and -1 or NaN for no track.
    if text in ("-1", "-1.0") or text.lower() in ("nan", "none", "null"):
        return None
    whole = text.removesuffix(".0")
    return int(whole) if whole.isdecimal() and len(whole) < 18 else text or None
