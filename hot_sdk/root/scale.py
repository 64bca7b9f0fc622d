"""What is known of a person's size, and readings that tell it.

Keypoints of one camera show a person of any size at any distance. All lengths are therefore kept
at the size of the network's poses, with one number, one over the person's scale, by which they are
divided in the end. Heights, bones, the floor under the feet, and a depth reading are each linear in
that number, and so is where a camera that moves sees the person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.contacts import ANKLE_HEIGHT_M, FEET
from hot_sdk.errors import UsageError

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

ADULT_SPREAD = 0.06
"""Standard deviation of the logarithm of adults' statures, women and men (ANSUR II, 2012)."""

HEIGHT_SPREAD = 0.02
"""That of a scale from a stated height: of how well a pose shows its own height, and of the height
as stated."""

BONE_SPREAD = 0.03
"""That of a scale from one known bone: of the proportions of the network's poses."""

_CONTACT_SPEED_M_S = 0.4


@dataclass(frozen=True)
class ScalePrior:
    """What is known of a person's size before the first frame.

    Attributes:
        scale: Size of the person over that of the network's poses.
        spread: Standard deviation of its logarithm.

    Raises:
        UsageError: The scale is not from 0.2 to 5, or the spread is not above 0 and at most 1.
    """

    scale: float = 1.0
    spread: float = ADULT_SPREAD

    def __post_init__(self) -> None:
        if not (0.2 <= self.scale <= 5.0 and 0.0 < self.spread <= 1.0):
            raise UsageError(
                f"The scale is {self.scale!r} with a spread of {self.spread!r}; expected 0.2 to 5"
                " and a share above 0, up to 1.",
                hint="Give the person's size over that of the poses, 1 if it is not known.",
            )

    @classmethod
    def of_height(cls, height_m: float, pose_height_m: float) -> ScalePrior:
        """Return what a stated height tells.

        Args:
            height_m: The person's, meters.
            pose_height_m: That of the poses; ``height_m`` if the network was told it.
        """
        if not (height_m > 0.0 and pose_height_m > 0.0):
            raise UsageError(
                f"The heights are {height_m!r} and {pose_height_m!r}; expected meters above 0.",
                hint="Leave them out if they are not known.",
            )
        return cls(height_m / pose_height_m, HEIGHT_SPREAD)


@dataclass(frozen=True, eq=False)
class Floor:
    """A plane that people stand on, in the frame that the root is tracked in.

    Attributes:
        up: (3,), its unit normal.
        height_m: Of the plane along ``up``; 0 if the frame's origin is on it.
        spread_m: Standard deviation of that, constant in a clip: of the plane, and of where the
            ankle joint is above it.
    """

    up: Doubles
    height_m: float = 0.0
    spread_m: float = 0.02

    def __post_init__(self) -> None:
        up = np.array(self.up, dtype=np.float64)
        if up.shape != (3,) or not abs(float(np.linalg.norm(up)) - 1.0) < 1e-6:
            raise UsageError(
                f"The floor's normal is {self.up!r:.80}; expected three numbers of length 1.",
                hint="Give (0, 0, 1) in a robot's frame.",
            )
        if not (math.isfinite(self.height_m) and 0.0 < self.spread_m < math.inf):
            raise UsageError(
                f"The floor is at {self.height_m!r} m with a spread of {self.spread_m!r} m;"
                " expected a number, and one above 0.",
                hint="Give meters.",
            )
        up.setflags(write=False)
        object.__setattr__(self, "up", up)


@dataclass(frozen=True)
class DepthReading:
    """A depth camera's reading at the pelvis.

    Attributes:
        depth_m: Along the optical axis, to the surface that is seen, meters; NaN if there is none.
        spread_m: Standard deviation, independent between frames.
        surface_m: How far the pelvis is behind the surface, meters.
        surface_spread_m: Standard deviation of that, constant in a clip.
    """

    depth_m: float
    spread_m: float = 0.03
    surface_m: float = 0.10
    surface_spread_m: float = 0.03


@dataclass(frozen=True)
class LengthReading:
    """A known length of the person's, as it is in the pose of a frame.

    Attributes:
        length_m: The person's, meters.
        pose_length: The pose's.
        spread: Standard deviation of the pose's, as a share of it, in one frame.
        proportion_spread: That of their ratio over the scale, constant in a clip.
    """

    length_m: float
    pose_length: float
    spread: float = 0.05
    proportion_spread: float = BONE_SPREAD


@dataclass(frozen=True, eq=False)
class FloorContact:
    """A foot that stands on the floor.

    Attributes:
        ankle: (3,), from the pelvis, along the axes of the frame that the root is tracked in, at
            the size of the pose.
        height: Of the ankle joint above the floor, at the size of the pose.
        spread: Standard deviation of its height, in one frame, likewise.
    """

    ankle: Doubles
    height: float = ANKLE_HEIGHT_M
    spread: float = 0.03


def standing_foot(
    poses: Floats, times: Doubles, up: Doubles, velocity: Doubles | None = None
) -> int | None:
    """Return the joint of the foot that stands, of the last of some frames; None if none seems to.

    The lower ankle stands if it does not move: faster than 0.4 m/s in space, or, while the pelvis's
    velocity is not known, up or down.

    Args:
        poses: (frames, 17, 3), relative to the pelvis, along axes at rest; at least two frames.
        times: (frames,), seconds.
        up: (3,), unit vector along the same axes.
        velocity: (3,), of the pelvis, in the same unit; None if it is not known.
    """
    if len(poses) < 2:
        return None
    ankles = np.asarray(poses[-1, FEET, :], dtype=np.float64)
    if not np.isfinite(ankles).all():
        return None
    lower = int(np.argmin(ankles @ up))
    step = ankles[lower] - np.asarray(poses[-2, FEET[lower]], dtype=np.float64)
    speed = step / max(float(times[-1] - times[-2]), 1e-3)
    if velocity is not None:
        speed = speed + velocity
    moved = abs(float(speed @ up)) if velocity is None else float(np.linalg.norm(speed))
    return FEET[lower] if moved < _CONTACT_SPEED_M_S else None
