"""Power over time, read by a thread while something else is measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.closing import Closing
from hot_sdk.benchmarks.power.source import PowerSource, UnavailableError

_INTERVAL_S = 0.05


@dataclass(frozen=True, eq=False)
class PowerSamples:
    """Power over time.

    Attributes:
        times: (samples,), seconds of the monotonic clock, ascending.
        watts: (samples,): from each time until the next.
    """

    times: NDArray[np.float64]
    watts: NDArray[np.float64]

    def joules(self, start: float, end: float) -> float | None:
        """Energy between two moments; None where they are not within the samples."""
        if len(self.times) < 2 or start < self.times[0] or end > self.times[-1] or end <= start:
            return None
        total = np.concatenate([[0.0], np.cumsum(np.diff(self.times) * self.watts[:-1])])
        return float(np.interp(end, self.times, total) - np.interp(start, self.times, total))

    def mean_watts(self, spans: Iterable[tuple[float, float]]) -> float | None:
        """Mean power over several spans of time; None where none of them is known."""
        known = [
            (joules, end - start)
            for start, end in spans
            if (joules := self.joules(start, end)) is not None
        ]
        seconds = sum(length for _, length in known)
        return sum(joules for joules, _ in known) / seconds if seconds > 0.0 else None


def as_power(
    times: NDArray[np.float64], values: NDArray[np.float64], *, energy: bool
) -> PowerSamples:
    """Samples of a source as power.

    Args:
        times: (samples,), seconds.
        values: (samples,), watts, or joules so far.
        energy: They are joules.
    """
    if not energy or len(times) < 2:
        return PowerSamples(times, values if not energy else np.zeros_like(values))
    watts = np.diff(values) / np.diff(times)
    return PowerSamples(times, np.append(watts, watts[-1]))


class PowerSampler(Closing):
    """Reads a source twenty times a second until it is closed.

    Attributes:
        problem: Why it ended early; empty where it did not.
    """

    def __init__(self, source: PowerSource) -> None:
        self.source = source
        self.problem = ""
        self._times: list[float] = []
        self._values: list[float] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="power", daemon=True)
        self._thread.start()

    def samples(self) -> PowerSamples:
        """What was read so far."""
        count = min(len(self._times), len(self._values))
        return as_power(
            np.array(self._times[:count]),
            np.array(self._values[:count]),
            energy=self.source.counts_energy,
        )

    def close(self) -> None:
        """End the thread and the source; what was read stays."""
        if not self._ending.is_set():
            self._ending.set()
            self._thread.join()
            self.source.close()

    def _loop(self) -> None:
        while True:
            try:
                value = self.source.read()
            except UnavailableError as error:
                self.problem = str(error)
                return
            self._times.append(time.monotonic())
            self._values.append(value)
            if self._ending.wait(_INTERVAL_S):
                return
