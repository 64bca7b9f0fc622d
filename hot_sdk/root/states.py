"""What the filter of a root takes in, what it knows after each frame, and what it hands back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hot_sdk.root.scale import DepthReading, FloorContact, LengthReading, ScalePrior

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RootFrame:
    """What one frame shows of a person's root.

    Attributes:
        timestamp: Seconds.
        root: (3,), as ``measure_root`` finds it, along the camera's axes; NaN if it does not.
        pixel_covariance: (3, 3), likewise.
        pose_covariance: (3, 3), likewise.
        misfit: Likewise.
        rotation: (3, 3), from the camera's axes to those of the frame that the root is tracked in.
        position: (3,), the camera's in that frame, meters.
        depth: A depth reading at the pelvis.
        contact: A foot on the floor.
        lengths: Known lengths.
        shift: (3,), from the joint that the frame before tracks to the one that this frame does, at
            the size of the poses, along the axes of the frame that the root is tracked in; None if
            they are the same.
    """

    timestamp: float
    root: Doubles
    pixel_covariance: Doubles
    pose_covariance: Doubles
    misfit: float
    rotation: Doubles
    position: Doubles
    depth: DepthReading | None = None
    contact: FloorContact | None = None
    lengths: tuple[LengthReading, ...] = ()
    shift: Doubles | None = None

    @property
    def measured(self) -> bool:
        """Whether the frame shows where the root is."""
        return bool(np.isfinite(self.root).all())


@dataclass(frozen=True, eq=False)
class RootState:
    """What is known after a frame.

    Attributes:
        mean: (STATES,).
        covariance: (STATES, STATES).
        origin: (3,), where lengths at the size of the poses are measured from; NaN before the root
            was measured.
        timestamp: Seconds, of the frame.
        seen: Seconds, of the last frame whose measurement was believed; -inf before the first.
        refused: Seconds, of the first frame since then whose measurement was not; inf if none.
        misfit: See ``RootMeasurements``, averaged over time; NaN before the first.
        restarts: How often the track started, the first time counted.
        agility: By how much the squares of surprises of late are larger than expected; at least 1.
            The variance of the acceleration is that much larger in the next frame.
        doubted: Seconds, of the first reading of a smaller size that was left out since one was
            believed; inf if none.
        is_child: Readings said that the person is far smaller than usual.
        prior: What was known of the size before the first frame.
    """

    mean: Doubles
    covariance: Doubles
    origin: Doubles
    timestamp: float = -math.inf
    seen: float = -math.inf
    refused: float = math.inf
    misfit: float = math.nan
    restarts: int = 0
    agility: float = 1.0
    doubted: float = math.inf
    is_child: bool = False
    prior: ScalePrior = field(default_factory=ScalePrior)


@dataclass(frozen=True, eq=False)
class RootStep:
    """One frame's update, as the smoother needs it.

    Attributes:
        state: After the frame.
        transition: From the state before.
        rows: (n, STATES), of what was measured and believed; n may be 0.
        gain: (STATES, n).
        surprise: (n,), the innovation.
        precision: (n, n), one over its covariance.
        measured: Whether the root's measurement was believed.
        known: Whether the root is known at this frame: measured, or not long ago.
    """

    state: RootState
    transition: Doubles
    rows: Doubles
    gain: Doubles
    surprise: Doubles
    precision: Doubles
    measured: bool
    known: bool
