"""What an evaluation found: overall, by action and by subject.

An evaluation's report for people: tables on a terminal, aligned text elsewhere.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hot_sdk.benchmarks.evaluation.corruption import Corruption
from hot_sdk.benchmarks.evaluation.metrics import PoseMetrics, mean_of, summarise
from hot_sdk.benchmarks.evaluation.protocols import PROTOCOLS
from hot_sdk.benchmarks.evaluation.run import MeasuredClip
from hot_sdk.manifest import Manifest
from hot_sdk.preprocessing.policies import InputPolicies

SCHEMA = 1
"""Version of the JSON record."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What was evaluated, and how.

    Attributes:
        source: Name of the model's file, or of the results.
        data: Name of the data set.
        keypoints: Name of its 2D keypoints.
        protocol: Which frames count.
        joints: 17 or 14.
        by_action: ``EvaluationReport.headline`` is the mean over actions.
        windows: Mode of the windows; None for the model's own, and for saved results.
        flip: Poses were averaged with those of the mirror image.
        lookahead: Frames that a stream waited for; None where clips were lifted whole.
        hop: Frames between runs of a stream; None as above.
        corruption: What was done to the clips first.
        engine: That ran the model; None for saved results, as below.
        device: That it ran on.
        threads: Of the CPU; None leaves it to the engine.
        policies: What was done about the keypoints.
        manifest: What the model's file says of itself: ratio, FLOPs, weights and the rest.
    """

    source: str
    data: str
    keypoints: str
    protocol: str
    joints: int
    by_action: bool
    windows: str | None
    flip: bool
    lookahead: int | None
    hop: int | None
    corruption: Corruption
    engine: str | None
    device: str | None
    threads: int | None
    policies: InputPolicies | None
    manifest: Manifest | None

    def to_dict(self) -> dict[str, object]:
        """All of it, as JSON holds it."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class EvaluationReport:
    """What an evaluation found.

    Attributes:
        settings: What was evaluated, and how.
        clips: Number of clips.
        overall: Over all frames, each counting once.
        action_mean: Mean of the actions' metrics, each counting once.
        by_action: Over the frames of each action.
        by_subject: Over the frames of each subject.
        lifted_frames_per_s: Frames over the time that lifting them took on this machine,
            preparation and all; None for saved results.
        warnings: What the reader has to know.
    """

    settings: EvaluationSettings
    clips: int
    overall: PoseMetrics
    action_mean: PoseMetrics
    by_action: dict[str, PoseMetrics]
    by_subject: dict[str, PoseMetrics]
    lifted_frames_per_s: float | None
    warnings: tuple[str, ...]

    @property
    def headline(self) -> PoseMetrics:
        """The metrics that published numbers of this data set are."""
        return self.action_mean if self.settings.by_action else self.overall

    def to_dict(self) -> dict[str, object]:
        """All of it, as JSON holds it."""
        return {
            "schema": SCHEMA,
            "settings": self.settings.to_dict(),
            "clips": self.clips,
            "headline": "action_mean" if self.settings.by_action else "overall",
            "overall": self.overall.to_dict(),
            "action_mean": self.action_mean.to_dict(),
            "by_action": {name: one.to_dict() for name, one in self.by_action.items()},
            "by_subject": {name: one.to_dict() for name, one in self.by_subject.items()},
            "lifted_frames_per_s": self.lifted_frames_per_s,
            "warnings": list(self.warnings),
        }


def make_report(settings: EvaluationSettings, measured: Sequence[MeasuredClip]) -> EvaluationReport:
    """Put the errors of clips together.

    Raises:
        UsageError: There are none.
    """
    by_action = _grouped(measured, lambda clip: clip.action)
    seconds = sum(clip.lifting_s for clip in measured)
    said = [text for clip in measured for text in clip.warnings]
    overall = _summary(measured)
    return EvaluationReport(
        settings=settings,
        clips=len(measured),
        overall=overall,
        action_mean=mean_of(list(by_action.values())),
        by_action=by_action,
        by_subject=_grouped(measured, lambda clip: clip.subject),
        lifted_frames_per_s=overall.frames_given / seconds if seconds > 0.0 else None,
        warnings=(*_left_out(overall), *dict.fromkeys(said)),
    )


def _grouped(
    measured: Sequence[MeasuredClip], key: Callable[[MeasuredClip], str]
) -> dict[str, PoseMetrics]:
    return {
        name: _summary([clip for clip in measured if key(clip) == name])
        for name in sorted({key(clip) for clip in measured})
    }


def _summary(measured: Sequence[MeasuredClip]) -> PoseMetrics:
    return summarise([errors for clip in measured for errors in clip.errors])


def _left_out(metrics: PoseMetrics) -> tuple[str, ...]:
    if metrics.frames_without_prediction == 0:
        return ()
    return (
        f"{metrics.frames_without_prediction} of {metrics.frames_given} frames have no predicted"
        " pose and are in none of these numbers.",
    )


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
