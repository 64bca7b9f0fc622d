"""Tables for terminals, text files, Markdown and HTML, from one description."""

from __future__ import annotations

import html
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

NONE = ""
"""Placeholder for a missing value."""

_GAP = 2
_NARROWEST_FIRST = 12


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: What the table shows; may be empty.
        header: Names of the columns; all empty for a table without a header.
        rows: Cells; each row has one for each column.
        note: A note to the reader, below the table; may be empty.
        text_columns: Number of leading columns that hold text: aligned to the left, and folded if
            the terminal is narrow. The others hold numbers, which are never cut.
        styles: Styles of rich, such as ``bold red``, for cells of exactly these texts.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    text_columns: int = 1
    styles: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return aligned plain text, one row to a line, as wide as the table needs."""
        cells = [self.header, *self.rows] if any(self.header) else list(self.rows)
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.header))]
        lines = ["  ".join(self._aligned(row, widths)).rstrip() for row in cells]
        return "\n".join(part for part in (self.title, *lines, self.note) if part)

    def to_markdown(self) -> str:
        """Return a Markdown table below its title in bold."""
        dashes = ["---"] * self.text_columns
        dashes += ["---:"] * (len(self.header) - self.text_columns)
        lines = [_markdown_row(row) for row in (self.header, dashes, *self.rows)]
        parts = (f"**{self.title}**" if self.title else "", "\n".join(lines), self.note)
        return "\n\n".join(part for part in parts if part)

    def to_html(self) -> str:
        """Return an HTML table between its title and its note."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.header)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
            for row in self.rows
        )
        title = f"<h2>{html.escape(self.title)}</h2>" if self.title else ""
        note = f"<p class='note'>{html.escape(self.note)}</p>" if self.note else ""
        head = f"<thead><tr>{head}</tr></thead>" if any(self.header) else ""
        return f"{title}<table>{head}<tbody>{body}</tbody></table>{note}"

    def fitted(self, width: int) -> list[Table]:
        """Split the table into pieces that fit a terminal of ``width`` columns.

        Each piece repeats the text columns, and has as many of the number columns as fit.
        """
        widths = [self._narrowest(place) for place in range(len(self.header))]
        first = sum(size + _GAP for size in widths[: self.text_columns])
        first = max(_NARROWEST_FIRST, min(first, width // 2))
        groups: list[list[int]] = [[]]
        left = width - first
        for place in range(self.text_columns, len(self.header)):
            if groups[-1] and widths[place] + _GAP > left:
                groups.append([])
                left = width - first
            groups[-1].append(place)
            left -= widths[place] + _GAP
        if len(groups) == 1:
            return [self]
        text = list(range(self.text_columns))
        pieces = [
            Table(
                self.title if number == 0 else "",
                tuple(self.header[place] for place in text + group),
                tuple(tuple(row[place] for place in text + group) for row in self.rows),
                text_columns=self.text_columns,
            )
            for number, group in enumerate(groups)
        ]
        return [*pieces[:-1], replace(pieces[-1], note=self.note)]

    def draw(self, console: Console) -> None:
        """Draw the table on a terminal, in pieces if it is narrow."""
        from rich.table import Table as Drawn
        from rich.text import Text

        if self.title:
            console.print(Text(self.title, style="bold"))
        for number, piece in enumerate(self.fitted(console.width)):
            drawn = Drawn(
                box=None, pad_edge=False, header_style="bold", show_header=any(piece.header)
            )
            for place, name in enumerate(piece.header):
                if place < self.text_columns:
                    drawn.add_column(Text(name), overflow="fold")
                else:
                    drawn.add_column(Text(name.replace(" ", "\n")), justify="right", no_wrap=True)
            for row in piece.rows:
                drawn.add_row(*(Text(cell, style=self.styles.get(cell, "")) for cell in row))
            if number > 0:
                console.print()
            console.print(drawn)
        if self.note:
            console.print(Text(self.note, style="dim"))

    def _narrowest(self, place: int) -> int:
        """Return the width that a column needs if its name may break at spaces."""
        words = [len(word) for word in self.header[place].split()]
        return max([*words, *(len(row[place]) for row in self.rows), 0])

    def _aligned(self, row: Sequence[str], widths: Sequence[int]) -> list[str]:
        return [
            cell.ljust(width) if place < self.text_columns else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]


def report_text(parts: Iterable[str | Table]) -> str:
    """Return paragraphs and tables as plain text, an empty line between them."""
    texts = (part.to_text() if isinstance(part, Table) else part for part in parts)
    return "\n\n".join(text for text in texts if text) + "\n"


def print_report(parts: Sequence[str | Table]) -> None:
    """Write paragraphs and tables to standard output.

    A terminal gets tables that fit it, drawn by rich if that is installed; a file or a pipe gets
    the plain text of :func:`report_text`.
    """
    if not (sys.stdout.isatty() and importlib.util.find_spec("rich") is not None):
        sys.stdout.write(report_text(parts))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for number, part in enumerate(part for part in parts if part):
        if number > 0:
            console.print()
        if isinstance(part, Table):
            part.draw(console)
        else:
            console.print(Text(part))


def print_table(table: Table, *, markdown: bool) -> None:
    """Write a table to standard output: as Markdown for a page, or as a report."""
    if markdown:
        sys.stdout.write(f"{table.to_markdown()}\n\n")
    else:
        print_report([table])


def number(value: float | None) -> str:
    """Return a value with four digits, or an empty string for None."""
    if value is None:
        return NONE
    if abs(value) >= 1000.0:
        return f"{value:.0f}"
    return f"{value:.4g}"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
