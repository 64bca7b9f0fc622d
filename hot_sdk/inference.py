"""Windows of any number through one session: batches, mirror images, the root, time taken.

Whole clips through a model: cut in windows, lifted in batches, stitched.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines import Session
from hot_sdk.engines.session import format_shape
from hot_sdk.errors import EngineError, ManifestError, UsageError
from hot_sdk.latency import LatencyRecorder
from hot_sdk.manifest import KEYPOINTS, POSES, TOKEN_INDEX, Manifest
from hot_sdk.preprocessing import PreparedClip, network_input_of
from hot_sdk.skeletons import H36M17
from hot_sdk.windows import Plan, SeamReport, Stitcher

DYNAMIC_BATCH = 8
"""Windows in one run of a model whose file leaves the number open."""

SINGLE_FRAMES = 256
"""The same where a window is one frame, five seconds of video: so little work for each that a run
of a few would be mostly the call itself."""

Floats = NDArray[np.float32]
Timed = Callable[[float], None]

_SIGNS = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
_MIRROR = np.array(H36M17.mirror)


@dataclass(frozen=True)
class Lifted:
    """Poses of windows.

    Attributes:
        poses: (windows, outputs, 17, 3), float32, the root at 0: ``outputs`` is the window's
            length, or 1 where the network gives its centre frame only.
        engine_seconds: Of each run of the engine, in order.
    """

    poses: Floats
    engine_seconds: tuple[float, ...]


class WindowRunner:
    """Runs windows through a session; may be shared by threads.

    Attributes:
        manifest: What the model file says of itself.
        network: What the network wants as input.
        center_only: The network gives poses of the middle frame of each window only.
        batch: Windows in one run.
    """

    def __init__(self, session: Session, manifest: Manifest, *, flip: bool) -> None:
        _check_model(session, manifest)
        self.manifest = manifest
        self.network = network_input_of(manifest)
        self.center_only = manifest.output_frames < manifest.frames
        open_batch = SINGLE_FRAMES if manifest.frames == 1 else DYNAMIC_BATCH
        self.batch = open_batch if manifest.batch is None else manifest.batch
        self._session = session
        # A graph that averages by itself is not averaged twice.
        self._flip = flip and not manifest.flip
        self._process = os.getpid()
        self._first_lock = threading.Lock()
        self.first_inference_seconds: float | None = None

    def lift(self, windows: Floats) -> Lifted:
        """Lift windows.

        Args:
            windows: (windows, frames, 17, channels), normalized.

        Raises:
            EngineError: The engine failed, returned NaN, or this process was forked from the one
                that loaded the model.
        """
        if os.getpid() != self._process:
            raise EngineError(
                f"The model was loaded in process {self._process}, and this is its fork"
                f" {os.getpid()}: the engine's threads do not live on in a fork.",
                hint="Load the model after the fork, or start workers with the method 'spawn'.",
            )
        seconds: list[float] = []
        poses = self._lift(windows, seconds)
        if self._flip:
            mirrored = windows[:, :, _MIRROR].copy()
            mirrored[..., 0] *= -1.0
            back = self._lift(mirrored, seconds)[:, :, _MIRROR] * _SIGNS
            poses = (poses + back) * np.float32(0.5)
        # As the published evaluations do: the network only nearly leaves the root where it is.
        poses[:, :, 0] = 0.0
        return Lifted(poses, tuple(seconds))

    def _lift(self, windows: Floats, seconds: list[float]) -> Floats:
        parts = []
        for start in range(0, len(windows), self.batch):
            group = windows[start : start + self.batch]
            count = len(group)
            if self.manifest.batch is not None and count < self.batch:
                filler = np.broadcast_to(group[-1:], (self.batch - count, *group.shape[1:]))
                group = np.concatenate([group, filler])
            parts.append(self._run(np.ascontiguousarray(group), seconds)[:count])
        return np.concatenate(parts) if len(parts) > 1 else parts[0].copy()

    def _run(self, group: Floats, seconds: list[float]) -> Floats:
        start = time.perf_counter()
        outputs = self._session.run({KEYPOINTS: group})
        taken = time.perf_counter() - start
        seconds.append(taken)
        if self.first_inference_seconds is None:
            with self._first_lock:
                self.first_inference_seconds = self.first_inference_seconds or taken
        poses: Floats = outputs[POSES].astype(np.float32, copy=False)
        if not np.isfinite(poses).all():
            raise EngineError(
                f"The engine {self._session.engine} on {self._session.device} returned poses that"
                " are not finite.",
                hint="Export the model again in fp32, and check its weights.",
            )
        return self._centres(poses, outputs) if self.center_only else poses

    def _centres(self, poses: Floats, outputs: Mapping[str, NDArray[Any]]) -> Floats:
        """Of the poses that the network gives of each window, that of its centre."""
        given = self.manifest.output_frames
        if self.manifest.variant != "tpc":
            return poses[:, given // 2 : given // 2 + 1]
        # Where frames are pruned in stages, the last stage's come last.
        kept = outputs[TOKEN_INDEX][..., -given:]
        if self.manifest.flip:
            kept = kept[:, 0]  # The mirror image shares its window's choice.
        at = np.argmax(kept == self.manifest.frames // 2, axis=-1)
        centres: Floats = poses[np.arange(len(poses)), at][:, None]
        return centres


def _check_model(session: Session, manifest: Manifest) -> None:
    if manifest.joints.names != H36M17.joints or manifest.joints.skeleton != H36M17.name:
        raise ManifestError(
            f"The model's skeleton is '{manifest.joints.skeleton}'; this version lifts"
            f" '{H36M17.name}'.",
            hint="Run: pip install --upgrade hot-sdk",
        )
    inputs = {spec.name: spec.shape for spec in session.inputs}
    outputs = {spec.name for spec in session.outputs}
    shape = inputs.get(KEYPOINTS, ())
    expected = (manifest.frames, len(H36M17.joints), manifest.channels)
    if tuple(shape[1:]) != expected or len(inputs) != 1 or POSES not in outputs:
        raise ManifestError(
            f"The model's input {KEYPOINTS} is {format_shape(shape)}, its manifest says"
            f" {format_shape(('batch', *expected))}.",
            hint="Export the model again with hot-export.",
        )
    if manifest.variant != "tpc":
        return
    if TOKEN_INDEX not in outputs:
        raise UsageError(
            "The model keeps some frames of each window, and its file does not say which.",
            hint="Export it again with hot-export --token-index.",
        )


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
            [clips[number].inputs[window.source_frames(plans[number].frames)] for number, window in group]
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
