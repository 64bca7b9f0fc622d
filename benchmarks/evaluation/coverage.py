"""Whether poses are as far off as they say: how many errors lie within the stated spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

LEVELS = (50, 68, 95)
"""Percent of the errors that an interval is meant to hold."""

_MEANT = 68.0
"""Percent of the errors within the stated spread."""

DISTRIBUTION = "laplace"
"""The distribution of errors for which the shipped weights are trained and calibrated."""

_QUANTILES: Mapping[str, Callable[[float], float]] = {
    "laplace": lambda share: -math.log(1.0 - share),
    "normal": lambda share: NormalDist().inv_cdf((1.0 + share) / 2.0),
}
"""Half the width of the interval that holds a share of the errors, by distribution."""

AXES = ("x", "y", "z")
"""Along the image to the right, down, and away from the camera."""


@dataclass(frozen=True)
class Coverage:
    """How many errors lie within the stated spread, over all scored frames.

    The pelvis is left out: it is where it is by definition. A calibrated model holds about as many
    as the level says, in every axis.

    Attributes:
        percent: Level, such as ``68``, to axis (``x``, ``y``, ``z``, or ``all``) to the share of
            errors within that level's interval, percent.
        spread_mm: Axis to the mean of the stated spread, half the interval that is to hold 68 %;
            of two models that are both calibrated, the one that states less knows more.
    """

    percent: dict[str, dict[str, float]]
    spread_mm: dict[str, float]


def coverage(
    ratios: Sequence[Singles], spreads: Sequence[Singles], *, distribution: str = DISTRIBUTION
) -> Coverage:
    """Return the coverage over all frames of clips.

    Args:
        ratios: Of each clip, (scored, joints, 3): absolute error over stated spread.
        spreads: Of each clip, (scored, joints, 3): the stated spread, millimeters.
        distribution: ``laplace`` or ``normal``: how the intervals of other levels follow from that
            of 68 %.
    """
    ratio, spread = (np.concatenate(each).reshape(-1, len(AXES)) for each in (ratios, spreads))
    return Coverage(
        percent={
            str(level): _by_axis((ratio <= interval_width(level, distribution)) * np.float64(100.0))
            for level in LEVELS
        },
        spread_mm=_by_axis(spread.astype(np.float64)),
    )


def interval_width(percent: float, distribution: str = DISTRIBUTION) -> float:
    """Return half the width of an interval, as a multiple of that of 68 %.

    Args:
        percent: Share of the errors that it is to hold, above 0 and below 100.
        distribution: ``laplace`` or ``normal``.
    """
    quantile = _QUANTILES[distribution]
    return quantile(percent / 100.0) / quantile(_MEANT / 100.0)


def _by_axis(values: Floats) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys((*AXES, "all"), math.nan)
    each = values.mean(axis=0)
    return {**dict(zip(AXES, each.tolist(), strict=True)), "all": float(each.mean())}
