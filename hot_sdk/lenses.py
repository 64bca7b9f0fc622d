"""Apply and remove the distortion of a lens, as OpenCV defines it.

Points are on the plane at depth 1: x over z and y over z. The model of most lenses has radial
coefficients k1, k2, k3 over 1 plus k4, k5, k6, and the tangential p1 and p2; that of fisheye lenses
is a polynomial of the angle from the optical axis (Kannala and Brandt, PAMI 2006).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_STEPS = 30
_CLOSE = 1e-9
_SMALLEST_STEP = 1e-10
"""Newton's next step is smaller than a double resolves."""

_PARTS = np.linspace(0.1, 1.0, 10)[:, None, None]


def distorted(flat: Doubles, coefficients: Sequence[float], fisheye: bool) -> Doubles:
    """Return where the lens shows points (..., 2)."""
    radius = np.sum(flat**2, axis=-1)
    if fisheye:
        distance = np.sqrt(radius)
        seen = _fisheye_angle(np.arctan(distance), coefficients)
        scale = np.divide(seen, distance, out=np.ones_like(seen), where=distance > 1e-12)
        fish: Doubles = flat * scale[..., None]
        return fish
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *(0.0,) * (8 - len(coefficients)))
    x, y = flat[..., 0], flat[..., 1]
    radial = (1.0 + radius * (k1 + radius * (k2 + radius * k3))) / (
        1.0 + radius * (k4 + radius * (k5 + radius * k6))
    )
    across = x * radial + 2.0 * p1 * x * y + p2 * (radius + 2.0 * x * x)
    down = y * radial + p1 * (radius + 2.0 * y * y) + 2.0 * p2 * x * y
    return np.stack([across, down], axis=-1)


def undistorted(seen: Doubles, coefficients: Sequence[float], fisheye: bool) -> Doubles:
    """Return the points (n, 2) that the lens shows at ``seen``, by Newton's method.

    NaN if no point was found, or only one beyond the radius up to which the lens's image grows.
    """
    with np.errstate(all="ignore"):
        if fisheye:
            return _undistorted_fisheye(seen, coefficients)
        flat = seen.copy()
        moving = np.arange(len(seen))
        for _ in range(_STEPS):
            at = flat[moving]
            away = distorted(at, coefficients, False) - seen[moving]
            step = _solve(_slopes(at, coefficients), away)
            flat[moving] = at - step
            # A comparison with NaN is False.
            moving = moving[np.abs(step).max(axis=-1) > _SMALLEST_STEP]
            if not len(moving):
                break
        away = distorted(flat, coefficients, False) - seen
        # From the middle to a true solution, the image grows all the way.
        (a, b), (c, d) = _slopes(flat * _PARTS, coefficients)
        unfolded = ((a * d - b * c > 0.0) & (a + d > 0.0)).all(axis=0)
        found = unfolded & (np.abs(away).max(axis=-1) < _CLOSE)
    return np.where(found[:, None], flat, np.nan)


def _slopes(flat: Doubles, coefficients: Sequence[float]) -> list[list[Doubles]]:
    """Return the derivatives of the shown x and y by x and y, for points (..., 2)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *(0.0,) * (8 - len(coefficients)))
    x, y = flat[..., 0], flat[..., 1]
    radius = x * x + y * y
    above = 1.0 + radius * (k1 + radius * (k2 + radius * k3))
    below = 1.0 + radius * (k4 + radius * (k5 + radius * k6))
    radial = above / below
    above_grows = k1 + radius * (2.0 * k2 + radius * 3.0 * k3)
    below_grows = k4 + radius * (2.0 * k5 + radius * 3.0 * k6)
    grows = 2.0 * (above_grows - radial * below_grows) / below
    across = radial + x * x * grows + 2.0 * p1 * y + 6.0 * p2 * x
    down = radial + y * y * grows + 6.0 * p1 * y + 2.0 * p2 * x
    mixed = x * y * grows + 2.0 * p1 * x + 2.0 * p2 * y
    return [[across, mixed], [mixed, down]]


def _solve(slopes: list[list[Doubles]], target: Doubles) -> Doubles:
    (a, b), (c, d) = slopes
    size = a * d - b * c
    x, y = target[..., 0], target[..., 1]
    return np.stack([(d * x - b * y) / size, (a * y - c * x) / size], axis=-1)


def _fisheye_angle(angle: Doubles, coefficients: Sequence[float]) -> Doubles:
    square = angle * angle
    k1, k2, k3, k4 = coefficients
    return angle * (1.0 + square * (k1 + square * (k2 + square * (k3 + square * k4))))


def _undistorted_fisheye(seen: Doubles, coefficients: Sequence[float]) -> Doubles:
    shown = np.linalg.norm(seen, axis=-1)
    angle = shown.copy()
    powers = np.array([1.0, 3.0, 5.0, 7.0, 9.0]) * [1.0, *coefficients]

    def slope(at: Doubles) -> Doubles:
        slopes: Doubles = np.polynomial.polynomial.polyval(at * at, powers)
        return slopes

    for _ in range(_STEPS):
        angle = angle - (_fisheye_angle(angle, coefficients) - shown) / slope(angle)
    found = np.abs(_fisheye_angle(angle, coefficients) - shown) < _CLOSE
    found &= (angle >= 0.0) & (angle < np.pi / 2)
    for part in np.linspace(0.1, 1.0, 10):
        found &= slope(angle * part) > 0.0
    scale = np.divide(np.tan(angle), shown, out=np.ones_like(shown), where=shown > 1e-12)
    return np.where(found[:, None], seen * scale[:, None], np.nan)
