"""How far estimates are from the truth of scenes: stated against real errors, and delays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

SHARES = (50, 68, 95)
"""Percent of the errors that are counted."""

THREE_AXES = (2.3660, 3.5059, 7.8147)
"""Squares of the distance, in standard deviations, that hold these shares of three errors."""


def squared_distances(errors: Doubles, covariance: Doubles) -> Doubles:
    """Return the squares of errors in standard deviations, (known,), of all that are known.

    Args:
        errors: (..., 3), NaN where there is none.
        covariance: (..., 3, 3), likewise.
    """
    known = np.isfinite(errors).all(axis=-1) & np.isfinite(covariance).all(axis=(-1, -2))
    errors, covariance = errors[known], covariance[known]
    solved = np.linalg.solve(covariance, errors[..., None])[..., 0]
    squares: Doubles = (errors * solved).sum(axis=-1)
    return squares


def best_delay(delays: NDArray[np.int64], apart: Doubles) -> float:
    """Return the delay of the least distance, between those tried by a parabola.

    Args:
        delays: (tried,), one apart.
        apart: (tried,), the mean or the sum of squares at each.
    """
    at = int(np.clip(np.argmin(apart), 1, len(delays) - 2))
    before, middle, after = apart[at - 1 : at + 2]
    return float(delays[at] + 0.5 * (before - after) / (before - 2.0 * middle + after))
