"""The newest observations of one person, in memory of fixed size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.skeleton import H36M17

_JOINTS = len(H36M17.joints)


@dataclass(frozen=True)
class Observations:
    """A person's keypoints, oldest first.

    Attributes:
        times: (frames,), seconds, as they were pushed.
        arrivals: (frames,), seconds of the monotonic clock at which they were pushed.
        points: (frames, 17, 2), pixels, NaN where missing.
        scores: (frames, 17), 0 to 1.
    """

    times: NDArray[np.float64]
    arrivals: NDArray[np.float64]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]


class ObservationBuffer:
    """A ring that gives its newest entries as contiguous arrays.

    Each entry is written twice, a ring's length apart, so that no read ever wraps round.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._times = np.zeros(2 * capacity)
        self._arrivals = np.zeros(2 * capacity)
        self._points = np.zeros((2 * capacity, _JOINTS, 2), dtype=np.float32)
        self._scores = np.zeros((2 * capacity, _JOINTS), dtype=np.float32)
        self.count = 0

    def append(
        self,
        time: float,
        arrival: float,
        points: NDArray[np.float32],
        scores: NDArray[np.float32] | None,
    ) -> None:
        """Add an observation: points (17, 2), scores (17,) or None where a detector gives none."""
        slot = self.count % self._capacity
        for place in (slot, slot + self._capacity):
            self._times[place] = time
            self._arrivals[place] = arrival
            self._points[place] = points
            self._scores[place] = 1.0 if scores is None else scores
        self.count += 1

    def newest(self, most: int, since: float) -> Observations:
        """Copy at most so many of the newest observations, none older than ``since`` seconds."""
        kept = min(self.count, self._capacity, most)
        end = (self.count - 1) % self._capacity + 1 + self._capacity
        start = end - kept
        start += int(np.searchsorted(self._times[start:end], since))
        part = slice(min(start, end - 1), end)
        return Observations(
            self._times[part].copy(),
            self._arrivals[part].copy(),
            self._points[part].copy(),
            self._scores[part].copy(),
        )
