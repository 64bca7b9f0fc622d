"""Read untrusted JSON within the budget, and check the type of each value."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from hot_sdk._base.budget import Budget, Clock, OverBudgetError, input_budget, require
from hot_sdk._base.files import read_input
from hot_sdk._base.safe_json import parsed_bytes, require_parsable
from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import Floats, TrackId, format_error

_LINES_A_CHECK = 1000
_LINE_BYTES = 60
"""A line takes as many bytes once it is split off."""


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        KeypointsError: The file cannot be read, is no regular file, or is too large.
    """
    try:
        return read_input(path, input_budget().file_bytes)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise KeypointsError(
            f"'{path}' cannot be read: {reason}.", hint="Check the path."
        ) from error


def parse(content: bytes, path: Path) -> Any:  # noqa: ANN401
    """Parse JSON, or JSON lines into a list, of bounded depth and number of values.

    Raises:
        KeypointsError: The content is not JSON, or holds too much.
    """
    budget = input_budget()
    try:
        require_parsable(content, budget)
        return _loaded(content, budget)
    except OverBudgetError as error:
        raise KeypointsError(
            f"'{path}' cannot be read: {error}.", hint="Cut the file in parts."
        ) from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise KeypointsError(
            f"'{path}' is not JSON: {reason}.", hint="Check that the file is complete."
        ) from error


def _loaded(content: bytes, budget: Budget) -> Any:  # noqa: ANN401
    text = content.decode("utf-8-sig")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        # One value in each line.
        most = _LINE_BYTES * content.count(b"\n") + parsed_bytes(content)
        require(most, budget.parsed_bytes, "bytes once it is parsed")
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
    values = []
    clock = Clock(budget)
    for number, line in enumerate(lines, start=1):
        if number % _LINES_A_CHECK == 0:
            clock.check()
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            where = "the last, of JSON lines" if number == len(lines) else "of JSON lines"
            raise ValueError(f"line {number}, {where}, is broken: {error.msg}") from error
    return values


def floats(values: object, kind: str, name: str) -> Floats:
    """Return a flat list of numbers as an array; None, NaN and infinities become NaN."""
    if not isinstance(values, list):
        raise format_error(kind, f"{name} is no list")
    numbers = [math.nan if value is None else value for value in values]
    if not all(type(value) in (int, float) for value in numbers):
        raise format_error(kind, f"{name} holds something that is no number")
    try:
        table: Floats = np.array(numbers, dtype=np.float64)
    except OverflowError as error:
        raise format_error(kind, f"{name} holds a number that is too large") from error
    table[np.isinf(table)] = np.nan
    return table


def triples(values: object, kind: str, name: str) -> tuple[Floats, Floats]:
    """Split x, y, score, x, y, ... into points (joints, 2), NaN if the score is 0, and scores.

    The numbers may also be nested: a list of three for each joint.
    """
    if isinstance(values, list) and values and isinstance(values[0], list):
        if not all(isinstance(row, list) and len(row) == 3 for row in values):
            raise format_error(kind, f"{name} does not hold x, y, score for each joint")
        values = [number for row in values for number in row]
    flat = floats(values, kind, name)
    if len(flat) == 0 or len(flat) % 3:
        raise format_error(kind, f"{name} has {len(flat)} numbers, not x, y, score for each joint")
    table = flat.reshape(-1, 3)
    scores = np.nan_to_num(table[:, 2], nan=0.0, posinf=1.0, neginf=0.0)
    # These tools write 0, 0, 0 for a joint that was not found.
    points = np.where((scores > 0.0)[:, None], table[:, :2], np.nan)
    return points, scores


def integer(value: object, kind: str, name: str) -> int:
    """Return a whole number of at most 64 bits."""
    if type(value) is int and abs(value) < 2**63:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    # Nested values could be deeper than the stack allows to print.
    shown = "nested" if isinstance(value, (list, dict)) else repr(str(value)[:40])
    raise format_error(kind, f"{name} is {shown}, not a whole number")


def track_id(value: object, kind: str) -> TrackId:
    """Return a track id: a whole number, a short text, or None; -1 and empty lists are None."""
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else None
    if value == -1 or value in ("", "-1"):
        return None
    if value is None or (isinstance(value, str) and len(value) <= 200):
        return value
    return integer(value, kind, "a track id")


def has_keys(value: object, *keys: str) -> bool:
    """Return whether a value is an object with these keys."""
    return isinstance(value, dict) and all(key in value for key in keys)
