"""Who is followed in a stream, and which of their frames are to be lifted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import StreamError
from hot_sdk.keypoints import Keypoints
from hot_sdk.policies import InputPolicies
from hot_sdk.streams.options import StreamOptions, check_reach
from hot_sdk.streams.person import Job, Person
from hot_sdk.streams.rate import StreamRate
from hot_sdk.streams.report import StreamCounters
from hot_sdk.window_runner import WindowRunner

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
            centre_only=self._runner.centre_only,
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
        if self._runner.centre_only:
            newest -= (frames + lookahead) / self.rate.assumed_fps
        seen = person.buffer.newest(self._capacity, newest - span)
        return Job(person.track_id, seen, frames, lookahead)
