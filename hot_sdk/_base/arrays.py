"""Turn values that users pass into NumPy arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
