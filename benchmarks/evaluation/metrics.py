"""The measures by which video pose lifters are compared, of any number of clips.

Bringing a predicted pose as near to the true one as a measure allows, each frame by itself.

Which of Human3.6M's 17 joints a measure looks at.

How far the poses of one clip are from the truth, frame by frame and joint by joint.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.errors import ResultError, UsageError
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float64]


def similarity_aligned(predicted: Floats, truth: Floats) -> Floats:
    """Predicted poses after the rotation, scale and shift that bring each nearest to the truth.

    Nearest in the sum of squared distances, by orthogonal Procrustes analysis (Gower 1975) with
    Kabsch's correction: a mirror image is never allowed, however near it would come.

    Args:
        predicted: (frames, joints, 3).
        truth: (frames, joints, 3), in the same unit.

    Returns:
        (frames, joints, 3), along the axes and about the place of ``truth``. A pose whose joints
        all coincide has neither direction nor size and lands on the centroid of the truth.
    """
    centre = truth.mean(axis=1, keepdims=True)
    source = predicted - predicted.mean(axis=1, keepdims=True)
    left, sizes, right = np.linalg.svd(source.swapaxes(1, 2) @ (truth - centre))
    mirrored = np.linalg.det(left) * np.linalg.det(right) < 0.0
    sizes[mirrored, -1] *= -1.0
    left[mirrored, :, -1] *= -1.0
    scale = _ratio(sizes.sum(axis=-1), (source**2).sum(axis=(1, 2)))
    aligned: Floats = scale[:, None, None] * (source @ left @ right) + centre
    return aligned


def scale_aligned(predicted: Floats, truth: Floats) -> Floats:
    """Predicted poses after the one factor that brings each nearest to the truth.

    Of N-MPJPE (Rhodin et al., CVPR 2018): no rotation and no shift, so that both have to be
    relative to the pelvis already.

    Args:
        predicted: (frames, joints, 3).
        truth: (frames, joints, 3), in the same unit.

    Returns:
        (frames, joints, 3).
    """
    scale = _ratio((predicted * truth).sum(axis=(1, 2)), (predicted**2).sum(axis=(1, 2)))
    scaled: Floats = scale[:, None, None] * predicted
    return scaled


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Their ratio, 0 where both vanish because a pose is a single point."""
    whole = denominator > 0.0
    ratio: Floats = np.where(whole, numerator, 0.0) / np.where(whole, denominator, 1.0)
    return ratio


ROOT = 0
"""The pelvis; every pose is taken relative to it."""

ALL_JOINTS = tuple(range(len(H36M17.joints)))

LIMBS_NECK_AND_HEAD = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
"""The 14 joints that two rules share. Human3.6M's 14-joint protocol (Bogo et al., ECCV 2016) takes
the joints of LSP. The evaluation code of MPI-INF-3DHP (Mehta et al., 3DV 2017) groups head top,
neck, shoulders, elbows, wrists, hips, knees and ankles for PCK and AUC. Neither takes pelvis,
spine, or what lies between neck and head top."""

JOINT_SETS = {17: ALL_JOINTS, 14: LIMBS_NECK_AND_HEAD}
"""Joints of an evaluation by their number."""

END_JOINTS = (3, 6, 13, 16)
"""Ankles and wrists: the ends of the limbs, where errors along the limbs add up (Cai et al.,
"HTNet", ICASSP 2023)."""

BONES = tuple((parent, joint) for joint, parent in enumerate(H36M17.parents) if parent >= 0)
"""The 16 bones, each from the joint nearer to the pelvis."""

_PLACE = {bone: place for place, bone in enumerate(BONES)}

MIRRORED_BONES = tuple(
    (_PLACE[H36M17.parents[left], left], _PLACE[H36M17.parents[right], right])
    for left, right in zip(H36M17.left, H36M17.right, strict=True)
)
"""Of each left bone and its mirror image, their places in ``BONES``."""


def joint_set(joints: int) -> tuple[int, ...]:
    """Indices of the joints of an evaluation over 17 or 14 joints.

    Raises:
        UsageError: The number is another.
    """
    if joints not in JOINT_SETS:
        raise UsageError(
            f"There is no set of {joints!r} joints.",
            hint=f"Give one of: {', '.join(map(str, JOINT_SETS))}.",
        )
    return JOINT_SETS[joints]


@dataclass(frozen=True, eq=False)
class ClipErrors:
    """What was measured on one clip; only of the frames that could be scored.

    Attributes:
        position: (scored, 17), distance of each joint, millimetres.
        similar: (scored, joints), the same after ``similarity_aligned``.
        scaled: (scored, joints), the same after ``scale_aligned``.
        velocity: (steps, joints), length of the difference of the two displacements from one frame
            to the next, mm, where both frames were scored.
        acceleration: (turns, joints), the same of second differences, where all three were.
        bones: (scored, 16), difference of each bone's length from the true one, mm, 0 or more.
        symmetry: (scored, 6), difference of the predicted lengths of a left bone and its mirror
            image, mm, 0 or more.
        joints: Indices of the joints of the evaluation.
        fps: Frames a second; None where unknown.
        given: Frames of the clip.
        unknown_truth: Frames whose truth is missing or said to be unusable.
        unknown_prediction: Frames that have a truth and no finite prediction.
    """

    position: Floats
    similar: Floats
    scaled: Floats
    velocity: Floats
    acceleration: Floats
    bones: Floats
    symmetry: Floats
    joints: tuple[int, ...]
    fps: float | None
    given: int
    unknown_truth: int
    unknown_prediction: int


def measure_clip(
    predicted_mm: ArrayLike,
    truth_mm: ArrayLike,
    *,
    fps: float | None = None,
    valid: ArrayLike | None = None,
    joints: int = 17,
) -> ClipErrors:
    """Measure the poses of one clip.

    Both are taken relative to their own pelvis. A frame with a number in it that is not finite is
    not scored, and is counted; neither is any step or turn that it takes part in.

    Args:
        predicted_mm: (frames, 17, 3), millimetres, joints of ``H36M17``.
        truth_mm: (frames, 17, 3), of the same frames, along the same axes.
        fps: Frames a second; None where unknown.
        valid: (frames,), False where the truth is not to be used; None uses every frame.
        joints: 17 or 14; see ``joint_set``. Bones are always those of all 17.

    Raises:
        ResultError: The arrays do not fit each other, or are no poses of 17 joints.
        UsageError: ``joints`` or ``fps`` is out of range.
    """
    chosen = joint_set(joints)
    if fps is not None and not (np.isfinite(fps) and fps > 0.0):
        raise UsageError(f"fps is {fps!r}.", hint="Give frames a second, above 0, or None.")
    predicted, truth = _poses(predicted_mm, "predicted"), _poses(truth_mm, "true")
    if predicted.shape != truth.shape:
        raise ResultError(
            f"{len(predicted)} predicted poses cannot be compared with {len(truth)} true ones.",
            hint="Give both for the same frames.",
        )
    known = _every(np.isfinite(truth), axis=(1, 2))
    if valid is not None:
        known &= _mask(valid, len(truth))
    lifted = _every(np.isfinite(predicted), axis=(1, 2))
    scored = known & lifted
    # Where a number is missing it must not reach a singular value decomposition.
    predicted = np.where(scored[:, None, None], predicted - predicted[:, [ROOT]], 0.0)
    truth = np.where(scored[:, None, None], truth - truth[:, [ROOT]], 0.0)
    ours, theirs = predicted[scored], truth[scored]
    few, true_few = ours[:, chosen], theirs[:, chosen]
    lengths = _lengths(ours)
    left, right = np.array(MIRRORED_BONES).T
    apart = (predicted - truth)[:, chosen]
    return ClipErrors(
        position=_norm(ours - theirs),
        similar=_norm(similarity_aligned(few, true_few) - true_few),
        scaled=_norm(scale_aligned(few, true_few) - true_few),
        velocity=_norm(np.diff(apart, axis=0)[_runs(scored, 2)]),
        acceleration=_norm(np.diff(apart, n=2, axis=0)[_runs(scored, 3)]),
        bones=np.abs(lengths - _lengths(theirs)),
        symmetry=np.abs(lengths[:, left] - lengths[:, right]),
        joints=chosen,
        fps=fps,
        given=len(truth),
        unknown_truth=int((~known).sum()),
        unknown_prediction=int((known & ~lifted).sum()),
    )


def _poses(values: ArrayLike, which: str) -> Floats:
    poses = np.asarray(values)
    if poses.ndim != 3 or poses.shape[1:] != (len(ALL_JOINTS), 3) or poses.dtype.kind not in "fiu":
        raise ResultError(
            f"The {which} poses are {poses.dtype} of shape {poses.shape}.",
            hint="Give numbers of shape (frames, 17, 3), in millimetres.",
        )
    return poses.astype(np.float64)


def _mask(values: ArrayLike, frames: int) -> NDArray[np.bool_]:
    mask = np.asarray(values)
    if mask.shape != (frames,) or mask.dtype != np.bool_:
        raise ResultError(
            f"valid is {mask.dtype} of shape {mask.shape}.",
            hint=f"Give one truth value for each of the {frames} frames.",
        )
    return mask


def _norm(differences: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(differences, axis=-1)
    return lengths


def _lengths(poses: Floats) -> Floats:
    nearer, farther = np.array(BONES).T
    return _norm(poses[:, farther] - poses[:, nearer])


def _runs(scored: NDArray[np.bool_], frames: int) -> NDArray[np.bool_]:
    """Whether so many frames from each one on were all scored."""
    if len(scored) < frames:
        return np.zeros(0, dtype=np.bool_)
    return _every(np.lib.stride_tricks.sliding_window_view(scored, frames), axis=(1,))


def _every(values: NDArray[np.bool_], axis: tuple[int, ...]) -> NDArray[np.bool_]:
    every: NDArray[np.bool_] = np.logical_and.reduce(values, axis=axis)
    return every


PCK_THRESHOLD_MM = 150.0
AUC_THRESHOLDS_MM = np.arange(0.0, 151.0, 5.0)
"""The 31 thresholds of MPI-INF-3DHP's evaluation code; 0 is one of them, so that perfect poses
reach 96.8 %."""


@dataclass(frozen=True)
class PoseMetrics:
    """Means over all scored frames, each frame counting once.

    A measure is NaN where nothing could be scored, None in ``to_dict``.

    Attributes:
        frames_given: Frames of the clips.
        frames_scored: Frames that the means are over.
        frames_without_truth: Left out: the truth is missing or said to be unusable.
        frames_without_prediction: Left out: there is a truth, but no finite prediction.
        mpjpe_mm: Mean distance of the joints, poses relative to the pelvis ("protocol 1").
        p_mpjpe_mm: The same after rotation, scale and shift of each frame ("protocol 2").
        n_mpjpe_mm: The same after a scale for each frame (Rhodin et al., CVPR 2018).
        mpjve_mm_per_frame: Mean length of the error of the displacement from frame to frame, as
            published (Pavllo et al., CVPR 2019); it grows as the frame rate falls.
        mpjve_mm_per_s: The same by the second; None where a clip's frame rate is unknown.
        acceleration_error_mm_per_frame2: Mean length of the error of second differences, as
            published (Kanazawa et al., CVPR 2019).
        acceleration_error_mm_per_s2: The same by the second squared; None as above.
        pck150_percent: Share of joints nearer than 150 mm, over the 14 joints of MPI-INF-3DHP's
            evaluation code (Mehta et al., 3DV 2017), whatever joints the other measures are over.
        auc_percent: Mean of that share over thresholds 0, 5, ... 150 mm.
        end_joint_error_mm: Mean distance of wrists and ankles.
        bone_length_error_mm: Mean difference of a bone's length from the true one.
        symmetry_error_mm: Mean difference of the predicted lengths of a left bone and its mirror
            image; the truth plays no part.
        per_joint_mm: Mean distance of each of the 17 joints, by name.
    """

    frames_given: int
    frames_scored: int
    frames_without_truth: int
    frames_without_prediction: int
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

    def to_dict(self) -> dict[str, object]:
        """All of it, as JSON holds it."""
        record = dataclasses.asdict(self)
        record["per_joint_mm"] = {name: _known(mm) for name, mm in self.per_joint_mm.items()}
        return {name: _known(value) for name, value in record.items()}


def evaluate_poses(
    predicted_mm: ArrayLike,
    truth_mm: ArrayLike,
    *,
    fps: float | None = None,
    valid: ArrayLike | None = None,
    joints: int = 17,
) -> PoseMetrics:
    """Every measure of one clip; arguments and errors as of ``measure_clip``."""
    return summarise([measure_clip(predicted_mm, truth_mm, fps=fps, valid=valid, joints=joints)])


def summarise(clips: Sequence[ClipErrors]) -> PoseMetrics:
    """Every measure over all frames of clips.

    Raises:
        UsageError: There is no clip, or they were measured over different joints.
    """
    if len({clip.joints for clip in clips}) != 1:
        raise UsageError(
            "There are no clips, or clips measured over different joints.",
            hint="Measure all with the same joints.",
        )
    joints = list(clips[0].joints)
    position = np.concatenate([clip.position for clip in clips])
    by_rule = position[:, LIMBS_NECK_AND_HEAD]
    correct = [float((by_rule < limit).mean()) for limit in AUC_THRESHOLDS_MM if by_rule.size]
    rates = [clip.fps for clip in clips if clip.fps is not None]
    timed = len(rates) == len(clips)
    return PoseMetrics(
        frames_given=sum(clip.given for clip in clips),
        frames_scored=len(position),
        frames_without_truth=sum(clip.unknown_truth for clip in clips),
        frames_without_prediction=sum(clip.unknown_prediction for clip in clips),
        mpjpe_mm=_mean(position[:, joints]),
        p_mpjpe_mm=_mean(*(clip.similar for clip in clips)),
        n_mpjpe_mm=_mean(*(clip.scaled for clip in clips)),
        mpjve_mm_per_frame=_mean(*(clip.velocity for clip in clips)),
        mpjve_mm_per_s=_mean(*(clip.velocity * fps for clip, fps in zip(clips, rates, strict=True)))
        if timed
        else None,
        acceleration_error_mm_per_frame2=_mean(*(clip.acceleration for clip in clips)),
        acceleration_error_mm_per_s2=_mean(
            *(clip.acceleration * fps**2 for clip, fps in zip(clips, rates, strict=True))
        )
        if timed
        else None,
        pck150_percent=100.0 * _mean((by_rule < PCK_THRESHOLD_MM).astype(np.float64)),
        auc_percent=100.0 * float(np.mean(correct)) if correct else math.nan,
        end_joint_error_mm=_mean(position[:, END_JOINTS]),
        bone_length_error_mm=_mean(*(clip.bones for clip in clips)),
        symmetry_error_mm=_mean(*(clip.symmetry for clip in clips)),
        per_joint_mm={
            name: _mean(position[:, [joint]]) for joint, name in enumerate(H36M17.joints)
        },
    )


def mean_of(metrics: Sequence[PoseMetrics]) -> PoseMetrics:
    """Mean of each measure, each of ``metrics`` counting once; numbers of frames are summed.

    Published numbers on Human3.6M are such means over its 15 actions.

    Raises:
        UsageError: There is nothing to average.
    """
    if not metrics:
        raise UsageError("There is nothing to average.", hint="Give the metrics of each group.")
    values: dict[str, object] = {}
    for field in dataclasses.fields(PoseMetrics):
        column = [getattr(one, field.name) for one in metrics]
        if field.name == "per_joint_mm":
            values[field.name] = {
                joint: float(np.mean([one[joint] for one in column])) for joint in column[0]
            }
        elif field.name.startswith("frames_"):
            values[field.name] = sum(column)
        else:
            values[field.name] = None if None in column else float(np.mean(column))
    return PoseMetrics(**values)  # type: ignore[arg-type]


def _mean(*parts: Floats) -> float:
    count = sum(part.size for part in parts)
    return sum(float(part.sum()) for part in parts) / count if count else math.nan


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
