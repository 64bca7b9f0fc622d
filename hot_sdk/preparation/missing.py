"""Joints that are not there: bridged over short gaps, held over longer ones, then marked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk.skeleton import H36M17

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def fill_missing(
    points: Floats,
    present: Mask,
    *,
    times: NDArray[np.float64],
    interpolate_frames: int,
    hold_frames: int,
) -> tuple[Floats, Mask]:
    """Give every joint a place in every frame, and say where it is more than a guess.

    A joint that no frame shows takes the place of its parent in the skeleton, or of the nearest
    ancestor that is known; where there is none, the middle of the joints that are known.

    Args:
        points: (frames, 17, 2), pixels; anything where a joint is not present.
        present: (frames, 17); at least one joint of one frame.
        times: (frames,), seconds, strictly increasing.
        interpolate_frames: Longest gap that is bridged by a straight line in time.
        hold_frames: Frames of a longer gap in which the last place still counts as valid.

    Returns:
        Finite points of the same shape, and which of them are valid.
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
    bridged = known_before & known_after & (after - before - 1 <= interpolate_frames)
    held = known_before & (order - before <= hold_frames)
    span = times[later] - times[earlier]
    weight = np.where(bridged & ~present, (times[:, None] - times[earlier]), 0.0)
    weight = (weight / np.where(span > 0.0, span, 1.0)).astype(np.float32)[..., None]
    joints = np.arange(points.shape[1])
    first, second = points[earlier, joints], points[later, joints]
    filled = np.where(weight > 0.0, first + weight * (second - first), first)
    ever: Mask = np.any(present, axis=0)
    if not ever.all():
        filled = _placed_by_ancestors(filled, ever)
    return filled, present | bridged | (held & ever)


def _placed_by_ancestors(points: Floats, known: Mask) -> Floats:
    placed: Floats = points.copy()
    middle = points[:, known].mean(axis=1)
    for joint, parent in enumerate(H36M17.parents):
        if not known[joint]:
            placed[:, joint] = middle if parent < 0 else placed[:, parent]
    return placed
