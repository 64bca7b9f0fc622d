"""When each decoded frame was taken, and which place on the video's timeline that is."""

from __future__ import annotations

import math

# Containers such as Matroska round times to whole milliseconds, at either end of a step.
_ROUNDING_S = 0.0011
# Share of a frame's duration by which a regular video's steps may differ from whole durations.
_REGULAR = 0.1


class FrameClock:
    """Gives decoded frames strictly increasing times, and indices that lost frames do not shift.

    A decoder fails at some of the frames that it cannot decode, and passes over others without a
    word; then the next frame's time tells. As long as every step so far was a whole number of frame
    durations, a step of k durations means that k - 1 frames were lost, and the index moves on by k.
    A video whose steps are others has a variable rate, in which a long step is no loss: from then
    on indices count the frames that were decoded and the failures.

    Attributes:
        lost: Places on the timeline that were passed over so far.
    """

    def __init__(self, fps: float | None) -> None:
        """Start before the first frame.

        Args:
            fps: Nominal frames a second; None where unknown, which makes every rate variable.
        """
        self.lost = 0
        self._interval = None if fps is None else 1.0 / fps
        self._regular = self._interval is not None
        self._index = -1
        self._time = -math.inf

    def place(self, time_s: float | None, *, failures: int = 0) -> tuple[int, float] | None:
        """Index and time of the next decoded frame.

        Args:
            time_s: The time that the container states, in seconds; None where it states none.
                One that is not finite, negative, or not after the frame before is not believed,
                and the frame is put where it belongs by the nominal rate.
            failures: How often decoding failed since the frame before.

        Returns:
            The index from 0, and the time in seconds; None where neither the container nor the
            nominal rate says when the frame was.
        """
        first = self._index < 0
        believed = (
            time_s is not None
            and math.isfinite(time_s)
            and time_s >= 0.0
            and time_s > self._time + (0.0 if first else 1e-6)
        )
        if believed:
            assert time_s is not None
            time = time_s
        elif self._interval is not None:
            time = (failures if first else failures + 1) * self._interval
            time += 0.0 if first else self._time
        elif first:
            time = 0.0
        else:
            return None
        steps = failures + 1
        if believed and not first:
            steps = self._steps(time - self._time) or steps
        self.lost += steps - 1
        self._index += steps
        self._time = time
        return self._index, time

    def _steps(self, seconds: float) -> int | None:
        """Frame durations in a time; None in a video of variable rate."""
        if self._interval is None or not self._regular:
            return None
        steps = round(seconds / self._interval)
        tolerance = _REGULAR * self._interval + _ROUNDING_S
        if steps < 1 or abs(seconds - steps * self._interval) > tolerance:
            self._regular = False
            return None
        return steps
