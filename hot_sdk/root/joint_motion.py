"""Filter the joints of a pose over time: how they move relative to the pelvis.

Along each axis, each joint has a position and a velocity that changes by white noise (a constant-
velocity Kalman filter); backwards, the smoother of Rauch et al. (Maximum likelihood estimates of
linear dynamic systems, 1965). Axes share their variances, so that everything is closed-form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.skeletons import H36M17

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

_JITTER_M = {"ankle": 0.009, "knee": 0.006, "elbow": 0.008, "wrist": 0.012}
_OTHER_JITTER_M = 0.0045
"""Standard deviation of the fast part of a lifted joint's error, along each axis: with the next,
what gives the starter model's velocities the least error, and one as large as stated."""

_ACCELERATION = {"ankle": 1.9, "knee": 1.1, "elbow": 1.2, "wrist": 2.1}
_OTHER_ACCELERATION = 0.56
"""Density of a joint's acceleration relative to the pelvis, m/s² per square root of hertz."""

_UNSEEN_M_S = {"ankle": 0.6, "knee": 0.4, "elbow": 0.4, "wrist": 0.6}
_OTHER_UNSEEN_M_S = 0.15
"""How fast a joint that is not seen gets away from where it is said to be, along each axis."""

_SPEED_M_S = 1.0
_MAX_GAP_S = 0.5
_FEWEST_FRAMES = 3


def _of_joints(named: dict[str, float], other: float) -> Doubles:
    return np.array([named.get(joint.rpartition("_")[2], other) for joint in H36M17.joints])


_NOISE = _of_joints(_JITTER_M, _OTHER_JITTER_M) ** 2
UNSEEN_M_S = _of_joints(_UNSEEN_M_S, _OTHER_UNSEEN_M_S)
_DENSITY = _of_joints(_ACCELERATION, _OTHER_ACCELERATION) ** 2


@dataclass(frozen=True, eq=False)
class JointState:
    """Where the joints are relative to the root, and how fast they are, after a frame.

    Attributes:
        timestamp: Seconds.
        place: (17, 3), meters.
        speed: (17, 3), m/s.
        spread: (3, 17), variances of the place, of both, and of the speed, along each axis.
        frames: (17,), how many frames tell of each joint: one shows no speed.
    """

    timestamp: float
    place: Doubles
    speed: Doubles
    spread: Doubles
    frames: NDArray[np.int64]

    @property
    def moving(self) -> Mask:
        """(17,), joints whose speed is known."""
        known: Mask = self.frames >= _FEWEST_FRAMES
        return known


@dataclass(frozen=True, eq=False)
class JointStep:
    """One frame's update, as the smoother needs it: the state after it, and before its measurement.

    Attributes:
        after: After the frame.
        ahead: As the frame before lets expect it; None if nothing does.
        fresh: (17,), joints of which what was before tells nothing.
        seconds: Since the frame before.
    """

    after: JointState
    ahead: JointState | None
    fresh: Mask
    seconds: float


def step_joints(
    state: JointState | None,
    timestamp: float,
    pose: Doubles,
    fresh: Mask,
    unseen_s: Doubles | None = None,
) -> JointStep:
    """Take one frame in.

    Args:
        state: After the frame before; None if there is none.
        timestamp: Seconds.
        pose: (17, 3), relative to the root; NaN is passed over.
        fresh: (17,), joints of which what was before tells nothing.
        unseen_s: (17,), seconds to the nearest frame that showed the joint; None for 0.
    """
    seconds = 0.0 if state is None else timestamp - state.timestamp
    lost: Mask = np.asarray(np.isnan(pose).any(axis=-1))
    if state is None or seconds > _MAX_GAP_S:
        first = np.where(lost[:, None], 0.0, pose)
        return JointStep(_first(timestamp, first), None, fresh, seconds)
    ahead = _ahead(state, timestamp)
    place_place, place_speed, speed_speed = ahead.spread
    noise = _NOISE if unseen_s is None else _NOISE + (UNSEEN_M_S * unseen_s) ** 2
    total = np.where(lost, np.inf, place_place + noise)
    first, second = place_place / total, place_speed / total
    surprise = np.where(lost[:, None], 0.0, pose - ahead.place)
    spread = np.array(
        [
            place_place - first * place_place,
            place_speed - first * place_speed,
            speed_speed - second * place_speed,
        ]
    )
    place = ahead.place + first[:, None] * surprise
    speed = ahead.speed + second[:, None] * surprise
    if fresh.any():
        place[fresh], speed[fresh] = pose[fresh], 0.0
        spread[:, fresh] = _first_spread()[:, fresh]
    frames = np.where(fresh, 1, ahead.frames + 1)
    return JointStep(JointState(timestamp, place, speed, spread, frames), ahead, fresh, seconds)


def shifted(state: JointState, origin: int) -> JointState:
    """Return the state relative to another joint."""
    place = state.place - state.place[origin]
    speed = state.speed - state.speed[origin]
    return JointState(state.timestamp, place, speed, state.spread, state.frames)


def smooth_joints(steps: list[JointStep]) -> list[JointState]:
    """Return the state at each frame, given all of these frames.

    Args:
        steps: Of successive frames.
    """
    later = steps[-1].after
    found = [later]
    for step, after in zip(reversed(steps[:-1]), reversed(steps[1:]), strict=True):
        here, ahead = step.after, after.ahead
        if ahead is None:
            later = here
            found.append(later)
            continue
        aa, ab, bb = here.spread
        # Covariance of the state here and the one ahead: P F'.
        seconds = after.seconds
        cross = (aa + ab * seconds, ab, ab + bb * seconds, bb)
        pp, ps, ss = ahead.spread
        determinant = np.where(after.fresh, np.inf, pp * ss - ps * ps)
        g00 = (cross[0] * ss - cross[1] * ps) / determinant
        g01 = (cross[1] * pp - cross[0] * ps) / determinant
        g10 = (cross[2] * ss - cross[3] * ps) / determinant
        g11 = (cross[3] * pp - cross[2] * ps) / determinant
        away, faster = later.place - ahead.place, later.speed - ahead.speed
        place = here.place + g00[:, None] * away + g01[:, None] * faster
        speed = here.speed + g10[:, None] * away + g11[:, None] * faster
        d0, d1, d2 = later.spread - ahead.spread
        spread = np.array(
            [
                aa + g00 * g00 * d0 + 2.0 * g00 * g01 * d1 + g01 * g01 * d2,
                ab + g00 * g10 * d0 + (g00 * g11 + g01 * g10) * d1 + g01 * g11 * d2,
                bb + g10 * g10 * d0 + 2.0 * g10 * g11 * d1 + g11 * g11 * d2,
            ]
        )
        frames = np.where(after.fresh, here.frames, later.frames)
        later = JointState(here.timestamp, place, speed, spread, frames)
        found.append(later)
    return found[::-1]


def _first_spread() -> Doubles:
    wide = np.full_like(_NOISE, _SPEED_M_S**2)
    return np.array([_NOISE, np.zeros_like(_NOISE), wide])


def _first(timestamp: float, pose: Doubles) -> JointState:
    one = np.ones(len(pose), dtype=np.int64)
    return JointState(timestamp, pose.copy(), np.zeros_like(pose), _first_spread(), one)


def _ahead(state: JointState, timestamp: float) -> JointState:
    seconds = timestamp - state.timestamp
    place_place, place_speed, speed_speed = state.spread
    spread = np.array(
        [
            place_place
            + seconds * (2.0 * place_speed + seconds * speed_speed)
            + _DENSITY * (seconds**3 / 3.0),
            place_speed + seconds * speed_speed + _DENSITY * (seconds**2 / 2.0),
            speed_speed + _DENSITY * seconds,
        ]
    )
    place = state.place + seconds * state.speed
    return JointState(timestamp, place, state.speed, spread, state.frames)
