"""Sources of power or energy, and sampling one while something else is measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.closing import Closing

_INTERVAL_S = 0.05


class UnavailableError(Exception):
    """A source cannot be read on this machine; the text is the reason."""


class PowerSource(Protocol):
    """A source of power or energy.

    Every method, and opening a source, raises ``UnavailableError`` if it cannot be read.
    """

    @property
    def name(self) -> str:
        """The name of the source, one of ``SOURCES``."""

    @property
    def rail(self) -> str:
        """What is measured, in the machine's own words."""

    @property
    def counts_energy(self) -> bool:
        """Whether ``read`` returns joules since some moment instead of watts."""

    def read(self) -> float:
        """Return watts now, or joules until now."""

    def close(self) -> None:
        """Release the source."""


@dataclass(frozen=True, eq=False)
class PowerSamples:
    """Power over time.

    Attributes:
        times: (samples,), seconds of the monotonic clock, ascending.
        watts: (samples,), power from each time until the next.
    """

    times: NDArray[np.float64]
    watts: NDArray[np.float64]

    @classmethod
    def from_readings(
        cls, times: NDArray[np.float64], values: NDArray[np.float64], *, energy: bool
    ) -> PowerSamples:
        """Return readings as power.

        Args:
            times: (samples,), seconds.
            values: (samples,), watts, or joules so far.
            energy: The values are joules.
        """
        if not energy:
            return cls(times, values)
        if len(times) < 2:
            return cls(times, np.zeros_like(values))
        watts = np.diff(values) / np.diff(times)
        return cls(times, np.append(watts, watts[-1]))

    def joules(self, start: float, end: float) -> float | None:
        """Return the energy between two moments; None if they are not within the samples."""
        if len(self.times) < 2 or start < self.times[0] or end > self.times[-1] or end <= start:
            return None
        total = np.concatenate([[0.0], np.cumsum(np.diff(self.times) * self.watts[:-1])])
        return float(np.interp(end, self.times, total) - np.interp(start, self.times, total))

    def mean_watts(self, spans: Iterable[tuple[float, float]]) -> float | None:
        """Return the mean power over several spans of time; None if none of them is known."""
        known = [
            (joules, end - start)
            for start, end in spans
            if (joules := self.joules(start, end)) is not None
        ]
        seconds = sum(length for _, length in known)
        return sum(joules for joules, _ in known) / seconds if seconds > 0.0 else None


class PowerSampler(Closing):
    """Reads a source twenty times per second, in a thread, until it is closed.

    Attributes:
        problem: Why reading ended early; empty if it did not.
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
        """Return the samples so far."""
        count = min(len(self._times), len(self._values))
        return PowerSamples.from_readings(
            np.array(self._times[:count]),
            np.array(self._values[:count]),
            energy=self.source.counts_energy,
        )

    def close(self) -> None:
        """End the thread and the source; the samples stay."""
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
