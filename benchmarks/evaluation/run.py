"""From a model, or from saved results, to errors of every clip."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.metrics import ClipErrors, measure_clip
from hot_sdk.benchmarks.evaluation.protocols import Index, Protocol
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.manifest import Manifest
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.results.result import CAMERA_AXES, Pose3DResult
from hot_sdk.streams.offline import lift_stream
from hot_sdk.windows import MHFORMER_CENTER

_SAME_RATE = 1e-3


@dataclass(frozen=True, eq=False)
class MeasuredClip:
    """One clip's errors, and whose they are.

    Attributes:
        name: Of the clip.
        subject: Of the clip.
        action: Of the clip.
        errors: A list, for a protocol may take a clip apart.
        lifting_s: Seconds that lifting took; 0 for a saved result.
        warnings: What the lifter had to say.
    """

    name: str
    subject: str
    action: str
    errors: tuple[ClipErrors, ...]
    lifting_s: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Streaming:
    """Frame by frame, as a robot sees it, instead of the whole clip at once.

    Attributes:
        lookahead: Frames that a pose waits for.
        hop: Frames between runs of the engine.
    """

    lookahead: int
    hop: int = 1


def check_windows(manifest: Manifest, protocol: Protocol) -> None:
    """Check that a model gives what a protocol counts.

    Raises:
        UsageError: The protocol counts whole windows, and the model gives their centre only.
    """
    if protocol.windows is not None and manifest.output_frames < manifest.frames:
        raise UsageError(
            f"The protocol '{protocol.name}' counts every frame of a window, and the model gives"
            " its centre only.",
            hint=f"Give --protocol frames; its windows are '{MHFORMER_CENTER}', as published.",
        )


def check_rates(manifest: Manifest, protocol: Protocol, clips: Iterable[EvaluationClip]) -> None:
    """Check that a protocol's windows are of as many seconds as those a model was trained on.

    Raises:
        UsageError: The protocol counts whole windows, and a clip has another frame rate.
    """
    if protocol.windows is None:
        return
    trained = manifest.training_fps
    rates = sorted({rate for clip in clips if (rate := clip.keypoints.rate) is not None})
    if any(abs(rate / trained - 1.0) > _SAME_RATE for rate in rates):
        raise UsageError(
            f"The protocol '{protocol.name}' counts whole windows of {trained:g} frames a second,"
            f" the model's, and the clips have {', '.join(f'{rate:g}' for rate in rates)}.",
            hint="Give --protocol frames; poses are then resampled in time.",
        )


def measure_model(
    engine: Pose3DEngine,
    clip: EvaluationClip,
    protocol: Protocol,
    *,
    joints: int = 17,
    streaming: Streaming | None = None,
    keep: Callable[[Pose3DResult], object] | None = None,
) -> MeasuredClip:
    """Lift a clip and measure the poses.

    Args:
        engine: The model, with the windows of the protocol where it has some.
        clip: The clip.
        protocol: Which frames count.
        joints: 17 or 14.
        streaming: None lifts the clip at once.
        keep: Is given the result, where the protocol takes the clip whole.

    Raises:
        UsageError: The protocol and streaming contradict each other.
        ResultError: The model gives no metric unit.
        EngineError: The engine failed.
    """
    parts = protocol.pieces(len(clip), engine.manifest.frames)
    people = [_part(clip.keypoints, frames) for frames in parts]
    start = time.perf_counter()
    if streaming is None:
        results: Sequence[Pose3DResult] = engine.lift(people)
    elif protocol.windows is None:
        lifted = lift_stream(engine, people, lookahead=streaming.lookahead, hop=streaming.hop)
        results = lifted.results
    else:
        raise UsageError(
            f"The protocol '{protocol.name}' is of whole windows, and a stream has none.",
            hint="Give --protocol frames.",
        )
    taken = time.perf_counter() - start
    if keep is not None and protocol.windows is None:
        keep(results[0])
    truth = clip.truth_mm
    errors = tuple(
        measure_clip(
            _millimetres(result),
            truth[frames],
            fps=clip.keypoints.rate,
            valid=clip.valid[frames],
            joints=joints,
        )
        for result, frames in zip(results, parts, strict=True)
    )
    warnings = tuple(dict.fromkeys(text for result in results for text in result.warnings))
    return MeasuredClip(clip.name, clip.subject, clip.action, errors, taken, warnings)


def measure_result(result: Pose3DResult, clip: EvaluationClip, *, joints: int = 17) -> MeasuredClip:
    """Measure poses that were lifted before, every frame once.

    Raises:
        ResultError: They are of other frames, not along the camera's axes, or not metric.
    """
    if result.axes != CAMERA_AXES:
        raise ResultError(
            f"The poses are along '{result.axes}', the truth along '{CAMERA_AXES}'.",
            hint="Save the result before it is turned to a robot's frame.",
        )
    if len(result) != len(clip):
        raise ResultError(
            f"The result has {len(result)} frames, the clip '{clip.name}' {len(clip)}.",
            hint="Lift every frame of the clip, or name the right one with --clip.",
        )
    errors = measure_clip(
        _millimetres(result),
        clip.truth_mm,
        fps=clip.keypoints.rate,
        valid=clip.valid,
        joints=joints,
    )
    return MeasuredClip(clip.name, clip.subject, clip.action, (errors,), 0.0, result.warnings)


def _part(keypoints: Keypoints, frames: Index) -> Keypoints:
    if len(frames) == len(keypoints) and np.array_equal(frames, np.arange(len(frames))):
        return keypoints
    scores = None if keypoints.scores is None else keypoints.scores[frames]
    return dataclasses.replace(
        keypoints, points=keypoints.points[frames], scores=scores, timestamps=None
    )


def _millimetres(result: Pose3DResult) -> NDArray[np.float32]:
    return result.to_millimetres().poses
