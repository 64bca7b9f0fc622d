"""Filter one person's root over time, frame by frame, and smooth it backwards.

A Kalman filter (Kalman, 1960) forwards; backwards the smoother of Rauch et al. (1965)
in Bierman's form (Fixed interval smoothing with discrete measurements, 1973), which needs no
inverse of a covariance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import UsageError
from hot_sdk.root import model
from hot_sdk.root.model import Observation, RootOptions
from hot_sdk.root.scale import DepthReading, Floor, FloorContact, LengthReading, ScalePrior

Doubles = NDArray[np.float64]

_MISFIT_S = 1.0
_AGILITY_S = 0.15
_LARGEST_SURPRISE, _MOST_AGILE = 30.0, 16.0
_GATE_OF_READINGS = 9.0
_SHIFTED_M, _SHIFTED_M_S = 0.05, 0.2
"""Standard deviation along each axis of where another joint of the body is, and how it moves."""

_EYE = np.eye(model.STATES)
_NOTHING = np.zeros((0, model.STATES))


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


def first_state(prior: ScalePrior) -> RootState:
    """Return the state before the first frame."""
    mean, covariance = model.first_state(prior)
    return RootState(mean, covariance, np.full(3, np.nan))


def step(
    state: RootState, frame: RootFrame, options: RootOptions, floor: Floor | None = None
) -> RootStep:
    """Take one frame in.

    Args:
        state: After the frame before.
        frame: The frame.
        options: The filter's.
        floor: What ``frame.contact`` stands on.

    Raises:
        UsageError: The frame is not later than the one before.
    """
    if not frame.timestamp > state.timestamp:
        raise UsageError(
            f"The frame's time is {frame.timestamp!r} s, after one at {state.timestamp!r} s.",
            hint="Give frames in the order of their time, each once.",
        )
    if frame.shift is not None and state.restarts:
        state = _shifted(state, frame.shift)
    before, state = state, _with_misfit(state, frame)
    expired = frame.timestamp - state.seen > options.max_gap_s
    refused = frame.timestamp - state.refused > options.max_rejected_s
    if frame.measured and (expired or refused):
        return _update(_placed(state, frame), frame, options, floor, restart=True)
    if not state.restarts:
        waiting = dataclasses.replace(state, timestamp=frame.timestamp)
        return _unmeasured(waiting, _EYE, known=False)
    taken = _update(state, frame, options, floor, restart=False)
    if taken.measured or not frame.measured:
        return taken
    # What is not believed tells nothing of the detector and of how this person moves.
    after = dataclasses.replace(taken.state, misfit=before.misfit, agility=before.agility)
    return dataclasses.replace(taken, state=after)


def _shifted(state: RootState, shift: Doubles) -> RootState:
    """Return the state of another joint, which moves a little otherwise."""
    mean, covariance = state.mean.copy(), state.covariance.copy()
    mean[model.PLACE] += shift
    covariance[model.PLACE, model.PLACE] += np.eye(3) * _SHIFTED_M**2
    covariance[model.SPEED, model.SPEED] += np.eye(3) * _SHIFTED_M_S**2
    return dataclasses.replace(state, mean=mean, covariance=covariance)


def _with_misfit(state: RootState, frame: RootFrame) -> RootState:
    """Average the misfit over the last second; it is one of a detector, not of a frame."""
    if not frame.measured:
        return state
    share = 1.0
    if math.isfinite(state.misfit):
        share = -math.expm1(-(frame.timestamp - state.timestamp) / _MISFIT_S)
    before = 0.0 if share == 1.0 else state.misfit
    return dataclasses.replace(state, misfit=before + share * (frame.misfit - before))


def _placed(state: RootState, frame: RootFrame) -> RootState:
    """Return the state with an origin and a first guess of where the root is."""
    mean = state.mean.copy()
    origin = state.origin if state.restarts else np.array(frame.position, dtype=np.float64)
    # The prior is so wide that its middle, taken from the measurement, does not count.
    mean[model.PLACE] = frame.rotation @ frame.root + (frame.position - origin) * mean[model.SIZE]
    mean[model.SPEED] = mean[model.POSE_ERROR] = 0.0
    return dataclasses.replace(state, mean=mean, origin=origin, restarts=state.restarts + 1)


def _update(
    state: RootState, frame: RootFrame, options: RootOptions, floor: Floor | None, *, restart: bool
) -> RootStep:
    turned = np.zeros((3, 3))
    if frame.measured:
        turned = frame.rotation @ frame.pose_covariance @ frame.rotation.T
    elif state.restarts:
        turned = state.covariance[model.POSE_ERROR, model.POSE_ERROR]
    seconds = frame.timestamp - state.timestamp
    if restart:
        motion = model.restart(options, turned)
        mean = state.mean
    else:
        motion = model.advance(options, seconds, turned, state.agility)
        mean = motion.transition @ state.mean
    covariance = motion.transition @ state.covariance @ motion.transition.T + motion.noise
    told = frame.depth is not None or frame.contact is not None or bool(frame.lengths)
    if told and frame.measured and not restart:
        covariance = covariance + _new_errors(state, frame, floor)
    observation = _observe(state, frame, options, floor, seconds)
    kept, believed = _believed(observation, mean, covariance, options, restart=restart)
    refused = state.refused
    if frame.measured:
        refused = math.inf if believed else min(refused, frame.timestamp)
    seen = frame.timestamp if believed else state.seen
    known = frame.timestamp - seen <= options.max_gap_s
    after = dataclasses.replace(
        state,
        mean=mean,
        covariance=covariance,
        timestamp=frame.timestamp,
        seen=seen,
        refused=refused,
        agility=_agility(state, observation, mean, covariance, seconds, restart=restart),
    )
    if kept is None:
        return _unmeasured(after, motion.transition, known=known)
    across = covariance @ kept.rows.T
    precision = np.linalg.inv(kept.rows @ across + kept.noise)
    gain = across @ precision
    surprise = kept.values - kept.rows @ mean
    left = _EYE - gain @ kept.rows
    # Joseph's form stays positive.
    covariance = left @ covariance @ left.T + gain @ kept.noise @ gain.T
    after = dataclasses.replace(
        after,
        mean=mean + gain @ surprise,
        covariance=(covariance + covariance.T) / 2.0,
    )
    return RootStep(after, motion.transition, kept.rows, gain, surprise, precision, believed, known)


def _agility(
    state: RootState,
    observations: list[Observation],
    mean: Doubles,
    covariance: Doubles,
    seconds: float,
    *,
    restart: bool,
) -> float:
    """Return the share by which people who jump accelerate more than those who walk."""
    if restart:
        return 1.0
    if not observations:
        return state.agility
    surprise = _distance(observations[0], mean, covariance) / 3.0
    share = -math.expm1(-seconds / _AGILITY_S)
    after = state.agility + share * (min(surprise, _LARGEST_SURPRISE) - state.agility)
    return min(max(after, 1.0), _MOST_AGILE)


def _distance(one: Observation, mean: Doubles, covariance: Doubles, sudden: float = 0.0) -> float:
    """Return the square of the distance from what is expected, in standard deviations."""
    surprise = one.values - one.rows @ mean
    expected = one.rows @ covariance @ one.rows.T + one.noise
    if sudden:
        expected = expected + np.eye(len(surprise)) * sudden**2
    return float(surprise @ np.linalg.solve(expected, surprise))


def _new_errors(state: RootState, frame: RootFrame, floor: Floor | None) -> Doubles:
    """Return the variance of constant errors of which there is a first reading."""
    noise = np.zeros((model.STATES, model.STATES))
    size = float(state.mean[model.SIZE])
    spreads = {
        model.SURFACE: None if frame.depth is None else frame.depth.surface_spread_m,
        model.FLOOR: None if frame.contact is None or floor is None else size * floor.spread_m,
        model.PROPORTION: frame.lengths[0].proportion_spread if frame.lengths else None,
    }
    for place, spread in spreads.items():
        if spread is not None and state.covariance[place, place] == 0.0:
            noise[place, place] = spread**2
    return noise


def _observe(
    state: RootState, frame: RootFrame, options: RootOptions, floor: Floor | None, seconds: float
) -> list[Observation]:
    """Return the root first, then the readings of the size."""
    if not frame.measured:
        return []
    moved = frame.position - state.origin
    size = float(state.mean[model.SIZE])
    found = [
        model.observe_root(frame.root, frame.pixel_covariance * state.misfit, frame.rotation, moved)
    ]
    if frame.depth is not None and math.isfinite(frame.depth.depth_m):
        held = _held(state, options, seconds, model.SURFACE)
        found.append(model.observe_depth(frame.depth, size, frame.rotation, moved, held))
    if frame.contact is not None and floor is not None:
        held = _held(state, options, seconds, model.FLOOR)
        found.append(model.observe_floor(frame.contact, floor, state.origin, held))
    held = _held(state, options, seconds, model.PROPORTION)
    found += [model.observe_length(reading, size, held) for reading in frame.lengths]
    return found


def _held(state: RootState, options: RootOptions, seconds: float, constant: int) -> float:
    """Return how many readings have the worth of one, because they have one error."""
    if state.covariance[constant, constant] == 0.0:
        # The first.
        return 1.0
    return max(1.0, 2.0 * options.reading_error_s / seconds)


def _believed(
    observations: list[Observation],
    mean: Doubles,
    covariance: Doubles,
    options: RootOptions,
    *,
    restart: bool,
) -> tuple[Observation | None, bool]:
    """Return what is not too far from what is expected, and whether that holds for the root."""
    if restart:
        # Someone who may be anywhere contradicts no reading, however wrong.
        return observations[0], True
    kept = []
    for number, one in enumerate(observations):
        limit = _GATE_OF_READINGS if number else options.gate
        sudden = 0.0 if number else options.sudden_m * float(mean[model.SIZE])
        if _distance(one, mean, covariance, sudden) <= limit:
            kept.append(one)
        elif number == 0:
            # Readings are about the same person.
            return None, False
    return (model.together(kept), True) if kept else (None, False)


def _unmeasured(state: RootState, transition: Doubles, *, known: bool) -> RootStep:
    nothing = np.zeros(0)
    return RootStep(
        state, transition, _NOTHING, _NOTHING.T, nothing, np.zeros((0, 0)), False, known
    )


def smooth(steps: Sequence[RootStep]) -> list[tuple[Doubles, Doubles]]:
    """Return the mean and covariance of each frame's state, given all of these frames.

    Args:
        steps: Of successive frames.
    """
    slope = np.zeros(model.STATES)
    curvature = np.zeros((model.STATES, model.STATES))
    smoothed: list[tuple[Doubles, Doubles]] = []
    for one in reversed(steps):
        mean, covariance = one.state.mean, one.state.covariance
        less = covariance - covariance @ curvature @ covariance
        smoothed.append((mean - covariance @ slope, (less + less.T) / 2.0))
        if len(one.rows):
            left = _EYE - one.gain @ one.rows
            pull = one.rows.T @ one.precision
            slope = left.T @ slope - pull @ one.surprise
            curvature = left.T @ curvature @ left + pull @ one.rows
        slope = one.transition.T @ slope
        curvature = one.transition.T @ curvature @ one.transition
    return smoothed[::-1]
