"""What an evaluation found: overall, by action and by subject."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hot_sdk.benchmarks.evaluation.corruption import Corruption
from hot_sdk.benchmarks.evaluation.metrics import PoseMetrics, mean_of, summarise
from hot_sdk.benchmarks.evaluation.running import MeasuredClip
from hot_sdk.manifest import Manifest
from hot_sdk.policies import InputPolicies

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
