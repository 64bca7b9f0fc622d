"""Say when feet stand on the floor, from the course of the ankles, and keep standing feet in place.

The 17 joints of Human3.6M have no heels and toes: what is judged is how fast each ankle is, and how
high above the floor. A foot that rolls over its toes lifts the ankle and stands no more by this.

Each foot has two states, standing and moving, of stated usual durations. Both kinds of evidence are
blurred by the noise of the joints, so that noisy joints give probabilities near those of the usual
durations, and no certain answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.errors import UsageError
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float64]

FEET = tuple(H36M17.joints.index(f"{side}_ankle") for side in ("right", "left"))
"""The joints that are judged, in the order of all results."""

ANKLE_HEIGHT_M = 0.075
"""Of the ankle joint above the floor, standing: the median of motion capture of many people."""

ANKLE_SPREAD_M = 0.025
STILL_M_S = 0.12
"""Standard deviation of a standing ankle's velocity along each axis: it rolls, and skin moves."""

_MOVING_M_S = 1.2
_RAISED_M, _RAISED_SPREAD_M = 0.11, 0.11
"""How far above its standing height a moving ankle is."""

_ELSEWHERE, _ELSEWHERE_SPREAD_M = 0.05, 0.5
"""Share of standing feet that are not on the floor but on a step, a chair or the like."""

CERTAIN = 0.5
"""Probability from which a foot is kept in place."""

SLIP_M_S = 0.05
"""Standard deviation of the velocity that a foot which is kept in place may have."""

_NO_LENGTH = 1e-9
LEGS = tuple(
    tuple(H36M17.joints.index(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
    for side in ("right", "left")
)
"""Hip, knee and ankle of the right and the left leg."""

_STANDING_S, _SWINGING_S = 0.7, 0.45
_WINDOW_S = 0.1
_LEAST_NOISE_M = 0.001
_SLOW = 0.3
"""Share of the frames, those of the slowest lower ankle, that show where the floor is."""


@dataclass(frozen=True, eq=False)
class FootContacts:
    """How likely each foot stands, right and left.

    Attributes:
        probability: (frames, 2), NaN where the ankle is not known.
        height: (frames, 2), meters of the ankle above where it is if the foot stands on the floor.
        speed: (frames, 2), of the ankle, m/s.
        floor_m: Of the floor along ``up``, meters.
        noise_m: Standard deviation of the ankles that was reckoned with, meters along each axis.
    """

    probability: Floats
    height: Floats
    speed: Floats
    floor_m: float
    noise_m: float


def foot_contacts(
    joints: ArrayLike,
    timestamps: ArrayLike,
    *,
    up: ArrayLike,
    floor_m: float | None = None,
    noise_m: float | None = None,
    causal: bool = False,
) -> FootContacts:
    """Return how likely each foot stands in each frame.

    Args:
        joints: (frames, 17, 3), meters in a frame at rest, such as ``result.poses`` plus
            ``result.root[:, None]`` of a camera that does not move; NaN where they are not known.
        timestamps: (frames,), seconds, growing.
        up: (3,), the direction away from the floor along the same axes, of any length.
        floor_m: Where the floor is along ``up``, meters; None to find it: people are taken to
            stand on level ground where the lower ankle is slow.
        noise_m: Standard deviation of the ankles, independent between frames, meters along each
            axis; None to find it in how rough their course is.
        causal: Judge each frame by those up to it only.

    Raises:
        UsageError: An array has another shape, times do not grow, or ``up`` has no direction.
    """
    ankles, times, direction = _checked(joints, timestamps, up)
    noise = max(_roughness(ankles) if noise_m is None else float(noise_m), _LEAST_NOISE_M)
    velocity, blur = _velocities(ankles, times, noise, causal=causal)
    speed = np.linalg.norm(velocity, axis=-1)
    heights = ankles @ direction - ANKLE_HEIGHT_M
    floor = _floor(heights, speed) if floor_m is None else float(floor_m)
    heights = heights - floor
    evidence = _speed_evidence(velocity, blur) + _height_evidence(heights, noise)
    steps = np.diff(times)
    # Velocities of frames within one window are of the same positions.
    share = min(float(np.median(steps)) / _WINDOW_S, 1.0) if len(steps) else 1.0
    evidence = np.where(np.isfinite(evidence), evidence * share, 0.0)
    probability = _two_states(evidence, steps, causal=causal)
    probability[np.isnan(ankles).any(axis=-1)] = np.nan
    return FootContacts(probability, heights, speed, floor, noise)


def hold_standing_feet(
    joints: ArrayLike,
    timestamps: ArrayLike,
    contacts: FootContacts,
    *,
    up: ArrayLike,
    spread_m: float = 0.03,
    drift_m: float = 0.1,
) -> Floats:
    """Return joints whose standing feet do not slide, and do not sink into the floor or float.

    Ankles are moved by least squares over the whole clip: one that stands in two frames does not
    move between them, and is at the height of the floor unless it stands on something else; all
    stay near where they were, without jumps. Knees follow, so that thighs and shins keep their
    lengths; an ankle goes no farther than the leg is long. No other joint moves, and no leg of
    which a joint is not known.

    Args:
        joints: As those of ``foot_contacts``.
        timestamps: Likewise.
        contacts: What it returned.
        up: Likewise.
        spread_m: How far off ankles are, meters: standard deviation along each axis.
        drift_m: How far that changes in a second, meters: standard deviation along each axis.

    Returns:
        (frames, 17, 3), meters.

    Raises:
        UsageError: An array has another shape, or a spread is not above 0.
    """
    ankles, times, direction = _checked(joints, timestamps, up)
    if contacts.probability.shape != ankles.shape[:2]:
        raise UsageError(
            f"The contacts are of {len(contacts.probability)} frames; expected {len(ankles)}.",
            hint="Give those of the same joints.",
        )
    if not (spread_m > 0.0 and drift_m > 0.0):
        raise UsageError(
            f"spread_m and drift_m are {spread_m!r} and {drift_m!r}; expected more than 0.",
            hint="Leave them out for the defaults.",
        )
    standing = np.nan_to_num(contacts.probability)
    standing = np.where(standing >= CERTAIN, standing, 0.0)
    steps = np.diff(times)
    both = standing[1:] * standing[:-1] / (SLIP_M_S * steps[:, None]) ** 2
    slips = np.nan_to_num(np.diff(ankles, axis=0))
    near_floor = np.abs(contacts.height) < 3.0 * math.hypot(ANKLE_SPREAD_M, spread_m)
    heights = np.nan_to_num(contacts.height)
    moved = np.array(joints, dtype=np.float64)
    for foot, (hip, knee, ankle) in enumerate(LEGS):
        between = 1.0 / (drift_m**2 * steps) + both[:, foot]
        pulls = both[:, foot, None] * slips[:, foot]
        here = np.full(len(times), 1.0 / spread_m**2)
        away = _least_squares(here, between, np.zeros((len(times), 3)), pulls)
        # The height is solved alone: only there is a place, the floor, to be at.
        floor = standing[:, foot] * near_floor[:, foot] / ANKLE_SPREAD_M**2
        wanted = -(floor * heights[:, foot])[:, None]
        rise = _least_squares(here + floor, between, wanted, (pulls @ direction)[:, None])
        away += (rise - (away @ direction)[:, None]) * direction
        whole = np.isfinite(moved[:, [hip, knee, ankle]]).all(axis=(1, 2))
        moved[whole, knee], moved[whole, ankle] = bent_legs(
            moved[whole, hip], moved[whole, knee], moved[whole, ankle], away[whole]
        )
    return moved


def bent_legs(hip: Floats, knee: Floats, ankle: Floats, away: Floats) -> tuple[Floats, Floats]:
    """Return knees and ankles after ankles were moved: bones keep lengths, knees their side.

    Args:
        hip: (..., 3), as the others.
        knee: (..., 3).
        ankle: (..., 3), before.
        away: (..., 3), by how much it is moved.
    """
    thigh = np.linalg.norm(knee - hip, axis=-1, keepdims=True)
    shin = np.linalg.norm(ankle - knee, axis=-1, keepdims=True)
    leg = ankle + away - hip
    wanted = np.linalg.norm(leg, axis=-1, keepdims=True)
    reach = np.clip(wanted, np.abs(thigh - shin), thigh + shin)
    along = leg / np.maximum(wanted, _NO_LENGTH)
    bend = knee - hip - ((knee - hip) * along).sum(axis=-1, keepdims=True) * along
    length = np.linalg.norm(bend, axis=-1, keepdims=True)
    bend = bend / np.maximum(length, _NO_LENGTH)
    share = (reach**2 + thigh**2 - shin**2) / (2.0 * np.maximum(reach, _NO_LENGTH))
    aside = np.sqrt(np.maximum(thigh**2 - share**2, 0.0))
    # A leg that was straight shows no side to bend to, and stays straight.
    found = np.where(length > _NO_LENGTH, hip + share * along + aside * bend, hip + thigh * along)
    shins = hip + reach * along - found
    held = shin / np.maximum(np.linalg.norm(shins, axis=-1, keepdims=True), _NO_LENGTH)
    return found, found + shins * held


def _least_squares(here: Floats, between: Floats, wanted: Floats, pulls: Floats) -> Floats:
    """Return the values (frames, n) that lose the least: a tridiagonal system.

    Args:
        here: (frames,), weight of each value.
        between: (frames - 1,), weight of each difference to the next.
        wanted: (frames, n), of each value, times its weight.
        pulls: (frames - 1, n), by which each difference should be less than 0, times its weight.
    """
    diagonal: Floats = here.copy()
    right: Floats = wanted.copy()
    diagonal[1:] += between
    diagonal[:-1] += between
    right[1:] -= pulls
    right[:-1] += pulls
    for frame in range(1, len(right)):
        share = between[frame - 1] / diagonal[frame - 1]
        diagonal[frame] -= share * between[frame - 1]
        right[frame] += share * right[frame - 1]
    for frame in range(len(right) - 1, -1, -1):
        if frame + 1 < len(right):
            right[frame] += between[frame] * right[frame + 1]
        right[frame] /= diagonal[frame]
    return right


def _checked(
    joints: ArrayLike, timestamps: ArrayLike, up: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Return the ankles (frames, 2, 3), the times and the direction of length 1."""
    places = np.asarray(joints, dtype=np.float64)
    times = np.asarray(timestamps, dtype=np.float64)
    direction = np.asarray(up, dtype=np.float64)
    if places.ndim != 3 or places.shape[1:] != (len(H36M17.joints), 3):
        raise UsageError(
            f"The joints have shape {places.shape}; expected (frames, 17, 3).",
            hint="Give result.poses + result.root[:, None], meters.",
        )
    if times.shape != places.shape[:1] or not (np.diff(times) > 0.0).all():
        raise UsageError(
            f"The timestamps, of shape {times.shape}, are not one for each of {len(places)} frames,"
            " each after the one before.",
            hint="Give result.timestamps.",
        )
    length = float(np.linalg.norm(direction)) if direction.shape == (3,) else 0.0
    if not (math.isfinite(length) and length > 0.0):
        raise UsageError(
            f"up is {up!r:.80}; expected three numbers.", hint="Give (0, 0, 1) in a robot's frame."
        )
    ankles = places[:, FEET]
    ankles[np.isnan(ankles).any(axis=-1)] = np.nan
    return ankles, times, direction / length


def _roughness(ankles: Floats) -> float:
    """Return the standard deviation of noise, from third differences, which few motions have."""
    third = np.diff(ankles, n=3, axis=0)
    third = np.abs(third[np.isfinite(third)])
    # Of values of variance 1, third differences have 20; half of |N(0, 1)| is below 0.6745.
    return float(np.median(third)) / 0.6745 / math.sqrt(20.0) if third.size else 0.0


def _velocities(
    ankles: Floats, times: Floats, noise: float, *, causal: bool
) -> tuple[Floats, Floats]:
    """Return the slope of lines through the frames of a window, and the variance that noise adds.

    The velocities are (frames, 2, 3), NaN with fewer than two frames; the variances (frames, 2).
    """
    frames = len(times)
    step = float(np.median(np.diff(times))) if frames > 1 else _WINDOW_S
    reach = max(round(_WINDOW_S / step / (1 if causal else 2)), 1)
    count, sum_t, sum_tt = (np.zeros(ankles.shape[:2]) for _ in range(3))
    sum_x, sum_tx = np.zeros_like(ankles), np.zeros_like(ankles)
    for offset in range(-reach, 1 if causal else reach + 1):
        other = np.arange(frames) + offset
        inside = (other >= 0) & (other < frames)
        other = np.clip(other, 0, frames - 1)
        after = times[other] - times
        # Not over a gap.
        inside &= np.abs(after) <= 2.0 * max(_WINDOW_S, step)
        counted = inside[:, None] & np.isfinite(ankles[other, :, 0])
        places = np.where(counted[..., None], ankles[other] - ankles, 0.0)
        moment = np.where(counted, after[:, None], 0.0)
        count += counted
        sum_t += moment
        sum_tt += moment**2
        sum_x += places
        sum_tx += moment[..., None] * places
    spread = sum_tt - sum_t**2 / np.maximum(count, 1)
    known = (count >= 2) & (spread > 0.0)
    slope = sum_tx - (sum_t / np.maximum(count, 1))[..., None] * sum_x
    over = np.where(known, spread, np.nan)
    velocity: Floats = slope / over[..., None]
    return velocity, noise**2 / over


def _speed_evidence(velocity: Floats, blur: Floats) -> Floats:
    """Return the logarithm of how much likelier velocities are of a standing foot."""
    square = (velocity**2).sum(axis=-1)
    still, moving = STILL_M_S**2 + blur, _MOVING_M_S**2 + blur
    evidence: Floats = 1.5 * np.log(moving / still)
    evidence -= 0.5 * square * (1.0 / still - 1.0 / moving)
    return evidence


def _height_evidence(heights: Floats, noise: float) -> Floats:
    """Return the logarithm of how much likelier heights are of a standing foot."""

    def density(middle: float, spread: float) -> Floats:
        wide = math.hypot(spread, noise)
        return np.asarray(np.exp(-0.5 * ((heights - middle) / wide) ** 2) / wide)

    standing = (1.0 - _ELSEWHERE) * density(0.0, ANKLE_SPREAD_M)
    standing = standing + _ELSEWHERE * density(0.0, _ELSEWHERE_SPREAD_M)
    moving = (1.0 - _ELSEWHERE) * density(_RAISED_M, _RAISED_SPREAD_M)
    moving = moving + _ELSEWHERE * density(0.0, _ELSEWHERE_SPREAD_M)
    return np.asarray(np.log(standing + 1e-300) - np.log(moving + 1e-300))


def _floor(heights: Floats, speed: Floats) -> float:
    """Return the height of the floor: the median of lower ankles while they are slow."""
    known = np.isfinite(heights).all(axis=1) & np.isfinite(speed).all(axis=1)
    if not known.any():
        return math.nan
    lower = np.argmin(heights[known], axis=1)[:, None]
    low = np.take_along_axis(heights[known], lower, axis=1)[:, 0]
    slow = np.take_along_axis(speed[known], lower, axis=1)[:, 0]
    return float(np.median(low[slow <= np.quantile(slow, _SLOW)]))


def _two_states(evidence: Floats, steps: Floats, *, causal: bool) -> Floats:
    """Return the probabilities of standing, (frames, 2), of a chain of two states."""
    rates = np.array([1.0 / _STANDING_S, 1.0 / _SWINGING_S])
    usual = rates[1] / rates.sum()
    kept = np.exp(-rates.sum() * steps)
    odds = np.exp(np.clip(evidence, -50.0, 50.0))
    ahead = np.empty_like(evidence)
    chance = np.full(evidence.shape[1], usual)
    for frame in range(len(evidence)):
        if frame:
            chance = usual + (chance - usual) * kept[frame - 1]
        chance = chance * odds[frame] / (chance * odds[frame] + 1.0 - chance)
        ahead[frame] = chance
    if causal:
        return ahead
    # Backwards: the likelihood of what comes after, standing against moving.
    found: Floats = ahead.copy()
    ratio = np.ones(evidence.shape[1])
    for frame in range(len(evidence) - 2, -1, -1):
        after = ratio * odds[frame + 1]
        stay = usual + (1.0 - usual) * kept[frame]
        start = usual * (1.0 - kept[frame])
        ratio = (stay * after + 1.0 - stay) / (start * after + 1.0 - start)
        found[frame] = ahead[frame] * ratio / (ahead[frame] * ratio + 1.0 - ahead[frame])
    return found
