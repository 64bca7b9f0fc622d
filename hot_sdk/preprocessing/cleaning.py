"""Clean a person's joints: remove outliers, and fill missing joints.

Outliers jump away and come back, as detectors' joints do for a frame or two. Missing joints are
interpolated over short gaps, held over longer ones, then marked invalid. Clips and streams share
this part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.skeletons import H36M17

OUTLIER_REACH = 2
_SLOW_FPS = 20.0
"""Below it, two frames are a tenth of a second or more, in which limbs can turn around."""

_THORAX, _HEAD = H36M17.joints.index("thorax"), H36M17.joints.index("head")
_SHOULDERS = [H36M17.joints.index(f"{side}_shoulder") for side in ("right", "left")]
_HIPS = [H36M17.joints.index(name) for name in ("pelvis", "right_hip", "left_hip")]
_OF_PARTS = {"spine": 1.15, "pelvis": 2.26, "hip": 2.26, "knee": 3.97, "ankle": 5.65}
"""How far below the thorax joints of people who stand and walk are, over its distance from the
head: medians of motion capture."""

_HIPS_OVER_SHOULDERS = 0.54
_LOWER_SIDES = {"right": -_HIPS_OVER_SHOULDERS, "left": _HIPS_OVER_SHOULDERS}

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


_BELOW = np.array([_OF_PARTS.get(joint.rpartition("_")[2], 0.0) for joint in H36M17.joints])
_LOWER: Mask = _BELOW > 0.0
_ASIDE = np.array([_LOWER_SIDES.get(joint.partition("_")[0], 0.0) for joint in H36M17.joints])


@dataclass(frozen=True)
class Cleaned:
    """Keypoints with nothing missing.

    Attributes:
        points: (frames, 17, 2), pixels, finite.
        scores: (frames, 17), 0 to 1; 0 if a joint is invalid, 1 if no scores are known.
        valid: (frames, 17).
    """

    points: Floats
    scores: Floats
    valid: Mask


def clean(
    points: Floats,
    scores: Floats | None,
    times: NDArray[np.float64],
    policies: InputPolicies,
    *,
    fps: float,
) -> Cleaned | None:
    """Apply the policies for missing joints and outliers.

    Args:
        points: (frames, 17, 2), pixels; NaN if missing.
        scores: (frames, 17), or None.
        times: (frames,), seconds, strictly increasing.
        policies: The settings.
        fps: Frames per second.

    Returns:
        The cleaned keypoints; None if no frame shows any joint.
    """
    present, _, _ = find_present(points, scores, policies, fps=fps)
    if not present.any():
        return None
    return fill(points, scores, present, times, policies)


def find_present(
    points: Floats, scores: Floats | None, policies: InputPolicies, *, fps: float
) -> tuple[Mask, Mask, Mask]:
    """Return which joints can be used, which are missing, and which jumped, each (frames, 17).

    A joint that jumped is looked for among ``OUTLIER_REACH`` frames on either side.

    Args:
        points: (frames, 17, 2), pixels; NaN if missing.
        scores: (frames, 17), or None.
        policies: ``min_score`` and ``outlier_threshold`` apply.
        fps: Frames per second.
    """
    present = ~np.isnan(points[..., 0])
    if scores is not None:
        present &= scores >= policies.min_score
    missing = ~present
    if policies.outlier_threshold is None:
        return present, missing, np.zeros(present.shape, dtype=np.bool_)
    jumped = find_outliers(points, present, fps=fps, threshold=policies.outlier_threshold)
    return present & ~jumped, missing, jumped


def fill(
    points: Floats,
    scores: Floats | None,
    present: Mask,
    times: NDArray[np.float64],
    policies: InputPolicies,
    numbers: NDArray[np.int64] | None = None,
) -> Cleaned:
    """Fill missing joints, and score those that were filled; see ``fill_missing``."""
    filled, valid = fill_missing(points, present, times, policies, numbers)
    if scores is None:
        known = valid.astype(np.float32)
    else:
        # A filled joint gets the lowest score that would have counted.
        known = np.where(present, scores, np.float32(policies.min_score)) * valid
    return Cleaned(filled, known.astype(np.float32), valid)


def relative_validity(valid: Mask) -> Mask:
    """Return which joints of a pose are valid, (frames, 17): none if the pelvis is not.

    Poses are relative to the pelvis, so that a joint that was seen is still wrong if the network
    guessed where the pelvis is. The pelvis is seen if the detector's two hips are, or its own
    point between them.
    """
    return valid & valid[:, :1]


def find_outliers(
    points: Floats,
    present: Mask,
    *,
    fps: float,
    threshold: float,
) -> Mask:
    """Find joints that are far from the median of their own neighborhood in time.

    The median filter for outliers is Hampel's (The influence curve and its role in robust
    estimation, JASA 1974), with a limit that follows the body's size in the image instead of the
    spread of the samples, which is zero if a joint rests. A jump that stays is no outlier.

    Args:
        points: (frames, joints, 2), pixels.
        present: (frames, joints); others are ignored.
        fps: Frames per second. The median spans two neighbors on either side, one below 20.
        threshold: The limit, as a multiple of the body's spread, the root mean square distance of
            its joints from their mean.

    Returns:
        (frames, joints), True for outliers. A frame without a neighbor on one side has none,
        because it is unknown whether the joint came back.
    """
    frames = len(points)
    outliers = np.zeros(present.shape, dtype=np.bool_)
    reach = reach_at(fps)
    if frames < 3:
        return outliers
    limit = threshold * body_spread(points, present)
    known = np.where(present[..., None], points, np.nan)
    with np.errstate(invalid="ignore"):
        steps = np.linalg.norm(known[1:] - known[:-1], axis=-1)
        # A joint that leaves its median by the limit makes a step of at least half of it.
        half = 0.5 * np.minimum(limit[1:], limit[:-1])[:, None]
        restless = np.flatnonzero(((steps > half) | np.isnan(steps)).any(axis=0))
    if len(restless) == 0:
        return outliers
    padded = np.pad(known[:, restless], ((reach, reach), (0, 0), (0, 0)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    judged = present[:, restless].copy()
    there = ~np.isnan(around[..., 0, :])
    judged &= there[..., :reach].any(axis=-1) & there[..., reach + 1 :].any(axis=-1)
    median = _median_of_known(around)
    with np.errstate(invalid="ignore"):
        far = np.linalg.norm(known[:, restless] - median, axis=-1) > limit[:, None]
    outliers[:, restless] = far & judged
    return outliers


def reach_at(fps: float) -> int:
    """Return how many neighbors in time on either side tell whether a joint jumped."""
    return OUTLIER_REACH if fps >= _SLOW_FPS else 1


def body_spread(points: Floats, present: Mask) -> Floats:
    """Return the root mean square distance of each frame's joints from their mean, (frames,)."""
    weight = present[..., None].astype(np.float32)
    count = np.maximum(weight.sum(axis=1), 1.0)
    safe = np.where(present[..., None], points, np.float32(0.0))
    center = safe.sum(axis=1) / count
    away = (safe - center[:, None]) * weight
    spread: Floats = np.sqrt((away**2).sum(axis=(1, 2)) / count[:, 0])
    return spread


def _median_of_known(values: Floats) -> Floats:
    """Return the median over the last axis without NaN; NaN if all are."""
    # numpy.nanmedian is twenty times slower on many short rows.
    ordered = np.sort(values, axis=-1)
    known = (~np.isnan(ordered)).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((known - 1) // 2, 0), axis=-1)
    high = np.take_along_axis(ordered, np.minimum(known // 2, values.shape[-1] - 1), axis=-1)
    # If an even number is known, the entry above the middle is the second of the two.
    high = np.where(known % 2 == 0, high, low)
    median: Floats = (0.5 * (low + high))[..., 0]
    return median


def fill_missing(
    points: Floats,
    present: Mask,
    times: NDArray[np.float64],
    policies: InputPolicies,
    numbers: NDArray[np.int64] | None = None,
) -> tuple[Floats, Mask]:
    """Fill missing joints: interpolate short gaps, hold longer ones, then mark them invalid.

    A joint that no frame shows is placed by ``placed_by_ancestors``, or else at the mean of the
    joints that are known.

    Args:
        points: (frames, 17, 2), pixels; any value if a joint is not present.
        present: (frames, 17); at least one joint of one frame.
        times: (frames,), seconds, strictly increasing.
        policies: ``interpolate_frames`` and ``hold_frames`` apply.
        numbers: (frames,), the frames' numbers, ascending, if some of a clip are left out.

    Returns:
        Finite points of the same shape, and which of them are valid, (frames, 17).
    """
    if present.all():
        return points, present.copy()
    frames = len(points)
    order = np.arange(frames)[:, None]
    before = np.maximum.accumulate(np.where(present, order, -1), axis=0)
    after = np.minimum.accumulate(np.where(present, order, frames)[::-1], axis=0)[::-1]
    known_before, known_after = before >= 0, after < frames
    earlier = np.where(known_before, before, np.minimum(after, frames - 1))
    later = np.where(known_after, after, earlier)
    place = order[:, 0] if numbers is None else numbers
    gap = place[later] - place[earlier] - 1
    bridged = known_before & known_after & (gap <= policies.interpolate_frames)
    held = known_before & (place[:, None] - place[earlier] <= policies.hold_frames)
    span = times[later] - times[earlier]
    weight = np.where(bridged & ~present, (times[:, None] - times[earlier]), 0.0)
    weight = (weight / np.where(span > 0.0, span, 1.0)).astype(np.float32)[..., None]
    joints = np.arange(points.shape[1])
    first, second = points[earlier, joints], points[later, joints]
    filled = np.where(weight > 0.0, first + weight * (second - first), first)
    ever: Mask = np.any(present, axis=0)
    if not ever.all():
        filled = placed_by_ancestors(filled, ever)
    return filled, present | bridged | (held & ever)


def placed_by_ancestors(points: Floats, known: Mask) -> Floats:
    """Return points (frames, 17, 2) whose joints that are never seen are placed.

    Each is at its parent in the skeleton, or the nearest ancestor that is known. Below a thorax
    whose hips are never seen, as of someone behind a table, is the body of one who stands: at the
    thorax, a network would lift someone very small.

    Args:
        points: Any values where nothing is known.
        known: (17,), joints that some frame shows.
    """
    placed: Floats = points.copy()
    known = known.copy()
    if known[[_THORAX, _HEAD]].all() and not known[_HIPS].any():
        below = ~known & _LOWER
        placed[:, below] = _standing(points, known)[:, below]
        known |= below
    middle = points[:, known].mean(axis=1)
    for joint, parent in enumerate(H36M17.parents):
        if not known[joint]:
            placed[:, joint] = middle if parent < 0 else placed[:, parent]
    return placed


def _standing(points: Floats, known: Mask) -> Floats:
    """Return where the joints of someone who stands are, (frames, 17, 2), by thorax and head.

    They are below the thorax by multiples of its distance from the head, the median of the frames;
    hips are as far apart as they are against shoulders.
    """
    thorax = points[:, _THORAX]
    down = np.median(thorax - points[:, _HEAD], axis=0)
    aside = np.zeros_like(thorax)
    if known[_SHOULDERS].all():
        right, left = (points[:, shoulder] for shoulder in _SHOULDERS)
        aside = (left - right) / 2.0
    placed: Floats = thorax[:, None] + _BELOW[:, None] * down + _ASIDE[:, None] * aside[:, None]
    return placed.astype(np.float32)
