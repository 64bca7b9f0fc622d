"""Accuracy beside speed: a configuration through the evaluation of ``hot-eval``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hot_sdk.benchmarks.evaluation.clip_errors import ClipErrors
from hot_sdk.benchmarks.evaluation.clips import EvaluationClip
from hot_sdk.benchmarks.evaluation.data_sets import DataSet
from hot_sdk.benchmarks.evaluation.metrics import mean_of, summarise
from hot_sdk.benchmarks.evaluation.protocols import protocol
from hot_sdk.benchmarks.evaluation.running import measure_model
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.result import Accuracy
from hot_sdk.pose_engine import Pose3DEngine

_PROTOCOL = "frames"


def measure_accuracy(
    configuration: Configuration,
    data: DataSet,
    clips: list[EvaluationClip],
    cache_dir: Path | None,
    tell: Callable[[float], None],
) -> Accuracy:
    """Lift every clip in the configuration's own engine, device and precision.

    Args:
        configuration: Of an exported file.
        data: The data set.
        clips: Its clips, or some of them.
        cache_dir: Folder for what the engine builds.
        tell: Is told what share is done.

    Raises:
        HotSDKError: The engine failed, or the model gives no metric unit.
    """
    counted = protocol(_PROTOCOL)
    by_action: dict[str, list[ClipErrors]] = {}
    every: list[ClipErrors] = []
    with Pose3DEngine(
        configuration.model,
        engine=configuration.engine,
        device=configuration.device,
        threads=configuration.threads,
        cache_dir=cache_dir,
        policies=data.policies,
    ) as engine:
        for number, clip in enumerate(clips):
            tell(number / len(clips))
            errors = measure_model(engine, clip, counted).errors
            every += errors
            by_action.setdefault(clip.action, []).extend(errors)
    overall = summarise(every)
    head = mean_of([summarise(one) for one in by_action.values()]) if data.by_action else overall
    return Accuracy(
        data=data.name,
        frames=overall.frames_scored,
        mpjpe_mm=head.mpjpe_mm,
        p_mpjpe_mm=head.p_mpjpe_mm,
        mpjve_mm_per_frame=head.mpjve_mm_per_frame,
    )
