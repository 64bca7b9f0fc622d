"""Joints that jump away and come back, as detectors' joints do for a frame or two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_REACH = 2
_SLOW_FPS = 20.0
"""Below it two frames are a tenth of a second or more, in which limbs do turn round."""


def find_outliers(
    points: NDArray[np.float32],
    present: NDArray[np.bool_],
    *,
    fps: float,
    size: float,
) -> NDArray[np.bool_]:
    """Find joints that are far from the median of their own neighbourhood in time.

    The median filter for outliers is Hampel's (The influence curve and its role in robust
    estimation, JASA 1974), with a limit that follows the body's size in the image instead of the
    spread of the samples, which is zero where a joint rests. A jump that stays is none: the
    person, or the detector, has changed its mind.

    Args:
        points: (frames, joints, 2), pixels.
        present: (frames, joints); others are not looked at.
        fps: Frames a second. Two neighbours on either side are looked at, one below 20.
        size: The limit, as a multiple of the body's spread, the root mean square distance of its
            joints from their mean.

    Returns:
        (frames, joints), True for outliers. A frame that has no neighbour on one side holds none,
        for nothing says whether it came back.
    """
    frames = len(points)
    outliers = np.zeros(present.shape, dtype=np.bool_)
    reach = _REACH if fps >= _SLOW_FPS else 1
    if frames < 3:
        return outliers
    limit = size * _spread(points, present)
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


def _spread(points: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Root mean square distance of each frame's joints from their mean, (frames,)."""
    weight = present[..., None].astype(np.float32)
    count = np.maximum(weight.sum(axis=1), 1.0)
    safe = np.where(present[..., None], points, np.float32(0.0))
    centre = safe.sum(axis=1) / count
    away = (safe - centre[:, None]) * weight
    spread: NDArray[np.float32] = np.sqrt((away**2).sum(axis=(1, 2)) / count[:, 0])
    return spread


def _median_of_known(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median over the last axis without NaN; NaN where there is nothing else."""
    # numpy.nanmedian does the same twenty times slower on many short rows.
    ordered = np.sort(values, axis=-1)
    known = (~np.isnan(ordered)).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((known - 1) // 2, 0), axis=-1)
    high = np.take_along_axis(ordered, np.minimum(known // 2, values.shape[-1] - 1), axis=-1)
    # Where an even number is known, the entry above the middle is the second of the two.
    high = np.where(known % 2 == 0, high, low)
    median: NDArray[np.float32] = (0.5 * (low + high))[..., 0]
    return median
