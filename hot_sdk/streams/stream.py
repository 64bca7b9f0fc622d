"""Lift keypoints frame by frame, of several people, in memory of fixed size."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk._base.arrays import as_array
from hot_sdk._base.closing import Closing
from hot_sdk.cameras import CameraPose
from hot_sdk.engines import Session
from hot_sdk.errors import StreamError
from hot_sdk.inference import WindowRunner, check_process
from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyRecorder
from hot_sdk.live.lifting import rate_warning
from hot_sdk.live.runner import StepRunner
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.root.depth import checked_depth
from hot_sdk.streams.live_lifting import LiveLifter
from hot_sdk.streams.observations import (
    Detection,
    TrackId,
    detection_of,
    detection_of_array,
    with_depth,
    with_depths,
)
from hot_sdk.streams.options import StreamOptions
from hot_sdk.streams.pending import lift_pending
from hot_sdk.streams.pose import StreamPose
from hot_sdk.streams.rate import FrameRate
from hot_sdk.streams.report import StreamCounters, StreamReport
from hot_sdk.streams.tracks import PendingFrames, TrackTable
from hot_sdk.streams.worker import Worker


class Pose3DStream(Closing):
    """A stream of frames; opened by ``Pose3DEngine.stream``, which describes it.

    Any thread may push to it.
    """

    def __init__(
        self,
        runner: WindowRunner | StepRunner,
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
        self._tracks = TrackTable(runner, options, policies)
        self._live: LiveLifter | None = None
        if isinstance(runner, StepRunner):
            self._live = LiveLifter(runner, policies, options.max_people, self._recorder)
        self._closed = False
        self._process = os.getpid()
        self._state = threading.RLock()
        # A live network takes frames in the order in which they became due.
        self._turn = threading.RLock()
        self._order = threading.Lock()
        self._lifting: int | None = None  # The thread that holds the lock.
        self._worker = Worker(self._lift_due) if options.mode == "live" else None

    def push(
        self,
        keypoints: Keypoints | ArrayLike | None,
        timestamp: float,
        track_id: TrackId = None,
        *,
        camera: CameraPose | None = None,
        depth: ArrayLike | None = None,
    ) -> tuple[StreamPose, ...]:
        """Push one person's keypoints of one frame.

        Args:
            keypoints: ``Keypoints`` of one frame, whose ``up`` and ``height_m``, if they say it,
                count in place of the stream's; or an array (joints, 2 or 3) of x, y in pixels
                and, if there are three, the score, in the ``skeleton`` that the stream was opened
                with; None, or an empty array, for a frame without any person.
            timestamp: Time of the frame, seconds. People who are pushed one by one with the same
                timestamp are in one frame; who is missing is known with the next.
            track_id: The person's id; None for that of ``keypoints``.
            camera: Where the camera is in this frame, of a stream that was opened without it; then
                with each frame.
            depth: A depth camera's reading: meters along the optical axis at the pelvis; or its
                image, (height, width), float meters, registered to that of the keypoints.

        Returns:
            The poses of any person that became final and were not returned yet; in live mode those
            that the engine has finished, without waiting for more.

        Raises:
            StreamError: The timestamp is not later than the person's last one, or is earlier than
                that of another person; the stream is closed; the image has another size; a
                callback pushed to its own stream, for which only a live one has time.
            KeypointsError: The keypoints are broken.
            EngineError: The engine failed, or this process was forked after the stream was opened.
        """
        start = time.perf_counter()
        if isinstance(keypoints, Keypoints):
            detection = detection_of(keypoints, track_id)
        elif keypoints is None or not (array := as_array(keypoints, "points")).size:
            return self.push_people((), timestamp, camera=camera)
        else:
            detection = self._detection_of(array, track_id)
        if depth is not None:
            detection = with_depth(detection, checked_depth(depth))
        return self._push([detection], timestamp, start, complete=False, camera=camera)

    def push_people(
        self,
        people: Sequence[Keypoints],
        timestamp: float,
        *,
        camera: CameraPose | None = None,
        depth: ArrayLike | None = None,
    ) -> tuple[StreamPose, ...]:
        """Push all people of one frame; those whose poses are due are lifted together.

        A person who is followed but not among them, or has only missing joints, is bridged for
        ``max_gap_frames``; the frames that waited for later ones then become final at once.

        Args:
            people: One frame of keypoints each, with different track ids.
            timestamp: Time of the frame, seconds.
            camera: See ``push``.
            depth: A depth camera's image; or meters at the pelvis of each of these people.

        Returns:
            See ``push``.

        Raises:
            StreamError: See ``push``.
            EngineError: The engine failed.
        """
        start = time.perf_counter()
        for one in people:
            if not isinstance(one, Keypoints):
                raise StreamError(
                    f"A person is a '{type(one).__name__}'; expected Keypoints, which have a track"
                    " id.",
                    hint="Push arrays one by one: push(array, timestamp, track_id=...).",
                )
        detections = [detection_of(one, None) for one in people]
        if depth is not None:
            detections = with_depths(detections, depth)
        return self._push(detections, timestamp, start, complete=True, camera=camera)

    def reset(self) -> None:
        """Forget all people, pending frames and the clock, such as before a bag is played again.

        Counters go on; call ``flush`` before to get the pending frames' poses.
        """
        with self._in_order(), self._state:
            self._tracks.reset()

    def _push(
        self,
        detections: Sequence[Detection],
        timestamp: float,
        start: float,
        *,
        complete: bool,
        camera: CameraPose | None,
    ) -> tuple[StreamPose, ...]:
        # The thread of a live stream is not forked, and a lock may be held for ever.
        check_process(self._process)
        seconds = checked_seconds(timestamp)
        pose = self._options.placement.pose_at(seconds, camera)
        add = functools.partial(
            self._add_frame, detections, seconds, start, complete=complete, camera=pose
        )
        if self._worker is not None:
            with self._state:
                add()
            self._worker.wake()
            poses = self._worker.finished()
            self._recorder.add("per_new_frame", time.perf_counter() - start)
            return poses
        # One frame after the other, in the order of the pushes, from any thread.
        with self._in_order():
            with self._state:
                add()
                stays, pending = self._tracks.stays, self._tracks.take_due()
            poses = self._lift(pending, stays)
            self._recorder.add("per_new_frame", time.perf_counter() - start)
        return poses

    def flush(self) -> tuple[StreamPose, ...]:
        """Lift all pending frames with the context available so far.

        The next frame of each person is a new start.

        Raises:
            StreamError: A callback flushes its own stream.
            EngineError: The engine failed, or this process was forked after the stream was opened.
        """
        check_process(self._process)
        poses: tuple[StreamPose, ...] = ()
        if self._worker is not None:
            poses = self._worker.settle()
        # In this order, because a callback may reset the stream in its turn.
        with self._turn, self._in_order():
            with self._state:
                stays, pending = self._tracks.stays, self._tracks.drain()
            return poses + self._lift(pending, stays)

    def report(self) -> StreamReport:
        """Report what the stream did so far, and how late its poses are."""
        options = self._options
        with self._state:
            rate, counters = self._tracks.rate, self._tracks.counters
            return StreamReport(
                mode=options.mode,
                lookahead=options.lookahead,
                hop=options.hop,
                fps=rate.fps,
                fps_measured=rate.measured,
                resampled_to_fps=1.0 / rate.frame_interval_s if rate.resamples else None,
                people=len(self._tracks),
                lookahead_ms=None if rate.fps is None else 1e3 * options.lookahead / rate.fps,
                counters=dataclasses.replace(counters),
                latency=self._recorder.report(
                    self._session,
                    first_inference_s=self._runner.first_inference_s,
                    windows=counters.windows,
                    frames=counters.pushes,
                    dropped=counters.dropped,
                ),
                smoothed=options.placement.smoothing,
                warnings=(
                    *_clock_warnings(rate, counters),
                    *(rate_warning(rate.fps) if self._live is not None else ()),
                    *self._tracks.warnings(),
                ),
                bytes_per_person=None if self._live is None else self._live.bytes_per_person,
            )

    def close(self) -> None:
        """End the stream and free its memory; pending frames are not lifted. May be repeated.

        Raises:
            EngineError: The engine failed in the meantime, and no push has reported it yet.
        """
        self._closed = True
        if os.getpid() != self._process:
            return
        if self._worker is not None:
            self._worker.close()
        with self._state:
            self._tracks.clear()

    @contextlib.contextmanager
    def _in_order(self) -> Iterator[None]:
        if self._lifting == threading.get_ident():
            raise StreamError(
                "A callback cannot push to its own stream, flush or reset it.",
                hint="Keep what it receives, and push or flush after push() has returned.",
            )
        with self._order:
            self._lifting = threading.get_ident()
            try:
                yield
            finally:
                self._lifting = None

    def _detection_of(self, array: NDArray[Any], track_id: TrackId) -> Detection:
        skeleton, size = self._options.skeleton, self._options.image_size
        if skeleton is None or size is None:
            raise StreamError(
                "An array says neither which joints it holds nor how large the image was.",
                hint="Open the stream with skeleton= and image_size=, or push Keypoints.",
            )
        return detection_of_array(array, skeleton, size, track_id)

    def _add_frame(
        self,
        detections: Sequence[Detection],
        timestamp: float,
        start: float,
        *,
        complete: bool,
        camera: CameraPose | None,
    ) -> None:
        if self._closed:
            raise StreamError("The stream is closed.", hint="Open another: engine.stream(...).")
        self._tracks.add_frame(detections, timestamp, start, complete=complete, camera=camera)

    def _lift_due(self) -> tuple[StreamPose, ...]:
        with self._turn:
            with self._state:
                stays, due = self._tracks.stays, self._tracks.take_due()
            return self._lift(due, stays)

    def _lift(
        self, pending: Sequence[PendingFrames], stays: Collection[object]
    ) -> tuple[StreamPose, ...]:
        """Lift frames; pass the poses to the callback, or return them if there is none."""
        if not pending:
            return ()
        tracks = self._tracks
        assert tracks.image_size is not None
        if self._live is not None:
            poses, windows = self._live.lift(pending, stays, tracks.image_size, tracks.rate)
        else:
            assert isinstance(self._runner, WindowRunner)
            poses, windows = lift_pending(
                pending,
                self._runner,
                self._policies,
                tracks.image_size,
                tracks.rate,
                self._recorder,
            )
        with self._state:
            tracks.counters.poses += len(poses)
            tracks.counters.windows += windows
        if self._callback is None:
            return poses
        for pose in poses:
            self._callback(pose)
        return ()


def checked_seconds(timestamp: object) -> float:
    """Return a timestamp as a finite number of seconds.

    Raises:
        StreamError: It is none.
    """
    try:
        if isinstance(timestamp, (str, bytes, bool)):
            raise TypeError
        seconds = float(timestamp)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise StreamError(
            f"The timestamp is a {type(timestamp).__name__}; expected a number of seconds.",
            hint="Give time.monotonic(), a datetime's timestamp(), or a ROS stamp's"
            " sec + 1e-9 * nanosec.",
        ) from None
    if not np.isfinite(seconds):
        raise StreamError(f"The timestamp is {seconds}.", hint="Give seconds.")
    return seconds


def _clock_warnings(rate: FrameRate, counters: StreamCounters) -> tuple[str, ...]:
    warnings = [] if rate.contradiction is None else [rate.contradiction]
    if counters.clock_jumps:
        times = "once" if counters.clock_jumps == 1 else f"{counters.clock_jumps} times"
        warnings.append(
            f"The timestamps jumped {times}, back or ahead by more than the time to live; everyone"
            " started from scratch."
        )
    return tuple(warnings)
