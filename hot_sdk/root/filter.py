"""Filter one person's root over time, frame by frame, and smooth it backwards.

A Kalman filter (Kalman, 1960) forwards; backwards the smoother of Rauch et al. (1965)
in Bierman's form (Fixed interval smoothing with discrete measurements, 1973), which needs no
inverse of a covariance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import UsageError
from hot_sdk.root import model
from hot_sdk.root.model import Observation, RootOptions
from hot_sdk.root.scale import Floor, ScalePrior
from hot_sdk.root.states import RootFrame, RootState, RootStep
from hot_sdk.root.three import solve_three

Doubles = NDArray[np.float64]

_MISFIT_S = 1.0
_AGILITY_S = 0.15
_LARGEST_SURPRISE, _MOST_AGILE = 30.0, 16.0
_GATE_OF_READINGS = 9.0
_ANYONE, _UNUSUAL = 0.35, 2.5
"""Standard deviation of the logarithm of the scale of people of any age; and how many of those of
usual people one has to be smaller to be a child."""

_SHIFTED_M, _SHIFTED_M_S = 0.05, 0.2
"""Standard deviation along each axis of where another joint of the body is, and how it moves."""

_EYE = np.eye(model.STATES)
_NOTHING = np.zeros((0, model.STATES))


def first_state(prior: ScalePrior) -> RootState:
    """Return the state before the first frame."""
    mean, covariance = model.first_state(prior)
    return RootState(mean, covariance, np.full(3, np.nan), prior=prior)


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
    misfit = _misfit(state, frame)
    expired = frame.timestamp - state.seen > options.max_gap_s
    refused = frame.timestamp - state.refused > options.max_rejected_s
    if frame.measured and (expired or refused):
        return _update(_placed(state, frame), frame, options, floor, misfit, restart=True)
    if not state.restarts:
        waiting = dataclasses.replace(state, timestamp=frame.timestamp, misfit=misfit)
        return _unmeasured(waiting, _EYE, known=False)
    return _update(state, frame, options, floor, misfit, restart=False)


def _shifted(state: RootState, shift: Doubles) -> RootState:
    """Return the state of another joint, which moves a little otherwise."""
    mean, covariance = state.mean.copy(), state.covariance.copy()
    mean[model.PLACE] += shift
    covariance[model.PLACE, model.PLACE] += np.eye(3) * _SHIFTED_M**2
    covariance[model.SPEED, model.SPEED] += np.eye(3) * _SHIFTED_M_S**2
    return dataclasses.replace(state, mean=mean, covariance=covariance)


def _misfit(state: RootState, frame: RootFrame) -> float:
    """Average the misfit over the last second; it is one of a detector, not of a frame."""
    if not frame.measured:
        return state.misfit
    share = 1.0
    if math.isfinite(state.misfit):
        share = -math.expm1(-(frame.timestamp - state.timestamp) / _MISFIT_S)
    before = 0.0 if share == 1.0 else state.misfit
    return before + share * (frame.misfit - before)


def _placed(state: RootState, frame: RootFrame) -> RootState:
    """Return the state with an origin and a first guess of where the root is."""
    mean = state.mean.copy()
    origin = state.origin if state.restarts else np.array(frame.position, dtype=np.float64)
    # The prior is so wide that its middle, taken from the measurement, does not count.
    mean[model.PLACE] = frame.rotation @ frame.root + (frame.position - origin) * mean[model.SIZE]
    mean[model.SPEED] = mean[model.POSE_ERROR] = 0.0
    return dataclasses.replace(state, mean=mean, origin=origin, restarts=state.restarts + 1)


def _update(
    state: RootState,
    frame: RootFrame,
    options: RootOptions,
    floor: Floor | None,
    misfit: float,
    *,
    restart: bool,
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
        if _is_smaller(state, frame, options):
            covariance[model.SIZE, model.SIZE] += (_ANYONE * mean[model.SIZE]) ** 2
            state = dataclasses.replace(state, doubted=math.inf, is_child=True)
    expected = [
        _expected(one, mean, covariance)
        for one in _observe(state, frame, options, floor, seconds, misfit)
    ]
    sudden = options.sudden_m * float(mean[model.SIZE])
    kept, believed = _believed(expected, sudden, options, restart=restart)
    refused = state.refused
    if frame.measured:
        refused = math.inf if believed else min(refused, frame.timestamp)
    doubted = state.doubted
    if len(expected) > 1 and kept is not None and not restart:
        if len(kept.blocks) > 1:
            doubted = math.inf
        elif any(_says_smaller(each, covariance) for each in expected[1:]):
            doubted = min(doubted, frame.timestamp)
    seen = frame.timestamp if believed else state.seen
    known = frame.timestamp - seen <= options.max_gap_s
    agility = state.agility
    if believed or not frame.measured:
        agility = _agility(state, expected, seconds, restart=restart)
    else:
        # What is not believed tells nothing of the detector and of how this person moves.
        misfit = state.misfit
    if kept is not None:
        across = covariance @ kept.rows.T
        precision = np.linalg.inv(kept.rows @ across + kept.noise)
        gain = across @ precision
        surprise = kept.values - kept.rows @ mean
        left = _EYE - gain @ kept.rows
        # Joseph's form stays positive.
        covariance = left @ covariance @ left.T + gain @ kept.noise @ gain.T
        covariance = (covariance + covariance.T) / 2.0
        mean = mean + gain @ surprise
    restarts, origin, timestamp = state.restarts, state.origin, frame.timestamp
    after = RootState(
        *(mean, covariance, origin, timestamp, seen, refused, misfit, restarts, agility),
        doubted=doubted,
        is_child=state.is_child,
        prior=state.prior,
    )
    if kept is None:
        return _unmeasured(after, motion.transition, known=known)
    return RootStep(after, motion.transition, kept.rows, gain, surprise, precision, believed, known)


class _Expected(NamedTuple):
    """An observation, how far it is from what is expected, and the covariance of that."""

    one: Observation
    surprise: Doubles
    covariance: Doubles


def _expected(one: Observation, mean: Doubles, covariance: Doubles) -> _Expected:
    surprise = one.values - one.rows @ mean
    return _Expected(one, surprise, one.rows @ covariance @ one.rows.T + one.noise)


def _agility(
    state: RootState, expected: list[_Expected], seconds: float, *, restart: bool
) -> float:
    """Return the share by which people who jump accelerate more than those who walk."""
    if restart:
        return 1.0
    if not expected:
        return state.agility
    surprise = _distance(expected[0]) / 3.0
    share = -math.expm1(-seconds / _AGILITY_S)
    after = state.agility + share * (min(surprise, _LARGEST_SURPRISE) - state.agility)
    return min(max(after, 1.0), _MOST_AGILE)


def _distance(expected: _Expected, sudden: float = 0.0) -> float:
    """Return the square of the distance from what is expected, in standard deviations."""
    surprise, rows = expected.surprise.tolist(), expected.covariance.tolist()
    for place, row in enumerate(rows):
        row[place] += sudden**2
    if len(surprise) == 1:
        return float(surprise[0] ** 2 / rows[0][0])
    x, y, z = solve_three(rows, surprise)
    return float(surprise[0] * x + surprise[1] * y + surprise[2] * z)


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


def _says_smaller(reading: _Expected, covariance: Doubles) -> bool:
    """Return whether a reading is one of someone who is smaller than thought."""
    pull = reading.one.rows[0] @ covariance[:, model.SIZE]
    return bool(pull * reading.surprise[0] > 0.0)


def _is_smaller(state: RootState, frame: RootFrame, options: RootOptions) -> bool:
    """Return whether readings say that the person is a child, after all."""
    times = float(state.mean[model.SIZE]) * state.prior.scale
    return not state.is_child and (
        frame.timestamp - state.doubted > options.max_doubted_s
        or times > math.exp(_UNUSUAL * state.prior.spread)
    )


def _observe(
    state: RootState,
    frame: RootFrame,
    options: RootOptions,
    floor: Floor | None,
    seconds: float,
    misfit: float,
) -> list[Observation]:
    """Return the root first, then the readings of the size."""
    if not frame.measured:
        return []
    moved = frame.position - state.origin
    size = float(state.mean[model.SIZE])
    found = [model.observe_root(frame.root, frame.pixel_covariance * misfit, frame.rotation, moved)]
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
    expected: list[_Expected], sudden: float, options: RootOptions, *, restart: bool
) -> tuple[Observation | None, bool]:
    """Return what is not too far from what is expected, and whether that holds for the root."""
    if restart:
        # Someone who may be anywhere contradicts no reading, however wrong.
        return expected[0].one, True
    kept = []
    for number, each in enumerate(expected):
        limit = _GATE_OF_READINGS if number else options.gate
        if _distance(each, 0.0 if number else sudden) <= limit:
            kept.append(each.one)
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
    steps = list(steps)
    if not steps:
        return []
    newest = steps[-1].state
    smoothed = [(newest.mean, (newest.covariance + newest.covariance.T) / 2.0)]
    slope = np.zeros(model.STATES)
    curvature = np.zeros((model.STATES, model.STATES))
    for later, one in zip(reversed(steps[1:]), reversed(steps[:-1]), strict=True):
        if len(later.rows):
            left = _EYE - later.gain @ later.rows
            pull = later.rows.T @ later.precision
            slope = left.T @ slope - pull @ later.surprise
            curvature = left.T @ curvature @ left + pull @ later.rows
        slope = later.transition.T @ slope
        curvature = later.transition.T @ curvature @ later.transition
        mean, covariance = one.state.mean, one.state.covariance
        less = covariance - covariance @ curvature @ covariance
        smoothed.append((mean - covariance @ slope, (less + less.T) / 2.0))
    return smoothed[::-1]
