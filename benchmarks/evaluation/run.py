"""Measure the errors of clips, lifted by a model or saved before."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hot_sdk.benchmarks.evaluation.clip_errors import ClipErrors, measure_clip
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.protocols import Index, Protocol
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.manifest import Manifest
from hot_sdk.offline import lift_stream
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.results.result import CAMERA_AXES, Pose3DResult
from hot_sdk.windows import MHFORMER_CENTER

_SAME_RATE = 1e-3


@dataclass(frozen=True, eq=False)
class MeasuredClip:
    """The errors of one clip.

    Attributes:
        name: Name of the clip.
        subject: Its subject.
        action: Its action.
        errors: Errors of each piece, as a protocol may divide a clip.
        lifting_s: Seconds that lifting took; 0 for a saved result.
        warnings: The lifter's warnings.
    """

    name: str
    subject: str
    action: str
    errors: tuple[ClipErrors, ...]
    lifting_s: float
    warnings: tuple[str, ...]


def check_windows(manifest: Manifest, protocol: Protocol) -> None:
    """Check that a model returns the frames that a protocol counts.

    Raises:
        UsageError: The protocol counts whole windows, and the model returns their center only.
    """
    if protocol.windows is not None and manifest.output_frames < manifest.frames:
        raise UsageError(
            f"The protocol '{protocol.name}' counts every frame of a window, but the model returns"
            " only its center.",
            hint=f"Give --protocol frames; its windows are '{MHFORMER_CENTER}', as published.",
        )


def check_rates(manifest: Manifest, protocol: Protocol, clips: Iterable[EvaluationClip]) -> None:
    """Check that a protocol's windows last as long as those that a model was trained on.

    Raises:
        UsageError: The protocol counts whole windows, and a clip has another frame rate.
    """
    if protocol.windows is None:
        return
    trained = manifest.training_fps
    rates = sorted({rate for clip in clips if (rate := clip.keypoints.effective_fps) is not None})
    if any(abs(rate / trained - 1.0) > _SAME_RATE for rate in rates):
        raise UsageError(
            f"The protocol '{protocol.name}' counts whole windows at {trained:g} frames per second,"
            f" as the model was trained, but the clips have"
            f" {', '.join(f'{rate:g}' for rate in rates)}.",
            hint="Give --protocol frames; poses are then resampled in time.",
        )


def measure_model(
    engine: Pose3DEngine,
    clip: EvaluationClip,
    protocol: Protocol,
    *,
    joints: int = 17,
    lookahead: int | None = None,
    hop: int | None = None,
    on_result: Callable[[Pose3DResult], object] | None = None,
) -> MeasuredClip:
    """Lift a clip and measure the poses.

    Args:
        engine: The model, with the windows of the protocol if it has some.
        clip: The clip.
        protocol: Which frames count.
        joints: 17 or 14.
        lookahead: Frames that a pose of a stream waits for; None lifts the whole clip at once.
        hop: Frames between runs of a stream; None for 1.
        on_result: Called with the poses of each piece of the clip.

    Raises:
        UsageError: The protocol counts whole windows, and a stream has none.
        ResultError: The model's poses have no metric unit.
        EngineError: The engine failed.
    """
    if lookahead is not None and protocol.windows is not None:
        raise UsageError(
            f"The protocol '{protocol.name}' counts whole windows, and a stream has none.",
            hint="Give --protocol frames.",
        )
    pieces = protocol.pieces(len(clip), engine.manifest.frames)
    people = [_piece(clip.keypoints, frames) for frames in pieces]
    start = time.perf_counter()
    results: Sequence[Pose3DResult]
    if lookahead is None:
        results = engine.lift(people)
    else:
        results = lift_stream(
            engine, people, lookahead=lookahead, hop=1 if hop is None else hop
        ).results
    taken = time.perf_counter() - start
    for result in results:
        if on_result is not None:
            on_result(result)
    return _measured(clip, results, pieces, joints, taken)


def measure_result(result: Pose3DResult, clip: EvaluationClip, *, joints: int = 17) -> MeasuredClip:
    """Measure poses that were saved before, every frame once.

    Raises:
        ResultError: They are of other frames, not along the camera's axes, or not metric.
    """
    if result.axes != CAMERA_AXES:
        raise ResultError(
            f"The poses are along '{result.axes}', the truth along '{CAMERA_AXES}'.",
            hint="Save the result before it is rotated to a robot's frame.",
        )
    if len(result) != len(clip):
        raise ResultError(
            f"The result has {len(result)} frames, the clip '{clip.name}' {len(clip)}.",
            hint="Lift every frame of the clip, or name the right one with --clip.",
        )
    return _measured(clip, [result], [np.arange(len(clip))], joints, 0.0)


def _measured(
    clip: EvaluationClip,
    results: Sequence[Pose3DResult],
    pieces: Sequence[Index],
    joints: int,
    lifting_s: float,
) -> MeasuredClip:
    truth = clip.truth_mm
    errors = tuple(
        measure_clip(
            result.to_millimeters().poses,
            truth[frames],
            fps=clip.keypoints.effective_fps,
            valid=clip.valid[frames],
            joints=joints,
        )
        for result, frames in zip(results, pieces, strict=True)
    )
    warnings = tuple(dict.fromkeys(text for result in results for text in result.warnings))
    return MeasuredClip(clip.name, clip.subject, clip.action, errors, lifting_s, warnings)


def _piece(keypoints: Keypoints, frames: Index) -> Keypoints:
    if len(frames) == len(keypoints) and np.array_equal(frames, np.arange(len(frames))):
        return keypoints
    scores = None if keypoints.scores is None else keypoints.scores[frames]
    return dataclasses.replace(
        keypoints, points=keypoints.points[frames], scores=scores, timestamps=None
    )
