"""Measure the errors of clips, lifted by a model or saved before."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.checks import MM_PER_UNIT, check_axes
from hot_sdk.benchmarks.evaluation.clip_errors import ClipErrors, measure_clip
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.metrics import spread_mm
from hot_sdk.benchmarks.evaluation.protocols import Index, Piece, Protocol
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.manifest import NORMALIZED_PIXELS, Manifest
from hot_sdk.offline import lift_stream
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.results.result import MILLIMETERS, Pose3DResult
from hot_sdk.windows import MHFORMER_CENTER

_SAME_RATE = 1e-3
_OTHER_UNIT = (300.0, 3000.0)
"""Predicted size over the true one, or the other way round, that only a wrong unit explains."""


@dataclass(frozen=True, eq=False)
class MeasuredClip:
    """The errors of one clip.

    Attributes:
        name: Name of the clip.
        subject: Its subject.
        action: Its action.
        errors: Errors of the frames that count.
        left_out: Frames of the clip that the protocol does not count.
        guessed_joints: Joints of the frames that count which are only guesses, as their keypoints
            were missing too long; they are scored.
        lifting_s: Seconds that lifting took; 0 for a saved result.
        warnings: The lifter's warnings, and what is unlikely about the poses.
    """

    name: str
    subject: str
    action: str
    errors: ClipErrors
    left_out: int
    guessed_joints: int
    lifting_s: float
    warnings: tuple[str, ...]


def usable_scale(clip: EvaluationClip, manifest: Manifest | None) -> EvaluationClip:
    """Return the clip without its scale of normalized pixels if that is another network's.

    Networks trained on Human3.6M and on MPI-INF-3DHP mean different things by normalized pixels.

    Args:
        clip: The clip.
        manifest: The model's; None for saved poses, of which it is not known.
    """
    if clip.mm_per_px is None or clip.scale_of is None:
        return clip
    if (None if manifest is None else manifest.trained_on) in clip.scale_of:
        return clip
    return dataclasses.replace(clip, mm_per_px=None)


def lacks_scale(manifest: Manifest, clips: Iterable[EvaluationClip]) -> bool:
    """Return True if a model's poses cannot be turned into millimeters on some of the clips."""
    if manifest.unit != NORMALIZED_PIXELS:
        return manifest.unit not in MM_PER_UNIT
    return any(usable_scale(clip, manifest).mm_per_px is None for clip in clips)


def evaluation_notes(
    manifest: Manifest | None,
    protocol: Protocol,
    clips: Sequence[EvaluationClip],
    *,
    trained_on: str | None = None,
) -> tuple[str, ...]:
    """Return what a reader of the errors has to know, from the model and the clips alone.

    Args:
        manifest: The model's; None for saved poses.
        protocol: Which frames count.
        clips: The clips.
        trained_on: The clips' data set, as manifests name it; None if it is none of these.
    """
    notes = [note for clip in clips for note in clip.notes]
    if manifest is None:
        return tuple(dict.fromkeys(notes))
    if lacks_scale(manifest, clips):
        notes.append(
            f"The model returns '{manifest.unit}', and the data has no scale for them: only"
            " P-MPJPE, N-MPJPE and angles are known."
        )
    if None not in (trained_on, manifest.trained_on) and trained_on != manifest.trained_on:
        notes.append(
            f"The network was trained on {manifest.trained_on}, whose joints are at slightly other"
            f" places than those of {trained_on}."
        )
    short = sum(len(clip) < manifest.frames for clip in clips)
    if protocol.name == "motionbert" and short:
        notes.append(
            f"{short} of {len(clips)} clips are shorter than a window of {manifest.frames} frames;"
            " the published code repeats frames of these at random, here they are repeated evenly."
        )
    return tuple(dict.fromkeys(notes))


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
        clip: The clip. If the model returns normalized pixels and the clip has no scale for them,
            only the measures that need none are finite.
        protocol: Which frames count.
        joints: 17 or 14.
        lookahead: Frames that a pose of a stream waits for; None lifts the whole clip at once.
        hop: Frames between runs of a stream; None for 1.
        on_result: Called with the poses of each piece of the clip.

    Raises:
        UsageError: The protocol counts whole windows, and a stream has none.
        EngineError: The engine failed.
    """
    if lookahead is not None and protocol.windows is not None:
        raise UsageError(
            f"The protocol '{protocol.name}' counts whole windows, and a stream has none.",
            hint="Give --protocol frames.",
        )
    clip = usable_scale(clip, engine.manifest)
    pieces = protocol.pieces(len(clip), engine.manifest.frames, clip.valid)
    people = [_part(clip.keypoints, piece.frames) for piece in pieces]
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
    return _measured(clip, results, pieces, protocol.jumps, joints, taken)


def measure_result(result: Pose3DResult, clip: EvaluationClip, *, joints: int = 17) -> MeasuredClip:
    """Measure poses that were saved before, every frame once.

    Args:
        result: The poses. If they are in normalized pixels and the clip has no scale for them, only
            the measures that need none are finite.
        clip: The clip that they were lifted from.
        joints: 17 or 14.

    Raises:
        ResultError: They are of other frames, apart from those at the ends in which the clip shows
            no one, or not along the camera's axes.
    """
    check_axes(result)
    result = _over_whole_clip(result, clip)
    whole = [Piece(np.arange(len(clip)))]
    return _measured(usable_scale(clip, None), [result], whole, False, joints, 0.0)


def _over_whole_clip(result: Pose3DResult, clip: EvaluationClip) -> Pose3DResult:
    """Return a result of every frame, NaN where a part that shows no one was left out."""
    missing = np.ones(len(clip), dtype=np.bool_)
    first = result.first_frame
    missing[first : first + len(result)] = False
    seen = np.isfinite(clip.keypoints.points).any(axis=(1, 2))
    fits = first + len(result) <= len(clip) and not (missing & seen).any()
    if not fits:
        raise ResultError(
            f"The result has {len(result)} frames, the clip '{clip.name}' {len(clip)}.",
            hint="Lift every frame of the clip, or name the right one with --clip.",
        )
    if not missing.any():
        return result
    poses = np.full(clip.truth.shape, np.nan, dtype=np.float32)
    poses[~missing] = result.poses
    valid = np.zeros(poses.shape[:2], dtype=np.bool_)
    valid[~missing] = result.valid
    spread = None
    if result.spread is not None:
        spread = np.full(poses.shape, np.nan, dtype=np.float32)
        spread[~missing] = result.spread
    return dataclasses.replace(
        result,
        poses=poses,
        valid=valid,
        timestamps=np.arange(len(clip), dtype=np.float64),
        root=None,
        root_error=None,
        first_frame=0,
        spread=spread,
    )


def _measured(
    clip: EvaluationClip,
    results: Sequence[Pose3DResult],
    pieces: Sequence[Piece],
    jumps: bool,
    joints: int,
    lifting_s: float,
) -> MeasuredClip:
    frames: Index = np.concatenate(
        [np.zeros(0, dtype=np.int64), *(piece.counted_frames for piece in pieces)]
    )
    poses = np.zeros((0, *clip.truth.shape[1:]))
    unit = results[0].unit if results else MILLIMETERS
    if results:
        poses = np.concatenate(
            [
                result.poses if piece.counted is None else result.poses[piece.counted]
                for result, piece in zip(results, pieces, strict=True)
            ]
        ).astype(np.float64)
    scale, metric = _scale(unit, clip, frames)
    predicted, truth = poses * scale, clip.truth_mm[frames]
    errors = measure_clip(
        predicted,
        truth,
        fps=clip.keypoints.effective_fps,
        valid=clip.valid[frames],
        joints=joints,
        follows=None if jumps else np.diff(frames) == 1,
        metric=metric,
        up=clip.up if clip.up is None or clip.up.ndim == 1 else clip.up[frames],
        spread_mm=_spread(results, pieces),
    )
    warnings = dict.fromkeys(text for result in results for text in result.warnings)
    if metric and (text := _wrong_unit(predicted, truth)) is not None:
        warnings[text] = None
    return MeasuredClip(
        name=clip.name,
        subject=clip.subject,
        action=clip.action,
        errors=errors,
        left_out=len(clip) - len(np.unique(frames)),
        guessed_joints=sum(
            int(np.count_nonzero(~result.valid[slice(None) if of.counted is None else of.counted]))
            for result, of in zip(results, pieces, strict=True)
        ),
        lifting_s=lifting_s,
        warnings=tuple(warnings),
    )


def _spread(results: Sequence[Pose3DResult], pieces: Sequence[Piece]) -> NDArray[np.float64] | None:
    """Return the spread of the poses that count, millimeters; None if a result states none."""
    stated = [spread_mm(result) for result in results]
    counted = [
        spread if piece.counted is None else spread[piece.counted]
        for spread, piece in zip(stated, pieces, strict=True)
        if spread is not None
    ]
    return np.concatenate(counted) if counted and len(counted) == len(stated) else None


def _scale(unit: str, clip: EvaluationClip, frames: Index) -> tuple[NDArray[np.float64], bool]:
    """Return millimeters per unit of each frame, and whether they are known."""
    if unit in MM_PER_UNIT:
        return np.array(MM_PER_UNIT[unit]), True
    if unit != NORMALIZED_PIXELS or clip.mm_per_px is None:
        return np.array(1.0), False
    half_width = clip.keypoints.image_size[0] / 2.0
    return clip.mm_per_px[frames][:, None, None] * half_width, True


def _wrong_unit(predicted: NDArray[Any], truth: NDArray[Any]) -> str | None:
    """Return a warning if poses are a thousand times as large, or as small, as the truth."""
    scored = np.isfinite(predicted).all(axis=(1, 2)) & np.isfinite(truth).all(axis=(1, 2))
    ours, theirs = (np.abs(np.diff(each[scored], axis=1)) for each in (predicted, truth))
    if not ours.size or not ours.any() or not theirs.any():
        return None
    ratio = float(np.median(ours.sum(axis=(1, 2)) / theirs.sum(axis=(1, 2))))
    if _OTHER_UNIT[0] < ratio < _OTHER_UNIT[1]:
        return (
            f"The poses are {ratio:.0f} times as large as the truth, as if they were in millimeters"
            " and were taken for meters; the errors in millimeters mean nothing."
        )
    if _OTHER_UNIT[0] < 1.0 / max(ratio, 1e-9) < _OTHER_UNIT[1]:
        return (
            f"The truth is {1.0 / ratio:.0f} times as large as the poses, as if they were in meters"
            " and were taken for millimeters; the errors in millimeters mean nothing."
        )
    return None


def _part(keypoints: Keypoints, frames: Index) -> Keypoints:
    if len(frames) == len(keypoints) and np.array_equal(frames, np.arange(len(frames))):
        return keypoints
    scores = None if keypoints.scores is None else keypoints.scores[frames]
    return dataclasses.replace(
        keypoints,
        points=keypoints.points[frames],
        scores=scores,
        timestamps=None,
        up=keypoints.knowledge.up_of(frames),
    )
