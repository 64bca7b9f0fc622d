"""Clean a person's joints as frames arrive: no frame waits for a later one.

A joint that is missing stays where it was last seen, for as long as in a clip that is cleaned at
once. Gaps are not interpolated, because what follows them is not known yet.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hot_sdk.preprocessing.cleaning import (
    Cleaned,
    body_spread,
    placed_by_ancestors,
    reach_at,
)
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float32]

_JOINTS = len(H36M17.joints)
_NEVER = 1 << 30


class CleanedFrame(NamedTuple):
    """One frame with nothing missing.

    Attributes:
        cleaned: With one frame.
        missing: Joints that were missing or had too low a score.
        outliers: Joints that were present but had jumped.
    """

    cleaned: Cleaned
    missing: int
    outliers: int


class CausalCleaner:
    """Cleans one person's frames, one after the other.

    A joint that jumps farther than ``outlier_threshold`` allows is doubted until the next frame
    shows it there, too; for two frames at most, or one below 20 frames per second. Meanwhile it
    counts as missing.

    Args:
        policies: ``min_score``, ``hold_frames`` and ``outlier_threshold`` apply.
    """

    def __init__(self, policies: InputPolicies) -> None:
        self._policies = policies
        self._points = np.zeros((_JOINTS, 2), dtype=np.float32)
        self._unseen = np.full(_JOINTS, _NEVER)
        self._doubted = np.full((_JOINTS, 2), np.nan, dtype=np.float32)

    def add(self, points: Floats, scores: Floats | None, *, fps: float) -> CleanedFrame | None:
        """Clean the next frame.

        Args:
            points: (17, 2), pixels; NaN if missing.
            scores: (17,), or None.
            fps: Frames per second.

        Returns:
            The frame; None if no joint was seen so far.
        """
        present = ~np.isnan(points[:, 0])
        if scores is not None:
            present &= scores >= self._policies.min_score
        jumped = self._jumped(points, present, reach_at(fps))
        usable = present & ~jumped
        self._doubted = np.where(jumped[:, None], points, np.float32(np.nan))
        self._unseen = np.where(usable, 0, np.minimum(self._unseen + 1, _NEVER))
        self._points = np.where(usable[:, None], points, self._points)
        ever = self._unseen < _NEVER
        if not ever.any():
            return None
        filled = self._points[None]
        if not ever.all():
            filled = placed_by_ancestors(filled, ever)
        valid = self._unseen <= self._policies.hold_frames
        known = valid.astype(np.float32)
        if scores is not None:
            known *= np.where(usable, scores, np.float32(self._policies.min_score))
        cleaned = Cleaned(filled, known[None], valid[None])
        return CleanedFrame(cleaned, _JOINTS - int(present.sum()), int(jumped.sum()))

    def _jumped(self, points: Floats, present: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
        """Return which joints jumped away from where they were in the last frames, (17,)."""
        threshold = self._policies.outlier_threshold
        if threshold is None:
            return np.zeros(_JOINTS, dtype=np.bool_)
        limit = threshold * body_spread(points[None], present[None])[0]
        # Comparisons with NaN are False.
        with np.errstate(invalid="ignore"):
            away = np.hypot(*(points - self._points).T) > limit
            stayed = np.hypot(*(points - self._doubted).T) <= limit
        jumped: NDArray[np.bool_] = present & away & ~stayed & (self._unseen < reach)
        return jumped
