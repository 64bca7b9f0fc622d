"""Split untrusted tables into rows of cells, within the budget."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from hot_sdk._base.budget import Clock, input_budget, require

_LONGEST_LINE = 1 << 20
_LINES_PER_CHECK = 1000

# Memory of a row and of a cell, if all are kept.
_ROW_BYTES, _CELL_BYTES = 88, 60


class Lines(Iterator[str]):
    """The lines of a table's text, one after the other, with their ends.

    Attributes:
        number: Number of the lines read so far, from 1.
    """

    def __init__(self, content: bytes) -> None:
        self.number = 0
        self._clock = Clock(input_budget())
        # Not StringIO, which takes four bytes for each character.
        self._text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")

    def __next__(self) -> str:
        line = self._text.readline(_LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == _LONGEST_LINE:
            raise ValueError(f"line {self.number} has {_LONGEST_LINE} characters or more")
        if self.number % _LINES_PER_CHECK == 0:
            self._clock.check()
        return line


def all_rows(content: bytes, delimiter: str) -> list[list[str]]:
    """Return all rows of a table.

    Raises:
        ValueError: They are over the budget, or the text is not UTF-8.
        csv.Error: A cell is too long, or quoted wrongly.
    """
    rows = content.count(b"\n") + content.count(b"\r") + 1
    cells = content.count(delimiter.encode()) + rows
    size = len(content) * 2 + rows * _ROW_BYTES + cells * _CELL_BYTES
    require(size, input_budget().parsed_bytes, "bytes once it is parsed")
    return list(csv.reader(Lines(content), delimiter=delimiter))
