"""Bringing a predicted pose as near to the true one as a measure allows, each frame by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def similarity_aligned(predicted: Floats, truth: Floats) -> Floats:
    """Predicted poses after the rotation, scale and shift that bring each nearest to the truth.

    Nearest in the sum of squared distances, by orthogonal Procrustes analysis (Gower 1975) with
    Kabsch's correction: a mirror image is never allowed, however near it would come.

    Args:
        predicted: (frames, joints, 3).
        truth: (frames, joints, 3), in the same unit.

    Returns:
        (frames, joints, 3), along the axes and about the place of ``truth``. A pose whose joints
        all coincide has neither direction nor size and lands on the centroid of the truth.
    """
    centre = truth.mean(axis=1, keepdims=True)
    source = predicted - predicted.mean(axis=1, keepdims=True)
    left, sizes, right = np.linalg.svd(source.swapaxes(1, 2) @ (truth - centre))
    mirrored = np.linalg.det(left) * np.linalg.det(right) < 0.0
    sizes[mirrored, -1] *= -1.0
    left[mirrored, :, -1] *= -1.0
    scale = _ratio(sizes.sum(axis=-1), (source**2).sum(axis=(1, 2)))
    aligned: Floats = scale[:, None, None] * (source @ left @ right) + centre
    return aligned


def scale_aligned(predicted: Floats, truth: Floats) -> Floats:
    """Predicted poses after the one factor that brings each nearest to the truth.

    Of N-MPJPE (Rhodin et al., CVPR 2018): no rotation and no shift, so that both have to be
    relative to the pelvis already.

    Args:
        predicted: (frames, joints, 3).
        truth: (frames, joints, 3), in the same unit.

    Returns:
        (frames, joints, 3).
    """
    scale = _ratio((predicted * truth).sum(axis=(1, 2)), (predicted**2).sum(axis=(1, 2)))
    scaled: Floats = scale[:, None, None] * predicted
    return scaled


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Their ratio, 0 where both vanish because a pose is a single point."""
    whole = denominator > 0.0
    ratio: Floats = np.where(whole, numerator, 0.0) / np.where(whole, denominator, 1.0)
    return ratio
