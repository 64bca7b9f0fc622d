"""Errors of one clip's poses, frame by frame and joint by joint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.benchmarks.evaluation.body_errors import BodyErrors, body_errors
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float64]

ROOT = 0
"""The pelvis; every pose is taken relative to it."""

ALL_JOINTS = tuple(range(len(H36M17.joints)))

LIMBS_NECK_AND_HEAD = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
"""The 14 joints of two published rules. Human3.6M's 14-joint protocol (Bogo et al., ECCV 2016) uses
the joints of LSP. The evaluation code of MPI-INF-3DHP (Mehta et al., 3DV 2017) groups head top,
neck, shoulders, elbows, wrists, hips, knees and ankles for PCK and AUC. Neither uses pelvis, spine,
or what lies between neck and head top."""

JOINT_SETS = {17: ALL_JOINTS, 14: LIMBS_NECK_AND_HEAD}
"""Joints of an evaluation by their number."""

END_JOINTS = (3, 6, 13, 16)
"""Ankles and wrists: the ends of the limbs, where errors along the limbs add up (Cai et al.,
"HTNet", ICASSP 2023)."""

BONES = tuple((parent, joint) for joint, parent in enumerate(H36M17.parents) if parent >= 0)
"""The 16 bones, each from the joint nearer to the pelvis."""

MIRRORED_BONES = tuple(
    (BONES.index((H36M17.parents[left], left)), BONES.index((H36M17.parents[right], right)))
    for left, right in zip(H36M17.left, H36M17.right, strict=True)
)
"""Indices into ``BONES`` of each left bone and its mirror image."""

_SMALLEST_SPREAD_MM = 1e-6


@dataclass(frozen=True, eq=False)
class ClipErrors:
    """Errors of the frames of a clip that could be scored.

    Attributes:
        position: (scored, 17), distance of each joint, millimeters.
        aligned: (scored, joints), the same after ``similarity_aligned``.
        scaled: (scored, joints), the same after ``scale_aligned``.
        velocity: (steps, joints), length of the difference of the two displacements from one frame
            to the next, mm, if both frames were scored.
        acceleration: (turns, joints), the same of second differences, if all three were.
        bones: (scored, 16), difference of each bone's length from the true one, mm, 0 or more.
        symmetry: (scored, 6), difference of the predicted lengths of a left bone and its mirror
            image, mm, 0 or more.
        body: Errors of angles and lengths of the body.
        joints: Indices of the joints of the evaluation.
        fps: Frames per second; None if unknown.
        frames: Number of frames of the clip.
        without_truth: Frames whose truth is missing or marked as unusable.
        without_prediction: Frames that have a truth and no finite prediction.
        guessed: Frames that have both, and in which a joint of the evaluation is only a guess.
        metric: The predicted poses were in millimeters. If not, only ``aligned`` and ``scaled``
            are, and the angles of ``body`` are right.
        spread: (scored, joints without the pelvis, 3), float32, how far off the coordinates are
            said to be, mm; None if nothing is said.
        spread_ratio: Of the same shape, the absolute error of each coordinate over its spread; None
            if ``spread`` is.
    """

    position: Floats
    aligned: Floats
    scaled: Floats
    velocity: Floats
    acceleration: Floats
    bones: Floats
    symmetry: Floats
    body: BodyErrors
    joints: tuple[int, ...]
    fps: float | None
    frames: int
    without_truth: int
    without_prediction: int
    guessed: int = 0
    metric: bool = True
    spread: NDArray[np.float32] | None = None
    spread_ratio: NDArray[np.float32] | None = None


def measure_clip(
    predicted_mm: ArrayLike,
    truth_mm: ArrayLike,
    *,
    fps: float | None = None,
    valid: ArrayLike | None = None,
    joints: int = 17,
    certain: ArrayLike | None = None,
    follows: ArrayLike | None = None,
    metric: bool = True,
    up: ArrayLike | None = None,
    spread_mm: ArrayLike | None = None,
) -> ClipErrors:
    """Measure the poses of one clip.

    Both are taken relative to their own pelvis. A frame that holds a number which is not finite is
    counted, but not scored; neither is any first or second difference that it takes part in.

    Args:
        predicted_mm: (frames, 17, 3), millimeters, joints of ``H36M17``.
        truth_mm: (frames, 17, 3), of the same frames, along the same axes.
        fps: Frames per second; None if unknown.
        valid: (frames,), False if the truth must not be used; None uses every frame.
        joints: A key of ``JOINT_SETS``. Bones are always those of all 17 joints.
        certain: (frames, 17), False if a predicted joint is only a guess, as
            ``Pose3DResult.valid`` states; frames in which one of ``joints`` or the pelvis is a
            guess are not scored. None scores all.
        follows: (frames - 1,), False if a frame does not follow the one before it in time, so that
            no difference is taken across; None if all do.
        metric: ``predicted_mm`` is in millimeters. If not, it may be in any unit, and only the
            measures that do not depend on its scale mean anything.
        up: (3,) or (frames, 3), the direction away from the ground, from which the trunk's lean is
            measured; None if unknown.
        spread_mm: (frames, 17, 3), half the width of the interval that is said to hold 68 % of the
            errors of each coordinate; None if nothing is said.

    Raises:
        ResultError: The arrays do not fit each other, or are not poses of 17 joints.
        UsageError: ``joints`` or ``fps`` is out of range.
    """
    if joints not in JOINT_SETS:
        raise UsageError(
            f"There is no set of {joints!r} joints.",
            hint=f"Give one of: {', '.join(map(str, JOINT_SETS))}.",
        )
    chosen = JOINT_SETS[joints]
    if fps is not None and not (np.isfinite(fps) and fps > 0.0):
        raise UsageError(f"fps is {fps!r}.", hint="Give frames per second, above 0, or None.")
    predicted, truth = checked_poses(predicted_mm, "predicted"), checked_poses(truth_mm, "true")
    if predicted.shape != truth.shape:
        raise ResultError(
            f"{len(predicted)} predicted poses cannot be compared with {len(truth)} true ones.",
            hint="Give both for the same frames.",
        )
    known = _all(np.isfinite(truth), axis=(1, 2))
    if valid is not None:
        known &= _mask("valid", valid, (len(truth),))
    lifted = _all(np.isfinite(predicted), axis=(1, 2))
    scored = known & lifted
    guessed = 0
    if certain is not None:
        sure = _mask("certain", certain, truth.shape[:2])[:, sorted({ROOT, *chosen})]
        guessed = int((scored & ~_all(sure, axis=(1,))).sum())
        scored = scored & _all(sure, axis=(1,))
    linked = np.ones(max(len(truth) - 1, 0), dtype=np.bool_)
    if follows is not None:
        linked = _mask("follows", follows, linked.shape)
    # A missing number must not reach a singular value decomposition.
    predicted = np.where(scored[:, None, None], predicted - predicted[:, [ROOT]], 0.0)
    truth = np.where(scored[:, None, None], truth - truth[:, [ROOT]], 0.0)
    ours, theirs = predicted[scored], truth[scored]
    few, true_few = ours[:, chosen], theirs[:, chosen]
    lengths = _bone_lengths(ours)
    left, right = np.array(MIRRORED_BONES).T
    difference = (predicted - truth)[:, chosen]
    spread, ratio = None, None
    if spread_mm is not None and metric:
        placed = [joint for joint in chosen if joint != ROOT]
        spread = _checked_spread(spread_mm, truth.shape, scored)[:, placed]
        error = np.abs(ours - theirs)[:, placed]
        ratio = (error / np.maximum(spread, _SMALLEST_SPREAD_MM)).astype(np.float32)
    return ClipErrors(
        position=_norm(ours - theirs),
        aligned=_norm(similarity_aligned(few, true_few) - true_few),
        scaled=_norm(scale_aligned(few, true_few) - true_few),
        velocity=_norm(np.diff(difference, axis=0)[_runs(scored, 2) & linked]),
        acceleration=_norm(
            np.diff(difference, n=2, axis=0)[_runs(scored, 3) & linked[1:] & linked[:-1]]
        ),
        bones=np.abs(lengths - _bone_lengths(theirs)),
        symmetry=np.abs(lengths[:, left] - lengths[:, right]),
        body=body_errors(ours, theirs, _checked_up(up, scored)),
        joints=chosen,
        fps=fps,
        frames=len(truth),
        without_truth=int((~known).sum()),
        without_prediction=int((known & ~lifted).sum()),
        guessed=guessed,
        metric=metric,
        spread=spread,
        spread_ratio=ratio,
    )


def similarity_aligned(predicted: Floats, truth: Floats) -> Floats:
    """Rotate, scale and shift each predicted pose to be nearest to the true one.

    Nearest in the sum of squared distances, by orthogonal Procrustes analysis (Gower 1975) with
    Kabsch's correction: a mirror image is never allowed, however near it would come.

    Args:
        predicted: (frames, joints, 3).
        truth: (frames, joints, 3), in the same unit.

    Returns:
        (frames, joints, 3), along the axes and about the place of ``truth``. A pose whose joints
        all coincide has neither direction nor size and lands on the centroid of the truth.
    """
    center = truth.mean(axis=1, keepdims=True)
    source = predicted - predicted.mean(axis=1, keepdims=True)
    left, sizes, right = np.linalg.svd(source.swapaxes(1, 2) @ (truth - center))
    mirrored = np.linalg.det(left) * np.linalg.det(right) < 0.0
    sizes[mirrored, -1] *= -1.0
    left[mirrored, :, -1] *= -1.0
    scale = _ratio(sizes.sum(axis=-1), (source**2).sum(axis=(1, 2)))
    aligned: Floats = scale[:, None, None] * (source @ left @ right) + center
    return aligned


def scale_aligned(predicted: Floats, truth: Floats) -> Floats:
    """Scale each predicted pose by the one factor that brings it nearest to the true one.

    This is the alignment of N-MPJPE (Rhodin et al., CVPR 2018): no rotation and no shift, so both
    have to be relative to the pelvis already.

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
    """Return the ratio, 0 if both vanish because a pose is a single point."""
    whole = denominator > 0.0
    ratio: Floats = np.where(whole, numerator, 0.0) / np.where(whole, denominator, 1.0)
    return ratio


def checked_poses(values: ArrayLike, which: str) -> Floats:
    """Return an array of poses, (frames, 17, 3), or raise ResultError for anything else."""
    poses = np.asarray(values)
    if poses.ndim != 3 or poses.shape[1:] != (len(ALL_JOINTS), 3) or poses.dtype.kind not in "fiu":
        raise ResultError(
            f"The {which} poses are {poses.dtype} of shape {poses.shape}.",
            hint="Give numbers of shape (frames, 17, 3), in millimeters.",
        )
    return poses.astype(np.float64)


def _mask(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.asarray(values)
    if mask.shape != shape or mask.dtype != np.bool_:
        raise ResultError(
            f"{name} is {mask.dtype} of shape {mask.shape}.",
            hint=f"Give truth values of shape {shape}.",
        )
    return mask


def _checked_up(values: ArrayLike | None, scored: NDArray[np.bool_]) -> Floats | None:
    """Return the direction away from the ground of each scored frame."""
    if values is None:
        return None
    up = np.asarray(values)
    if up.shape not in ((3,), (len(scored), 3)) or up.dtype.kind not in "fiu":
        raise ResultError(
            f"up is {up.dtype} of shape {up.shape}.",
            hint=f"Give one direction, (3,), or one for each frame, ({len(scored)}, 3).",
        )
    return np.broadcast_to(up, (len(scored), 3))[scored].astype(np.float64)


def _checked_spread(
    values: ArrayLike, shape: tuple[int, ...], scored: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the spread of each scored frame."""
    spread = np.asarray(values)
    if spread.shape != shape or spread.dtype.kind not in "fiu":
        raise ResultError(
            f"spread is {spread.dtype} of shape {spread.shape}.",
            hint=f"Give numbers of shape {shape}, in millimeters.",
        )
    stated = spread[scored].astype(np.float32)
    if not np.isfinite(stated).all() or (stated < 0.0).any():
        raise ResultError(
            "spread is negative or not finite in a frame that has a pose.",
            hint="Give half the width of an interval, millimeters, for every coordinate.",
        )
    return stated


def _norm(differences: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(differences, axis=-1)
    return lengths


def _bone_lengths(poses: Floats) -> Floats:
    nearer, farther = np.array(BONES).T
    return _norm(poses[:, farther] - poses[:, nearer])


def _runs(scored: NDArray[np.bool_], frames: int) -> NDArray[np.bool_]:
    """Return True for each frame from which on ``frames`` frames in a row were scored."""
    if len(scored) < frames:
        return np.zeros(0, dtype=np.bool_)
    return _all(np.lib.stride_tricks.sliding_window_view(scored, frames), axis=(1,))


def _all(values: NDArray[np.bool_], axis: tuple[int, ...]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = np.logical_and.reduce(values, axis=axis)
    return result
