"""Lift the pending frames of several people together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.inference import WindowRunner
from hot_sdk.latency import LatencyRecorder
from hot_sdk.preprocessing.cleaning import clean, relative_validity
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.preprocessing.resampling import sample
from hot_sdk.streams.rate import FrameRate, spread_bursts
from hot_sdk.streams.report import StreamPose
from hot_sdk.streams.tracks import PendingFrames


@dataclass(frozen=True)
class WindowBatch:
    """The windows of one person's pending frames.

    Attributes:
        pending: The frames.
        inputs: (windows, frames, 17, channels), float32.
        grids: (windows, frames), seconds: the time of each frame of each window.
        times: (final frames,), seconds: when they were taken, if some came late.
        valid: (final frames, 17).
    """

    pending: PendingFrames
    inputs: NDArray[np.float32]
    grids: NDArray[np.float64]
    times: NDArray[np.float64]
    valid: NDArray[np.bool_]


def lift_pending(
    pending: Sequence[PendingFrames],
    runner: WindowRunner,
    policies: InputPolicies,
    image_size: tuple[int, int],
    rate: FrameRate,
    recorder: LatencyRecorder,
) -> tuple[tuple[StreamPose, ...], int]:
    """Lift frames of different people, in as few runs as the model's batch allows.

    Args:
        pending: The frames.
        runner: The model.
        policies: How missing joints and outliers are handled.
        image_size: Width and height, pixels.
        rate: The stream's frame rate.
        recorder: Receives the time of each stage.

    Returns:
        The poses, and the number of windows.

    Raises:
        EngineError: The engine failed.
    """
    interval_s, usual_s = rate.frame_interval_s, rate.usual_interval_s
    with recorder.timed("preparation"):
        prepared = [
            _prepare(frames, runner, policies, image_size, interval_s, usual_s)
            for frames in pending
        ]
        batches = [batch for batch in prepared if batch is not None]
    if not batches:
        return (), 0
    outputs = runner.run(np.concatenate([batch.inputs for batch in batches]), recorder)
    poses: list[StreamPose] = []
    with recorder.timed("stitching"):
        first = 0
        for batch in batches:
            own = outputs[first : first + len(batch.inputs)]
            first += len(batch.inputs)
            poses += _poses(batch, own, runner, recorder)
    return tuple(poses), len(outputs)


def _prepare(
    pending: PendingFrames,
    runner: WindowRunner,
    policies: InputPolicies,
    image_size: tuple[int, int],
    interval_s: float,
    usual_s: float,
) -> WindowBatch | None:
    """Return a window that ends with the newest frame, or None if no joint is seen.

    If the network returns its center frame only, one about each final frame. Positions before the
    first frame or after the newest repeat it.
    """
    seen = pending.seen
    times = spread_bursts(seen.times, usual_s)
    fps = 1.0 / interval_s
    if len(times) > 1:
        fps = float(1.0 / np.median(np.diff(times)))
    cleaned = clean(seen.points, seen.scores, times, policies, fps=fps)
    if cleaned is None:
        return None
    frames = runner.manifest.frames
    final = times[pending.final]
    ends = times[-1:]
    if runner.center_only:
        ends = final + (frames - 1 - frames // 2) * interval_s
    grids = ends[:, None] + (np.arange(frames) - (frames - 1)) * interval_s
    values = runner.input_spec.normalize(
        cleaned.points, cleaned.scores, cleaned.valid, image_size, policies.aspect
    )
    inputs = sample(values, times, grids.reshape(-1))
    inputs = inputs.reshape(*grids.shape, *values.shape[1:])
    valid = relative_validity(cleaned.valid[pending.final])
    # The network saw nothing of frames before its window.
    valid &= (final >= grids[0, 0] - 1e-6)[:, None]
    return WindowBatch(pending, inputs, grids, final, valid)


def _poses(
    batch: WindowBatch,
    outputs: NDArray[np.float32],
    runner: WindowRunner,
    recorder: LatencyRecorder,
) -> list[StreamPose]:
    """Return the poses of a person's final frames from those of the windows."""
    pending = batch.pending
    seen, times = pending.seen, pending.seen.times[pending.final]
    poses = outputs[:, 0] if runner.center_only else sample(outputs[0], batch.grids[0], batch.times)
    computing = time.perf_counter() - float(seen.arrivals[-1])
    delays = (seen.times[-1] - times + computing).tolist()
    for delay in delays:
        recorder.add("delay", delay)
    return [
        StreamPose(timestamp, pending.track_id, pose, valid, runner.manifest.unit, delay)
        for timestamp, pose, valid, delay in zip(
            times.tolist(), poses, batch.valid, delays, strict=True
        )
    ]
