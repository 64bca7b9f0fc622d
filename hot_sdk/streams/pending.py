"""Lift the pending frames of several people together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.inference import WindowRunner
from hot_sdk.latency import LatencyRecorder
from hot_sdk.preprocessing.cleaning import clean
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.preprocessing.resampling import sample
from hot_sdk.streams.report import StreamPose
from hot_sdk.streams.tracks import PendingFrames


@dataclass(frozen=True)
class WindowBatch:
    """The windows of one person's pending frames.

    Attributes:
        pending: The frames.
        inputs: (windows, frames, 17, channels), float32.
        grids: (windows, frames), seconds: the time of each frame of each window.
        valid: (final frames, 17).
    """

    pending: PendingFrames
    inputs: NDArray[np.float32]
    grids: NDArray[np.float64]
    valid: NDArray[np.bool_]


def lift_pending(
    pending: Sequence[PendingFrames],
    runner: WindowRunner,
    policies: InputPolicies,
    image_size: tuple[int, int],
    interval_s: float,
    recorder: LatencyRecorder,
) -> tuple[tuple[StreamPose, ...], int]:
    """Lift frames of different people, in as few runs as the model's batch allows.

    Args:
        pending: The frames.
        runner: The model.
        policies: How missing joints and outliers are handled.
        image_size: Width and height, pixels.
        interval_s: Seconds between the frames of a window.
        recorder: Receives the time of each stage.

    Returns:
        The poses, and the number of windows.

    Raises:
        EngineError: The engine failed.
    """
    with recorder.timed("preparation"):
        prepared = [
            _prepare(frames, runner, policies, image_size, interval_s=interval_s)
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
    *,
    interval_s: float,
) -> WindowBatch | None:
    """Return a window that ends with the newest frame, or None if no joint is seen.

    If the network returns its center frame only, one about each final frame. Positions before the
    first frame or after the newest repeat it.
    """
    seen = pending.seen
    fps = 1.0 / interval_s
    if len(seen.times) > 1:
        fps = float(1.0 / np.median(np.diff(seen.times)))
    cleaned = clean(seen.points, seen.scores, seen.times, policies, fps=fps)
    if cleaned is None:
        return None
    frames = runner.manifest.frames
    ends = seen.times[-1:]
    if runner.center_only:
        ends = seen.times[pending.final] + (frames - 1 - frames // 2) * interval_s
    grids = ends[:, None] + (np.arange(frames) - (frames - 1)) * interval_s
    values = runner.input_spec.normalize(
        cleaned.points, cleaned.scores, cleaned.valid, image_size, policies.aspect
    )
    inputs = sample(values, seen.times, grids.reshape(-1))
    inputs = inputs.reshape(*grids.shape, *values.shape[1:])
    return WindowBatch(pending, inputs, grids, cleaned.valid[pending.final])


def _poses(
    batch: WindowBatch,
    outputs: NDArray[np.float32],
    runner: WindowRunner,
    recorder: LatencyRecorder,
) -> list[StreamPose]:
    """Return the poses of a person's final frames from those of the windows."""
    pending = batch.pending
    seen, times = pending.seen, pending.seen.times[pending.final]
    poses = outputs[:, 0] if runner.center_only else sample(outputs[0], batch.grids[0], times)
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
