"""The times of one measure of one configuration, turn by turn, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.speed.steadiness import Steadiness, examine
from hot_sdk.latency import Statistics

Times = NDArray[np.float64]


class Series:
    """Times that were taken in turns.

    Args:
        of: The series that this one is a part of, whose steady state it shares; None for one that
            stands for itself.
        parts: Samples of this one in each sample of that one.

    Attributes:
        turns: Seconds of each sample of each turn.
        seconds: All of them together.
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
        """Where the steady state begins, and whether it lasts."""
        if self._of is None:
            return examine(self.all)
        found = self._of.steadiness()
        return replace(found, warm_up_runs=self._parts * found.warm_up_runs)

    def counted(self) -> Times:
        """The samples of the steady state, every one of them."""
        return self.all[self.steadiness().warm_up_runs :]

    def round_medians(self) -> Times:
        """The median of each turn, NaN for one that was not taken or belongs to the warm-up."""
        left_out = self.steadiness().warm_up_runs
        medians = []
        for turn in self.turns:
            counted = turn[left_out:]
            left_out = max(0, left_out - len(turn))
            medians.append(float(np.median(counted)) if len(counted) else float("nan"))
        return np.array(medians)


def statistics_ms(seconds: Times) -> Statistics:
    """Of all given times, in milliseconds."""
    ms = 1e3 * seconds
    median, p90, p95, p99 = np.percentile(ms, [50, 90, 95, 99])
    return Statistics(
        count=len(ms),
        min=float(ms.min()),
        mean=float(ms.mean()),
        median=float(median),
        p90=float(p90),
        p95=float(p95),
        p99=float(p99),
        max=float(ms.max()),
        std=float(ms.std()),
    )


def quantiles_ms(seconds: Times) -> tuple[float, ...]:
    """0 %, 1 %, … 100 %, in milliseconds."""
    return tuple(float(f"{value:.6g}") for value in np.percentile(1e3 * seconds, range(101)))
