"""Ratios of times that were taken in turn, with confidence intervals by the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95

LEAST_ROUNDS = 6
"""With fewer, no interval of a median holds 95 %: all lie on one side of it too often."""

_RESAMPLES = 2000
_SEED = 20240617


@dataclass(frozen=True)
class Interval:
    """An estimate.

    Attributes:
        value: The estimate.
        low: Lower end of the 95 % confidence interval; of fewer rounds than ``LEAST_ROUNDS`` it is
            no more than what they span, as is the next.
        high: Upper end.
        rounds: How many pairs, or values, it is of.
    """

    value: float
    low: float
    high: float
    rounds: int


def paired_ratio(numerator: ArrayLike, denominator: ArrayLike) -> Interval | None:
    """Median ratio of values that were taken in the same rounds.

    Rounds are drawn again with replacement (Efron, Annals of Statistics, 1979), each with both its
    values, for what disturbs a round disturbs both.

    Args:
        numerator: (rounds,), one for each round.
        denominator: (rounds,), of the same rounds.

    Returns:
        None without a round.
    """
    ratios = np.asarray(numerator, dtype=np.float64) / np.asarray(denominator, dtype=np.float64)
    if len(ratios) == 0:
        return None
    return _interval(float(np.median(ratios)), _medians(ratios), len(ratios))


def unpaired_ratio(numerator: ArrayLike, denominator: ArrayLike) -> Interval | None:
    """Ratio of the medians of two series that have nothing to do with each other.

    Returns:
        None where one of them is empty.
    """
    above = np.asarray(numerator, dtype=np.float64)
    below = np.asarray(denominator, dtype=np.float64)
    if len(above) == 0 or len(below) == 0:
        return None
    ratios = _medians(above) / _medians(below, seed=_SEED + 1)
    value = float(np.median(above) / np.median(below))
    return _interval(value, ratios, min(len(above), len(below)))


def _interval(value: float, resampled: NDArray[np.float64], rounds: int) -> Interval:
    outside = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(resampled, [outside, 1.0 - outside])
    return Interval(value, min(float(low), value), max(float(high), value), rounds)


def _medians(values: NDArray[np.float64], *, seed: int = _SEED) -> NDArray[np.float64]:
    """Medians of resampled series; in parts, so that memory stays small."""
    random = np.random.default_rng(seed)
    parts = max(1, _RESAMPLES * len(values) // 2_000_000)
    sizes = np.diff(np.linspace(0, _RESAMPLES, parts + 1).astype(int))
    return np.concatenate(
        [
            np.median(values[random.integers(0, len(values), (size, len(values)))], axis=1)
            for size in sizes.tolist()
        ]
    )
