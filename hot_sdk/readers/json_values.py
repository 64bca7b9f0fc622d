"""JSON that nobody vouches for, taken apart with an error for all that is not as expected."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import Floats, TrackId, broken

LARGEST_FILE = 512 << 20
"""Longest file that is read, in bytes."""

_MOST_JSON_VALUES = 40_000_000
"""A value of one character can take 70 bytes once it is parsed."""


def read_bytes(path: Path) -> bytes:
    """A file's content.

    Raises:
        KeypointsError: It cannot be read, is no regular file, or is too large.
    """
    try:
        # A pipe or a device may have no end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise KeypointsError(f"'{path}' is no regular file.", hint="Copy it to one.")
        with path.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise KeypointsError(
            f"'{path}' cannot be read: {reason}.", hint="Check the path."
        ) from error
    if len(content) > LARGEST_FILE:
        raise KeypointsError(
            f"'{path}' has more than the {LARGEST_FILE} bytes that are read.",
            hint="Cut the file in parts.",
        )
    return content


def parse(content: bytes, path: Path) -> Any:  # noqa: ANN401
    """Parse JSON of bounded depth and number of values.

    Raises:
        KeypointsError: It is none, or holds too much.
    """
    # No value but the first goes without one of these before it.
    if sum(map(content.count, (b",", b":", b"[", b"{"))) > _MOST_JSON_VALUES:
        raise KeypointsError(
            f"'{path}' holds more than {_MOST_JSON_VALUES} values.", hint="Cut the file in parts."
        )
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise KeypointsError(
            f"'{path}' is not JSON: {reason}.", hint="Check that the file was written to its end."
        ) from error


def floats(values: object, kind: str, what: str) -> Floats:
    """A flat list of numbers; None, NaN and infinities become NaN."""
    if not isinstance(values, list):
        raise broken(kind, f"{what} is no list")
    numbers = [math.nan if value is None else value for value in values]
    if not all(type(value) in (int, float) for value in numbers):
        raise broken(kind, f"{what} holds something that is no number")
    try:
        table: Floats = np.array(numbers, dtype=np.float64)
    except OverflowError as error:
        raise broken(kind, f"{what} holds a number that is too large") from error
    table[np.isinf(table)] = np.nan
    return table


def triples(values: object, kind: str, what: str) -> tuple[Floats, Floats]:
    """x, y and score one after the other: points (joints, 2), NaN where the score is 0; scores."""
    flat = floats(values, kind, what)
    if len(flat) == 0 or len(flat) % 3:
        raise broken(kind, f"{what} has {len(flat)} numbers, not x, y and score for each joint")
    table = flat.reshape(-1, 3)
    scores = np.nan_to_num(table[:, 2], nan=0.0, posinf=1.0, neginf=0.0)
    # These tools write 0, 0, 0 for a joint that was not found.
    points = np.where((scores > 0.0)[:, None], table[:, :2], np.nan)
    return points, scores


def whole(value: object, kind: str, what: str) -> int:
    """A whole number of 64 bits."""
    if type(value) is int and abs(value) < 2**63:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    # What is nested could be deeper than the stack allows to print.
    shown = "nested" if isinstance(value, (list, dict)) else repr(str(value)[:40])
    raise broken(kind, f"{what} is {shown}, not a whole number")


def track(value: object, kind: str) -> TrackId:
    """A track id: a whole number or a short text; None where there is none."""
    if value is None or (isinstance(value, str) and len(value) <= 200):
        return value
    return whole(value, kind, "a track id")


def is_record(value: object, *keys: str) -> bool:
    """Whether a value is an object with these keys."""
    return isinstance(value, dict) and all(key in value for key in keys)
