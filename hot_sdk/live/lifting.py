"""Lift people frame by frame with a live network: keypoints of a frame in, poses out.

Clips and streams share this part, so that both give the same poses. What a frame is fed as is
settled when it is fed; what becomes known later changes later frames only.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import Intrinsics
from hot_sdk.latency import LatencyRecorder
from hot_sdk.live.runner import StepRunner
from hot_sdk.live.state import StepStates
from hot_sdk.preprocessing import InputSpec
from hot_sdk.preprocessing.causal import CausalCleaner
from hot_sdk.preprocessing.cleaning import Cleaned
from hot_sdk.preprocessing.policies import MAX_GAP_FRAMES, TIME_TO_LIVE_S, InputPolicies
from hot_sdk.preprocessing.spans import rays
from hot_sdk.preprocessing.virtual_view import (
    HELD_UP_S,
    VirtualViews,
    conditions,
    size_factor,
    virtual_views,
    without_ray,
)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

TESTED_FPS = (15.0, 60.0)
"""Frame rates that live networks are trained and measured at; ages are in seconds, so that nothing
is resampled."""

_TOLERANCE = 1.1
_STAMPS = 16


def longest_gap_s(fps: float) -> float:
    """Return the seconds for which a clip's person who is not seen is bridged, as in a stream."""
    # Half an interval more, for frames that are a little late.
    return min((MAX_GAP_FRAMES + 0.5) / fps, TIME_TO_LIVE_S)


def rate_warning(fps: float | None) -> tuple[str, ...]:
    """Return a warning if a frame rate is none that live networks are measured at."""
    slowest, fastest = TESTED_FPS
    if fps is None or slowest / _TOLERANCE <= fps <= fastest * _TOLERANCE:
        return ()
    return (
        f"The keypoints have {fps:.4g} frames per second. The model remembers a number of frames,"
        f" and was trained with {slowest:g} to {fastest:g} per second: poses may be less accurate.",
    )


class NewFrame(NamedTuple):
    """One person in one frame.

    Attributes:
        person: Whose frame it is: one clip, or one stay in a stream.
        stamp: The frame's number or time, for the caller.
        time: Seconds, later than that of the person's frame before.
        points: (17, 2), pixels; NaN if missing.
        scores: (17,), 0 to 1; None if unknown.
        image_size: Width and height, pixels.
        fps: Frames per second.
        camera: Turns keypoints into rays, if the network takes rays.
        up: (3,), the up direction along the camera's axes, NaN if unknown, and then held for a
            tenth of a second; None if the network is not told.
        height_m: The person's height, if the network takes it.
    """

    person: Hashable
    stamp: float
    time: float
    points: Floats
    scores: Floats | None
    image_size: tuple[int, int]
    fps: float
    camera: Intrinsics | None = None
    up: Doubles | None = None
    height_m: float | None = None


class FedFrame(NamedTuple):
    """A frame that was fed, and whose pose is still to come.

    Attributes:
        frame: The frame.
        valid: (17,), joints that were seen, or not long ago.
        missing: Joints that were missing or had too low a score.
        outliers: Joints that were present but had jumped.
        rotation: (3, 3), of its virtual camera; None if the keypoints are no rays.
        upright: That camera is rolled upright.
    """

    frame: NewFrame
    valid: NDArray[np.bool_]
    missing: int
    outliers: int
    rotation: Doubles | None
    upright: bool


class LiftedFrame(NamedTuple):
    """A frame with its pose.

    Attributes:
        fed: The frame.
        pose: (17, 3), float32, along the camera's axes, relative to the pelvis.
        spread: (17, 3), how far each coordinate may be off; None if the network does not say.
    """

    fed: FedFrame
    pose: Floats
    spread: Floats | None


@dataclass
class _Person:
    """What is kept of a person besides what the network remembers.

    Attributes:
        cleaner: Fills missing joints.
        waiting: Frames whose poses are to come, the oldest first.
        input: (17, channels), the newest frame as it was fed.
        up: (3,), the newest up direction that was known.
        up_time: When it was, seconds.
        stamps: Those of the newest frames that were fed, the oldest first.
    """

    cleaner: CausalCleaner
    waiting: deque[FedFrame] = field(default_factory=deque)
    input: Floats | None = None
    up: Doubles | None = None
    up_time: float = -np.inf
    stamps: deque[float] = field(default_factory=lambda: deque(maxlen=_STAMPS))

    def with_up(self, frame: NewFrame) -> NewFrame:
        """Return a frame with an up direction that is held, if its own is unknown."""
        if frame.up is None:
            return frame
        if not np.isnan(frame.up[0]):
            self.up, self.up_time = frame.up, frame.time
        elif self.up is not None and frame.time - self.up_time <= HELD_UP_S:
            return frame._replace(up=self.up)
        return frame


class StepLifter:
    """Lifts frames of people who come and go. It has no lock.

    Args:
        runner: The model.
        policies: How missing joints and outliers are handled.
        people: Most people at a time.
    """

    def __init__(self, runner: StepRunner, policies: InputPolicies, people: int) -> None:
        self._runner = runner
        self._policies = policies
        self._states: StepStates = runner.states(people)
        self._people: dict[Hashable, _Person] = {}
        # The people in the order of their rows.
        self._rows: list[Hashable] = []

    @property
    def bytes_per_person(self) -> int:
        """Bytes that are kept of a person, but for a few kilobytes."""
        return self._states.bytes_per_person

    def keep(self, people: Collection[Hashable]) -> None:
        """Forget everyone else."""
        for person in [one for one in self._people if one not in people]:
            self._forget(person)

    def stamps(self, person: Hashable) -> Sequence[float]:
        """Return the stamps of the newest frames of a person that were fed, the oldest first."""
        return self._people[person].stamps if person in self._people else ()

    def times(self, person: Hashable, frames: int) -> Doubles:
        """Return when the newest frames of a person were, at most ``frames``, oldest first."""
        return self._states.times(self._rows.index(person), frames)

    def retime(self, person: Hashable, times: Doubles) -> None:
        """Correct when the newest frames of a person were, oldest first."""
        if len(times):
            self._states.retime(self._rows.index(person), times)

    def push(self, frames: Sequence[NewFrame], recorder: LatencyRecorder) -> list[LiftedFrame]:
        """Take one frame of each of some people; whoever is new starts without a past.

        Args:
            frames: At most one for each person.
            recorder: Receives the time of each stage.

        Returns:
            The frames whose poses these frames bring, at most one for each person.

        Raises:
            EngineError: The engine failed.
        """
        with recorder.timed("preparation"):
            shown = list(self._cleaned(frames))
            if not shown:
                return []
            # If nothing is known of anyone, there is nothing to tell.
            known_of = (one.frame.camera or one.frame.height_m for one in shown)
            names = self._runner.manifest.conditions if any(known_of) else ()
            inputs, told, fed = _prepared(shown, self._runner.input_spec, self._policies, names)
            rows = [self._rows.index(one.frame.person) for one in fed]
            seconds = [one.frame.time for one in fed]
            times, keypoints, known = np.array(seconds), inputs, told
            if rows != list(range(len(self._rows))):
                people = len(self._rows)
                times = np.full(people, np.inf)
                times[rows] = seconds
                keypoints = np.zeros((people, *inputs.shape[1:]), dtype=np.float32)
                keypoints[rows] = inputs
                if told is not None:
                    known = np.zeros((people, told.shape[1]), dtype=np.float32)
                    known[rows] = told
        lifted = self._step(times, keypoints, known, fed, recorder)
        for one, values in zip(fed, inputs, strict=True):
            person = self._people[one.frame.person]
            person.input = values
            person.stamps.append(one.frame.stamp)
        return lifted

    def finish(self, people: Collection[Hashable], recorder: LatencyRecorder) -> list[LiftedFrame]:
        """Return the poses of people's last frames, which wait for others, and forget them.

        Raises:
            EngineError: The engine failed.
        """
        lifted: list[LiftedFrame] = []
        names = self._runner.manifest.conditions
        rows = [row for row, person in enumerate(self._rows) if person in people]
        most = max((len(self._people[self._rows[row]].waiting) for row in rows), default=0)
        for _ in range(self._runner.graph.lookahead if most else 0):
            times = np.full(len(self._rows), np.inf)
            inputs = np.zeros((len(times), *self._input_shape), dtype=np.float32)
            for row in rows:
                times[row] = np.nan
                last = self._people[self._rows[row]].input
                inputs[row] = 0.0 if last is None else last
            known = np.zeros((len(times), len(names)), dtype=np.float32) if names else None
            lifted += self._step(times, inputs, known, (), recorder)
        for person in people:
            self._forget(person)
        return lifted

    @property
    def _input_shape(self) -> tuple[int, int]:
        return len(self._runner.manifest.joints.names), self._runner.input_spec.channels

    def _cleaned(self, frames: Sequence[NewFrame]) -> Iterator[_Shown]:
        """Clean frames; leave out those of people of whom no joint was seen so far."""
        for frame in frames:
            person = self._people.get(frame.person)
            if person is None:
                person = _Person(CausalCleaner(self._policies))
            points, known = without_ray(frame.points[None], frame.camera)
            found = person.cleaner.add(points[0], frame.scores, fps=frame.fps)
            if found is None:
                continue
            if frame.person not in self._people:
                self._states.add()
                self._rows.append(frame.person)
                self._people[frame.person] = person
            shown = person.with_up(frame)
            yield _Shown(shown, found.cleaned, found.missing, found.outliers, known)

    def _step(
        self,
        times: Doubles,
        inputs: Floats,
        known: Floats | None,
        fed: Sequence[FedFrame],
        recorder: LatencyRecorder,
    ) -> list[LiftedFrame]:
        """Let people take a step, and return what is settled by it."""
        poses, spread = self._runner.run(self._states, times, inputs, known, recorder)
        with recorder.timed("stitching"):
            for one in fed:
                self._people[one.frame.person].waiting.append(one)
            settled: list[tuple[int, FedFrame]] = []
            for row, time in enumerate(times.tolist()):
                if time == math.inf:
                    continue
                waiting = self._people[self._rows[row]].waiting
                # The state has taken the step already.
                if waiting and self._states.steps(row) > self._runner.graph.lookahead:
                    settled.append((row, waiting.popleft()))
            return _along_camera(settled, poses, spread)

    def _forget(self, person: Hashable) -> None:
        if self._people.pop(person, None) is None:
            return
        row = self._rows.index(person)
        moved = self._states.remove(row)
        self._rows[row] = self._rows[moved]
        del self._rows[moved]


class _Shown(NamedTuple):
    """A cleaned frame; the last attribute is the second result of ``without_ray``."""

    frame: NewFrame
    cleaned: Cleaned
    missing: int
    outliers: int
    known: tuple[Floats, Doubles] | None


def _prepared(
    shown: Sequence[_Shown], spec: InputSpec, policies: InputPolicies, names: Sequence[str]
) -> tuple[Floats, Floats | None, list[FedFrame]]:
    """Return the inputs (people, 17, channels), the conditions if any, and what was fed."""
    first = shown[0].frame
    view = (first.camera, first.image_size, first.up is None)
    others = (one.frame for one in shown[1:])
    if any((one.camera, one.image_size, one.up is None) != view for one in others):
        parts = [_prepared([one], spec, policies, names) for one in shown]
        told = [known for _, known, _ in parts if known is not None]
        return (
            np.concatenate([inputs for inputs, _, _ in parts]),
            np.concatenate(told) if told else None,
            [fed for _, _, some in parts for fed in some],
        )
    cleaned = shown[0].cleaned
    if len(shown) > 1:
        columns = zip(*map(_fields, shown), strict=True)
        cleaned = Cleaned(*(np.concatenate(column) for column in columns))
    views = None
    if first.camera is None:
        inputs = spec.normalize(
            cleaned.points, cleaned.scores, cleaned.valid, first.image_size, policies.aspect
        )
    else:
        slopes = rays(cleaned, spec, first.camera, _known(shown))
        ups = None
        if first.up is not None and "gravity_known" in names:
            ups = np.stack([one.frame.up for one in shown if one.frame.up is not None])
        views = virtual_views(slopes[..., :2].mean(axis=1), ups)
        inputs = views.turned(slopes)
    fed, told = [], []
    upright = [False] * len(shown) if views is None else views.upright.tolist()
    for place, one in enumerate(shown):
        rotation = None if views is None else views.rotations[place]
        valid = one.cleaned.valid[0]
        fed.append(FedFrame(one.frame, valid, one.missing, one.outliers, rotation, upright[place]))
        if names:
            own = None if views is None else views.of(slice(place, place + 1))
            told.append(conditions(names, 1, own, one.frame.height_m))
    return inputs, np.concatenate(told) if told else None, fed


def _fields(one: _Shown) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    return one.cleaned.points, one.cleaned.scores, one.cleaned.valid


def _known(shown: Sequence[_Shown]) -> tuple[Floats, Doubles] | None:
    known = [one.known for one in shown if one.known is not None]
    if not known:
        return None
    points, slopes = zip(*known, strict=True)
    return np.concatenate(points), np.concatenate(slopes)


def _along_camera(
    settled: Sequence[tuple[int, FedFrame]], poses: Floats, spread: Floats | None
) -> list[LiftedFrame]:
    """Return poses along the camera's axes, as large as the person is; see ``size_factor``."""
    lifted = []
    for row, fed in settled:
        pose, wide = poses[row], None if spread is None else spread[row]
        if fed.rotation is not None:
            nothing = np.zeros(1)
            view = VirtualViews(fed.rotation[None], nothing > 0.0, nothing)
            pose = view.turned_back(pose[None])[0].astype(np.float32)
            if wide is not None:
                wide = view.spread_turned_back(wide[None])[0].astype(np.float32)
        if (factor := np.float32(size_factor(fed.frame.height_m))) != 1.0:
            pose, wide = pose * factor, None if wide is None else wide * factor
        lifted.append(LiftedFrame(fed, pose, wide))
    return lifted
