"""An evaluation's report for people: tables on a terminal, aligned text elsewhere."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hot_sdk.benchmarks.evaluation.metrics import PoseMetrics
from hot_sdk.benchmarks.evaluation.protocols import PROTOCOLS
from hot_sdk.benchmarks.evaluation.report import EvaluationReport

_COLUMNS = (
    ("MPJPE mm", "mpjpe_mm"),
    ("P-MPJPE mm", "p_mpjpe_mm"),
    ("N-MPJPE mm", "n_mpjpe_mm"),
    ("MPJVE mm/frame", "mpjve_mm_per_frame"),
    ("PCK150 %", "pck150_percent"),
    ("AUC %", "auc_percent"),
    ("ends mm", "end_joint_error_mm"),
)
_MEASURES = (
    ("MPJPE (protocol 1)", "mpjpe_mm", "mm"),
    ("P-MPJPE (protocol 2)", "p_mpjpe_mm", "mm"),
    ("N-MPJPE", "n_mpjpe_mm", "mm"),
    ("MPJVE", "mpjve_mm_per_frame", "mm/frame"),
    ("MPJVE by the second", "mpjve_mm_per_s", "mm/s"),
    ("acceleration error", "acceleration_error_mm_per_frame2", "mm/frame²"),
    ("acceleration error by the second", "acceleration_error_mm_per_s2", "mm/s²"),
    ("PCK at 150 mm", "pck150_percent", "%"),
    ("AUC, 0 to 150 mm", "auc_percent", "%"),
    ("end joints (wrists, ankles)", "end_joint_error_mm", "mm"),
    ("bone length error", "bone_length_error_mm", "mm"),
    ("left-right symmetry error", "symmetry_error_mm", "mm"),
)
_NEEDED_FOR_TABLE = 2


@dataclass(frozen=True)
class _Table:
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def show(report: EvaluationReport) -> None:
    """Write a report to standard output: tables where ``rich`` can draw them on a terminal."""
    if sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
        _show_drawn(report)
    else:
        sys.stdout.write(as_text(report))


def as_text(report: EvaluationReport) -> str:
    """A report as plain text, one row on a line."""
    parts = [_heading(report)]
    for table in _tables(report):
        cells = [table.header, *table.rows] if any(table.header) else list(table.rows)
        widths = [max(len(row[place]) for row in cells) for place in range(len(table.header))]
        parts.append("\n".join([table.title, *(_line(row, widths) for row in cells)]))
    parts += [f"Warning: {warning}" for warning in report.warnings]
    return "\n\n".join(parts) + "\n"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def _show_drawn(report: EvaluationReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(_heading(report)))
    for table in _tables(report):
        first, *others = table.header
        drawn = Table(box=None, pad_edge=False, header_style="bold", show_header=any(others))
        drawn.add_column(first, overflow="fold")
        for column in others:
            # The unit below the name, so that all columns go into a narrow terminal.
            drawn.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
        for row in table.rows:
            drawn.add_row(*map(Text, row))
        console.print(Text(f"\n{table.title}", style="bold"))
        console.print(drawn)
    for warning in report.warnings:
        console.print(Text(f"\nWarning: {warning}", style="yellow"))


def _heading(report: EvaluationReport) -> str:
    settings, overall = report.settings, report.overall
    how = [
        f"{report.clips} clips",
        f"{overall.frames_scored} of {overall.frames_given} frames scored",
        PROTOCOLS[settings.protocol].about,
        f"{settings.joints} joints",
        f"keypoints {settings.keypoints}",
    ]
    if settings.windows is not None:
        how.append(f"windows {settings.windows}")
    if settings.flip:
        how.append("averaged with the mirror image")
    if settings.lookahead is not None:
        how.append(f"as a stream: lookahead {settings.lookahead}, hop {settings.hop}")
    changed = settings.corruption
    if changed.fps is not None:
        how.append(f"resampled to {changed.fps:g} frames a second")
    if changed.noise_px:
        how.append(f"noise of {changed.noise_px:g} px")
    if changed.missing:
        how.append(f"{changed.missing:.0%} of joints missing")
    lines = [f"{settings.source} on {settings.data}", "; ".join(how)]
    if report.lifted_frames_per_s is not None:
        lines.append(f"lifted {report.lifted_frames_per_s:.0f} frames a second")
    return "\n".join(lines)


def _tables(report: EvaluationReport) -> Iterable[_Table]:
    means = "mean over actions" if report.settings.by_action else "over all frames"
    head = report.headline
    yield _Table(
        f"Accuracy, {means}",
        ("", ""),
        tuple(
            (f"{name}, {unit}", _number(getattr(head, field))) for name, field, unit in _MEASURES
        ),
    )
    yield _Table(
        f"By joint, {means}, mm",
        ("", ""),
        tuple((name, _number(mm)) for name, mm in head.per_joint_mm.items()),
    )
    for title, groups in (("By action", report.by_action), ("By subject", report.by_subject)):
        if len(groups) >= _NEEDED_FOR_TABLE:
            rows = [(name, metrics) for name, metrics in groups.items()]
            if title == "By action":
                rows += [("mean of these", report.action_mean), ("all frames", report.overall)]
            header = ("", "frames", *(name for name, _ in _COLUMNS))
            yield _Table(title, header, tuple(_row(*row) for row in rows))


def _row(name: str, metrics: PoseMetrics) -> tuple[str, ...]:
    values = (_number(getattr(metrics, field)) for _, field in _COLUMNS)
    return (name, str(metrics.frames_scored), *values)


def _number(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.2f}"
