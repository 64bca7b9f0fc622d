"""Tables: one row for each person in each frame.

The columns are ``frame``, perhaps ``timestamp`` (seconds) and ``track_id``, and ``JOINT_x``,
``JOINT_y`` and perhaps ``JOINT_score`` for each joint of a skeleton, by the names that
``skeleton_format`` lists. An empty cell is a joint that is missing.
"""

from __future__ import annotations

import csv
import io

import numpy as np

from hot_sdk.readers.frames import Detection, KeypointFrames, TrackId, broken, checked_frames
from hot_sdk.skeleton_formats import list_skeletons, skeleton_format

KIND = "a CSV table"


def matches(content: bytes) -> bool:
    """Whether a file's content begins as such a table does."""
    first = content[:20_000].split(b"\n", 1)[0].lstrip(b"\xef\xbb\xbf")
    return first.startswith(b"frame,") and b"_x" in first


def read(content: bytes) -> KeypointFrames:
    """Read a table.

    Raises:
        KeypointsError: A column or a cell is not as expected.
    """
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        columns = list(rows.fieldnames or ())
        if len(set(columns)) < len(columns):
            raise broken(KIND, "two of its columns have one name")
        skeleton = _skeleton(columns)
        joints = skeleton_format(skeleton).joints
        scored = f"{joints[0]}_score" in columns
        people: list[Detection] = []
        times: dict[int, float] = {}
        for row in rows:
            people.append(_person(row, joints, scored=scored))
            if "timestamp" in columns:
                times[people[-1].frame] = float(row["timestamp"])
    except (UnicodeDecodeError, csv.Error, ValueError, TypeError, KeyError) as error:
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


def _person(row: dict[str, str], joints: tuple[str, ...], *, scored: bool) -> Detection:
    points = np.array([[_cell(row[f"{joint}_{axis}"]) for axis in "xy"] for joint in joints])
    scores = None
    if scored:
        scores = np.nan_to_num([_cell(row[f"{joint}_score"]) for joint in joints], nan=0.0)
    text = row.get("track_id") or None
    name: TrackId = text
    if text is not None and text.isdecimal() and len(text) < 18:
        name = int(text)
    return Detection(int(row["frame"]), points, scores, name)


def _cell(text: str | None) -> float:
    if text is None:
        raise ValueError("a row is shorter than the header")
    return float(text) if text else float("nan")
