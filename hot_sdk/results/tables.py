"""Write and read the table of a result: a csv file, with a row for each frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base import records
from hot_sdk._base.budget import Clock, input_budget, require
from hot_sdk._base.disk_arrays import parts
from hot_sdk._base.files import read_input
from hot_sdk.errors import ResultError
from hot_sdk.keypoints import MAX_FRAMES
from hot_sdk.skeletons import H36M17

_JOINTS = len(H36M17.joints)
_LONGEST_LINE = 1 << 16
_CELL_BYTES = 8

_COLUMNS = ("x", "y", "z", "valid")
_AXES = ("x", "y", "z")
_PAIRS = ("xx", "xy", "xz", "yy", "yz", "zz")
_UPPER = np.triu_indices(len(_AXES))
_WHOLE = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])
"""Where a symmetric matrix has the numbers of its upper triangle."""

_JOINT_COLUMNS = {
    "spread": ("spread", _AXES),
    "velocity": ("velocity", _AXES),
    "covariance": ("cov", _PAIRS),
    "joints_covariance": ("in_frame_cov", _PAIRS),
    "velocity_covariance": ("velocity_cov", _PAIRS),
}
"""Beginnings and ends of the columns that each joint has if a result has these arrays."""

_FRAME_COLUMNS = {
    "root": ("root_x", "root_y", "root_z"),
    "root_error": ("root_error_px",),
    "contacts": ("right_foot_stands", "left_foot_stands"),
}
"""Likewise of each frame."""


def write_table(path: Path, description: str, fields: Mapping[str, Any]) -> None:
    """Write a csv file.

    Args:
        path: The file.
        description: What is no array, as JSON.
        fields: Those of a ``Pose3DResult`` by name.

    Raises:
        ResultError: It is more than is read again.
    """
    budget, frames = input_budget(), len(fields["poses"])
    given = [name for name in (*_FRAME_COLUMNS, *_JOINT_COLUMNS) if fields[name] is not None]
    header = _header(given)
    too_long = ResultError(
        f"{frames} frames of {len(header)} columns are more than are read again.",
        hint="Save it as npz.",
    )
    if frames * len(header) * _CELL_BYTES > budget.parsed_bytes:
        raise too_long
    with path.open("w", encoding="utf-8", newline="") as stream:
        written = stream.write(f"# {description}\n")
        writer = csv.writer(stream, lineterminator="\n")
        written += writer.writerow(header)
        for part in parts(*(fields[name] for name in ("poses", *given))):
            for frame in range(*part.indices(frames)):
                written += writer.writerow(_row(frame, fields, given))
            if written > budget.file_bytes:
                raise too_long


def _row(frame: int, fields: Mapping[str, Any], given: Collection[str]) -> list[object]:
    number, time = fields["first_frame"] + frame, float(fields["timestamps"][frame])
    row: list[object] = [number, repr(time)]
    for name in (name for name in _FRAME_COLUMNS if name in given):
        row += map(_cell, fields[name][frame].reshape(-1))
    of_joints = [fields[name][frame] for name in _JOINT_COLUMNS if name in given]
    each = zip(fields["poses"][frame], fields["valid"][frame], *of_joints, strict=True)
    for joint, is_valid, *others in each:
        row += [*map(_cell, joint), int(is_valid)]
        for one in others:
            row += map(_cell, one if one.ndim == 1 else one[_UPPER])
    return row


def read_table(path: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the description and the arrays of a csv file.

    Raises:
        ValueError: It is no table of a result.
    """
    budget = input_budget()
    content = read_input(path, budget.file_bytes)
    frames = content.count(b"\n")
    require(frames, MAX_FRAMES + 2, "lines")
    stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    first = stream.readline(records.MAX_TEXT + 4)
    if not first.startswith("# "):
        raise ValueError("its first line is no description")
    rows = csv.reader(iter(lambda: stream.readline(_LONGEST_LINE), ""))
    header = next(rows, [])
    given = _given(header)
    if header != _header(given):
        raise ValueError("its columns are not those of a result")
    require(frames * len(header) * _CELL_BYTES, budget.parsed_bytes, "bytes once it is parsed")
    table = np.array(list(_rows(rows, len(header), Clock(budget))), dtype=np.float64)
    return first[2:], _arrays(table.reshape(-1, len(header)), given)


def _header(given: Collection[str]) -> list[str]:
    """Return the columns of a table with some of the optional arrays."""
    columns = list(_COLUMNS)
    for name, (first, ends) in _JOINT_COLUMNS.items():
        columns += [f"{first}_{end}" for end in ends if name in given]
    of_frames = [one for name, ones in _FRAME_COLUMNS.items() if name in given for one in ones]
    joints = [f"{joint}_{column}" for joint in H36M17.joints for column in columns]
    return ["frame", "timestamp_s", *of_frames, *joints]


def _given(header: Collection[str]) -> list[str]:
    """Return the optional arrays whose first columns a table has."""
    joint = H36M17.joints[0]
    firsts = {name: columns[0] for name, columns in _FRAME_COLUMNS.items()}
    firsts |= {name: f"{joint}_{one}_{ends[0]}" for name, (one, ends) in _JOINT_COLUMNS.items()}
    return [name for name, first in firsts.items() if first in header]


def _arrays(table: NDArray[np.float64], given: Collection[str]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"timestamps": table[:, 1]}
    at = 2
    for name, columns in _FRAME_COLUMNS.items():
        if name in given:
            values = table[:, at : at + len(columns)]
            arrays[name] = values if len(columns) > 1 else values[:, 0]
            at += len(columns)
    body = table[:, at:].reshape(len(table), _JOINTS, -1)
    arrays |= {"poses": body[..., :3], "valid": body[..., 3] != 0.0}
    at = len(_COLUMNS)
    for name, (_, ends) in _JOINT_COLUMNS.items():
        if name in given:
            values = body[..., at : at + len(ends)]
            arrays[name] = values if len(ends) == len(_AXES) else values[..., _WHOLE]
            at += len(ends)
    return arrays


def _cell(value: np.float32) -> str:
    return "" if np.isnan(value) else str(value)


def _rows(rows: Iterable[list[str]], width: int, clock: Clock) -> Iterable[NDArray[np.float64]]:
    for number, row in enumerate(rows):
        if number % 1000 == 0:
            clock.check()
        if len(row) != width:
            raise ValueError(f"row {number} has {len(row)} columns, where {width} were expected")
        # An array, as a list of as many numbers takes four times the memory.
        yield np.array([float(cell) if cell else np.nan for cell in row])
