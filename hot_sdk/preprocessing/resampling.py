"""Resample sequences in time, from one frame rate to another."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.disk_arrays import PART, empty_like, parts, release

_Float = TypeVar("_Float", np.float32, np.float64)

_UNEVEN = 0.5
"""Fraction of an interval by which a frame may be late before the frames count as uneven."""


def differs(rate: float, trained: float, tolerance: float) -> bool:
    """Return True if two frame rates differ by more than a relative tolerance."""
    return abs(rate / trained - 1.0) > tolerance


def uneven(times: NDArray[np.float64], rate: float) -> bool:
    """Return True if a frame is missing or late, so that frames are not evenly spaced."""
    if len(times) < 2:
        return False
    return bool(np.abs(np.diff(times) * rate - 1.0).max() > _UNEVEN)


def even_times(times: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Return evenly spaced times that start with the first of ``times`` and reach its last."""
    frames = int(np.ceil((times[-1] - times[0]) * rate - 1e-6)) + 1
    grid: NDArray[np.float64] = times[0] + np.arange(frames) / rate
    return grid


def sample(
    values: NDArray[_Float], times: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[_Float]:
    """Interpolate values linearly at other times; hold the first and last outside of theirs.

    Args:
        values: (frames, ...), finite.
        times: (frames,), strictly increasing.
        at: (samples,), any.

    Returns:
        (samples, ...), of the type of ``values``.
    """
    if len(at) <= PART:
        return _sampled(values, times, at)
    # In parts, so that a long clip takes little more memory than its result.
    whole = empty_like(values, len(at))
    for part in parts(whole):
        whole[part] = _sampled(values, times, at[part])
        release(values)
    return whole


def _sampled(
    values: NDArray[_Float], times: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[_Float]:
    later = np.clip(np.searchsorted(times, at), 1, max(len(times) - 1, 1))
    later = np.minimum(later, len(times) - 1)
    earlier = np.maximum(later - 1, 0)
    span = times[later] - times[earlier]
    weight = np.clip((at - times[earlier]) / np.where(span > 0.0, span, 1.0), 0.0, 1.0)
    shaped = weight.astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    start = values[earlier]
    sampled: NDArray[_Float] = start + shaped * (values[later] - start)
    return sampled
