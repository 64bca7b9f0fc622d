"""Time several callables in turn, so that load on the machine hits all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def interleaved_times(
    runs: Sequence[Callable[[], object]],
    rounds: int,
    *,
    least: int | None = None,
    limit_s: float | None = None,
) -> list[list[float]]:
    """Time each callable once per round.

    Each timed call follows an untimed one of the same callable, because the threads of the
    callable before may still be spinning.

    Args:
        runs: What to time.
        rounds: Number of rounds.
        least: Number of rounds that ``limit_s`` does not cut short; ``rounds`` if None.
        limit_s: Seconds after which no further round begins; no limit if None.

    Returns:
        Milliseconds of the timed calls, a list for each callable.
    """
    times: list[list[float]] = [[] for _ in runs]
    least = rounds if least is None else least
    start = time.perf_counter()
    for number in range(rounds):
        if number >= least and limit_s is not None and time.perf_counter() - start >= limit_s:
            break
        for run, taken in zip(runs, times, strict=True):
            run()
            before = time.perf_counter()
            run()
            taken.append(1e3 * (time.perf_counter() - before))
    return times


def interleaved_medians(
    runs: Sequence[Callable[[], object]],
    rounds: int,
    *,
    least: int | None = None,
    limit_s: float | None = None,
) -> list[float]:
    """Return the median milliseconds of each callable; see :func:`interleaved_times`."""
    times = interleaved_times(runs, rounds, least=least, limit_s=limit_s)
    return [statistics.median(taken) for taken in times]
