"""Where a pose is looked at from, and the projection that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Nearer than this share of the distance, points stay at it instead of growing without limit.
_NEAREST = 0.1


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """A viewer who walks around a point at a fixed height, looking at it.

    Attributes:
        angle: Radians about the vertical. At 0 the viewer looks as the camera did; at a quarter
            turn the camera's forward direction points to the right.
        elevation: Radians that the viewer looks down.
        target: (3,), what is looked at, metres along the camera's axes.
        distance: Metres from the target; infinite for no perspective.
        pixels_per_metre: At the target.
        centre: Pixel of the target.
    """

    angle: float
    elevation: float
    target: NDArray[np.float64]
    distance: float
    pixels_per_metre: float
    centre: tuple[float, float]

    def turned(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (..., 3) from the target on along the viewer's axes: right, down, forward."""
        x, y, z = np.moveaxis(points - self.target, -1, 0)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        right, away = cos * x + sin * z, cos * z - sin * x
        cos, sin = math.cos(self.elevation), math.sin(self.elevation)
        return np.stack([right, cos * y - sin * away, cos * away + sin * y], axis=-1)

    def project(
        self, points: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (..., 2) of points (..., 3), and how far they are behind the target, metres."""
        seen = self.turned(points)
        depth = seen[..., 2]
        shrink: NDArray[np.float64] | float = 1.0
        if math.isfinite(self.distance):
            shrink = self.distance / np.maximum(self.distance + depth, _NEAREST * self.distance)
            shrink = shrink[..., None]
        pixels = seen[..., :2] * shrink * self.pixels_per_metre + self.centre
        return pixels, depth
