"""Times of one measure, turn by turn: where they are steady, and their ratios with intervals.

A fixed number of warm-up runs is too many on one machine and too few on the next: clocks rise,
caches fill, engines tune themselves. So the end of the warm-up is found in the times themselves.
Only what comes before it is left out; after it no time is dropped, however long it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Times = NDArray[np.float64]

BLOCK = 5
"""Runs whose median is compared: one slow run among them does not move it."""

TOLERANCE = 0.02
"""Changes of level up to this share count as steady."""

_ONE_TAIL = 40
"""One over the share that a 95 % interval leaves out on each side."""

LEAST_ROUNDS = 6
"""With fewer, no interval of a median holds 95 %: all lie on one side of it too often."""

_LEAST_BLOCKS = 4
_SIGNIFICANT = 2.576
"""Standard deviations of a two-sided test at 1 %."""


@dataclass(frozen=True)
class Steadiness:
    """Whether a series is steady, and from where.

    Attributes:
        state: ``steady``; ``drifting`` if the later half of the counted runs differs from the
            earlier one; ``unknown`` if there are too few runs.
        warm_up_runs: Runs before the steady state, which are not counted.
        drift: Median of the later half over that of the earlier one, less 1; None if unknown.
    """

    state: str
    warm_up_runs: int
    drift: float | None


class Series:
    """Times that were taken in turns.

    Args:
        of: The series that this one is a part of, whose steady state it shares; None if it stands
            for itself.
        parts: Samples of this one in each sample of that one.

    Attributes:
        turns: Seconds of each sample of each turn.
        seconds: Sum of all samples.
    """

    def __init__(self, of: Series | None = None, *, parts: int = 1) -> None:
        self.turns: list[Times] = []
        self.seconds = 0.0
        self._of, self._parts = of, parts

    def add(self, seconds: Sequence[float] | Times) -> None:
        """Add a turn; an empty one stands for a turn that was not taken."""
        turn = np.asarray(seconds, dtype=np.float64)
        self.turns.append(turn)
        self.seconds += float(turn.sum())

    @property
    def all(self) -> Times:
        """Every sample, in order."""
        return np.concatenate(self.turns) if self.turns else np.zeros(0)

    def steadiness(self) -> Steadiness:
        """Return where the steady state begins, and whether it lasts."""
        if self._of is None:
            return examine(self.all)
        found = self._of.steadiness()
        return replace(found, warm_up_runs=self._parts * found.warm_up_runs)

    def steady(self) -> Times:
        """Return the samples of the steady state, every one of them."""
        return self.all[self.steadiness().warm_up_runs :]

    def round_medians(self) -> Times:
        """Return the median of each turn, NaN for one not taken or of the warm-up."""
        left_out = self.steadiness().warm_up_runs
        medians = []
        for turn in self.turns:
            steady = turn[left_out:]
            left_out = max(0, left_out - len(turn))
            medians.append(float(np.median(steady)) if len(steady) else float("nan"))
        return np.array(medians)


def quantiles_ms(seconds: Times) -> tuple[float, ...]:
    """Return 0 %, 1 %, … 100 %, in milliseconds."""
    return tuple(float(f"{value:.6g}") for value in np.percentile(1e3 * seconds, range(101)))


def examine(times: Times) -> Steadiness:
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
    steady = times[start:]
    half = len(steady) // 2
    earlier, later = steady[:half], steady[-half:]
    drift = float(np.median(later) / np.median(earlier) - 1.0)
    drifts = abs(drift) > TOLERANCE and abs(_rank_score(earlier, later)) > _SIGNIFICANT
    return Steadiness("drifting" if drifts else "steady", start, drift)


def _warm_up(times: Times) -> int:
    low, high = np.percentile(times[len(times) // 2 :], [25, 75])
    blocks = len(times) // 2 // BLOCK
    for block in range(blocks):
        median = float(np.median(times[block * BLOCK : (block + 1) * BLOCK]))
        if low * (1.0 - TOLERANCE) <= median <= high * (1.0 + TOLERANCE):
            return block * BLOCK
    return blocks * BLOCK


def _rank_score(first: Times, second: Times) -> float:
    """Return Mann and Whitney's statistic in standard deviations; ties get their mean rank."""
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


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        value: The estimate.
        low: Lower end of the interval that holds the truth in at least 95 % of series of
            independent rounds; with fewer rounds than ``LEAST_ROUNDS`` low and high are only what
            the rounds span.
        high: Upper end.
        rounds: Number of pairs, or values, behind it.
    """

    value: float
    low: float
    high: float
    rounds: int


def paired_ratio(numerator: ArrayLike, denominator: ArrayLike) -> Interval | None:
    """Return the median ratio of values of the same rounds, None without a round.

    Args:
        numerator: (rounds,), one for each round.
        denominator: (rounds,), of the same rounds: what disturbs a round disturbs both.
    """
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return median_interval(above / below)


def unpaired_ratio(numerator: ArrayLike, denominator: ArrayLike) -> Interval | None:
    """Return the ratio of the medians of two unrelated series, None if one is empty or reaches 0.

    The interval follows from those of the two medians, on a logarithmic scale (Zou and Donner,
    Statistics in Medicine, 2008), of which neither has to be symmetric.

    Args:
        numerator: (values,), of one unit.
        denominator: (values,), of the same unit; may be another number of them.
    """
    above, below = median_interval(numerator), median_interval(denominator)
    if above is None or below is None or min(above.low, below.low) <= 0.0:
        return None
    down = math.hypot(math.log(above.value / above.low), math.log(below.high / below.value))
    up = math.hypot(math.log(above.high / above.value), math.log(below.value / below.low))
    value = above.value / below.value
    rounds = min(above.rounds, below.rounds)
    return Interval(value, value * math.exp(-down), value * math.exp(up), rounds)


def median_interval(values: ArrayLike) -> Interval | None:
    """Return the median with its interval, None without a value.

    The interval lies between two values of the series. How often it holds the median of what they
    are drawn from is exact, whatever that is (Thompson, Annals of Mathematical Statistics, 1936),
    also for few values, where a bootstrap's is too narrow.

    Args:
        values: (values,), in any order.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if len(ordered) == 0:
        return None
    outside = _values_outside(len(ordered))
    low, high = float(ordered[outside]), float(ordered[-1 - outside])
    return Interval(float(np.median(ordered)), low, high, len(ordered))


def _values_outside(count: int) -> int:
    """Return how many of so many values lie below the interval of their median, and above it."""
    outside, ways, tail = 0, 1, 1
    # Of all 2^count ways in which values can lie about the median, those with too few on one side.
    while tail * _ONE_TAIL <= 1 << count:
        ways = ways * (count - outside) // (outside + 1)
        tail += ways
        outside += 1
    return max(outside - 1, 0)
