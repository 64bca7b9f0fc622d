"""The thread of a live stream, so that no push ever waits for the engine.

Frames of several people through the engine at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from hot_sdk.errors import StreamError
from hot_sdk.inference import WindowRunner
from hot_sdk.latency import LatencyRecorder
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.streams.report import StreamPose
from hot_sdk.streams.tracks import Job, poses_of, windows_of

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class Worker(Generic[_Job, _Result]):
    """Takes whatever is due when it is free, never a queue: what was due earlier is superseded.

    Args:
        due: Gives the jobs that are due now.
        work: Does them.
    """

    def __init__(
        self,
        due: Callable[[], list[_Job]],
        work: Callable[[Sequence[_Job]], tuple[_Result, ...]],
    ) -> None:
        self._due = due
        self._work = work
        self._condition = threading.Condition()
        self._woken = False
        self._busy = False
        self._closing = False
        self._results: list[_Result] = []
        self._error: BaseException | None = None
        # A daemon: a robot's program that forgets to close a stream can still end.
        self._thread = threading.Thread(target=self._loop, name="hot-sdk-stream", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that something may be due."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def finished(self) -> tuple[_Result, ...]:
        """What was done since the last call; raises what went wrong meanwhile, once."""
        with self._condition:
            error, self._error = self._error, None
            results, self._results = tuple(self._results), []
        if error is not None:
            raise error
        return results

    def settle(self) -> tuple[_Result, ...]:
        """Wait until nothing is due any more; returns and raises as ``finished``.

        Raises:
            StreamError: This is the worker's own thread, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise StreamError(
                "A callback cannot wait for its own stream.",
                hint="Call flush() from the thread that pushes.",
            )
        with self._condition:
            self._condition.wait_for(lambda: not (self._woken or self._busy))
        return self.finished()

    def close(self) -> None:
        """End the thread after what it is at; raises what went wrong and was not told yet."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        # A callback may close its own stream.
        if threading.current_thread() is not self._thread:
            self._thread.join()
        with self._condition:
            error, self._error = self._error, None
            self._results.clear()
        if error is not None:
            raise error

    def _loop(self) -> None:
        while True:
            with self._condition:
                self._busy = False
                self._condition.notify_all()
                self._condition.wait_for(lambda: self._woken or self._closing)
                if self._closing:
                    self._woken = False
                    return
                self._woken, self._busy = False, True
            try:
                results = self._work(self._due())
            except BaseException as error:
                with self._condition:
                    self._error = error
            else:
                with self._condition:
                    self._results.extend(results)


def lift_jobs(
    jobs: Sequence[Job],
    runner: WindowRunner,
    policies: InputPolicies,
    image_size: tuple[int, int],
    step: float,
    recorder: LatencyRecorder,
) -> tuple[tuple[StreamPose, ...], int]:
    """Lift jobs of different persons, in as few runs as the model's batch allows.

    Args:
        jobs: What is to be lifted.
        runner: The model.
        policies: For missing joints and outliers.
        image_size: Width and height, pixels.
        step: Seconds between the frames of a window.
        recorder: Is told the time of each stage.

    Returns:
        The poses, and how many windows they took.

    Raises:
        EngineError: The engine failed.
    """
    start = time.perf_counter()
    prepared = []
    for job in jobs:
        windows = windows_of(job, runner, policies, image_size, step=step)
        if windows is not None:
            prepared.append((job, windows))
    recorder.add("preparation", time.perf_counter() - start)
    if not prepared:
        return (), 0
    lifted = runner.run(np.concatenate([windows.inputs for _, windows in prepared]), recorder)
    start = time.perf_counter()
    given: list[StreamPose] = []
    first = 0
    for job, windows in prepared:
        own = lifted[first : first + len(windows.inputs)]
        first += len(windows.inputs)
        poses = poses_of(job, windows, own, center_only=runner.center_only)
        newest = job.seen.times[-1]
        times = job.seen.times[job.final].tolist()
        computing = time.perf_counter() - float(job.seen.arrivals[-1])
        for at, timestamp in enumerate(times):
            delay = float(newest) - timestamp + computing
            recorder.add("delay", delay)
            given.append(
                StreamPose(
                    timestamp,
                    job.track_id,
                    poses[at],
                    windows.valid[at],
                    runner.manifest.unit,
                    delay,
                )
            )
    recorder.add("stitching", time.perf_counter() - start)
    return tuple(given), len(lifted)
