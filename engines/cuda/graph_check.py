"""Tell whether a CUDA graph computes what a plain run does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Share of the largest number by which two runs may differ; kernels may add up in any order.
_SAME = 1e-2


def same_outputs(found: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether two runs on the same arrays agree, up to sums in another order.

    Whole numbers count only if there are no others: a choice of frames may change in a near tie.
    """
    floats = [name for name, array in expected.items() if array.dtype.kind == "f"]
    if not floats:
        return all(np.array_equal(found[name], expected[name]) for name in expected)
    for name in floats:
        size = float(np.abs(expected[name][np.isfinite(expected[name])]).max(initial=0.0))
        if not np.allclose(
            found[name], expected[name], rtol=0.0, atol=_SAME * size, equal_nan=True
        ):
            return False
    return True
