"""The linear model that a root is filtered with: its states, how they change, what is measured.

All lengths are at the size of the network's poses, about a fixed origin ``a`` (where the camera
first was): a pelvis at ``x`` is ``y = (x - a) q`` with one over the scale, ``q``. A camera at ``c``
measures ``y - (c - a) q`` without knowing ``q``, which is linear, as is everything else that is
measured, so that the filter is exact where a filter of ``x`` and the scale would not be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.validation import check_settings
from hot_sdk.root.scale import DepthReading, Floor, FloorContact, LengthReading, ScalePrior

Doubles = NDArray[np.float64]

STATES = 13
PLACE, SPEED, POSE_ERROR = slice(0, 3), slice(3, 6), slice(6, 9)
SIZE, SURFACE, FLOOR, PROPORTION = 9, 10, 11, 12
"""Where a state vector has the pelvis, its velocity, what the pose's error moves the measured
pelvis by, one over the scale, and the constant errors of depth readings, the floor and lengths."""

_MOVING = np.array([*range(9)])
_EYE, _EYE_3 = np.eye(STATES), np.eye(3)
_ANYWHERE_M = 30.0


@dataclass(frozen=True)
class RootOptions:
    """Options of the filter.

    Attributes:
        acceleration: Density of a person's acceleration, m/s² per square root of hertz: how fast
            the velocity changes. Less is smoother and later.
        speed_m_s: Standard deviation of the velocity along each axis when a person comes.
        pose_error_s: Seconds over which the error of a pose lasts.
        reading_error_s: Seconds over which those of readings of the size last.
        max_gap_s: Longest time without a measurement that is bridged.
        sudden_m: Standard deviation of how far people get from a constant velocity between frames,
            for the gate.
        gate: Largest square of a measurement's distance from what is expected, in standard
            deviations, before it is left out.
        max_rejected_s: Time after which measurements that were left out are believed, and the
            track starts again.
        max_doubted_s: Time after which readings of a smaller size that were all left out are looked
            at again: the person may be a child.
    """

    acceleration: float = 0.42
    speed_m_s: float = 1.0
    pose_error_s: float = 1.0
    reading_error_s: float = 1.0
    max_gap_s: float = 0.5
    sudden_m: float = 0.05
    gate: float = 25.0
    max_rejected_s: float = 0.3
    max_doubted_s: float = 0.5

    def __post_init__(self) -> None:
        check_settings(
            self,
            {
                name: (
                    isinstance(value, (int, float)) and 0.0 < value < math.inf,
                    "a number above 0",
                )
                for name, value in vars(self).items()
            },
        )


@dataclass(frozen=True, eq=False)
class Observation:
    """What one frame measures: ``values = rows @ state`` with noise.

    Attributes:
        rows: (n, STATES).
        values: (n,).
        noise: (n, n), covariance.
        blocks: Which rows stand or fall together.
    """

    rows: Doubles
    values: Doubles
    noise: Doubles
    blocks: tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Motion:
    """How the state changes from one frame to the next."""

    transition: Doubles
    noise: Doubles


def first_state(prior: ScalePrior) -> tuple[Doubles, Doubles]:
    """Return the state before anything is measured, and its covariance."""
    mean = np.zeros(STATES)
    mean[SIZE] = 1.0 / prior.scale
    covariance = np.zeros((STATES, STATES))
    covariance[SIZE, SIZE] = (mean[SIZE] * prior.spread) ** 2
    return mean, covariance


def restart(options: RootOptions, pose_covariance: Doubles) -> Motion:
    """Return the change to someone who may be anywhere; what is known of the size stays."""
    transition = _EYE.copy()
    transition[_MOVING, _MOVING] = 0.0
    noise = np.zeros((STATES, STATES))
    noise[PLACE, PLACE] = _EYE_3 * _ANYWHERE_M**2
    noise[SPEED, SPEED] = _EYE_3 * options.speed_m_s**2
    noise[POSE_ERROR, POSE_ERROR] = pose_covariance
    return Motion(transition, noise)


def advance(
    options: RootOptions, seconds: float, pose_covariance: Doubles, agility: float = 1.0
) -> Motion:
    """Return the change in a time: constant velocity with white acceleration.

    Args:
        options: The filter's.
        seconds: The time.
        pose_covariance: (3, 3), of what the pose's error moves the root by, along the frame's axes.
        agility: Factor on the variance of the acceleration.
    """
    transition = _EYE.copy()
    diagonals = transition.reshape(-1)
    diagonals[_diagonal(PLACE, SPEED)] = seconds
    kept = math.exp(-seconds / options.pose_error_s)
    diagonals[_diagonal(POSE_ERROR, POSE_ERROR)] = kept
    density = options.acceleration**2 * agility
    noise = np.zeros((STATES, STATES))
    diagonals = noise.reshape(-1)
    diagonals[_diagonal(PLACE, PLACE)] = density * seconds**3 / 3.0
    both = density * seconds**2 / 2.0
    diagonals[_diagonal(PLACE, SPEED)] = diagonals[_diagonal(SPEED, PLACE)] = both
    diagonals[_diagonal(SPEED, SPEED)] = density * seconds
    noise[POSE_ERROR, POSE_ERROR] = pose_covariance * (1.0 - kept**2)
    return Motion(transition, noise)


def _diagonal(rows: slice, columns: slice) -> slice:
    """Return where a block's diagonal of three is in a matrix of states, row after row."""
    first = rows.start * STATES + columns.start
    return slice(first, first + 2 * STATES + 3, STATES + 1)


def observe_root(
    root: Doubles, covariance: Doubles, rotation: Doubles, moved: Doubles
) -> Observation:
    """Return the pelvis as a frame measures it.

    Args:
        root: (3,), along the camera's axes.
        covariance: (3, 3), without the pose's error.
        rotation: (3, 3), from the camera's axes to the frame's.
        moved: (3,), the camera's position from the origin, meters.
    """
    rows = np.zeros((3, STATES))
    rows[:, PLACE] = rows[:, POSE_ERROR] = _EYE_3
    rows[:, SIZE] = -moved
    noise = rotation @ covariance @ rotation.T
    return Observation(rows, rotation @ root, noise, (slice(0, 3),))


def observe_depth(
    reading: DepthReading, size: float, rotation: Doubles, moved: Doubles, held: float
) -> Observation:
    """Return a depth reading at the pelvis.

    Args:
        reading: The reading.
        size: One over the scale, as far as it is known.
        rotation: See ``observe_root``.
        moved: See ``observe_root``.
        held: Frames that share one error.
    """
    ahead = rotation[:, 2]
    rows = np.zeros((1, STATES))
    rows[0, PLACE] = ahead
    rows[0, SIZE] = -(float(ahead @ moved) + reading.depth_m + reading.surface_m)
    rows[0, SURFACE] = -size
    noise = np.array([[(size * reading.spread_m) ** 2 * held]])
    return Observation(rows, np.zeros(1), noise, (slice(0, 1),))


def observe_floor(contact: FloorContact, floor: Floor, origin: Doubles, held: float) -> Observation:
    """Return a foot on the floor; see ``observe_depth``."""
    rows = np.zeros((1, STATES))
    rows[0, PLACE] = floor.up
    rows[0, SIZE] = float(floor.up @ origin) - floor.height_m
    rows[0, FLOOR] = -1.0
    values = np.array([contact.height - float(floor.up @ contact.ankle)])
    return Observation(rows, values, np.array([[contact.spread**2 * held]]), (slice(0, 1),))


def observe_length(reading: LengthReading, size: float, held: float) -> Observation:
    """Return a known length; see ``observe_depth``."""
    rows = np.zeros((1, STATES))
    rows[0, SIZE] = reading.length_m
    rows[0, PROPORTION] = reading.length_m * size
    noise = np.array([[(reading.spread * reading.length_m * size) ** 2 * held]])
    return Observation(rows, np.array([reading.pose_length]), noise, (slice(0, 1),))


def together(observations: list[Observation]) -> Observation:
    """Return what a frame measures in all."""
    if len(observations) == 1:
        return observations[0]
    count = sum(len(one.values) for one in observations)
    noise = np.zeros((count, count))
    blocks = []
    first = 0
    for one in observations:
        part = slice(first, first + len(one.values))
        noise[part, part] = one.noise
        blocks.append(part)
        first = part.stop
    return Observation(
        np.concatenate([one.rows for one in observations]),
        np.concatenate([one.values for one in observations]),
        noise,
        tuple(blocks),
    )
