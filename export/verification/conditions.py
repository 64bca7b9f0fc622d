"""Windows as a network gets them that is told what is known of camera and person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.manifest import CONDITION_NAMES
from hot_sdk.preprocessing.virtual_view import height_condition

_SEED = 20240617
_WIDTHS_PER_SLOPE = 2.3
"""Normalized keypoints over slopes of rays, at a usual field of view: 47 degrees."""

_CASES = (
    CONDITION_NAMES,
    ("intrinsics_known",),
    ("intrinsics_known", "gravity_known", "view_pitch"),
    ("height_known", "height"),
)
"""What users know, together."""


@dataclass(frozen=True, eq=False)
class ToldWindow:
    """One input.

    Attributes:
        known: What is known, for reports.
        keypoints: (frames, joints, channels), float32.
        conditions: (frames, conditions), float32.
    """

    known: str
    keypoints: NDArray[np.float32]
    conditions: NDArray[np.float32]


def told_window(keypoints: NDArray[np.float32], count: int, number: int) -> ToldWindow:
    """Return a window as it is if something is known, with plausible random values.

    Args:
        keypoints: The window if nothing is, (frames, joints, channels).
        count: Number of values that the network takes, the first of ``CONDITION_NAMES``.
        number: Number of the window: what is known of it follows from it.
    """
    names = [name for name in _CASES[number % len(_CASES)] if name in CONDITION_NAMES[:count]]
    random = np.random.default_rng((_SEED, number))
    frames = np.arange(len(keypoints))
    values = {name: np.ones(len(keypoints)) for name in names}
    if "view_pitch" in values:
        # A camera that is carried nods a little.
        middle, rate = random.uniform(-0.4, 0.4), random.uniform(0.01, 0.1)
        values["view_pitch"] = middle + 0.05 * np.sin(rate * frames)
    if "height" in values:
        values["height"] *= height_condition(random.uniform(1.5, 1.95))
    if "intrinsics_known" in values:
        points = keypoints[..., :2]
        slopes = (points - points.mean(axis=1, keepdims=True)) / _WIDTHS_PER_SLOPE
        keypoints = np.concatenate([slopes, keypoints[..., 2:]], axis=-1, dtype=np.float32)
    unknown = np.zeros(len(keypoints))
    rows = [values.get(name, unknown) for name in CONDITION_NAMES[:count]]
    known = [name.removesuffix("_known") for name in names if name.endswith("_known")]
    return ToldWindow(
        f"{' and '.join(known)} known" if known else "nothing known",
        keypoints,
        np.stack(rows, axis=1).astype(np.float32),
    )
