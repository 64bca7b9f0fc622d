"""Poses while the keypoints come: frame by frame, for several people, in memory of fixed size."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from hot_sdk._base.closing import Closing
from hot_sdk.engines import Session
from hot_sdk.errors import StreamError
from hot_sdk.inference import WindowRunner
from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyRecorder
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.streams.options import StreamOptions
from hot_sdk.streams.report import StreamPose, StreamReport
from hot_sdk.streams.tracks import Body, Job, Roster, TrackId, body_of
from hot_sdk.streams.worker import Worker, lift_jobs


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
        self._runner = runner
        self._options = options
        self._policies = policies
        self._session = session
        self._recorder = LatencyRecorder("stream")
        self._callback = callback
        self._roster = Roster(runner, options, policies)
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
        body = body_of(self._as_keypoints(keypoints), track_id)
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
        return self._push([body_of(one, None) for one in people], timestamp, start)

    def _push(
        self, bodies: Sequence[Body], timestamp: float, start: float
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
                jobs = self._roster.last_jobs()
            return poses + self._lift(jobs)

    def report(self) -> StreamReport:
        """What the stream did so far, and how late its poses are."""
        with self._state:
            rate, counters = self._roster.rate, self._roster.counters
            return StreamReport(
                mode=self._options.mode,
                lookahead=self._options.lookahead,
                hop=self._options.hop,
                fps=rate.fps,
                fps_measured=rate.measured,
                resampled_to_fps=1.0 / rate.step if rate.resamples else None,
                people=len(self._roster),
                lookahead_ms=None if rate.fps is None else 1e3 * self._options.lookahead / rate.fps,
                counters=dataclasses.replace(counters),
                latency=self._recorder.report(
                    self._session,
                    first_inference_s=self._runner.first_inference_s,
                    windows=counters.windows,
                    frames=counters.pushes,
                    dropped=counters.dropped,
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
            self._roster.clear()

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

    def _admit(self, bodies: Sequence[Body], timestamp: float, start: float) -> list[Job]:
        if self._closed:
            raise StreamError("The stream is closed.", hint="Open another: engine.stream(...).")
        return self._roster.admit(bodies, timestamp, start)

    def _due_jobs(self) -> list[Job]:
        with self._state:
            return self._roster.due_jobs()

    def _lift(self, jobs: Sequence[Job]) -> tuple[StreamPose, ...]:
        """Lift jobs, tell the callback, and return what there is no callback for."""
        if not jobs:
            return ()
        roster = self._roster
        assert roster.image_size is not None
        poses, windows = lift_jobs(
            jobs,
            self._runner,
            self._policies,
            roster.image_size,
            roster.rate.step,
            self._recorder,
        )
        with self._state:
            roster.counters.poses += len(poses)
            roster.counters.windows += windows
        if self._callback is None:
            return poses
        for pose in poses:
            self._callback(pose)
        return ()
