"""Turn values that users pass into NumPy arrays, and take percentiles of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.errors import KeypointsError


def as_array(values: object, name: str) -> NDArray[Any]:
    """Return values as an array; those that a mask of NumPy hides are NaN.

    Raises:
        KeypointsError: They are no array, such as rows of different lengths.
    """
    try:
        # Whoever has such an array has imported its module, which costs more than a clip's other
        # checks together.
        if (
            "numpy.ma" in sys.modules
            and isinstance(values, np.ma.MaskedArray)
            and values.dtype.kind in "fiu"
        ):
            numbers = np.array(values.data, dtype=np.float64)
            numbers[np.ma.getmaskarray(values)] = np.nan
            return numbers
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise KeypointsError(f"{name} is not an array: {error}.", hint="Give an array.") from error


def percentiles(values: ArrayLike, percents: Sequence[float]) -> NDArray[np.float64]:
    """Return percentiles along the first axis, (percents, ...), interpolated linearly.

    Those of ``numpy.percentile``, which imports ``numpy.ma``: that takes as long as to lift a short
    clip, and every clip's report and checks need some.

    Args:
        values: (values, ...), one or more, without NaN.
        percents: 0 to 100.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=0)
    places = (len(ordered) - 1) * np.asarray(percents, dtype=np.float64) / 100.0
    below = places.astype(np.intp)
    above = np.minimum(below + 1, len(ordered) - 1)
    share = (places - below).reshape(-1, *[1] * (ordered.ndim - 1))
    found: NDArray[np.float64] = ordered[below] + share * (ordered[above] - ordered[below])
    return found
