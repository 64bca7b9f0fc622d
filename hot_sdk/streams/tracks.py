"""Who is followed in a stream, and which of their frames are to be lifted.

The newest observations of one person, in memory of fixed size.

One person in a stream: what was seen of them, and which of their frames are still to come.

How fast frames come, and how far apart a network's frames are to lie in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import StreamError
from hot_sdk.inference import WindowRunner
from hot_sdk.keypoints import Keypoints
from hot_sdk.preprocessing.cleaning import clean
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.preprocessing.resampling import differs, sample
from hot_sdk.skeletons import H36M17
from hot_sdk.streams.options import StreamOptions, check_reach
from hot_sdk.streams.report import StreamCounters

_JOINTS = len(H36M17.joints)


@dataclass(frozen=True)
class Observations:
    """A person's keypoints, oldest first.

    Attributes:
        times: (frames,), seconds, as they were pushed.
        arrivals: (frames,), seconds of the monotonic clock at which they were pushed.
        points: (frames, 17, 2), pixels, NaN where missing.
        scores: (frames, 17), 0 to 1.
    """

    times: NDArray[np.float64]
    arrivals: NDArray[np.float64]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]


class ObservationBuffer:
    """A ring that gives its newest entries as contiguous arrays.

    Each entry is written twice, a ring's length apart, so that no read ever wraps round.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._times = np.zeros(2 * capacity)
        self._arrivals = np.zeros(2 * capacity)
        self._points = np.zeros((2 * capacity, _JOINTS, 2), dtype=np.float32)
        self._scores = np.zeros((2 * capacity, _JOINTS), dtype=np.float32)
        self.count = 0

    def append(
        self,
        time: float,
        arrival: float,
        points: NDArray[np.float32],
        scores: NDArray[np.float32] | None,
    ) -> None:
        """Add an observation: points (17, 2), scores (17,) or None where a detector gives none."""
        slot = self.count % self._capacity
        for place in (slot, slot + self._capacity):
            self._times[place] = time
            self._arrivals[place] = arrival
            self._points[place] = points
            self._scores[place] = 1.0 if scores is None else scores
        self.count += 1

    def newest(self, most: int, since: float) -> Observations:
        """Copy at most so many of the newest observations, none older than ``since`` seconds."""
        kept = min(self.count, self._capacity, most)
        end = (self.count - 1) % self._capacity + 1 + self._capacity
        start = end - kept
        start += int(np.searchsorted(self._times[start:end], since))
        part = slice(min(start, end - 1), end)
        return Observations(
            self._times[part].copy(),
            self._arrivals[part].copy(),
            self._points[part].copy(),
            self._scores[part].copy(),
        )


class Person:
    """The state of one person.

    Attributes:
        track_id: Whose state it is.
        buffer: What was seen.
        settled: Observations whose pose was given out or dropped.
        last_time: Timestamp of the newest push.
        last_seen: Timestamp of the newest frame that showed any joint.
    """

    def __init__(self, track_id: int | str | None, capacity: int) -> None:
        self.track_id = track_id
        self.buffer = ObservationBuffer(capacity)
        self.settled = 0
        self.last_time = -np.inf
        self.last_seen = -np.inf

    def forget(self) -> None:
        """Start anew, as after a gap."""
        self.buffer.count = 0
        self.settled = 0


@dataclass(frozen=True)
class Job:
    """Frames of one person that are to be lifted now.

    Attributes:
        track_id: The person's.
        seen: What is known of them.
        frames: How many of the newest frames but ``lookahead`` become final.
        lookahead: Frames after them that are known.
    """

    track_id: int | str | None
    seen: Observations
    frames: int
    lookahead: int

    @property
    def final(self) -> slice:
        """The frames that become final, within ``seen``."""
        end = len(self.seen.times) - self.lookahead
        return slice(max(end - self.frames, 0), end)


@dataclass(frozen=True)
class JobWindows:
    """A job as a network's input.

    Attributes:
        inputs: (windows, frames, 17, channels), float32.
        grids: (windows, frames), seconds: when each frame of each window is.
        valid: (final frames, 17).
    """

    inputs: NDArray[np.float32]
    grids: NDArray[np.float64]
    valid: NDArray[np.bool_]


def windows_of(
    job: Job,
    runner: WindowRunner,
    policies: InputPolicies,
    image_size: tuple[int, int],
    *,
    step: float,
) -> JobWindows | None:
    """Prepare a job.

    A window ends with the newest frame; where the network gives its centre frame only, there is
    one window about each final frame. What lies before the first frame or after the newest is
    held.

    Args:
        job: The job.
        runner: The model.
        policies: For missing joints and outliers.
        image_size: Width and height, pixels.
        step: Seconds between the frames of a window.

    Returns:
        The windows; None where nothing is seen of the person.
    """
    seen = job.seen
    fps = 1.0 / step
    if len(seen.times) > 1:
        fps = float(1.0 / np.median(np.diff(seen.times)))
    cleaned = clean(seen.points, seen.scores, seen.times, policies, fps=fps)
    if cleaned is None:
        return None
    frames = runner.manifest.frames
    offsets = np.arange(frames) - (frames - 1)
    ends = seen.times[-1:]
    if runner.center_only:
        ends = seen.times[job.final] + (frames - 1 - frames // 2) * step
    grids = ends[:, None] + offsets * step
    values = runner.input_spec.normalize(
        cleaned.points, cleaned.scores, cleaned.valid, image_size, policies.aspect
    )
    inputs = sample(values, seen.times, grids.reshape(-1))
    return JobWindows(
        inputs.reshape(*grids.shape, *values.shape[1:]), grids, cleaned.valid[job.final]
    )


def poses_of(
    job: Job, windows: JobWindows, poses: NDArray[np.float32], *, center_only: bool
) -> NDArray[np.float32]:
    """The poses of a job's final frames, (frames, 17, 3), from those of its windows."""
    if center_only:
        return poses[:, 0]
    return sample(poses[0], windows.grids[0], job.seen.times[job.final])


_INTERVALS = 8


class StreamRate:
    """The frame rate of a stream: as it was given, or measured from its first frames.

    Attributes:
        fps: Frames a second; None until it is known.
        measured: It was not given.
    """

    def __init__(self, fps: float | None, training_fps: float, tolerance: float | None) -> None:
        self.fps = fps
        self.measured = fps is None
        self._training_fps = training_fps
        self._tolerance = tolerance
        self._times: list[float] = []

    def see(self, timestamp: float) -> bool:
        """Take note of a frame's time; True when this frame made the rate known."""
        if self.fps is not None or (self._times and timestamp <= self._times[-1]):
            return False
        self._times.append(timestamp)
        if len(self._times) <= _INTERVALS:
            return False
        self.fps = float(1.0 / np.median(np.diff(self._times)))
        self._times.clear()
        return True

    @property
    def assumed_fps(self) -> float:
        """Frames a second, the model's own until it is known."""
        return self._training_fps if self.fps is None else self.fps

    @property
    def resamples(self) -> bool:
        """Frames are resampled in time to the model's rate."""
        if self.fps is None or self._tolerance is None:
            return False
        return differs(self.fps, self._training_fps, self._tolerance)

    @property
    def step(self) -> float:
        """Seconds between the frames of a window."""
        return 1.0 / (self._training_fps if self.resamples else self.assumed_fps)


TrackId = int | str | None

_FASTEST = 4
"""Times the model's rate up to which a camera of unknown rate fills the window."""


class Body(NamedTuple):
    """One person in one frame: points (17, 2), scores (17,)."""

    track_id: TrackId
    points: NDArray[np.float32]
    scores: NDArray[np.float32] | None
    image_size: tuple[int, int]


def body_of(keypoints: Keypoints, track_id: TrackId) -> Body:
    """A push's keypoints in the network's joints.

    Raises:
        StreamError: There are several frames.
    """
    if len(keypoints) != 1:
        raise StreamError(
            f"{len(keypoints)} frames were pushed at once.",
            hint="Push one frame at a time, or give the whole clip to the engine.",
        )
    points, scores = keypoints.h36m17_arrays()
    return Body(
        keypoints.track_id if track_id is None else track_id,
        points[0],
        None if scores is None else scores[0],
        keypoints.image_size,
    )


class Roster:
    """The persons of a stream. It has no lock: the stream holds its own around each call.

    Attributes:
        rate: The stream's frame rate.
        counters: What happened.
        image_size: Width and height in pixels; None before the first frame, where it is not given.
    """

    def __init__(
        self, runner: WindowRunner, options: StreamOptions, policies: InputPolicies
    ) -> None:
        manifest = runner.manifest
        self.rate = StreamRate(
            options.fps,
            manifest.training_fps,
            policies.rate_tolerance if manifest.frames > 1 else None,
        )
        self.counters = StreamCounters()
        self.image_size = options.image_size
        self._runner = runner
        self._options = options
        self._check_reach()
        faster = _FASTEST if options.fps is None else max(options.fps / manifest.training_fps, 1.0)
        waiting = options.lookahead + options.hop
        # Beyond a short window, as far back as a missing joint is held.
        self._remembered = max(manifest.frames, policies.hold_frames + 1)
        self._capacity = int(np.ceil(self._remembered * faster)) + waiting
        self._people: dict[TrackId, Person] = {}
        self._now = -np.inf

    def __len__(self) -> int:
        """Persons who are followed."""
        return len(self._people)

    def clear(self) -> None:
        """Follow nobody."""
        self._people.clear()

    def admit(self, bodies: Sequence[Body], timestamp: float, arrival: float) -> list[Job]:
        """Take a frame in; returns what persons leave behind who are not followed any more.

        Args:
            bodies: Everybody in the frame.
            timestamp: Of the frame, seconds.
            arrival: When it came, by ``time.perf_counter``.

        Raises:
            StreamError: The frame does not follow those before.
        """
        self._check_frame(bodies, timestamp)
        self._now = timestamp
        if self.rate.see(timestamp):
            self._check_reach()
        left_over = self._expire()
        for body in bodies:
            self.counters.pushes += 1
            seen = not np.isnan(body.points[:, 0]).all()
            person = self._people.get(body.track_id)
            if person is None:
                person = self._join(body.track_id) if seen else None
                if person is None:
                    self.counters.unseen += not seen
                    continue
            elif timestamp - person.last_seen > self._longest_gap() and person.buffer.count:
                left_over += self._left_over(person)
                person.forget()
                self.counters.resets += 1
            person.last_time = timestamp
            if seen:
                person.last_seen = timestamp
            elif person.buffer.count == 0:
                self.counters.unseen += 1
                continue
            person.buffer.append(timestamp, arrival, body.points, body.scores)
        return left_over

    def due_jobs(self) -> list[Job]:
        """What is to be lifted now; the frames of it count as settled."""
        hop, lookahead = self._options.hop, self._options.lookahead
        jobs = []
        for person in self._people.values():
            waiting = person.buffer.count - lookahead - person.settled
            if waiting < hop:
                continue
            # In video mode this never happens: every push is followed by what it made due.
            self.counters.dropped += waiting - hop
            person.settled += waiting
            jobs.append(self._job(person, hop, lookahead))
        return jobs

    def last_jobs(self) -> list[Job]:
        """Everybody's frames that still wait; each person's next frame starts anew."""
        jobs = [job for person in self._people.values() for job in self._rest(person)]
        for person in self._people.values():
            person.forget()
        return jobs

    def _check_frame(self, bodies: Sequence[Body], timestamp: float) -> None:
        if not np.isfinite(timestamp):
            raise StreamError(f"The timestamp is {timestamp}.", hint="Give seconds.")
        if timestamp < self._now:
            raise StreamError(
                f"The timestamp {timestamp:.6f} s is earlier than {self._now:.6f} s, which was"
                " pushed before.",
                hint="Push frames in the order of their time.",
            )
        ids = [body.track_id for body in bodies]
        if len(set(ids)) < len(ids):
            raise StreamError(
                "Two persons of one frame have the same track id.",
                hint="Give each person a track id of their own.",
            )
        for body in bodies:
            person = self._people.get(body.track_id)
            if person is not None and timestamp <= person.last_time:
                raise StreamError(
                    f"The timestamp {timestamp:.6f} s is not later than {person.last_time:.6f} s,"
                    f" the last one of the person {body.track_id!r}.",
                    hint="Push each frame once; give several people different track ids.",
                )
            if self.image_size is None:
                self.image_size = body.image_size
            if body.image_size != self.image_size:
                raise StreamError(
                    f"The image is {body.image_size} pixels large; so far it was"
                    f" {self.image_size}.",
                    hint="Open another stream for another camera.",
                )

    def _check_reach(self) -> None:
        check_reach(
            self._options,
            frames=self._runner.manifest.frames,
            center_only=self._runner.center_only,
            fps=self.rate.assumed_fps,
            step=self.rate.step,
        )

    def _longest_gap(self) -> float:
        # Half an interval, for frames that are a little late.
        return (self._options.max_gap_frames + 0.5) / self.rate.assumed_fps

    def _join(self, track_id: TrackId) -> Person | None:
        if len(self._people) >= self._options.max_people:
            self.counters.refused += 1
            return None
        self.counters.joined += 1
        person = self._people[track_id] = Person(track_id, self._capacity)
        return person

    def _expire(self) -> list[Job]:
        gone = [
            person
            for person in self._people.values()
            if self._now - person.last_seen > self._options.time_to_live_s
        ]
        left_over = [job for person in gone for job in self._left_over(person)]
        for person in gone:
            del self._people[person.track_id]
            self.counters.left += 1
        return left_over

    def _rest(self, person: Person) -> list[Job]:
        """A person's last frames, which wait for later ones that will not come."""
        waiting = person.buffer.count - person.settled
        if waiting < 1:
            return []
        person.settled += waiting
        return [self._job(person, waiting, 0)]

    def _left_over(self, person: Person) -> list[Job]:
        """The last frames of a person who was lost."""
        if self._options.mode == "video":
            return self._rest(person)
        # They are as old as a gap or a time to live: nothing to act on.
        self.counters.dropped += person.buffer.count - person.settled
        return []

    def _job(self, person: Person, frames: int, lookahead: int) -> Job:
        span = (self._remembered + 1) * self.rate.step
        newest = person.last_time
        if self._runner.center_only:
            newest -= (frames + lookahead) / self.rate.assumed_fps
        seen = person.buffer.newest(self._capacity, newest - span)
        return Job(person.track_id, seen, frames, lookahead)
