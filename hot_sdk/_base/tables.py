"""A table of text, and how figures stand in it."""

from __future__ import annotations

from dataclasses import dataclass

NONE = ""
"""What stands where there is no figure."""


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        title: What it shows.
        header: Names of the columns; the first is of the rows' names.
        rows: Cells.
        note: What the reader has to know of it; may be empty.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def number(value: float | None) -> str:
    """A figure with four digits, or nothing."""
    if value is None:
        return NONE
    if abs(value) >= 1000.0:
        return f"{value:.0f}"
    return f"{value:.4g}"
