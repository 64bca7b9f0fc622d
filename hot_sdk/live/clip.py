"""Lift whole clips with a live network, frame by frame, to the poses that a stream gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.disk_arrays import PART, Scratch, release, zeros
from hot_sdk.camera_knowledge import CameraKnowledge
from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyRecorder
from hot_sdk.live.lifting import LiftedFrame, NewFrame, StepLifter, longest_gap_s, rate_warning
from hot_sdk.live.runner import StepRunner
from hot_sdk.preprocessing.cleaning import relative_validity
from hot_sdk.preprocessing.clip import (
    height_policy,
    image_policies,
    no_joint,
    rate_of,
    skeleton_policy,
    view_policies,
    warnings_about,
)
from hot_sdk.preprocessing.policies import AppliedPolicy, InputPolicies

TOGETHER = 16
"""Clips that are lifted together."""

_BLOCK = 2048

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SteppedClip:
    """A clip that was lifted frame by frame.

    Attributes:
        poses: (frames, 17, 3), along the camera's axes. A frame before the first that shows the
            person has the first pose, one within a gap too long to bridge that before it.
        spread: Of the same shape; None if the network does not say.
        seen: (frames, 17), joints that were seen, or not long ago.
        valid: (frames, 17), the same, but none while the pelvis is not.
        timestamps: (frames,), seconds.
        applied: What was done.
        warnings: What had to be assumed, and what is unlikely about the keypoints.
        steps: Frames that the network took.
    """

    poses: Floats
    spread: Floats | None
    seen: Mask
    valid: Mask
    timestamps: NDArray[np.float64]
    applied: tuple[AppliedPolicy, ...]
    warnings: tuple[str, ...]
    steps: int


def lift_clips_by_step(
    people: Sequence[Keypoints],
    runner: StepRunner,
    policies: InputPolicies,
    recorder: LatencyRecorder,
    progress: Callable[[int, int], None] | None = None,
    scratch: Scratch | None = None,
) -> list[SteppedClip]:
    """Lift clips frame by frame, those of several people together.

    Args:
        people: The clips.
        runner: The model.
        policies: How missing joints and outliers are handled.
        recorder: Receives the time of each stage.
        progress: Called after each frame with the frames taken of all clips and their total.
        scratch: Where the poses of long clips are kept; None for the memory.

    Raises:
        KeypointsError: No frame of a clip shows a joint.
        UsageError: The disk is full.
        EngineError: The engine failed.
    """
    clips = [_Clip(number, one, runner, policies, scratch) for number, one in enumerate(people)]
    total, done = sum(map(len, people)), 0
    for first in range(0, len(clips), TOGETHER):
        group = clips[first : first + TOGETHER]
        lifter = StepLifter(runner, policies, len(group))
        for number in range(max(len(clip) for clip in group)):
            turns = [clip.turn(number) for clip in group if number < len(clip)]
            ended = {turn.ended for turn in turns if turn.ended is not None}
            _note(clips, lifter.finish(ended, recorder) if ended else [])
            frames = [turn.frame for turn in turns if turn.frame is not None]
            _note(clips, lifter.push(frames, recorder) if frames else [])
            ended = {clip.stay for clip in group if number + 1 == len(clip)}
            _note(clips, lifter.finish(ended, recorder) if ended else [])
            done += len(turns)
            if progress is not None:
                progress(done, total)
    return [clip.finished() for clip in clips]


Stay = tuple[int, int]
"""Number of a clip, and which time it is that the person is in view, from 0."""


class _Turn(NamedTuple):
    """What a clip's next frame asks for.

    Attributes:
        ended: Who is over, because a gap was too long.
        frame: The frame to be fed; None if the person is away.
    """

    ended: Stay | None
    frame: NewFrame | None


def _note(clips: Sequence[_Clip], lifted: Sequence[LiftedFrame]) -> None:
    for one in lifted:
        person = one.fed.frame.person
        assert isinstance(person, tuple)
        clips[person[0]].note(one)


class _Clip:
    """One person's clip while it is lifted.

    Raises:
        KeypointsError: No frame shows a joint.
    """

    def __init__(
        self,
        number: int,
        keypoints: Keypoints,
        runner: StepRunner,
        policies: InputPolicies,
        scratch: Scratch | None,
    ) -> None:
        manifest = runner.manifest
        self._keypoints, self._runner, self._policies = keypoints, runner, policies
        self._fps, self._warnings = rate_of(keypoints, manifest.training_fps, timed=True)
        self._warnings += rate_warning(keypoints.effective_fps)
        self._times = keypoints.times(self._fps)
        self._known: CameraKnowledge = keypoints.knowledge.usable_with(manifest.conditions)
        self._points, self._block = np.empty((0, 17, 2), np.float32), 0
        self._scores: Floats | None = None
        if not any(self._shows_joint(first) for first in range(0, len(keypoints), _BLOCK)):
            raise no_joint(keypoints, policies)
        self._number, self._stays, self._last_seen = number, 0, -np.inf
        frames = len(keypoints)
        self._poses = zeros(scratch, frames, 17, 3)
        self._spread = zeros(scratch, frames, 17, 3) if manifest.spread else None
        self._lifted = np.zeros(frames, dtype=np.bool_)
        self._valid = np.zeros((frames, 17), dtype=np.bool_)
        self._empty = np.ones(frames, dtype=np.bool_)
        self._missing, self._outliers, self._upright, self._steps = 17 * frames, 0, 0, 0

    def __len__(self) -> int:
        return len(self._keypoints)

    @property
    def stay(self) -> Stay:
        """Who is in view now."""
        return self._number, self._stays

    def turn(self, number: int) -> _Turn:
        """Return what the frame of a number asks for; frames are asked for in order."""
        self._read(number)
        place, time, ended = number - self._block, float(self._times[number]), None
        points = self._points[place]
        self._empty[number] = np.isnan(points[:, 0]).all()
        away = time - self._last_seen > longest_gap_s(self._fps)
        if not self._empty[number]:
            if away and np.isfinite(self._last_seen):
                ended, self._stays = self.stay, self._stays + 1
            self._last_seen = time
        elif away:
            return _Turn(None, None)
        ups = self._known.up_of(slice(number, number + 1))
        frame = NewFrame(
            self.stay,
            number,
            time,
            points,
            None if self._scores is None else self._scores[place],
            self._keypoints.image_size,
            self._fps,
            self._known.camera,
            None if ups is None else ups.reshape(3),
            self._known.height_m,
        )
        return _Turn(ended, frame)

    def note(self, lifted: LiftedFrame) -> None:
        """Keep a frame's pose."""
        fed = lifted.fed
        number = int(fed.frame.stamp)
        self._poses[number], self._valid[number] = lifted.pose, fed.valid
        if self._spread is not None and lifted.spread is not None:
            self._spread[number] = lifted.spread
        self._lifted[number] = True
        if number % PART == 0:
            self._release()
        self._missing -= 17 - fed.missing
        self._outliers += fed.outliers
        self._upright += fed.upright
        self._steps += 1

    def finished(self) -> SteppedClip:
        """Return the clip with all that was noted."""
        lifted = self._lifted
        nearest = np.maximum.accumulate(np.where(lifted, np.arange(len(lifted)), -1))
        nearest = np.where(nearest < 0, np.argmax(lifted), nearest)
        gaps = np.flatnonzero(~lifted)
        for first in range(0, len(gaps), PART):
            part = gaps[first : first + PART]
            self._poses[part] = self._poses[nearest[part]]
            if self._spread is not None:
                self._spread[part] = self._spread[nearest[part]]
            self._release()
        valid = relative_validity(self._valid)
        applied = (
            *self._joint_policies(valid),
            *skeleton_policy(self._keypoints),
            *self._input_policies(),
            *height_policy(self._known),
        )
        about = warnings_about(self._keypoints, self._known, self._valid, timed=True)
        return SteppedClip(
            self._poses,
            self._spread,
            self._valid,
            valid,
            self._times,
            applied,
            self._warnings + about,
            self._steps,
        )

    def _release(self) -> None:
        release(self._poses)
        if self._spread is not None:
            release(self._spread)

    def _joint_policies(self, valid: Mask) -> Iterator[AppliedPolicy]:
        policies, joints, frames = self._policies, valid.size, len(valid)
        threshold = policies.outlier_threshold
        limit = "off" if threshold is None else f"{threshold:g} spreads"
        score = f"no keypoint, or a score below {policies.min_score:g}: moved with its neighbors"
        yield AppliedPolicy("missing_joints", score, self._missing, joints, "joints")
        jumped = f"jumped, and treated as missing until they stayed (limit: {limit})"
        yield AppliedPolicy("outlier_joints", jumped, self._outliers, joints, "joints")
        detail = (
            f"missing for more than {policies.hold_frames} frames, or before they were first seen,"
            " or relative to such a pelvis: passed to the network, marked invalid"
        )
        invalid = joints - int(np.count_nonzero(valid))
        yield AppliedPolicy("invalid_joints", detail, invalid, joints, "joints")
        empty = int(self._empty.sum())
        detail = f"held as their joints are for {longest_gap_s(self._fps):.2g} s, then left out"
        yield AppliedPolicy("empty_frames", detail, empty, frames, "frames")
        detail = "filled with the first pose, marked invalid"
        first = int(np.argmin(self._empty))
        yield AppliedPolicy("first_empty_frames", detail, first, frames, "frames")

    def _input_policies(self) -> Iterator[AppliedPolicy]:
        if self._known.camera is not None:
            yield from view_policies(self._steps, self._upright, self._known)
            return
        size, spec = self._keypoints.image_size, self._runner.input_spec
        yield from image_policies(size, spec, None, self._policies)

    def _read(self, number: int) -> None:
        """Have a frame's joints at hand."""
        if not self._block <= number < self._block + len(self._points):
            self._block = number - number % _BLOCK
            block = slice(self._block, self._block + _BLOCK)
            self._points, self._scores = self._keypoints.h36m17_arrays(block)

    def _shows_joint(self, first: int) -> bool:
        self._read(first)
        present = ~np.isnan(self._points[..., 0])
        if self._scores is not None:
            present &= self._scores >= self._policies.min_score
        return bool(present.any())
