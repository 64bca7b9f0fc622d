"""A record as text: the report of a terminal, Markdown, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields

from hot_sdk._base.tables import Table, report_text
from hot_sdk.benchmarks.machine import Conditions
from hot_sdk.benchmarks.speed.advice import advice, pareto_front
from hot_sdk.benchmarks.speed.comparison import Comparison
from hot_sdk.benchmarks.speed.metrics import METRICS, Limit, first_ratio
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.report.tables import tables
from hot_sdk.benchmarks.speed.result import Subject

_SUBJECT = [field.name for field in fields(Subject) if field.name != "random_weights"]
_COST = ("parameters", "papers_flops", "products_flops", "executed_flops")
_RATIO = ("speed_up", "speed_up_low", "speed_up_high", "efficiency")


def report_parts(record: Record, budgets: Sequence[Limit]) -> list[str | Table]:
    """Return the paragraphs and tables of a report, for ``print_report``."""
    opening, decision = opening_lines(record), advice(record, budgets)
    return ["\n".join(opening), *tables(record), "\n".join([*note_lines(record), *decision])]


def as_text(record: Record, budgets: Sequence[Limit]) -> str:
    """Return plain text, one row to a line."""
    return report_text(report_parts(record, budgets))


def as_markdown(
    record: Record, budgets: Sequence[Limit], comparison: Comparison | None = None
) -> str:
    """Return Markdown, the command above the tables."""
    command = " ".join(record.settings.command)
    parts = [
        f"```console\n{command}\n```",
        *advice(record, budgets),
        "\n".join(f"- {line}" for line in opening_lines(record) if command not in line),
    ]
    if comparison is not None:
        parts.append(f"```\n{comparison.as_text()}\n```")
    parts += [*(table.to_markdown() for table in tables(record)), *note_lines(record)]
    return "\n\n".join(parts) + "\n"


def as_csv(record: Record) -> str:
    """Return one row for each configuration, one column for each metric, with units in its name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics = METRICS.values()
    units = [f"{metric.name}_{metric.unit}" if metric.unit else metric.name for metric in metrics]
    writer.writerow([*_SUBJECT, *units, *_COST, *_RATIO, "pareto"])
    best = pareto_front(record.results)
    for result in record.results:
        ratio = first_ratio(result)
        gained: tuple[object, ...] = (None,) * len(_RATIO)
        if ratio is not None:
            speed_up = ratio.speed_up
            gained = (speed_up.value, speed_up.low, speed_up.high, ratio.efficiency)
        # The writer leaves the cell of None empty.
        writer.writerow(
            [
                *(getattr(result.subject, field) for field in _SUBJECT),
                *(metric.of(result) for metric in metrics),
                *(getattr(result.cost, field, None) for field in _COST),
                *gained,
                result.subject.name in best,
            ]
        )
    return text.getvalue()


def opening_lines(record: Record) -> list[str]:
    """Return what it ran on and how, a line each."""
    settings, power = record.settings, record.power
    effort = (
        f"{settings.windows} counted runs"
        if settings.windows is not None
        else f"{settings.duration_s:g} counted seconds"
    )
    return [
        record.machine.hardware,
        record.machine.software,
        f"before: {_conditions(record.before)}",
        f"after: {_conditions(record.after)}",
        f"at least {effort} of each measure, in {settings.rounds} rounds, in turn:"
        f" {', '.join(settings.order)}",
        f"command: {' '.join(settings.command)}",
        f"power: {power.source}, {power.rail}"
        if power is not None
        else f"power: not measured ({record.power_problem or 'no sample was read'})",
    ]


def note_lines(record: Record) -> list[str]:
    """Return what the reader has to know."""
    lines = [f"Note: {note}" for note in record.notes]
    untrained = [one.subject.name for one in record.results if one.subject.random_weights]
    if untrained:
        which = "all configurations" if len(untrained) == len(record.results) else None
        lines.append(
            f"Note: weights are random, and poses mean nothing, of {which or ', '.join(untrained)}."
        )
    for result in record.results:
        name = result.subject.name
        for measure in result.measures:
            if measure.steadiness.state == "drifting" and measure.name != "push":
                lines.append(
                    f"Note: {name}, {measure.name}: no steady state was reached"
                    f" ({measure.steadiness.drift or 0.0:+.1%} from the first half to the second)."
                )
        if result.subject.sha256 is None and result.subject.engine == "onnxruntime":
            lines.append(
                f"Note: {name} is exported in the process that measures it, and its start and"
                " memory are those of the export."
            )
        if result.ceiling is not None:
            lines += [f"Note: {name}: ceiling by {each}." for each in result.ceiling.problems]
            lines += [f"Note: {name}: {each}." for each in result.ceiling.explanations]
        if result.profile is not None and result.profile.problem:
            lines.append(f"Note: {name}: {result.profile.problem}.")
    return lines


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
