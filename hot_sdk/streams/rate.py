"""How fast frames come, and how far apart a network's frames are to lie in time."""

from __future__ import annotations

import numpy as np

from hot_sdk.preparation.rate import differs

_INTERVALS = 8


class StreamRate:
    """The frame rate of a stream: as it was given, or measured from its first frames.

    Attributes:
        fps: Frames a second; None until it is known.
        measured: It was not given.
    """

    def __init__(self, fps: float | None, training_fps: float, tolerance: float | None) -> None:
        self.fps = fps
        self.measured = fps is None
        self._training_fps = training_fps
        self._tolerance = tolerance
        self._times: list[float] = []

    def see(self, timestamp: float) -> bool:
        """Take note of a frame's time; True when this frame made the rate known."""
        if self.fps is not None or (self._times and timestamp <= self._times[-1]):
            return False
        self._times.append(timestamp)
        if len(self._times) <= _INTERVALS:
            return False
        self.fps = float(1.0 / np.median(np.diff(self._times)))
        self._times.clear()
        return True

    @property
    def assumed_fps(self) -> float:
        """Frames a second, the model's own until it is known."""
        return self._training_fps if self.fps is None else self.fps

    @property
    def resamples(self) -> bool:
        """Frames are resampled in time to the model's rate."""
        if self.fps is None or self._tolerance is None:
            return False
        return differs(self.fps, self._training_fps, self._tolerance)

    @property
    def step(self) -> float:
        """Seconds between the frames of a window."""
        return 1.0 / (self._training_fps if self.resamples else self.assumed_fps)
