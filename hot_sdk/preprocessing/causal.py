"""Clean a person's joints as frames arrive: no frame waits for a later one.

A joint that is missing moves as the joints next to it do, and is valid for as long as one that is
held in a clip that is cleaned at once. Gaps are not interpolated, because what follows them is not
known yet.
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
_CERTAIN = 0.5
"""Share of a jump's squared limit below which nothing jumped, however sums are rounded."""

_EVERY = np.ones((1, _JOINTS), dtype=np.bool_)
_CERTAINLY = np.ones((1, _JOINTS), dtype=np.float32)
for _constant in (_EVERY, _CERTAINLY):
    _constant.setflags(write=False)
_PER_BONE = 6.0
"""How much more a joint counts than the next one along the skeleton, if both were seen to move."""


def _closeness() -> Floats:
    """Return how much each joint counts for each that is missing, (17, 17)."""
    bones = np.zeros((_JOINTS, _JOINTS), dtype=np.float32)
    for joint, parent in enumerate(H36M17.parents):
        if parent >= 0:
            bones[joint, :joint] = bones[parent, :joint] + 1.0
            bones[:joint, joint] = bones[joint, :joint]
    closeness: Floats = np.float32(_PER_BONE) ** -bones
    return closeness


_CLOSENESS = _closeness()


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
        # Every joint was seen in the newest frame.
        self._whole = False

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
        if self._whole and present.all() and self._is_near(points):
            # As most frames are; what follows would come to the same.
            self._points = points
            known = _CERTAINLY if scores is None else scores[None]
            return CleanedFrame(Cleaned(points[None], known, _EVERY), 0, 0)
        jumped = self._jumped(points, present, reach_at(fps))
        usable = present & ~jumped
        self._doubted = np.where(jumped[:, None], points, np.float32(np.nan))
        self._points = self._moved(points, usable)
        self._unseen = np.where(usable, 0, np.minimum(self._unseen + 1, _NEVER))
        self._whole = bool(usable.all())
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

    def _moved(self, points: Floats, usable: NDArray[np.bool_]) -> Floats:
        """Return where all joints are now, (17, 2); those that cannot be used follow the others."""
        if usable.all():
            return np.array(points)
        # A joint that has just come back steps from where it was supposed to be.
        moving = usable & (self._unseen == 0)
        share = _CLOSENESS * moving
        steps = np.where(moving[:, None], points - self._points, np.float32(0.0))
        followed = share @ steps / np.maximum(share.sum(axis=1, keepdims=True), np.float32(1e-30))
        moved: Floats = np.where(usable[:, None], points, self._points + followed)
        return moved

    def _is_near(self, points: Floats) -> bool:
        """Return whether no joint can have jumped, by bounds that cost less than ``_jumped``."""
        threshold = self._policies.outlier_threshold
        if threshold is None:
            return True
        moved = points - self._points
        # The variance, about one of the joints.
        apart = points - points[0]
        across, down = np.add.reduce(apart, axis=0).tolist()
        spread = float(np.vdot(apart, apart)) / _JOINTS - (across**2 + down**2) / _JOINTS**2
        return bool(np.vdot(moved, moved) < _CERTAIN * threshold**2 * spread)

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
