"""Run windows through a session in batches, and lift whole clips window by window."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.optional import NEWER
from hot_sdk.engines import Session
from hot_sdk.engines.session import format_shape
from hot_sdk.errors import EngineError, ManifestError, UsageError
from hot_sdk.latency import LatencyRecorder
from hot_sdk.manifest import KEYPOINTS, POSES, TOKEN_INDEX, Manifest
from hot_sdk.preprocessing import InputSpec, PreparedClip
from hot_sdk.skeletons import H36M17, NETWORK_SKELETONS, in_h36m17_order, in_network_order
from hot_sdk.windows import Plan, SeamReport, Stitcher

DYNAMIC_BATCH = 8
"""Windows in one run of a model whose file leaves the batch open."""

SINGLE_FRAMES = 256
"""The same if a window is one frame, five seconds of video: each is so little work that a run of a
few would mostly be the overhead of the call."""

Floats = NDArray[np.float32]

_SIGNS = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
_MIRROR = np.array(H36M17.mirror)


class WindowRunner:
    """Runs windows through a session; may be shared by threads.

    Its input and output have the joints of ``H36M17`` in their order, whichever order the network
    was trained in.

    Attributes:
        manifest: The model's manifest.
        input_spec: The input that the network expects.
        center_only: The network returns poses of the middle frame of each window only.
        batch: Windows in one run.
        first_inference_s: Time of the session's first run, seconds; None before it.
    """

    def __init__(self, session: Session, manifest: Manifest, *, flip: bool) -> None:
        _check_model(session, manifest)
        # A graph that averages by itself is not averaged twice.
        self._flip = flip and not manifest.flip
        if self._flip:
            _check_flip(manifest)
        self.manifest = manifest
        self.input_spec = InputSpec.from_manifest(manifest)
        self.center_only = manifest.output_frames < manifest.frames
        open_batch = SINGLE_FRAMES if manifest.frames == 1 else DYNAMIC_BATCH
        if session.largest_batch is not None:
            open_batch = min(open_batch, session.largest_batch)
        self.batch = open_batch if manifest.batch is None else manifest.batch
        self.first_inference_s: float | None = None
        self._first_lock = threading.Lock()
        self._session = session
        self._process = os.getpid()

    def run(self, windows: Floats, recorder: LatencyRecorder) -> Floats:
        """Lift windows, in as many runs of the engine as they need.

        Args:
            windows: (windows, frames, 17, channels), normalized.
            recorder: Receives the time of each run.

        Returns:
            (windows, outputs, 17, 3), float32, the root at 0: ``outputs`` is the window's length,
            or 1 if the network returns its center frame only.

        Raises:
            EngineError: The engine failed, returned NaN, or this process was forked from the one
                that loaded the model.
        """
        if os.getpid() != self._process:
            raise EngineError(
                f"The model was loaded in process {self._process}, and this is its fork"
                f" {os.getpid()}: the engine's threads do not survive a fork.",
                hint="Load the model after the fork, or start workers with the method 'spawn'.",
            )
        poses = self._run_batches(windows, recorder)
        if self._flip:
            mirrored = windows[:, :, _MIRROR].copy()
            mirrored[..., 0] *= -1.0
            back = self._run_batches(mirrored, recorder)[:, :, _MIRROR] * _SIGNS
            poses = (poses + back) * np.float32(0.5)
        # As in the published evaluations: the network only nearly keeps the root at 0.
        poses[:, :, 0] = 0.0
        return poses

    def _run_batches(self, windows: Floats, recorder: LatencyRecorder) -> Floats:
        parts = []
        for start in range(0, len(windows), self.batch):
            group = windows[start : start + self.batch]
            count = len(group)
            if self.manifest.batch is not None and count < self.batch:
                filler = np.broadcast_to(group[-1:], (self.batch - count, *group.shape[1:]))
                group = np.concatenate([group, filler])
            parts.append(self._run_session(np.ascontiguousarray(group), recorder)[:count])
        return np.concatenate(parts) if len(parts) > 1 else parts[0].copy()

    def _run_session(self, group: Floats, recorder: LatencyRecorder) -> Floats:
        group = in_network_order(group, self.manifest.joints.skeleton)
        start = time.perf_counter()
        outputs = self._session.run({KEYPOINTS: group})
        taken = time.perf_counter() - start
        recorder.add("inference", taken)
        if self.first_inference_s is None:
            with self._first_lock:
                self.first_inference_s = self.first_inference_s or taken
        poses: Floats = outputs[POSES].astype(np.float32, copy=False)
        if not np.isfinite(poses).all():
            raise EngineError(
                f"The engine {self._session.engine} on {self._session.device} returned poses that"
                " are not finite.",
                hint="Export the model again in fp32, and check its weights.",
            )
        poses = in_h36m17_order(poses, self.manifest.joints.skeleton)
        return self._centers(poses, outputs) if self.center_only else poses

    def _centers(self, poses: Floats, outputs: Mapping[str, NDArray[Any]]) -> Floats:
        """Return the pose of each window's center frame."""
        count = self.manifest.output_frames
        if self.manifest.variant != "tpc":
            return poses[:, count // 2 : count // 2 + 1]
        # If frames are pruned in stages, the last stage's come last.
        kept = outputs[TOKEN_INDEX][..., -count:]
        if self.manifest.flip:
            kept = kept[:, 0]  # The mirror image shares its window's choice.
        at = np.argmax(kept == self.manifest.frames // 2, axis=-1)
        centers: Floats = poses[np.arange(len(poses)), at][:, None]
        return centers


def _check_model(session: Session, manifest: Manifest) -> None:
    known = NETWORK_SKELETONS.get(manifest.joints.skeleton)
    if known is None or manifest.joints.names != known.joints:
        raise ManifestError(
            f"The model's skeleton is '{manifest.joints.skeleton}'; this version lifts"
            f" {' and '.join(repr(name) for name in NETWORK_SKELETONS)}, each with its own joints.",
            hint=NEWER,
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
    if manifest.variant == "tpc" and TOKEN_INDEX not in outputs:
        raise UsageError(
            "The model keeps some frames of each window, and its file does not say which.",
            hint="Export it again with hot-export, which makes them an output.",
        )


def _check_flip(manifest: Manifest) -> None:
    """Check that a window and its mirror image are lifted from the same frames.

    If frames are recovered, each chooses its own, as in the published evaluations (Li et al., CVPR
    2024). If none are, the mirror image shares the window's choice, which only the graph can give
    it.
    """
    chosen = any(stage.selector != "uniform" for stage in manifest.stages)
    if manifest.variant == "tpc" and chosen:
        raise UsageError(
            "The model keeps some frames of each window. Published poses are averaged over the"
            " same frames of the mirror image, but outside of the file it would choose its own.",
            hint="Export it again with hot-export --flip, which averages inside the file.",
        )


def lift_prepared_clips(
    clips: Sequence[PreparedClip],
    plans: Sequence[Plan],
    runner: WindowRunner,
    recorder: LatencyRecorder,
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[Floats, SeamReport | None]]:
    """Lift clips, those of several people together.

    Args:
        clips: The clips.
        plans: How each is cut.
        runner: The model.
        recorder: Receives the time of each stage.
        progress: Called after each run of the engine with the windows lifted and their total.

    Returns:
        For each clip its poses, (frames, 17, 3), and how even they are where windows meet; None if
        there was one window, or if each was one frame, so that no step is inside any.

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
    total = sum(len(plan.windows) for plan in plans)
    queue = ((number, window) for number, plan in enumerate(plans) for window in plan.windows)
    for first in range(0, total, runner.batch):
        group = list(itertools.islice(queue, runner.batch))
        with recorder.timed("preparation"):
            inputs = np.stack(
                [
                    clips[number].inputs[window.source_frames(plans[number].frames)]
                    for number, window in group
                ]
            )
        outputs = runner.run(inputs, recorder)
        with recorder.timed("stitching"):
            for (number, _), poses in zip(group, outputs, strict=True):
                # A network that returns its center frame only has one pose for every position.
                stitchers[number].add(np.broadcast_to(poses, (frames, *poses.shape[1:])))
        if progress is not None:
            progress(first + len(group), total)
    lifted = []
    for clip, stitcher in zip(clips, stitchers, strict=True):
        with recorder.timed("stitching"):
            stitched = stitcher.result()
            seams = stitcher.seams(stitched, runner.manifest.unit) if frames > 1 else None
            lifted.append((clip.resample_to_frames(stitched), seams))
    return lifted
