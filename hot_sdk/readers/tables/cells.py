"""Collect the cells of tables that have a row for each person in each frame."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.readers.detections import Floats, TrackId, frame_count

_EXACT = 2**53
"""Whole numbers below this are exact in double precision."""


@dataclass(frozen=True)
class Columns:
    """What is where in a row of people's joints.

    Attributes:
        header: Names of the columns.
        delimiter: What separates cells.
        frame: Number of the column of frames.
        points: Those of x and y of each joint in turn.
        scores: Those of the joints' scores; may be empty.
        time: That of times, None if there is none.
        track: That of track ids, None if there is none.
        about: Those whose cells are the same in all rows, None for one that is not there.
    """

    header: list[str]
    delimiter: str
    frame: int
    points: list[int]
    scores: list[int]
    time: int | None
    track: int | None
    about: tuple[int | None, ...]


class Table:
    """The rows of a table that were read so far.

    Attributes:
        rows: Their number.
        track: (rows,) Track ids.
        about: The different cells of each column of ``Columns.about``.
    """

    def __init__(self, kind: str, columns: Columns, most: int) -> None:
        self._kind = kind
        self.rows = 0
        self.track: list[TrackId] = []
        self.about: tuple[set[str], ...] = tuple(set() for _ in columns.about)
        self._columns = columns
        # Memory that nothing was written to is not taken.
        self._frame = np.empty(most, np.int64)
        self._time = None if columns.time is None else np.empty(most)
        self._points = np.empty((most, len(columns.points) // 2, 2), np.float32)
        self._scores = np.empty((most, len(columns.scores)), np.float32) if columns.scores else None
        texts = [number for number in (columns.track, *columns.about) if number is not None]
        self._splits = max(texts, default=-1) + 1
        self._numbers = [columns.frame, *columns.points, *columns.scores]
        self._numbers += [] if columns.time is None else [columns.time]
        self._tracks: dict[str, TrackId] = {}

    @property
    def frame(self) -> NDArray[np.int64]:
        """(rows,) The number of each row's frame."""
        return self._frame[: self.rows]

    @property
    def points(self) -> NDArray[np.float32]:
        """(rows, joints, 2), NaN for a joint with a cell that is empty."""
        return self._points[: self.rows]

    @property
    def scores(self) -> NDArray[np.float32] | None:
        """(rows, joints), 0 for an empty cell; None without scores."""
        return None if self._scores is None else self._scores[: self.rows]

    @property
    def time(self) -> Floats | None:
        """(rows,), NaN for an empty cell; None without times."""
        return None if self._time is None else self._time[: self.rows]

    def add_block(self, lines: list[str]) -> bool:
        """Add lines of one row each, unless a cell has to be looked at; return whether."""
        columns = self._columns
        separators = len(columns.header) - 1
        if any(line.count(columns.delimiter) != separators for line in lines):
            return False
        found = _all_numbers(lines, columns.delimiter, self._numbers)
        if found is None or not (np.abs(found[:, 0]) < _EXACT).all():
            return False
        frame = found[:, 0].astype(np.int64)
        if (frame != found[:, 0]).any():
            return False
        self._add(frame, found[:, 1:])
        if self._splits:
            for line in lines:
                self._add_texts(line.split(columns.delimiter, self._splits))
        else:
            self.track += [None] * len(lines)
        return True

    def add_rows(self, lines: Iterable[str], before: int) -> None:
        """Add rows cell by cell.

        Args:
            lines: Lines of the table.
            before: How many lines are before them.

        Raises:
            ValueError: A cell or a row is not as expected.
            KeypointsError: The number of a frame is out of range.
        """
        columns = self._columns
        rows = csv.reader(lines, delimiter=columns.delimiter)
        for row in rows:
            if not row:
                continue
            line = before + rows.line_num
            if len(row) != len(columns.header):
                how = "shorter" if len(row) < len(columns.header) else "longer"
                raise ValueError(f"line {line}, a row, is {how} than the header")
            frame = _whole(row[columns.frame], line, columns.header[columns.frame])
            frame_count(self._kind, frame)
            self._add(np.array([frame]), np.array([self._cells(row, line)]))
            self._add_texts(row)

    def _add(self, frame: NDArray[np.int64], numbers: Floats) -> None:
        """Add rows of numbers: points, scores, time."""
        numbers[np.isinf(numbers)] = np.nan
        rows = slice(self.rows, self.rows + len(frame))
        places, rated = len(self._columns.points), len(self._columns.scores)
        # A value too large for single precision becomes infinite, which Keypoints refuses.
        with np.errstate(over="ignore"):
            points = numbers[:, :places].reshape(len(frame), -1, 2).astype(np.float32)
            if self._scores is not None:
                self._scores[rows] = np.nan_to_num(numbers[:, places : places + rated])
        points[np.isnan(points).any(axis=-1)] = np.nan
        self._frame[rows], self._points[rows] = frame, points
        if self._time is not None:
            self._time[rows] = numbers[:, -1]
        self.rows = rows.stop

    def _add_texts(self, row: list[str]) -> None:
        columns = self._columns
        name = "" if columns.track is None else row[columns.track].strip()
        if name not in self._tracks:
            self._tracks[name] = track_id(name)
        self.track.append(self._tracks[name])
        for number, texts in zip(columns.about, self.about, strict=True):
            if number is not None:
                texts.add(row[number].strip())

    def _cells(self, row: list[str], line: int) -> list[float]:
        numbers = self._numbers[1:]
        try:
            # Several times as fast, for rows without empty cells.
            return [float(row[number]) for number in numbers]
        except ValueError:
            return [self._cell(row, number, line) for number in numbers]

    def _cell(self, row: list[str], number: int, line: int) -> float:
        text = row[number].strip()
        if self._columns.delimiter != ",":
            # Tables with semicolons have commas in numbers.
            text = text.replace(",", ".")
        try:
            return float(text or math.nan)
        except ValueError as error:
            raise ValueError(
                f"line {line}, column '{self._columns.header[number][:40]}': {row[number][:40]!a}"
                " is no number"
            ) from error


def _all_numbers(lines: list[str], delimiter: str, columns: list[int]) -> Floats | None:
    """Return the numbers in some columns of rows, NaN for empty cells.

    Many times as fast as to look at each cell, but not for every row: None if one is blank, or if
    a cell is something else than a number in plain digits.

    Args:
        lines: Rows of as many cells each as the header, without quotes.
        delimiter: What separates cells; if it is no comma, commas are decimal points.
        columns: Numbers of the columns.
    """
    text = "".join(lines)
    if delimiter != ",":
        text = text.replace(",", ".")
    if delimiter * 2 in text or delimiter + "\n" in text or delimiter + "\r" in text:
        for end in (delimiter, "\r", "\n"):
            text = text.replace(delimiter + end, f"{delimiter}nan{end}")
        # Of three in a row, the second one is the end of an empty cell and the start of another.
        text = text.replace(delimiter * 2, f"{delimiter}nan{delimiter}")
    rows = text.splitlines()
    if len(rows) != len(lines):
        return None
    try:
        found = np.loadtxt(rows, delimiter=delimiter, usecols=columns, comments=None, ndmin=2)
    except ValueError:
        return None
    return found if len(found) == len(lines) else None


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


def track_id(text: str) -> TrackId:
    """Return the track id that a cell names; None for none."""
    # Tables of pandas write whole numbers as 2.0, and -1 or NaN for no track.
    if text in ("-1", "-1.0") or text.lower() in ("nan", "none", "null"):
        return None
    whole = text.removesuffix(".0")
    return int(whole) if whole.isdecimal() and len(whole) < 18 else text or None
