"""Poses while the keypoints come: frame by frame, for several people, in memory of fixed size."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.engines import Session
from hot_sdk.engines.closing import Closing
from hot_sdk.errors import StreamError
from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyRecorder
from hot_sdk.policies import InputPolicies
from hot_sdk.streams.lifting import lift_jobs
from hot_sdk.streams.options import StreamOptions, check_reach
from hot_sdk.streams.person import Job, Person
from hot_sdk.streams.pose import StreamPose
from hot_sdk.streams.rate import StreamRate
from hot_sdk.streams.report import StreamCounters, StreamReport
from hot_sdk.streams.worker import Worker
from hot_sdk.window_runner import WindowRunner

TrackId = int | str | None

_FASTEST = 4
"""Times the model's rate up to which a camera of unknown rate fills the window."""


class _Body(NamedTuple):
    """One person in one frame: points (17, 2), scores (17,)."""

    track_id: TrackId
    points: NDArray[np.float32]
    scores: NDArray[np.float32] | None
    image_size: tuple[int, int]


def _body(keypoints: Keypoints, track_id: TrackId) -> _Body:
    if len(keypoints) != 1:
        raise StreamError(
            f"{len(keypoints)} frames were pushed at once.",
            hint="Push one frame at a time, or give the whole clip to the engine.",
        )
    points, scores = keypoints.h36m17_arrays()
    return _Body(
        keypoints.track_id if track_id is None else track_id,
        points[0],
        None if scores is None else scores[0],
        keypoints.image_size,
    )


class Pose3DStream(Closing):
    """A stream of frames; made by ``Pose3DEngine.stream``, which describes it.

    It may be pushed to from any thread.
    """

    def __init__(
        self,
        runner: WindowRunner,
        session: Session,
        options: StreamOptions,
        policies: InputPolicies,
        callback: Callable[[StreamPose], None] | None,
    ) -> None:
        manifest = runner.manifest
        self._runner = runner
        self._options = options
        self._policies = policies
        self._session = session
        self._recorder = LatencyRecorder("stream")
        self._callback = callback
        self._rate = StreamRate(
            options.fps,
            manifest.training_fps,
            policies.rate_tolerance if manifest.frames > 1 else None,
        )
        self._check_reach()
        faster = _FASTEST if options.fps is None else max(options.fps / manifest.training_fps, 1.0)
        waiting = options.lookahead + options.hop
        self._capacity = int(np.ceil(manifest.frames * faster)) + waiting
        self._image_size = options.image_size
        self._people: dict[TrackId, Person] = {}
        self._counters = StreamCounters()
        self._now = -np.inf
        self._closed = False
        self._state = threading.RLock()
        self._turn = threading.Lock()
        self._worker = Worker(self._due_jobs, self._lift) if options.mode == "live" else None

    def push(
        self,
        keypoints: Keypoints | ArrayLike | None,
        timestamp: float,
        track_id: TrackId = None,
    ) -> tuple[StreamPose, ...]:
        """Push one person's keypoints of one frame.

        Args:
            keypoints: Of one frame; or an array (joints, 2 or 3) of x, y in pixels and, if there
                are three, the score, in the ``skeleton`` that the stream was opened with; None
                where the frame shows nobody.
            timestamp: Of the frame, seconds.
            track_id: The person's; left out, that of ``keypoints``.

        Returns:
            The poses that became final and were not given out yet, of any person; in live mode
            those that the engine has finished, and nothing is waited for.

        Raises:
            StreamError: The timestamp is not later than the person's last one, or earlier than
                anybody's; the stream is closed; something else about the frame is not as before.
            KeypointsError: The keypoints are broken.
            EngineError: The engine failed.
        """
        if keypoints is None:
            return self.push_people((), timestamp)
        start = time.perf_counter()
        body = _body(self._as_keypoints(keypoints), track_id)
        return self._push([body], timestamp, start)

    def push_people(self, people: Sequence[Keypoints], timestamp: float) -> tuple[StreamPose, ...]:
        """Push everybody in one frame; those whose turn it is are lifted together.

        Args:
            people: One frame of keypoints of each, with different track ids.
            timestamp: Of the frame, seconds.

        Returns:
            See ``push``.

        Raises:
            StreamError: See ``push``.
            EngineError: The engine failed.
        """
        start = time.perf_counter()
        return self._push([_body(one, None) for one in people], timestamp, start)

    def _push(
        self, bodies: Sequence[_Body], timestamp: float, start: float
    ) -> tuple[StreamPose, ...]:
        if self._worker is not None:
            with self._state:
                self._admit(bodies, timestamp, start)
            self._worker.wake()
            poses = self._worker.finished()
            self._recorder.add("push", time.perf_counter() - start)
            return poses
        # One frame after the other, as they were pushed, whatever thread each comes from.
        with self._turn:
            with self._state:
                jobs = [*self._admit(bodies, timestamp, start), *self._due_jobs()]
            poses = self._lift(jobs)
            self._recorder.add("push", time.perf_counter() - start)
        return poses

    def flush(self) -> tuple[StreamPose, ...]:
        """The poses of all frames that still wait for later ones, as well as they can be told.

        Each person's next frame starts anew.

        Raises:
            EngineError: The engine failed.
        """
        poses: tuple[StreamPose, ...] = ()
        if self._worker is not None:
            poses = self._worker.settle()
        with self._turn:
            with self._state:
                jobs = [job for person in self._people.values() for job in self._rest(person)]
                for person in self._people.values():
                    person.forget()
            return poses + self._lift(jobs)

    def report(self) -> StreamReport:
        """What the stream did so far, and how late its poses are."""
        with self._state:
            rate = self._rate
            return StreamReport(
                mode=self._options.mode,
                lookahead=self._options.lookahead,
                hop=self._options.hop,
                fps=rate.fps,
                fps_measured=rate.measured,
                resampled_to_fps=1.0 / rate.step if rate.resamples else None,
                people=len(self._people),
                lookahead_ms=None if rate.fps is None else 1e3 * self._options.lookahead / rate.fps,
                counters=dataclasses.replace(self._counters),
                latency=self._recorder.report(
                    self._session,
                    first_inference_s=self._runner.first_inference_seconds,
                    windows=self._counters.windows,
                    frames=self._counters.pushes,
                    dropped=self._counters.dropped,
                ),
            )

    def close(self) -> None:
        """End the stream and free its memory; what waits is not lifted. Closing twice is allowed.

        Raises:
            EngineError: The engine failed in the meantime, and no push has said so yet.
        """
        self._closed = True
        if self._worker is not None:
            self._worker.close()
        with self._state:
            self._people.clear()

    def _as_keypoints(self, values: Keypoints | ArrayLike) -> Keypoints:
        if isinstance(values, Keypoints):
            return values
        skeleton, size = self._options.skeleton, self._options.image_size
        if skeleton is None or size is None:
            raise StreamError(
                "An array says neither which joints it holds nor how large the image was.",
                hint="Open the stream with skeleton= and image_size=, or push Keypoints.",
            )
        array = np.asarray(values)
        if array.ndim == 2 and array.shape[1] == 3:
            return Keypoints(
                array[None, :, :2], array[None, :, 2], skeleton=skeleton, image_size=size
            )
        return Keypoints(array[None], skeleton=skeleton, image_size=size)

    def _admit(self, bodies: Sequence[_Body], timestamp: float, arrival: float) -> list[Job]:
        """Take a frame in; returns what persons leave behind who are not followed any more."""
        self._check_frame(bodies, timestamp)
        self._now = timestamp
        if self._rate.see(timestamp):
            self._check_reach()
        left_over = self._expire()
        for body in bodies:
            self._counters.pushes += 1
            seen = not np.isnan(body.points[:, 0]).all()
            person = self._people.get(body.track_id)
            if person is None:
                person = self._join(body.track_id) if seen else None
                if person is None:
                    self._counters.unseen += not seen
                    continue
            elif timestamp - person.last_seen > self._longest_gap() and person.buffer.count:
                left_over += self._left_over(person)
                person.forget()
                self._counters.resets += 1
            person.last_time = timestamp
            if seen:
                person.last_seen = timestamp
            elif person.buffer.count == 0:
                self._counters.unseen += 1
                continue
            person.buffer.append(timestamp, arrival, body.points, body.scores)
        return left_over

    def _check_frame(self, bodies: Sequence[_Body], timestamp: float) -> None:
        if self._closed:
            raise StreamError("The stream is closed.", hint="Open another: engine.stream(...).")
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
            if self._image_size is None:
                self._image_size = body.image_size
            if body.image_size != self._image_size:
                raise StreamError(
                    f"The image is {body.image_size} pixels large; so far it was"
                    f" {self._image_size}.",
                    hint="Open another stream for another camera.",
                )

    def _check_reach(self) -> None:
        check_reach(
            self._options,
            frames=self._runner.manifest.frames,
            centre_only=self._runner.centre_only,
            fps=self._rate.assumed_fps,
            step=self._rate.step,
        )

    def _longest_gap(self) -> float:
        # Half an interval, for frames that are a little late.
        return (self._options.max_gap_frames + 0.5) / self._rate.assumed_fps

    def _join(self, track_id: TrackId) -> Person | None:
        if len(self._people) >= self._options.max_people:
            self._counters.refused += 1
            return None
        self._counters.joined += 1
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
            self._counters.left += 1
        return left_over

    def _due_jobs(self) -> list[Job]:
        """What is to be lifted now; the frames of it count as settled."""
        hop, lookahead = self._options.hop, self._options.lookahead
        jobs = []
        with self._state:
            for person in self._people.values():
                waiting = person.buffer.count - lookahead - person.settled
                if waiting < hop:
                    continue
                # In video mode this never happens: every push is followed by what it made due.
                self._counters.dropped += waiting - hop
                person.settled += waiting
                jobs.append(self._job(person, hop, lookahead))
        return jobs

    def _rest(self, person: Person) -> list[Job]:
        """A person's last frames, which wait for later ones that will not come."""
        waiting = person.buffer.count - person.settled
        if waiting < 1:
            return []
        person.settled += waiting
        return [self._job(person, waiting, 0)]

    def _left_over(self, person: Person) -> list[Job]:
        """The last frames of a person who was lost."""
        if self._worker is None:
            return self._rest(person)
        # They are as old as a gap or a time to live: nothing to act on.
        self._counters.dropped += person.buffer.count - person.settled
        return []

    def _job(self, person: Person, frames: int, lookahead: int) -> Job:
        span = (self._runner.manifest.frames + 1) * self._rate.step
        newest = person.last_time
        if self._runner.centre_only:
            newest -= (frames + lookahead) / self._rate.assumed_fps
        seen = person.buffer.newest(self._capacity, newest - span)
        return Job(person.track_id, seen, frames, lookahead)

    def _lift(self, jobs: Sequence[Job]) -> tuple[StreamPose, ...]:
        """Lift jobs, tell the callback, and return what there is no callback for."""
        if not jobs:
            return ()
        assert self._image_size is not None
        poses, windows = lift_jobs(
            jobs,
            self._runner,
            self._policies,
            self._image_size,
            self._rate.step,
            self._recorder,
        )
        with self._state:
            self._counters.poses += len(poses)
            self._counters.windows += windows
        if self._callback is None:
            return poses
        for pose in poses:
            self._callback(pose)
        return ()
