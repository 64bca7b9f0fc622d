"""Recognize times that are not in seconds, by their size and spacing."""

from __future__ import annotations

SLOWEST_FPS = 0.9
FASTEST_FPS = 1100.0
"""Rates outside of these are no camera's, but times in another unit."""

_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))
_CAMERA_FPS = (5.0, 1000.0)
_LATEST_S = 1e11
"""The year 5138: later times are of a clock that counts smaller units."""

_DATES_S = (9.4e8, 4.2e9)
"""The years 2000 to 2100."""


def unit_of_time(time: float) -> tuple[str, float | None] | None:
    """Return the unit of a time and how many of it a second has; None if it may be seconds."""
    if abs(time) < _LATEST_S:
        return None
    for unit, per_second in _UNITS:
        if _DATES_S[0] < time / per_second < _DATES_S[1]:
            return unit, per_second
    return "microseconds or nanoseconds", None


def unit_of_interval(interval: float) -> tuple[str, float] | None:
    """Return the unit in which an interval is a camera's, and how many of it a second has.

    None if it is a camera's in seconds, or in no unit.
    """
    slowest, fastest = _CAMERA_FPS
    if SLOWEST_FPS * interval <= 1.0 <= FASTEST_FPS * interval:
        return None
    for unit, per_second in (*_UNITS, ("minutes", 1 / 60), ("hours", 1 / 3600)):
        if slowest * interval <= per_second <= fastest * interval:
            return unit, per_second
    return None
