"""Lift the pending frames of several people together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.inference import WindowPoses, WindowRunner
from hot_sdk.latency import LatencyRecorder
from hot_sdk.preprocessing.cleaning import clean, relative_validity
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.preprocessing.resampling import sample
from hot_sdk.preprocessing.spans import rays
from hot_sdk.preprocessing.virtual_view import (
    ViewTrack,
    VirtualViews,
    conditions,
    size_factor,
    without_ray,
)
from hot_sdk.streams.placing import Lifted, keypoints_of, stream_poses
from hot_sdk.streams.pose import StreamPose
from hot_sdk.streams.rate import FrameRate, spread_bursts
from hot_sdk.streams.tracks import PendingFrames

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class WindowBatch:
    """The windows of one person's pending frames.

    Attributes:
        pending: The frames.
        inputs: (windows, frames, 17, channels), float32.
        grids: (windows, frames), seconds: the time of each frame of each window.
        times: (frames,), seconds: when the final frames were taken, if some came late; and those
            after them, if a person is placed by them, too.
        valid: (frames, 17), joints that were seen, or not long ago.
        conditions: (windows, frames, conditions), what the network is told; None if it cannot be
            told anything.
        views: The virtual camera of each frame of each window, one window after the other; None if
            the keypoints are no rays.
    """

    pending: PendingFrames
    inputs: Floats
    grids: Doubles
    times: Doubles
    valid: NDArray[np.bool_]
    conditions: Floats | None
    views: VirtualViews | None


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
    told = [batch.conditions for batch in batches if batch.conditions is not None]
    inputs = np.concatenate([batch.inputs for batch in batches])
    outputs = runner.run(inputs, recorder, np.concatenate(told) if told else None)
    poses: list[StreamPose] = []
    with recorder.timed("stitching"):
        first = 0
        for batch in batches:
            own = slice(first, first + len(batch.inputs))
            first += len(batch.inputs)
            spread = None if outputs.spread is None else outputs.spread[own]
            found = WindowPoses(outputs.poses[own], spread)
            poses += _poses(batch, found, runner, recorder, policies.min_score)
    return tuple(poses), len(inputs)


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
    seen, camera = pending.seen, pending.camera
    times = spread_bursts(seen.times, usual_s)
    fps = 1.0 / interval_s
    if len(times) > 1:
        fps = float(1.0 / np.median(np.diff(times)))
    points, known = without_ray(seen.points, camera)
    cleaned = clean(points, seen.scores, times, policies, fps=fps)
    if cleaned is None:
        return None
    frames = runner.manifest.frames
    final = times[pending.final]
    ends = times[-1:]
    if runner.center_only:
        ends = final + (frames - 1 - frames // 2) * interval_s
    grids = ends[:, None] + (np.arange(frames) - (frames - 1)) * interval_s
    if camera is None:
        values = runner.input_spec.normalize(
            cleaned.points, cleaned.scores, cleaned.valid, image_size, policies.aspect
        )
        inputs, views = sample(values, times, grids.reshape(-1)), None
    else:
        slopes = rays(cleaned, runner.input_spec, camera, known)
        inputs, views = _seen_by_views(pending, slopes, times, grids, runner)
    inputs = inputs.reshape(*grids.shape, *inputs.shape[1:])
    told, names = None, runner.manifest.conditions
    if names:
        told = conditions(names, grids.size, views, pending.height_m)
        told = told.reshape(*grids.shape, len(names))
    span = pending.final
    if pending.placing is not None and not runner.center_only:
        span = slice(span.start, len(times))
    # The network saw nothing of frames before its window.
    valid = cleaned.valid[span] & (times[span] >= grids[0, 0] - 1e-6)[:, None]
    return WindowBatch(pending, inputs, grids, times[span], valid, told, views)


def _seen_by_views(
    pending: PendingFrames,
    slopes: Doubles,
    times: Doubles,
    grids: Doubles,
    runner: WindowRunner,
) -> tuple[Floats, VirtualViews]:
    """Return inputs of all positions of all windows, and the virtual cameras that they are in."""
    up = None if "gravity_known" not in runner.manifest.conditions else pending.seen.ups
    track = ViewTrack(slopes[..., :2].mean(axis=1), up, times, grids.reshape(-1))
    views = track.at(slice(None))
    return views.turned(sample(slopes, times, grids.reshape(-1))), views


def _poses(
    batch: WindowBatch,
    outputs: WindowPoses,
    runner: WindowRunner,
    recorder: LatencyRecorder,
    min_score: float,
) -> list[StreamPose]:
    """Return the poses of a person's final frames from those of the windows."""
    pending = batch.pending
    seen, times = pending.seen, pending.seen.times[pending.final]
    poses, spread = outputs
    if batch.views is not None:
        frames = batch.grids.shape[1]
        places = slice(None)
        if runner.center_only:
            places = slice(frames // 2, None, frames)
        poses, spread = _along_camera(poses, spread, batch.views.of(places))
    if (factor := size_factor(pending.height_m)) != 1.0:
        poses, spread = poses * factor, None if spread is None else spread * factor
    if runner.center_only:
        poses, spread = poses[:, 0], None if spread is None else spread[:, 0]
    else:
        grid = batch.grids[0]
        poses = sample(poses[0], grid, batch.times)
        spread = None if spread is None else sample(spread[0], grid, batch.times)
    computing = time.perf_counter() - float(seen.arrivals[-1])
    delays = (seen.times[-1] - times + computing).tolist()
    for delay in delays:
        recorder.add("delay", delay)
    lifted = Lifted(poses, spread, batch.valid, runner.manifest.unit, delays)
    return final_poses(pending, pending.final.start, lifted, min_score)


def final_poses(
    pending: PendingFrames, first: int, lifted: Lifted, min_score: float
) -> list[StreamPose]:
    """Return the poses of frames that became final.

    Args:
        pending: Frames of the person, among them these.
        first: The first of these among those that were seen.
        lifted: What was lifted, along the camera's axes.
        min_score: A joint with a lower score counts as missing.
    """
    seen, final = pending.seen, slice(first, first + len(lifted.delays))
    if pending.placing is not None:
        return stream_poses(pending.track_id, seen, first, lifted, pending.placing, min_score)
    valid, keypoints = relative_validity(lifted.valid), keypoints_of(seen, final)
    spread, times = lifted.spread, seen.times[final].tolist()
    return [
        StreamPose(
            timestamp,
            pending.track_id,
            lifted.poses[at],
            valid[at],
            lifted.unit,
            delay,
            None if spread is None else spread[at],
            keypoints=keypoints[at],
        )
        for at, (timestamp, delay) in enumerate(zip(times, lifted.delays, strict=True))
    ]


def _along_camera(
    poses: Floats, spread: Floats | None, views: VirtualViews
) -> tuple[Floats, Floats | None]:
    """Turn what the network returned, (windows, outputs, 17, 3), to the camera's axes."""
    flat = (-1, *poses.shape[2:])
    turned = views.turned_back(poses.reshape(flat)).astype(np.float32)
    if spread is not None:
        wide = views.spread_turned_back(spread.reshape(flat)).astype(np.float32)
        spread = wide.reshape(poses.shape)
    return turned.reshape(poses.shape), spread
