"""Whole clips through a model: cut in windows, lifted in batches, stitched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import UsageError
from hot_sdk.latency import LatencyRecorder
from hot_sdk.preparation import PreparedClip
from hot_sdk.seams import SeamReport
from hot_sdk.window_runner import WindowRunner
from hot_sdk.windows import Plan, Stitcher


@dataclass(frozen=True)
class LiftedClip:
    """Poses of a clip.

    Attributes:
        poses: (frames, 17, 3), float32.
        seams: How even the poses are where windows meet; None where there was one window, and where
            each was one frame, so that no step is inside any.
    """

    poses: NDArray[np.float32]
    seams: SeamReport | None


def lift_clips(
    clips: Sequence[PreparedClip],
    plans: Sequence[Plan],
    runner: WindowRunner,
    recorder: LatencyRecorder,
    progress: Callable[[int, int], None] | None = None,
) -> list[LiftedClip]:
    """Lift clips, those of several people together.

    Args:
        clips: What is to be lifted.
        plans: How each is cut.
        runner: The model.
        recorder: Is told the time of each stage.
        progress: Is told, after each run of the engine, the windows lifted and all of them.

    Raises:
        UsageError: A plan has a window that is shorter than the model's.
        EngineError: The engine failed.
    """
    frames = runner.manifest.frames
    for plan in plans:
        if any(window.length != frames for window in plan.windows):
            raise UsageError(
                f"The windows '{plan.mode}' end with one shorter than {frames} frames, and the"
                " model's file has a fixed length.",
                hint="Use other windows; 'overlap' is the default.",
            )
    stitchers = [Stitcher(plan) for plan in plans]
    jobs = [(number, window) for number, plan in enumerate(plans) for window in plan.windows]
    for first in range(0, len(jobs), runner.batch):
        group = jobs[first : first + runner.batch]
        start = time.perf_counter()
        inputs = np.stack(
            [clips[number].inputs[window.reads(plans[number].frames)] for number, window in group]
        )
        recorder.add("preparation", time.perf_counter() - start)
        lifted = runner.lift(inputs)
        for seconds in lifted.engine_seconds:
            recorder.add("engine", seconds)
        start = time.perf_counter()
        for (number, _), poses in zip(group, lifted.poses, strict=True):
            # A network that gives its centre frame only has that one pose for every position.
            stitchers[number].add(np.broadcast_to(poses, (frames, *poses.shape[1:])))
        recorder.add("stitching", time.perf_counter() - start)
        if progress is not None:
            progress(first + len(group), len(jobs))
    return [
        _finished(clip, stitcher, runner, recorder)
        for clip, stitcher in zip(clips, stitchers, strict=True)
    ]


def _finished(
    clip: PreparedClip, stitcher: Stitcher, runner: WindowRunner, recorder: LatencyRecorder
) -> LiftedClip:
    start = time.perf_counter()
    stitched = stitcher.result()
    several = runner.manifest.frames > 1
    seams = stitcher.seams(stitched, runner.manifest.unit) if several else None
    poses = clip.at_frames(stitched)
    recorder.add("stitching", time.perf_counter() - start)
    return LiftedClip(poses, seams)
