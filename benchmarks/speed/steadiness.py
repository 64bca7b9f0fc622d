"""Where a series of times has reached its steady state, and whether it stays there.

A fixed number of warm-up runs is too many on one machine and too few on the next: clocks rise,
caches fill, engines tune themselves. So the end of the warm-up is found in the times themselves.
Only what comes before it is left out; after it no time is dropped, however long it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 5
"""Runs whose median is compared: one slow run among them does not move it."""

TOLERANCE = 0.02
"""Changes of level up to this share are not told apart from a steady state."""

_LEAST_BLOCKS = 4
_SIGNIFICANT = 2.576
"""Standard deviations of a two-sided test at 1 %."""


@dataclass(frozen=True)
class Steadiness:
    """What was found of a series.

    Attributes:
        state: ``steady``; ``drifting`` where the later half of what is counted differs from the
            earlier one; ``unknown`` where there are too few runs to say.
        warm_up_runs: Runs before the steady state, which are not counted.
        drift: Median of the later half over that of the earlier one, less 1; None if unknown.
    """

    state: str
    warm_up_runs: int
    drift: float | None


def examine(times: NDArray[np.float64]) -> Steadiness:
    """Find the end of the warm-up, and look for drift after it.

    The warm-up ends with the first block of runs whose median lies where the later half of the
    series does: within its quartiles, give or take ``TOLERANCE``. Drift is a difference of the two
    halves of what follows that is larger than ``TOLERANCE`` and significant at 1 % by the rank test
    of Mann and Whitney (Annals of Mathematical Statistics, 1947).

    Args:
        times: (runs,), in order, of one unit.
    """
    if len(times) < BLOCK * _LEAST_BLOCKS:
        return Steadiness("unknown", 0, None)
    start = _warm_up(times)
    counted = times[start:]
    half = len(counted) // 2
    earlier, later = counted[:half], counted[-half:]
    drift = float(np.median(later) / np.median(earlier) - 1.0)
    drifts = abs(drift) > TOLERANCE and abs(_rank_score(earlier, later)) > _SIGNIFICANT
    return Steadiness("drifting" if drifts else "steady", start, drift)


def _warm_up(times: NDArray[np.float64]) -> int:
    low, high = np.percentile(times[len(times) // 2 :], [25, 75])
    blocks = len(times) // 2 // BLOCK
    for block in range(blocks):
        median = float(np.median(times[block * BLOCK : (block + 1) * BLOCK]))
        if low * (1.0 - TOLERANCE) <= median <= high * (1.0 + TOLERANCE):
            return block * BLOCK
    return blocks * BLOCK


def _rank_score(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Mann and Whitney's statistic in standard deviations; ties get their mean rank."""
    values, inverse, counts = np.unique(
        np.concatenate([first, second]), return_inverse=True, return_counts=True
    )
    if len(values) == 1:
        return 0.0
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    n, m = len(first), len(second)
    total = n + m
    statistic = ranks[:n].sum() - n * (n + 1) / 2.0
    ties = float((counts**3 - counts).sum()) / (total * (total - 1))
    variance = n * m / 12.0 * (total + 1 - ties)
    return float((statistic - n * m / 2.0) / math.sqrt(variance))
