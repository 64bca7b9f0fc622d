"""The report of an evaluation: overall, by action and by subject, as JSON and as tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hot_sdk._base.tables import Table
from hot_sdk.benchmarks.evaluation.corruption import Corruption
from hot_sdk.benchmarks.evaluation.known import KNOWN
from hot_sdk.benchmarks.evaluation.metrics import (
    PoseMetrics,
    mean_of,
    summarize,
    to_json_values,
)
from hot_sdk.benchmarks.evaluation.protocols import PROTOCOLS
from hot_sdk.benchmarks.evaluation.run import MeasuredClip
from hot_sdk.manifest import Manifest
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.skeletons import H36M17

SCHEMA = 1
"""Version of the JSON report."""

_MEASURES = (
    ("MPJPE (protocol 1)", "mpjpe_mm", "mm"),
    ("P-MPJPE (protocol 2)", "p_mpjpe_mm", "mm"),
    ("N-MPJPE", "n_mpjpe_mm", "mm"),
    ("MPJVE", "mpjve_mm_per_frame", "mm/frame"),
    ("MPJVE per second", "mpjve_mm_per_s", "mm/s"),
    ("acceleration error", "acceleration_error_mm_per_frame2", "mm/frame²"),
    ("acceleration error per second", "acceleration_error_mm_per_s2", "mm/s²"),
    ("PCK at 150 mm", "pck150_percent", "%"),
    ("AUC, 0 to 150 mm", "auc_percent", "%"),
    ("end joints (wrists, ankles)", "end_joint_error_mm", "mm"),
    ("bone length error", "bone_length_error_mm", "mm"),
    ("left-right symmetry error", "symmetry_error_mm", "mm"),
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

_ANGLES = (
    ("RMSE", "rmse_degrees"),
    ("bias", "bias_degrees"),
    ("bias if straight", "straight_bias_degrees"),
    ("straight %", "straight_percent"),
)
_LENGTHS = (("true", "true_mm"), ("bias", "bias_mm"), ("error", "error_mm"))

_SHOWN_WARNINGS = 12
"""On a terminal; a data set may have hundreds of clips."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What was evaluated, and how.

    Attributes:
        source: Name of the model's file, or of the results.
        data: Name of the data set.
        keypoints: Name of its 2D detections.
        protocol: Name of the protocol, which defines the frames that count.
        joints: 17 or 14.
        by_action: ``EvaluationReport.headline`` is the mean over actions.
        windows: The window scheme; None for the model's own, and for saved results. A protocol that
            divides clips into whole windows names the scheme that lifts them as they are.
        flip: Poses were averaged with those of the mirror image.
        lookahead: Frames that a stream waited for; None if clips were lifted whole.
        hop: Frames between runs of a stream; None as above.
        corruption: What was done to the clips first.
        known: What the network was told of camera and person, a key of ``KNOWN``; None for what
            the keypoints state themselves. If several were asked for, the first.
        engine: The inference engine; None for saved results, as the following.
        device: Its device.
        threads: Its CPU threads; None leaves the number to the engine.
        policies: How keypoints were preprocessed.
        manifest: The model's manifest: ratio, FLOPs, weights and the rest.
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
    known: str | None
    engine: str | None
    device: str | None
    threads: int | None
    policies: InputPolicies | None
    manifest: Manifest | None


@dataclass(frozen=True)
class EvaluationReport:
    """The results of an evaluation.

    Attributes:
        settings: What was evaluated, and how.
        clips: Number of clips.
        frames_left_out: Frames of the clips that the protocol does not count.
        overall: Metrics over all frames, each counting once.
        action_mean: Mean of the actions' metrics, each counting once.
        by_action: Metrics over the frames of each action.
        by_subject: Metrics over the frames of each subject.
        by_known: The headline by what the network was told of camera and person, if more than one
            was asked for.
        lifted_frames_per_s: Frames per second of lifting on this machine, with preprocessing; None
            for saved results.
        warnings: Limits of the metrics.
    """

    settings: EvaluationSettings
    clips: int
    frames_left_out: int
    overall: PoseMetrics
    action_mean: PoseMetrics
    by_action: dict[str, PoseMetrics]
    by_subject: dict[str, PoseMetrics]
    by_known: dict[str, PoseMetrics]
    lifted_frames_per_s: float | None
    warnings: tuple[str, ...]

    @property
    def headline(self) -> PoseMetrics:
        """The metrics that compare with published numbers of this data set."""
        return self.action_mean if self.settings.by_action else self.overall

    def to_dict(self) -> dict[str, object]:
        """Return the report as JSON values."""
        headline = "action_mean" if self.settings.by_action else "overall"
        record = {"schema": SCHEMA, "headline": headline, **dataclasses.asdict(self)}
        return to_json_values(record)


def make_report(
    settings: EvaluationSettings,
    measured: Sequence[MeasuredClip],
    *,
    notes: Sequence[str] = (),
    by_known: Mapping[str, Sequence[MeasuredClip]] | None = None,
) -> EvaluationReport:
    """Combine the errors of clips.

    Args:
        settings: What was evaluated, and how.
        measured: The clips.
        notes: Further warnings, which come first.
        by_known: The clips by what the network was told, ``measured`` among them, if more than one
            was asked for.

    Raises:
        UsageError: There are no clips.
    """
    by_action = _grouped(measured, lambda clip: clip.action)
    overall = _summary(measured)
    seconds = sum(clip.lifting_s for clip in measured)
    warnings = [text for clip in measured for text in clip.warnings]
    if overall.frames_without_prediction:
        left_out = (
            f"{overall.frames_without_prediction} of {overall.frames_given} frames have no"
            " predicted pose and are in none of these numbers."
        )
        warnings.insert(0, left_out)
    if guessed := sum(clip.guessed_joints for clip in measured):
        warnings.insert(
            0,
            f"{guessed} of {len(H36M17.joints) * overall.frames_given} joints are only guesses, as"
            " their keypoints were missing too long; they are scored.",
        )
    warnings = [*notes, *warnings]
    return EvaluationReport(
        settings=settings,
        clips=len(measured),
        frames_left_out=sum(clip.left_out for clip in measured),
        overall=overall,
        action_mean=mean_of(list(by_action.values())),
        by_action=by_action,
        by_subject=_grouped(measured, lambda clip: clip.subject),
        by_known={
            name: _headline(clips, by_action=settings.by_action)
            for name, clips in (by_known or {}).items()
        },
        lifted_frames_per_s=overall.frames_given / seconds if seconds > 0.0 else None,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def report_parts(report: EvaluationReport) -> list[str | Table]:
    """Return the paragraphs and tables of a report."""
    means = "mean over actions" if report.settings.by_action else "over all frames"
    head, more = report.headline, len(report.warnings) - _SHOWN_WARNINGS
    measures = [
        (f"{name}, {unit}", _number(getattr(head, field))) for name, field, unit in _MEASURES
    ]
    joints = [(name, _number(mm)) for name, mm in head.per_joint_mm.items()]
    return [
        _heading(report),
        Table(f"Accuracy, {means}", ("", ""), tuple(measures)),
        Table(f"By joint, {means}, mm", ("", ""), tuple(joints)),
        *_body_tables(head, means),
        *_known_table(report, means),
        *_group_tables(report),
        *(f"Warning: {warning}" for warning in report.warnings[:_SHOWN_WARNINGS]),
        *([f"and {more} more warnings; --json has them all."] if more > 0 else []),
    ]


def _grouped(
    measured: Sequence[MeasuredClip], key: Callable[[MeasuredClip], str]
) -> dict[str, PoseMetrics]:
    return {
        name: _summary([clip for clip in measured if key(clip) == name])
        for name in sorted({key(clip) for clip in measured})
    }


def _headline(measured: Sequence[MeasuredClip], *, by_action: bool) -> PoseMetrics:
    if not by_action:
        return _summary(measured)
    return mean_of(list(_grouped(measured, lambda clip: clip.action).values()))


def _summary(measured: Sequence[MeasuredClip]) -> PoseMetrics:
    return summarize([clip.errors for clip in measured])


def _heading(report: EvaluationReport) -> str:
    settings, overall = report.settings, report.overall
    details = [
        f"{report.clips} clips",
        f"{overall.frames_scored} of {overall.frames_given} frames scored",
        PROTOCOLS[settings.protocol].about,
        f"{settings.joints} joints",
        f"detections {settings.keypoints}",
    ]
    if report.frames_left_out:
        details.insert(2, f"{report.frames_left_out} left out by the protocol")
    if settings.windows is not None and PROTOCOLS[settings.protocol].windows is None:
        details.append(f"windows {settings.windows}")
    if settings.flip:
        details.append("averaged with the mirror image")
    if settings.lookahead is not None:
        details.append(f"as a stream: lookahead {settings.lookahead}, hop {settings.hop}")
    changed = settings.corruption
    if changed.fps is not None:
        details.append(f"resampled to {changed.fps:g} frames per second")
    if changed.noise_px:
        details.append(f"noise of {changed.noise_px:g} px")
    if changed.missing:
        details.append(f"{changed.missing:.0%} of joints missing")
    if changed.up_degrees:
        details.append(f"gravity off by {changed.up_degrees:g} degrees")
    if settings.known is not None:
        details.append(f"known: {KNOWN[settings.known].about}")
    lines = [f"{settings.source} on {settings.data}", "; ".join(details)]
    if report.lifted_frames_per_s is not None:
        lines.append(f"lifted {report.lifted_frames_per_s:.0f} frames per second")
    return "\n".join(lines)


def _body_tables(head: PoseMetrics, means: str) -> list[Table]:
    """Return the tables of angles and lengths, and of coverage if there is one."""
    angles = [
        (name.replace("_", " "), *(_number(getattr(one, field)) for _, field in _ANGLES))
        for name, one in head.angles.items()
    ]
    lengths = [
        (name.replace("_", " "), *(_number(getattr(one, field)) for _, field in _LENGTHS))
        for name, one in head.lengths.items()
    ]
    tables = [
        Table(f"Angles, {means}, degrees", ("", *(name for name, _ in _ANGLES)), tuple(angles)),
        Table(f"Lengths, {means}, mm", ("", *(name for name, _ in _LENGTHS)), tuple(lengths)),
    ]
    if (found := head.coverage) is not None:
        axes = tuple(found.spread_mm)
        rows = [
            (f"within the interval of {level} %, %", *(_number(shares[axis]) for axis in axes))
            for level, shares in found.percent.items()
        ]
        rows.append(("stated spread, mm", *(_number(found.spread_mm[axis]) for axis in axes)))
        tables.append(Table(f"Coverage, {means}", ("", *axes), tuple(rows)))
    return tables


def _known_table(report: EvaluationReport, means: str) -> list[Table]:
    if not report.by_known:
        return []
    header = ("", "frames", *(name for name, _ in _COLUMNS))
    rows = tuple(_row(KNOWN[name].about, metrics) for name, metrics in report.by_known.items())
    return [Table(f"By what is known, {means}", header, rows)]


def _group_tables(report: EvaluationReport) -> list[Table]:
    actions = [*report.by_action.items()]
    actions += [("mean of these", report.action_mean), ("all frames", report.overall)]
    header = ("", "frames", *(name for name, _ in _COLUMNS))
    return [
        Table(title, header, tuple(_row(*row) for row in rows))
        for title, groups, rows in (
            ("By action", report.by_action, actions),
            ("By subject", report.by_subject, list(report.by_subject.items())),
        )
        if len(groups) > 1
    ]


def _row(name: str, metrics: PoseMetrics) -> tuple[str, ...]:
    values = (_number(getattr(metrics, field)) for _, field in _COLUMNS)
    return (name, str(metrics.frames_scored), *values)


def _number(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.2f}"
