"""Check times and frame rates, and recognize those in another unit by their size and spacing."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import KeypointsError

SLOWEST_FPS = 0.9
FASTEST_FPS = 1100.0
"""Rates outside of these are no camera's, but times in another unit."""

A_SECOND_APART = (
    "The timestamps are a second apart, whole numbers of frames perhaps; if so, divide them by the"
    " frames per second."
)
"""A warning, for clips and streams."""

_RATE_TOLERANCE = 0.1
_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))
_CAMERA_FPS = (5.0, 1000.0)
_TICKS, _EXACT = 90_000.0, 1e-4
_USUAL_FPS = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0)
"""At these rates a video's ticks are whole numbers, which no camera's microseconds are."""

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
    if any(abs(_TICKS / interval / fps - 1.0) < _EXACT for fps in _USUAL_FPS):
        return "ticks of a video's 90 kHz clock", _TICKS
    if SLOWEST_FPS * interval <= 1.0 <= FASTEST_FPS * interval:
        return None
    for unit, per_second in (*_UNITS, ("minutes", 1 / 60), ("hours", 1 / 3600)):
        if slowest * interval <= per_second <= fastest * interval:
            return unit, per_second
    return None


def check_timestamps(times: NDArray[np.float64], frames: int) -> None:
    """Check the times of a clip's frames.

    Raises:
        KeypointsError: There is not one for each frame, they do not increase, or they are not
            seconds.
    """
    if times.shape != (frames,):
        raise KeypointsError(
            f"timestamps has shape {times.shape}; expected ({frames},), one for each frame.",
            hint="Give the seconds at which each frame was taken.",
        )
    if not np.isfinite(times).all():
        raise KeypointsError("timestamps holds NaN or infinity.", hint="Give seconds.")
    back = np.flatnonzero(times[1:] <= times[:-1])
    if len(back):
        at = int(back[0])
        raise KeypointsError(
            f"timestamps go from {times[at]:.6f} s at frame {at} to {times[at + 1]:.6f} s at the"
            " next; expected strictly increasing ones.",
            hint="Sort the frames by time and leave out repeated ones.",
        )
    if frames > 1 and not SLOWEST_FPS <= (rate := measured_fps(times)) <= FASTEST_FPS:
        unit = unit_of_interval(float(np.median(np.diff(times))))
        looks, hint = "; they are not seconds", "Give seconds"
        if unit is not None:
            looks, hint = f"; they look like {unit[0]}", f"Give timestamps / {unit[1]:.6g}"
        raise KeypointsError(
            f"The timestamps say {rate:.4g} frames per second{looks}.",
            hint=f"{hint}; leave them out if the frames are single pictures.",
        )


def checked_fps(fps: object, timestamps: NDArray[np.float64] | None) -> float:
    """Return a frame rate as a float.

    Raises:
        KeypointsError: It is no camera's, or not that of the timestamps.
    """
    # Archives of NumPy give arrays without dimensions.
    given: object = fps.item() if isinstance(fps, np.ndarray) and fps.size == 1 else fps
    kinds = (int, float, Fraction, Decimal, np.integer, np.floating)
    try:
        rate = float(given) if isinstance(given, kinds) else math.nan
    except (OverflowError, ValueError):
        rate = math.nan
    if isinstance(given, bool) or not 0.0 < rate < 1e30:
        raise KeypointsError(
            f"fps is {fps!r:.80}; expected frames per second, 1 to 1000.",
            hint="Leave it out if it is unknown.",
        )
    if not SLOWEST_FPS <= rate <= FASTEST_FPS:
        seconds = SLOWEST_FPS <= 1.0 / rate <= FASTEST_FPS
        raise KeypointsError(
            f"fps is {fps!r}; expected frames per second, 1 to 1000.",
            hint=f"It looks like seconds per frame: give fps={1.0 / rate:.6g}."
            if seconds
            else "Leave it out if it is unknown.",
        )
    if timestamps is not None and len(timestamps) > 1:
        measured = measured_fps(timestamps)
        if abs(measured / rate - 1.0) > _RATE_TOLERANCE:
            raise KeypointsError(
                f"fps is {rate:g}, but the timestamps say {measured:.4g}.",
                hint="Give the timestamps in seconds, and leave fps out.",
            )
    return rate


def measured_fps(timestamps: NDArray[np.float64]) -> float:
    """Return the frames per second of timestamps: the inverse of their median interval."""
    with np.errstate(over="ignore"):
        return float(1.0 / np.median(np.diff(timestamps)))
