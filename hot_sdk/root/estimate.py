"""Turn the states of the filter into positions, velocities and covariances in meters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.root import model

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RootEstimate:
    """Where a person's pelvis is at one time, how fast it is, and how sure that is.

    Attributes:
        timestamp: Seconds.
        position: (3,), meters, in the frame that the root is tracked in; NaN if it is not known.
        velocity: (3,), m/s, likewise.
        covariance: (7, 7), of the position, the velocity and the logarithm of the scale.
        scale: Size of the person over that of the poses.
        measured: Whether the frame showed where the root is; False if that is carried on from
            other frames.
        restarts: How often the track started so far; a step means that a smoothed course broke.
    """

    timestamp: float
    position: Doubles
    velocity: Doubles
    covariance: Doubles
    scale: float
    measured: bool
    restarts: int

    @property
    def position_covariance(self) -> Doubles:
        """(3, 3), m²."""
        return self.covariance[:3, :3]

    @property
    def velocity_covariance(self) -> Doubles:
        """(3, 3), m²/s²."""
        return self.covariance[3:6, 3:6]

    @property
    def scale_spread(self) -> float:
        """Standard deviation of the logarithm of the scale."""
        return math.sqrt(self.covariance[6, 6])

    @property
    def size_position(self) -> Doubles:
        """(3,), how far the position moves per logarithm of the scale: its common error, meters."""
        common: Doubles = self.covariance[:3, 6] / self.covariance[6, 6]
        return common

    def joints(
        self, pose: Floats, rotation: Doubles, spread: Floats | None = None
    ) -> tuple[Doubles, Doubles]:
        """Return where joints are, (17, 3) in meters, and their covariances, (17, 3, 3).

        They share the root's error and that of the scale.

        Args:
            pose: (17, 3), relative to the pelvis, along the camera's axes, at the network's size.
            rotation: (3, 3), from the camera's axes to those of the position.
            spread: (17, 3), standard deviations of ``pose``, independent by axis; None for the part
                of the root and the scale alone.
        """
        away = self.scale * (np.asarray(pose, dtype=np.float64) @ rotation.T)
        common = away[:, :, None] * self.covariance[None, None, :3, 6]
        covariance = self.covariance[:3, :3] + common + common.transpose(0, 2, 1)
        covariance = covariance + away[:, :, None] * away[:, None, :] * self.covariance[6, 6]
        if spread is not None:
            variance = (self.scale * np.asarray(spread, dtype=np.float64)) ** 2
            covariance = covariance + np.einsum("ai,ji,bi->jab", rotation, variance, rotation)
        return self.position + away, covariance


def estimate(
    mean: Doubles,
    covariance: Doubles,
    origin: Doubles,
    timestamp: float,
    *,
    known: bool,
    measured: bool,
    restarts: int,
) -> RootEstimate:
    """Return what a state says, first-order in one over the scale.

    Args:
        mean: (STATES,).
        covariance: (STATES, STATES).
        origin: (3,), of the state's lengths.
        timestamp: Seconds.
        known: Whether the position and velocity are known; they are NaN if not.
        measured: See ``RootEstimate``.
        restarts: See ``RootEstimate``.
    """
    size = float(mean[model.SIZE])
    # Place and speed.
    moving = mean[:6] / size
    slopes = np.zeros((7, model.STATES))
    slopes.reshape(-1)[: 6 * model.STATES : model.STATES + 1] = 1.0 / size
    slopes[:6, model.SIZE] = -moving / size
    slopes[6, model.SIZE] = -1.0 / size
    spread = slopes @ covariance @ slopes.T
    if not known:
        moving = np.full(6, np.nan)
        unsure = np.full((7, 7), np.nan)
        unsure[6, 6] = spread[6, 6]
        spread = unsure
    return RootEstimate(
        timestamp=timestamp,
        position=origin + moving[:3] if known else moving[:3],
        velocity=moving[3:],
        covariance=spread,
        scale=1.0 / size,
        measured=measured,
        restarts=restarts,
    )
