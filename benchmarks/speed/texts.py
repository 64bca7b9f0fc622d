"""A record for terminals and text files: aligned text, rich tables, Markdown, CSV."""

from __future__ import annotations

import csv
import importlib.util
import io
import sys
from collections.abc import Sequence

from hot_sdk.benchmarks.speed.figures import KINDS, ratio_of
from hot_sdk.benchmarks.speed.headline import closing_lines, headline
from hot_sdk.benchmarks.speed.limits import Limit
from hot_sdk.benchmarks.speed.pareto import front
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.sheet import Sheet
from hot_sdk.benchmarks.speed.sheets import sheets

_SUBJECT = (
    "name",
    "model",
    "sha256",
    "file_bytes",
    "family",
    "variant",
    "ratio",
    "tokens",
    "frames",
    "batch",
    "precision",
    "engine",
    "engine_version",
    "device",
    "threads",
)
_COST = ("parameters", "papers_flops", "products_flops", "executed_flops")


def show(record: Record, budgets: Sequence[Limit]) -> None:
    """Write a record to standard output: tables where ``rich`` can draw them on a terminal."""
    if sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
        _show_drawn(record, budgets)
    else:
        sys.stdout.write(as_text(record, budgets))


def as_text(record: Record, budgets: Sequence[Limit]) -> str:
    """Plain text, one row on a line."""
    parts = ["\n".join(headline(record))]
    parts += [_aligned(sheet) for sheet in sheets(record)]
    closing = closing_lines(record, budgets)
    return "\n\n".join([*parts, *(["\n".join(closing)] if closing else [])]) + "\n"


def _aligned(sheet: Sheet) -> str:
    rows = [sheet.header, *sheet.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(sheet.header))]
    lines = [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([sheet.title, *lines, *([sheet.note] if sheet.note else [])])


def _show_drawn(record: Record, budgets: Sequence[Limit]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for line in headline(record):
        console.print(Text(line))
    for sheet in sheets(record):
        first, *others = sheet.header
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(first, overflow="fold")
        for column in others:
            table.add_column(column, justify="right", overflow="fold")
        for row in sheet.rows:
            table.add_row(*map(Text, row))
        console.print(Text(f"\n{sheet.title}", style="bold"))
        console.print(table)
        if sheet.note:
            console.print(Text(sheet.note, style="dim"))
    for line in closing_lines(record, budgets):
        console.print(Text(f"\n{line}"))


def as_markdown(record: Record, budgets: Sequence[Limit]) -> str:
    """Markdown, the command above the tables."""
    command = " ".join(record.settings.command)
    parts = [f"```console\n{command}\n```"]
    parts.append("\n".join(f"- {line}" for line in headline(record) if command not in line))
    for sheet in sheets(record):
        rows = [_markdown_row(row) for row in sheet.rows]
        alignment = _markdown_row(["---", *(["---:"] * (len(sheet.header) - 1))])
        table = "\n".join([_markdown_row(sheet.header), alignment, *rows])
        parts.append(f"**{sheet.title}**\n\n{table}")
        if sheet.note:
            parts.append(sheet.note)
    parts += closing_lines(record, budgets)
    return "\n\n".join(parts) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_csv(record: Record) -> str:
    """One row for each configuration, one column for each figure; units are in the header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    units = [f"{kind.name}_{kind.unit}" if kind.unit else kind.name for kind in KINDS.values()]
    more = ("speed_up", "speed_up_low", "speed_up_high", "efficiency", "pareto")
    writer.writerow([*_SUBJECT, *units, *_COST, *more])
    best = front(record.results)
    for result in record.results:
        ratio = ratio_of(result)
        gained: tuple[object, ...] = (None, None, None, None)
        if ratio is not None:
            speed_up = ratio.speed_up
            gained = (speed_up.value, speed_up.low, speed_up.high, ratio.efficiency)
        writer.writerow(
            [
                *(_cell(getattr(result.subject, field)) for field in _SUBJECT),
                *(_cell(kind.of(result)) for kind in KINDS.values()),
                *("" if result.cost is None else getattr(result.cost, field) for field in _COST),
                *map(_cell, gained),
                result.subject.name in best,
            ]
        )
    return text.getvalue()


def _cell(value: object) -> str:
    return "" if value is None else str(value)
