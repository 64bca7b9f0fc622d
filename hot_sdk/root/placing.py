"""Place a person in a frame: root, joints, velocities and how sure they are, frame by frame.

Clips and streams share this part. What a network lifted is relative to the pelvis and of the
network's size; here it gets the person's size, as far as that is known, and a place.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hot_sdk.bones import standing_height
from hot_sdk.cameras import Intrinsics
from hot_sdk.root.estimate import RootEstimate
from hot_sdk.root.frames import LiftedFrames, PlacedFrames, PlaceOptions, deviations
from hot_sdk.root.joint_motion import (
    UNSEEN_M_S,
    JointState,
    JointStep,
    shifted,
    smooth_joints,
    step_joints,
)
from hot_sdk.root.measurement import RootMeasurements, measure_root
from hot_sdk.root.model import PLACE, SIZE, SPEED
from hot_sdk.root.origin import PELVIS, THORAX, chosen_origins, validity
from hot_sdk.root.scale import (
    ADULT_SPREAD,
    HEIGHT_SPREAD,
    DepthReading,
    LengthReading,
    ScalePrior,
)
from hot_sdk.root.standing import StandingFeet, standing_velocity
from hot_sdk.root.tracking import RootTracker
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
_Kind = TypeVar("_Kind", np.float64, np.bool_)

_JOINTS = len(H36M17.joints)
_EYE_3 = np.eye(3)
_TOLD_SPREAD = 0.04
"""Standard deviation of the logarithm of the scale if the network was told the person's height."""

_ANY_SPREAD = 1.0
"""That before the poses are compared with a known height."""

_NEAR_S = 0.2
"""Since the root was last measured: it is then a start for the next measurement."""

_OWN_SPEED, _SHARE_OF_SPEED = 0.6, 0.2
"""Of the variance of a joint's velocity relative to the root, the share of what the filter says,
and the standard deviation as a share of that velocity: the filter's is too large for joints at
rest, and too small for fast ones, whose lifted motion is off by a part of itself."""

_ABOVE = 1.5
"""By how much the variance of a velocity is larger than the filter says if poses are relative to
the thorax: errors of half a body change faster than those of a whole one."""

_STANDING_SPREAD = 0.03
"""That of the height that the bones of one pose add up to."""


class PersonPlacer:
    """Places one person, as frames are lifted.

    Args:
        options: What is known and asked for.
        height_told: The network was told the person's height, so that poses have it.
        height_known: The person's height is known, whatever it is.
    """

    def __init__(
        self, options: PlaceOptions, *, height_told: bool = False, height_known: bool = False
    ) -> None:
        self._options = options
        # Statures of adults tell nothing of someone whose height is known.
        spread = _TOLD_SPREAD if height_told else _ANY_SPREAD if height_known else ADULT_SPREAD
        prior = ScalePrior(1.0, spread)
        self._tracker = RootTracker(prior=prior, floor=options.floor, lag=None)
        self._origin = PELVIS
        self._joints: JointState | None = None
        self._joints_origin = PELVIS
        self._joints_valid = np.zeros(_JOINTS, dtype=np.bool_)
        self._errors: dict[float, float] = {}
        self._feet: StandingFeet | None = None
        if options.contacts and options.floor is not None:
            self._feet = StandingFeet(options.floor)

    @property
    def is_child(self) -> bool:
        """Whether readings said that the person is far smaller than usual."""
        return self._tracker.state.is_child

    def place(
        self,
        frames: LiftedFrames,
        final: int,
        intrinsics: Intrinsics | None,
        height_m: float | None = None,
    ) -> PlacedFrames:
        """Take frames in, and place the first of them.

        Args:
            frames: Frames that were not placed yet, of which those after the first ``final`` only
                tell more of these; they come again.
            final: How many are placed.
            intrinsics: The camera's; None if they are not known, and then no root is.
            height_m: The person's standing height; None if it is not known.
        """
        known = frames.valid
        # The sum of squares tells in most cases.
        if not math.isfinite(np.vdot(frames.poses, frames.poses)):
            known = known & np.isfinite(frames.poses).all(axis=-1)
        origins = chosen_origins(known, self._options.root)
        valid = validity(known, origins)
        turns = _stacked([frames.camera(at).rotation for at in range(len(frames.times))])
        poses = np.asarray(frames.poses, dtype=np.float64)
        poses = poses - poses[np.arange(len(poses)), origins][:, None]
        turned = poses @ turns.transpose(0, 2, 1)
        estimates: dict[float, RootEstimate] = {}
        errors: dict[float, float] = {}
        if intrinsics is not None:
            self._measure(frames, poses, turned, valid, origins, intrinsics, height_m)
            settled = self._tracker.settle(float(frames.times[final - 1]))
            estimates = {one.timestamp: one for one in settled}
            errors = {one.timestamp: self._errors.pop(one.timestamp) for one in settled}
        moving = self._move(frames, turned, valid, origins, final)
        placed = self._placed(frames, turned, turns, valid, origins, estimates, errors, moving)
        return placed if self._feet is None else _standing(placed, frames.times, self._feet)

    def _measure(
        self,
        frames: LiftedFrames,
        poses: Doubles,
        turned: Doubles,
        valid: Mask,
        origins: NDArray[np.int64],
        intrinsics: Intrinsics,
        height_m: float | None,
    ) -> None:
        """Measure the root in the frames that were not yet, and filter it."""
        first = int(np.searchsorted(frames.times, self._tracker.state.timestamp, side="right"))
        for part, origin in _runs(origins, first):
            spread = None if frames.spread is None else _relative(frames.spread[part], origin)
            measured = measure_root(
                poses[part],
                valid[part],
                frames.points[part],
                None if frames.scores is None else frames.scores[part],
                intrinsics,
                spread=spread,
                origin=origin,
                start=self._start(frames, part, origin),
            )
            for at in range(part.start, part.stop):
                one = measured
                if part.stop - part.start > 1:
                    one = measured.frame(at - part.start)
                self._push(one, frames, at, turned[at], valid[at], origin, height_m)

    def _start(self, frames: LiftedFrames, part: slice, origin: int) -> Doubles | None:
        """Return about where the root is in one frame, at the network's size; None if unknown."""
        state, time = self._tracker.state, float(frames.times[part.start])
        near = origin == self._origin and time - state.seen < _NEAR_S
        if part.stop - part.start > 1 or not near:
            return None
        camera, size = frames.camera(part.start), state.mean[SIZE]
        moved = (camera.translation - state.origin) * size
        ahead = state.mean[PLACE] + (time - state.timestamp) * state.mean[SPEED]
        start: Doubles = ((ahead - moved) @ camera.rotation)[None]
        return start if start[0, 2] > 0.0 else None

    def _push(
        self,
        measured: RootMeasurements,
        frames: LiftedFrames,
        at: int,
        turned: Doubles,
        valid: Mask,
        origin: int,
        height_m: float | None,
    ) -> None:
        shift = None
        if origin != self._origin:
            shift = turned[origin] - turned[self._origin]
            self._origin = origin
        time, camera, pose = float(frames.times[at]), frames.camera(at), frames.poses[at]
        lengths = [] if height_m is None else _height_reading(pose, valid, height_m)
        for joint, length in self._options.bones.items():
            lengths += _bone_reading(pose, valid, joint, length)
        depth = None
        if frames.depths is not None and math.isfinite(frames.depths[at, origin]):
            depth = DepthReading(float(frames.depths[at, origin]))
        standing = None
        if self._options.floor is not None:
            standing = np.where(valid[:, None], pose - pose[origin], np.nan)
        self._tracker.push(
            measured,
            time,
            camera=camera,
            pose=standing,
            depth=depth,
            lengths=lengths,
            shift=shift,
        )
        self._errors[time] = float(measured.residual_px[0])

    def _move(
        self,
        frames: LiftedFrames,
        turned: Doubles,
        valid: Mask,
        origins: NDArray[np.int64],
        final: int,
    ) -> list[JointState]:
        """Return how the joints move in the final frames, of all of these."""
        state, origin, seen = self._joints, self._joints_origin, self._joints_valid
        steps: list[JointStep] = []
        for at, time in enumerate(frames.times.tolist()):
            if origins[at] != origin and state is not None:
                state = shifted(state, int(origins[at]))
            origin = int(origins[at])
            unseen = None if frames.unseen_s is None else frames.unseen_s[at]
            steps.append(step_joints(state, time, turned[at], valid[at] & ~seen, unseen))
            state, seen = steps[-1].after, valid[at]
            if at == final - 1:
                self._joints, self._joints_origin, self._joints_valid = state, origin, seen
        return smooth_joints(steps)[:final] if len(steps) > 1 else [steps[0].after]

    def _placed(
        self,
        frames: LiftedFrames,
        turned: Doubles,
        turns: Doubles,
        valid: Mask,
        origins: NDArray[np.int64],
        estimates: dict[float, RootEstimate],
        errors: dict[float, float],
        moving: list[JointState],
    ) -> PlacedFrames:
        final = len(moving)
        valid, origins, turned = valid[:final], origins[:final], turned[:final]
        scale, scale_spread, error = np.ones(final), np.full(final, np.nan), np.full(final, np.nan)
        root, moved = np.full((final, 3), np.nan), np.full((final, 3), np.nan)
        unsure = np.full((final, 7, 7), np.nan)
        for at, time in enumerate(frames.times[:final].tolist()):
            found = estimates.get(time)
            if found is None:
                continue
            scale[at], scale_spread[at] = found.scale, found.scale_spread
            error[at] = errors[time]
            if valid[at, origins[at]]:
                root[at], moved[at], unsure[at] = found.position, found.velocity, found.covariance
        relative = turned
        if self._options.smoothing:
            relative = _stacked([state.place for state in moving])
        away = relative * scale[:, None, None]
        speed = _stacked([state.speed for state in moving]) * scale[:, None, None]
        velocity = moved[:, None] + speed
        lost = ~valid
        velocity[lost | ~_stacked([state.moving for state in moving])] = np.nan
        here = np.arange(final)
        velocity[here, origins] = moved
        own = _own_covariance(frames, turns, origins, scale, final)
        if own is None:
            # Most of the root's error is one of the pose, of which nothing is known.
            joints = np.full((final, _JOINTS, 3, 3), np.nan)
            faster = joints.copy()
        else:
            common = away[..., None] * unsure[:, None, None, :3, 6]
            joints = unsure[:, None, :3, :3] + common + common.swapaxes(-1, -2) + own
            joints += away[..., None] * away[..., None, :] * unsure[:, None, None, None, 6, 6]
            wide = _OWN_SPEED * _stacked([one.spread[2] for one in moving]) * scale[:, None] ** 2
            wide += _SHARE_OF_SPEED**2 * (speed**2).sum(axis=-1)
            axes = _EYE_3 * wide[..., None, None]
            common = unsure[:, 3:6, 3:6] * np.where(origins == THORAX, _ABOVE, 1.0)[:, None, None]
            faster = common[:, None] + axes
            joints[here, origins], faster[here, origins] = unsure[:, :3, :3], common
        joints[lost] = np.nan
        # All three coordinates are known, or none is.
        faster[np.isnan(velocity[..., 0])] = np.nan
        return PlacedFrames(
            origins=origins,
            poses=away.astype(np.float32),
            valid=valid,
            spread=None if own is None else deviations(own),
            root=root,
            velocity=velocity,
            covariance=own,
            joints_covariance=joints,
            velocity_covariance=faster,
            scale=scale,
            scale_spread=scale_spread,
            root_error=error,
        )


def _standing(placed: PlacedFrames, times: Doubles, feet: StandingFeet) -> PlacedFrames:
    """Return placed frames whose standing feet stay where they stand."""
    poses, contacts = placed.poses.copy(), np.full((len(placed.poses), 2), np.nan)
    for at, joints in enumerate(placed.joints):
        moved, contacts[at] = feet.push(float(times[at]), joints)
        known = np.isfinite(moved).all(axis=-1)
        poses[at, known] = moved[known] - placed.root[at]
    velocity, unsure = standing_velocity(placed.velocity, placed.velocity_covariance, contacts)
    return dataclasses.replace(
        placed, poses=poses, contacts=contacts, velocity=velocity, velocity_covariance=unsure
    )


def _stacked(arrays: Sequence[NDArray[_Kind]]) -> NDArray[_Kind]:
    """Return arrays along a new first axis; one of them alone as a view."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _runs(origins: NDArray[np.int64], first: int) -> list[tuple[slice, int]]:
    """Return the stretches of frames from one on that have the same origin."""
    if len(origins) - first < 2:
        return [(slice(first, len(origins)), int(origin)) for origin in origins[first:]]
    changes = np.flatnonzero(np.diff(origins[first:])) + first + 1
    pairs = itertools.pairwise([first, *changes.tolist(), len(origins)])
    return [(slice(*pair), int(origins[pair[0]])) for pair in pairs if pair[0] < pair[1]]


def _relative(spread: Floats, origin: int) -> Doubles:
    """Return the standard deviations of poses relative to another joint than the pelvis."""
    squares = np.asarray(spread, dtype=np.float64) ** 2
    if origin != PELVIS:
        squares = squares + squares[:, origin, None]
        squares[:, origin] = 0.0
    deviations: Doubles = np.sqrt(squares)
    return deviations


def _own_covariance(
    frames: LiftedFrames,
    turns: Doubles,
    origins: NDArray[np.int64],
    scale: Doubles,
    final: int,
) -> Doubles | None:
    """Return the covariances of the first poses along the frame's axes, at the person's size."""
    if frames.spread is None:
        return None
    each = [
        _relative(frames.spread[at : at + 1], int(origin))
        for at, origin in enumerate(origins[:final])
    ]
    spread = each[0] if final == 1 else np.concatenate(each)
    squares = (spread * scale[:, None, None]) ** 2
    if frames.unseen_s is not None:
        squares = squares + ((UNSEEN_M_S * frames.unseen_s[:final]) ** 2)[..., None]
        squares[np.arange(final), origins] = 0.0
        # Of a joint that was never seen; infinity would become NaN along some axes alone.
        squares[np.isinf(squares)] = np.nan
    turned = turns[:final, None] * squares[..., None, :]
    covariance: Doubles = turned @ turns[:final, None].swapaxes(-1, -2)
    return covariance


def _height_reading(pose: Floats, valid: Mask, height_m: float) -> list[LengthReading]:
    standing = standing_height(pose, valid)
    if not standing > 0.0:
        return []
    return [LengthReading(height_m, standing, _STANDING_SPREAD, HEIGHT_SPREAD)]


def _bone_reading(pose: Floats, valid: Mask, joint: str, length: float) -> list[LengthReading]:
    end = H36M17.joints.index(joint)
    start = H36M17.parents[end]
    lifted = float(np.linalg.norm(pose[end] - pose[start]))
    if not (valid[start] and valid[end] and lifted > 0.0):
        return []
    return [LengthReading(length, lifted)]
