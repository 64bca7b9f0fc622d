"""A record for terminals and text files: aligned text, rich tables, Markdown, CSV.

The lines above and below a record's tables.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import sys
from collections.abc import Sequence

from hot_sdk._base.tables import Table
from hot_sdk.benchmarks.machine import Conditions
from hot_sdk.benchmarks.speed.comparison import advice, front
from hot_sdk.benchmarks.speed.figures import KINDS, Limit, ratio_of
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.report.tables import sheets


def headline(record: Record) -> list[str]:
    """What it ran on and how, a line each."""
    machine, settings = record.machine, record.settings
    hardware = [f"{machine.cpu}, {machine.processors} CPUs", *machine.instructions]
    if machine.board is not None:
        hardware.insert(0, machine.board)
    hardware += machine.gpus
    software = [f"hot-sdk {machine.sdk}", f"Python {machine.python}", machine.system]
    if machine.l4t is not None:
        software.append(f"L4T {machine.l4t}")
    if machine.driver is not None:
        software.append(f"driver {machine.driver}")
    software += [f"{package.name} {package.version}" for package in machine.packages]
    effort = (
        f"at least {settings.windows} counted runs of each measure"
        if settings.windows is not None
        else f"at least {settings.duration_s:g} counted seconds of each measure"
    )
    lines = [
        ", ".join(hardware),
        ", ".join(software),
        f"before: {_conditions(record.before)}",
        f"after: {_conditions(record.after)}",
        f"{effort}, in {settings.rounds} rounds, in turn: {', '.join(settings.order)}",
        f"command: {' '.join(settings.command)}",
    ]
    if record.power is not None:
        lines.append(f"power: {record.power.source}, {record.power.rail}")
    else:
        lines.append(f"power: not measured ({record.power_problem or 'no sample was read'})")
    return lines


def closing_lines(record: Record, budgets: Sequence[Limit]) -> list[str]:
    """What the reader has to know, and what to take for a budget."""
    lines = [f"Note: {note}" for note in record.notes]
    for result in record.results:
        for measure in result.measures:
            if measure.steadiness.state == "drifting" and measure.name != "push":
                lines.append(
                    f"Note: {result.subject.name}, {measure.name}: no steady state was reached"
                    f" ({measure.steadiness.drift or 0.0:+.1%} from the first half to the second)."
                )
        if result.subject.random_weights:
            lines.append(f"Note: {result.subject.name} has random weights; its poses mean nothing.")
        if result.subject.sha256 is None and result.subject.engine == "onnxruntime":
            lines.append(
                f"Note: {result.subject.name} is exported in the process that measures it, and its"
                " start and memory are those of the export."
            )
        if result.ceiling is not None:
            lines += [
                f"Note: {result.subject.name}: ceiling by {problem}."
                for problem in result.ceiling.problems
            ]
        if result.profile is not None and result.profile.problem:
            lines.append(f"Note: {result.subject.name}: {result.profile.problem}.")
    return [*lines, *(advice(record.results, limit) for limit in budgets)]


def _conditions(one: Conditions) -> str:
    parts = [f"{one.load:.2f} CPUs busy" if one.load is not None else "load unknown"]
    parts.append(f"governor {', '.join(one.governors)}" if one.governors else "governor unknown")
    if one.cpu_mhz:
        parts.append(f"CPU {min(one.cpu_mhz):.0f} to {max(one.cpu_mhz):.0f} MHz")
    if one.power_mode is not None:
        parts.append(f"power mode {one.power_mode}")
    parts += [f"GPU clock {clock}" for clock in one.gpu_clocks]
    if one.temperatures:
        hottest = max(one.temperatures, key=lambda zone: zone.celsius)
        parts.append(f"{hottest.celsius:.0f} °C ({hottest.zone})")
    else:
        parts.append("temperatures unknown")
    if one.throttled is not None:
        parts.append(f"throttled {one.throttled} times since it started")
    return "; ".join(parts)


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


def _aligned(sheet: Table) -> str:
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
