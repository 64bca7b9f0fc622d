"""Measure the frame rate of a stream, check its timestamps' unit, and spread out bursts."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import StreamError
from hot_sdk.preprocessing.resampling import differs
from hot_sdk.timestamps import A_SECOND_APART, FASTEST_FPS, unit_of_interval, unit_of_time

FASTEST = 4
"""Multiple of the model's rate up to which a camera of unknown rate fills the window."""

_INTERVALS = 8
_REMEMBERED = 32
_FEWEST_SHARED = 4
SHORT = 0.25
"""A frame that follows after less than this share of the usual interval waited in a queue."""

_LIKE = 0.4
_LEAST_S = 0.1
_LEAST_FAST_S = 0.25
"""Seconds of stream from which a rate is believed; the second, one that few cameras have."""

_MAX_FPS = FASTEST_FPS
_LONGEST_S = 1.5
_LONG_INTERVALS = 3

Times = NDArray[np.float64]


class FrameRate:
    """The frame rate of a stream: given, or measured for as long as the stream runs.

    The measured rate is the median of recent intervals. Frames that were delivered at once, from a
    queue, share the time since the frame before them; so a burst does not look like a fast camera.

    Attributes:
        fps: Frames per second; None until known.
        measured: The rate was not given.
    """

    def __init__(self, fps: float | None, training_fps: float, tolerance: float | None) -> None:
        self.fps = fps
        self.measured = fps is None
        self._training_fps = training_fps
        self._tolerance = tolerance
        self._observed_fps: float | None = None
        self._times: deque[float] = deque(maxlen=_REMEMBERED + 1)
        self._intervals: deque[float] = deque(maxlen=_REMEMBERED)
        self._arrivals: deque[float] = deque(maxlen=_REMEMBERED + 1)
        self._start = self._last = np.inf
        self._long = 0

    def check(self, timestamp: float) -> None:
        """Check that the times of the last frames can be seconds; call it once for each push.

        Raises:
            StreamError: They are in another unit.
        """
        unit = unit_of_time(timestamp)
        if unit is not None:
            raise _wrong_unit(f"The timestamp is {timestamp:.6g}", *unit)
        interval, last = timestamp - self._last, self._last
        if interval == 0.0:
            return
        self._last = timestamp
        slow = np.isfinite(last) and interval > _LONGEST_S
        if slow and (self.measured or interval * (self.fps or 1.0) > 5.0):
            self._long += 1
        else:
            self._long = 0
        if self._long < _LONG_INTERVALS:
            return
        rate = f"The last frames are {interval:.6g} s apart, {1.0 / interval:.2g} frames per second"
        raise _wrong_unit(rate, *(unit_of_interval(interval) or ("another unit", None)))

    def observe(self, timestamp: float, arrival: float) -> bool:
        """Note a frame's time; return True if this frame made the rate known.

        Args:
            timestamp: Seconds.
            arrival: When it was pushed, by ``time.perf_counter``.

        Raises:
            StreamError: The frames come slower than their timestamps say, by far.
        """
        if self._times and timestamp <= self._times[-1]:
            return False
        if self._times:
            self._intervals.append(timestamp - self._times[-1])
        self._start = min(self._start, timestamp)
        self._times.append(timestamp)
        self._arrivals.append(arrival)
        rate = self._measured(timestamp - self._start)
        if rate is None:
            self._check_slow_arrivals()
            return False
        self._observed_fps = rate
        if not self.measured:
            return False
        first = self.fps is None
        self.fps = rate
        return first

    def restart(self) -> None:
        """Forget the times, as after a jump of the clock, but not the rate."""
        self._times.clear()
        self._intervals.clear()
        self._arrivals.clear()
        self._start = np.inf

    @property
    def assumed_fps(self) -> float:
        """Frames per second; the model's own until the rate is known."""
        return self._training_fps if self.fps is None else self.fps

    @property
    def resamples(self) -> bool:
        """Frames are resampled in time to the model's rate."""
        if self.fps is None or self._tolerance is None:
            return False
        return differs(self.fps, self._training_fps, self._tolerance)

    @property
    def frame_interval_s(self) -> float:
        """Seconds between the frames of a window."""
        return 1.0 / (self._training_fps if self.resamples else self.assumed_fps)

    @property
    def usual_interval_s(self) -> float:
        """Seconds between the frames that are pushed."""
        return 1.0 / (self._observed_fps or self.assumed_fps)

    @property
    def contradiction(self) -> str | None:
        """What to say if the rate that was given is not the one measured, or looks like none."""
        seen, given = self._observed_fps, self.fps
        if self.measured and seen is not None and (np.diff(self._times) == 1.0).all():
            return A_SECOND_APART
        if self.measured or seen is None or given is None or 0.5 <= seen / given <= 2.0:
            return None
        return (
            f"The stream was opened with fps={given:g}, but the timestamps say {seen:.3g}. Leave"
            " fps out, or check the timestamps."
        )

    def _measured(self, seconds: float) -> float | None:
        if len(self._times) <= _INTERVALS or seconds < _LEAST_S:
            return None
        intervals, shortest = np.array(self._intervals), min(self._intervals)
        if max(self._intervals) - shortest < _LIKE * shortest:
            # All are alike, and none is short: what follows would come to the same.
            mean = float(np.add.reduce(intervals)) / len(intervals)
            return self._believed(1.0 / mean, seconds)
        # Half of the time passed in intervals of this length or longer, however many are short.
        ordered = np.sort(intervals)
        passed = np.cumsum(ordered)
        usual = ordered[np.searchsorted(passed, 0.5 * passed[-1])]
        short = intervals < SHORT * usual
        if short.any():
            starts = np.flatnonzero(~short)
            bounds = np.append(starts, len(intervals))
            frames = np.diff(bounds)
            shared = np.add.reduceat(intervals, starts) / frames
            intervals = np.repeat(shared, frames)
            if len(intervals) < _FEWEST_SHARED:
                return None
        # One of them, not the middle between two.
        median = np.sort(intervals)[(len(intervals) - 1) // 2]
        # Of like intervals the mean, which stamps in coarse steps or with jitter do not shift.
        like = np.abs(intervals - median) < _LIKE * median
        return self._believed(float(1.0 / intervals[like].mean()), seconds)

    def _believed(self, rate: float, seconds: float) -> float | None:
        if rate > _MAX_FPS or (rate > FASTEST * self._training_fps and seconds < _LEAST_FAST_S):
            return None
        return rate

    def _check_slow_arrivals(self) -> None:
        if len(self._times) <= _REMEMBERED:
            return
        stamped = self._times[-1] - self._times[0]
        arrived = self._arrivals[-1] - self._arrivals[0]
        if stamped * _MAX_FPS < _REMEMBERED and arrived > 2.0 * stamped:
            raise StreamError(
                f"The timestamps of the last {_REMEMBERED} frames span {stamped:.3g} s, over"
                f" 1000 frames per second, but they came in {arrived:.3g} s.",
                hint="Give seconds; these look like minutes or a larger unit.",
            )


def spread_bursts(times: Times, interval_s: float) -> Times:
    """Return times at which frames were taken, if some waited in a queue and came at once.

    Args:
        times: (frames,), seconds, strictly increasing: when they came.
        interval_s: The usual interval, which separates the frames of a burst; the last frame stays
            where it is.
    """
    if len(times) < 2 or not (np.diff(times) < SHORT * interval_s).any():
        return times
    taken: Times = times.copy()
    for at in range(len(times) - 2, -1, -1):
        if times[at + 1] - times[at] < SHORT * interval_s:
            taken[at] = taken[at + 1] - interval_s
        elif taken[at] > taken[at + 1] - 0.5 * interval_s and taken[at + 1] < times[at + 1]:
            taken[at] = taken[at + 1] - 0.5 * interval_s
    return taken


def _wrong_unit(what: str, unit: str, per_second: float | None) -> StreamError:
    hint = "Give the seconds at which each frame was taken"
    hint += "." if per_second is None else f": timestamp / {per_second:.0e}."
    return StreamError(f"{what}; it looks like {unit}, not seconds.", hint=hint)
