"""Which joints are there, and a place for those that are not; the part that streams share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.policies import InputPolicies
from hot_sdk.preparation.missing import fill_missing
from hot_sdk.preparation.outliers import find_outliers


@dataclass(frozen=True)
class Cleaned:
    """Keypoints with nothing missing.

    Attributes:
        points: (frames, 17, 2), pixels, finite.
        scores: (frames, 17), 0 to 1; 0 where a joint is invalid, 1 where no scores are known.
        valid: (frames, 17).
        missing: How many joints were missing or had too low a score.
        outliers: How many were there but had jumped.
    """

    points: NDArray[np.float32]
    scores: NDArray[np.float32]
    valid: NDArray[np.bool_]
    missing: int
    outliers: int


def clean(
    points: NDArray[np.float32],
    scores: NDArray[np.float32] | None,
    times: NDArray[np.float64],
    policies: InputPolicies,
    *,
    fps: float,
) -> Cleaned | None:
    """Apply the policies for missing joints and outliers.

    Args:
        points: (frames, 17, 2), pixels; NaN where missing.
        scores: (frames, 17), or None.
        times: (frames,), seconds, strictly increasing.
        policies: The settings.
        fps: Frames a second.

    Returns:
        The cleaned keypoints; None where no frame shows any joint.
    """
    present = ~np.isnan(points[..., 0])
    if scores is not None:
        present &= scores >= policies.min_score
    missing = present.size - int(np.count_nonzero(present))
    outliers = 0
    if policies.outlier_size is not None:
        jumped = find_outliers(points, present, fps=fps, size=policies.outlier_size)
        outliers = int(np.count_nonzero(jumped))
        if outliers:
            present &= ~jumped
    if not present.any():
        return None
    filled, valid = fill_missing(
        points,
        present,
        times=times,
        interpolate_frames=policies.interpolate_frames,
        hold_frames=policies.hold_frames,
    )
    if scores is None:
        known = valid.astype(np.float32)
    else:
        # A joint that was put in its place by others is worth the least that would have counted.
        known = np.where(present, scores, np.float32(policies.min_score)) * valid
    return Cleaned(filled, known.astype(np.float32), valid, missing, outliers)
