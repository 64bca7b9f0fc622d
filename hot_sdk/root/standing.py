"""Keep a person's standing feet in place, frame by frame, without what comes later.

What ``hot_sdk.contacts`` does for a clip by least squares over all of it is done here by its
forward half, a Kalman filter of how far each ankle has to be moved.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from hot_sdk.contacts import (
    ANKLE_SPREAD_M,
    CERTAIN,
    FEET,
    LEGS,
    SLIP_M_S,
    STILL_M_S,
    bent_legs,
    foot_contacts,
)
from hot_sdk.root.scale import Floor

Doubles = NDArray[np.float64]
Floats = NDArray[np.floating]

_WINDOW_S = 0.8
_SPREAD_M, _DRIFT_M = 0.03, 0.1
"""How far off ankles are along each axis, and how far that changes in a second."""

_SHORTEST_S = 1e-3


class StandingFeet:
    """The feet of one person, as frames come.

    Args:
        floor: What people stand on, in the frame of the joints.
    """

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._seen: deque[tuple[float, Doubles]] = deque()
        self._standing = np.zeros(len(FEET))
        self._forget()

    def push(self, timestamp: float, joints: Doubles) -> tuple[Doubles, Doubles]:
        """Take a frame in.

        Args:
            timestamp: Seconds.
            joints: (17, 3), meters in a frame at rest; NaN where they are not known.

        Returns:
            The joints, with standing feet where they stand; and how likely each foot stands, (2,),
            NaN where the ankle is not known.
        """
        if self._seen and timestamp - self._seen[-1][0] > _WINDOW_S:
            self._seen.clear()
            self._forget()
        while self._seen and timestamp - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        before = self._seen[-1] if self._seen else None
        self._seen.append((timestamp, joints))
        up, height = self._floor.up, self._floor.height_m
        contacts = foot_contacts(
            np.stack([one for _, one in self._seen]),
            np.array([time for time, _ in self._seen]),
            up=up,
            floor_m=height,
            causal=True,
        )
        likely = contacts.probability[-1]
        standing = np.where(np.nan_to_num(likely) >= CERTAIN, np.nan_to_num(likely), 0.0)
        moved = joints.copy()
        seconds = _WINDOW_S if before is None else max(timestamp - before[0], _SHORTEST_S)
        for foot, (hip, knee, ankle) in enumerate(LEGS):
            slip = np.zeros(3)
            if before is not None:
                slip = np.nan_to_num(joints[ankle] - before[1][ankle])
            low = float(np.nan_to_num(contacts.height[-1, foot]))
            both = standing[foot] * self._standing[foot] / (SLIP_M_S * seconds) ** 2
            self._move(foot, seconds, slip, both, low, float(standing[foot]))
            leg = joints[[hip, knee, ankle]]
            if np.isfinite(leg).all():
                away = self._away[foot] + (self._rise[foot] - self._away[foot] @ up) * up
                moved[knee], moved[ankle] = bent_legs(leg[0], leg[1], leg[2], away)
        self._standing = standing
        return moved, likely

    def _forget(self) -> None:
        self._away, self._rise = np.zeros((len(FEET), 3)), np.zeros(len(FEET))
        self._sure = np.zeros((2, len(FEET)))
        self._standing = np.zeros(len(FEET))

    def _move(
        self, foot: int, seconds: float, slip: Doubles, both: float, low: float, stands: float
    ) -> None:
        """Say how far an ankle has to be moved, in space and, apart from it, in height."""
        between = 1.0 / (_DRIFT_M**2 * seconds) + both
        share = both / between
        here = 1.0 / _SPREAD_M**2
        near = abs(low) < 3.0 * math.hypot(ANKLE_SPREAD_M, _SPREAD_M)
        floor = stands / ANKLE_SPREAD_M**2 if near else 0.0
        across, upward = (
            1.0 / (1.0 / sure + 1.0 / between) if sure > 0.0 else 0.0
            for sure in self._sure[:, foot].tolist()
        )
        ahead = self._away[foot] - share * slip
        rise = self._rise[foot] - share * float(slip @ self._floor.up)
        self._away[foot] = ahead * across / (across + here)
        self._rise[foot] = (rise * upward - floor * low) / (upward + here + floor)
        self._sure[:, foot] = across + here, upward + here + floor


def standing_velocity(
    velocity: Floats, covariance: Floats, probability: Floats, units_per_meter: float = 1.0
) -> tuple[Doubles, Doubles]:
    """Return velocities of joints and their covariances, where feet are kept in place.

    With the probability that a foot stands, its ankle does no more than roll; otherwise it moves as
    the filter says. The mean and the covariance are those of both together. A foot that is not kept
    in place, and all other joints, stay as they are.

    Args:
        velocity: (frames, 17, 3).
        covariance: (frames, 17, 3, 3).
        probability: (frames, 2), that the right and the left foot stands.
        units_per_meter: Of the velocities.
    """
    stands = np.where(np.nan_to_num(probability) >= CERTAIN, probability, 0.0)[..., None]
    moving, unsure = velocity[:, FEET], covariance[:, FEET]
    rolls = np.eye(3) * (STILL_M_S * units_per_meter) ** 2
    apart = (stands * (1.0 - stands))[..., None] * moving[..., None] * moving[..., None, :]
    found = velocity.astype(np.float64), covariance.astype(np.float64)
    found[0][:, FEET] = (1.0 - stands) * moving
    found[1][:, FEET] = stands[..., None] * rolls + (1.0 - stands[..., None]) * unsure + apart
    return found
