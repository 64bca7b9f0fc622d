"""How far the poses of one clip are from the truth, frame by frame and joint by joint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.benchmarks.evaluation.alignment import Floats, scale_aligned, similarity_aligned
from hot_sdk.benchmarks.evaluation.joint_sets import (
    ALL_JOINTS,
    BONES,
    MIRRORED_BONES,
    ROOT,
    joint_set,
)
from hot_sdk.errors import ResultError, UsageError


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
