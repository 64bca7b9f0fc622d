"""The measures by which video pose lifters are compared, over any number of clips."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.benchmarks.evaluation.body_errors import (
    AngleError,
    LengthError,
    angle_errors,
    length_errors,
)
from hot_sdk.benchmarks.evaluation.checks import (
    MM_PER_UNIT,
    check_axes,
    check_millimeters,
    check_order,
)
from hot_sdk.benchmarks.evaluation.clip_errors import (
    END_JOINTS,
    LIMBS_NECK_AND_HEAD,
    ClipErrors,
    Floats,
    checked_poses,
    measure_clip,
)
from hot_sdk.benchmarks.evaluation.coverage import Coverage, coverage
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.results.result import Pose3DResult
from hot_sdk.skeletons import H36M17

PCK_THRESHOLD_MM = 150.0
AUC_THRESHOLDS_MM = np.arange(0.0, 151.0, 5.0)
"""The 31 thresholds of MPI-INF-3DHP's evaluation code; 0 is one of them, so that perfect poses
reach 96.8 %."""


@dataclass(frozen=True)
class PoseMetrics:
    """Means over all scored frames, each frame counting once.

    A measure is NaN if nothing could be scored, and None in ``to_dict``. If the predicted poses
    have no metric unit, all but ``p_mpjpe_mm``, ``n_mpjpe_mm`` and ``angles`` are.

    Attributes:
        frames_given: Frames of the clips.
        frames_scored: Frames that the means are over.
        frames_without_truth: Left out: the truth is missing or marked as unusable.
        frames_without_prediction: Left out: there is a truth, but no finite prediction.
        frames_guessed: Left out: there are both, but a joint is only a guess and guesses are not to
            be scored; 0 if they are.
        mpjpe_mm: Mean distance of the joints, poses relative to the pelvis ("protocol 1").
        p_mpjpe_mm: The same after rotation, scale and shift of each frame ("protocol 2").
        n_mpjpe_mm: The same after a scale for each frame (Rhodin et al., CVPR 2018).
        mpjve_mm_per_frame: Mean length of the error of the displacement from frame to frame: a
            mean over each clip, and of these one weighted by the clips' frames, as published
            (Pavllo et al., CVPR 2019); it grows as the frame rate falls.
        mpjve_mm_per_s: The same per second; None if a clip's frame rate is unknown.
        acceleration_error_mm_per_frame2: Mean length of the error of second differences, as
            published (Kanazawa et al., CVPR 2019).
        acceleration_error_mm_per_s2: The same per second squared; None as above.
        pck150_percent: Share of joints nearer than 150 mm, over the 14 joints of MPI-INF-3DHP's
            evaluation code (Mehta et al., 3DV 2017), whichever joints the other measures are over.
        auc_percent: Mean of that share over thresholds 0, 5, ... 150 mm.
        end_joint_error_mm: Mean distance of wrists and ankles.
        bone_length_error_mm: Mean difference of a bone's length from the true one.
        symmetry_error_mm: Mean difference of the predicted lengths of a left bone and its mirror
            image; the truth plays no part.
        per_joint_mm: Mean distance of each of the 17 joints, by name.
        angles: Errors of ``knee``, ``elbow``, ``hip``, ``shoulder``, ``trunk_lean`` (unknown
            without the direction of gravity) and ``trunk_direction``, as ``body_errors`` defines
            them.
        lengths: Errors of the body's lengths by name, shoulder and hip width among them.
        coverage: How many errors lie within the stated spread; None if a clip's poses state none.
    """

    frames_given: int
    frames_scored: int
    frames_without_truth: int
    frames_without_prediction: int
    frames_guessed: int
    mpjpe_mm: float
    p_mpjpe_mm: float
    n_mpjpe_mm: float
    mpjve_mm_per_frame: float
    mpjve_mm_per_s: float | None
    acceleration_error_mm_per_frame2: float
    acceleration_error_mm_per_s2: float | None
    pck150_percent: float
    auc_percent: float
    end_joint_error_mm: float
    bone_length_error_mm: float
    symmetry_error_mm: float
    per_joint_mm: dict[str, float]
    angles: dict[str, AngleError]
    lengths: dict[str, LengthError]
    coverage: Coverage | None

    def to_dict(self) -> dict[str, object]:
        """Return the metrics as JSON values."""
        return to_json_values(dataclasses.asdict(self))


def evaluate_poses(
    predicted_mm: ArrayLike | Pose3DResult,
    truth_mm: ArrayLike | Pose3DResult,
    *,
    fps: float | None = None,
    valid: ArrayLike | None = None,
    joints: int = 17,
    score_guesses: bool = False,
    up: ArrayLike | None = None,
) -> PoseMetrics:
    """Return every measure of one clip.

    Args:
        predicted_mm: A result, in any unit; or (frames, 17, 3), millimeters, joints of ``H36M17``.
            If a result is in normalized pixels, only P-MPJPE, N-MPJPE and angles are finite.
        truth_mm: The same frames along the same axes: a result in a metric unit, or an array.
        fps: Frames per second; None if unknown.
        valid: (frames,), False if the truth must not be used; None uses every frame.
        joints: 17 or 14, as of ``measure_clip``.
        score_guesses: Score the joints that a predicted result marks as not valid, too. If not, the
            frames that have one are left out, and counted as ``frames_guessed``.
        up: (3,) or (frames, 3), the direction away from the ground along the same axes; None if
            unknown.

    Raises:
        ResultError: The poses do not fit each other, are not poses of 17 joints, are along a
            robot's axes, look like meters where millimeters are expected, or a true pose's joints
            are in another order.
        UsageError: ``joints`` or ``fps`` is out of range.
    """
    certain = None
    if isinstance(predicted_mm, Pose3DResult) and not score_guesses:
        certain = predicted_mm.valid
    predicted, metric = _millimeters(predicted_mm, "predicted")
    truth, known = _millimeters(truth_mm, "true")
    if not known:
        raise ResultError(
            "The true poses have no metric unit.", hint="Give a truth in meters or millimeters."
        )
    if isinstance(truth_mm, Pose3DResult):
        sure: NDArray[np.bool_] = np.logical_and.reduce(truth_mm.valid, axis=1)
        valid = sure if valid is None else sure & np.asarray(valid)
    errors = measure_clip(
        predicted,
        truth,
        fps=fps,
        valid=valid,
        joints=joints,
        certain=certain,
        metric=metric,
        up=up,
        spread_mm=spread_mm(predicted_mm) if isinstance(predicted_mm, Pose3DResult) else None,
    )
    return summarize([errors])


def _millimeters(poses: ArrayLike | Pose3DResult, which: str) -> tuple[Floats, bool]:
    """Return poses as an array, and whether they are in millimeters."""
    if isinstance(poses, Pose3DResult):
        check_axes(poses)
        factor = MM_PER_UNIT.get(poses.unit)
        return poses.poses.astype(np.float64) * (factor or 1.0), factor is not None
    array = checked_poses(poses, which)
    check_millimeters(array, which)
    if which == "true":
        check_order(array, which)
    return array, True


def spread_mm(result: Pose3DResult) -> Floats | None:
    """Return the spread that a result states, millimeters; None if it states none."""
    if result.spread is None or result.unit not in MM_PER_UNIT:
        return None
    return result.spread.astype(np.float64) * MM_PER_UNIT[result.unit]


def summarize(clips: Sequence[ClipErrors]) -> PoseMetrics:
    """Return every measure over all frames of clips.

    Raises:
        UsageError: There is no clip, or they were measured over different joints.
    """
    if len({clip.joints for clip in clips}) != 1:
        raise UsageError(
            "There are no clips, or clips measured over different joints.",
            hint="Measure all with the same joints.",
        )
    metric = all(clip.metric for clip in clips)
    position = np.concatenate([clip.position for clip in clips])
    scored = len(position)
    if not metric:
        position = np.zeros((0, position.shape[1]))
    by_rule = position[:, LIMBS_NECK_AND_HEAD]
    correct = [float((by_rule < limit).mean()) for limit in AUC_THRESHOLDS_MM if by_rule.size]
    timed = [(clip, clip.fps) for clip in clips if clip.fps is not None]
    velocity = acceleration = None
    if len(timed) == len(clips):
        velocity = _clip_mean([(clip, clip.velocity * fps) for clip, fps in timed])
        acceleration = _mean(*(clip.acceleration * fps**2 for clip, fps in timed if metric))
    parts = clips if metric else ()
    return PoseMetrics(
        frames_given=sum(clip.frames for clip in clips),
        frames_scored=scored,
        frames_without_truth=sum(clip.without_truth for clip in clips),
        frames_without_prediction=sum(clip.without_prediction for clip in clips),
        frames_guessed=sum(clip.guessed for clip in clips),
        mpjpe_mm=_mean(position[:, clips[0].joints]),
        p_mpjpe_mm=_mean(*(clip.aligned for clip in clips)),
        n_mpjpe_mm=_mean(*(clip.scaled for clip in clips)),
        mpjve_mm_per_frame=_clip_mean([(clip, clip.velocity) for clip in clips]),
        mpjve_mm_per_s=velocity,
        acceleration_error_mm_per_frame2=_mean(*(clip.acceleration for clip in parts)),
        acceleration_error_mm_per_s2=acceleration,
        pck150_percent=100.0 * _mean((by_rule < PCK_THRESHOLD_MM).astype(np.float64)),
        auc_percent=100.0 * float(np.mean(correct)) if correct else math.nan,
        end_joint_error_mm=_mean(position[:, END_JOINTS]),
        bone_length_error_mm=_mean(*(clip.bones for clip in parts)),
        symmetry_error_mm=_mean(*(clip.symmetry for clip in parts)),
        per_joint_mm={
            name: _mean(position[:, [joint]]) for joint, name in enumerate(H36M17.joints)
        },
        angles=angle_errors([clip.body for clip in clips]),
        lengths=length_errors([clip.body for clip in clips], known=metric),
        coverage=_coverage(clips),
    )


def _coverage(clips: Sequence[ClipErrors]) -> Coverage | None:
    ratios = [clip.spread_ratio for clip in clips if clip.spread_ratio is not None]
    spreads = [clip.spread for clip in clips if clip.spread is not None]
    # Part of the frames would be another set than that of the other measures.
    return coverage(ratios, spreads) if len(ratios) == len(clips) else None


def mean_of(metrics: Sequence[PoseMetrics]) -> PoseMetrics:
    """Average metrics, each counting once; numbers of frames are summed.

    Published numbers on Human3.6M are such means over its 15 actions.

    Raises:
        UsageError: There is nothing to average.
    """
    if not metrics:
        raise UsageError("There is nothing to average.", hint="Give the metrics of each group.")
    values: dict[str, object] = {}
    for field in dataclasses.fields(PoseMetrics):
        column = [getattr(one, field.name) for one in metrics]
        is_count = field.name.startswith("frames_")
        values[field.name] = sum(column) if is_count else _average(column)
    return PoseMetrics(**values)  # type: ignore[arg-type]


def _average(values: Sequence[Any]) -> object:
    """Average numbers, or each number of equal dictionaries and records; None if one is None."""
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, dict):
        return {name: _average([one[name] for one in values]) for name in first}
    if isinstance(first, (AngleError, LengthError, Coverage)):
        # No knee may be straight in a group of frames in which everyone sits.
        average = _average_of_known if isinstance(first, AngleError) else _average
        names = [field.name for field in dataclasses.fields(first)]
        means: dict[str, Any] = {
            name: average([getattr(one, name) for one in values]) for name in names
        }
        return dataclasses.replace(first, **means)
    return float(np.mean(values))


def _average_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def to_json_values(record: dict[str, Any]) -> dict[str, Any]:
    """Return nested dictionaries with None for NaN, which JSON cannot hold."""
    return {
        name: to_json_values(value)
        if isinstance(value, dict)
        else (None if isinstance(value, float) and math.isnan(value) else value)
        for name, value in record.items()
    }


def _mean(*parts: Floats) -> float:
    count = sum(part.size for part in parts)
    return sum(float(part.sum()) for part in parts) / count if count else math.nan


def _clip_mean(clips: Sequence[tuple[ClipErrors, Floats]]) -> float:
    """Return the mean of the clips' means, each weighted by the frames of its clip."""
    means = [
        (len(clip.position), float(values.mean()))
        for clip, values in clips
        if clip.metric and values.size
    ]
    frames = sum(count for count, _ in means)
    return sum(count * mean for count, mean in means) / frames if frames else math.nan
