"""Frames of several people through the engine at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from hot_sdk.latency import LatencyRecorder
from hot_sdk.policies import InputPolicies
from hot_sdk.streams.person import Job, poses_of, windows_of
from hot_sdk.streams.pose import StreamPose
from hot_sdk.window_runner import WindowRunner


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
    lifted = runner.lift(np.concatenate([windows.inputs for _, windows in prepared]))
    for seconds in lifted.engine_seconds:
        recorder.add("engine", seconds)
    start = time.perf_counter()
    given: list[StreamPose] = []
    first = 0
    for job, windows in prepared:
        own = lifted.poses[first : first + len(windows.inputs)]
        first += len(windows.inputs)
        poses = poses_of(job, windows, own, centre_only=runner.centre_only)
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
    return tuple(given), len(lifted.poses)
