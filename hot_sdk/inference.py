"""Run windows through a session in batches, and lift whole clips window by window."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.disk_arrays import Scratch
from hot_sdk._base.optional import NEWER
from hot_sdk.engines import Session
from hot_sdk.engines.session import format_shape
from hot_sdk.errors import EngineError, ManifestError, UsageError
from hot_sdk.latency import LatencyRecorder
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, POSES, SPREAD, TOKEN_INDEX, Manifest
from hot_sdk.model_inputs import feeds
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
_SAID = {POSES: "poses", SPREAD: "spreads"}


class WindowPoses(NamedTuple):
    """What a network returns for windows.

    Attributes:
        poses: (windows, outputs, 17, 3), float32, the root at 0: ``outputs`` is the window's
            length, or 1 if the network returns its center frame only.
        spread: Of the same shape, how far each coordinate may be off; None if the network does not
            say.
    """

    poses: Floats
    spread: Floats | None


class Runner(Protocol):
    """What streams know of a model, whether it lifts windows or one frame after the other.

    Attributes:
        manifest: The model's manifest.
        input_spec: The input that the network expects.
        center_only: The network returns poses of the middle frame of each window only.
        first_inference_s: Time of the session's first run, seconds; None before it.
    """

    manifest: Manifest
    input_spec: InputSpec
    center_only: bool
    first_inference_s: float | None


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

    def run(
        self, windows: Floats, recorder: LatencyRecorder, conditions: Floats | None = None
    ) -> WindowPoses:
        """Lift windows, in as many runs of the engine as they need.

        Args:
            windows: (windows, frames, 17, channels), normalized.
            recorder: Receives the time of each run.
            conditions: (windows, frames, conditions), what is known, for a network that can be
                told; None if nothing is.

        Raises:
            EngineError: The engine failed, returned NaN, or this process was forked from the one
                that loaded the model.
        """
        check_process(self._process)
        poses, spread = self._run_batches(windows, conditions, recorder)
        if self._flip:
            # What is known of the camera is the same in a mirror.
            back = self._run_batches(mirrored_keypoints(windows), conditions, recorder)
            poses, spread = averaged_with_mirror(poses, spread, *back)
        # As in the published evaluations: the network only nearly keeps the root at 0.
        poses[:, :, 0] = 0.0
        if spread is not None:
            spread[:, :, 0] = 0.0
        return WindowPoses(poses, spread)

    def _run_batches(
        self, windows: Floats, conditions: Floats | None, recorder: LatencyRecorder
    ) -> WindowPoses:
        parts = []
        for start in range(0, len(windows), self.batch):
            end = start + self.batch
            group = self._filled(windows[start:end])
            told = None if conditions is None else self._filled(conditions[start:end])
            parts.append((len(windows[start:end]), self._run_session(group, told, recorder)))
        poses = _joined([part.poses[:count] for count, part in parts])
        spreads = [part.spread[:count] for count, part in parts if part.spread is not None]
        return WindowPoses(poses, _joined(spreads) if spreads else None)

    def _filled(self, group: Floats) -> Floats:
        """Return a group of windows of the size that the file is fixed to, the last repeated."""
        if self.manifest.batch is not None and len(group) < self.batch:
            missing = self.batch - len(group)
            filler = np.broadcast_to(group[-1:], (missing, *group.shape[1:]))
            group = np.concatenate([group, filler])
        return np.ascontiguousarray(group)

    def _run_session(
        self, group: Floats, conditions: Floats | None, recorder: LatencyRecorder
    ) -> WindowPoses:
        group = in_network_order(group, self.manifest.joints.skeleton)
        arrays = feeds(self.manifest, group, conditions)
        start = time.perf_counter()
        outputs = self._session.run(arrays)
        taken = time.perf_counter() - start
        recorder.add("inference", taken)
        if self.first_inference_s is None:
            with self._first_lock:
                self.first_inference_s = self.first_inference_s or taken
        poses = self._checked(outputs, POSES)
        return WindowPoses(poses, self._checked(outputs, SPREAD) if self.manifest.spread else None)

    def _checked(self, outputs: Mapping[str, NDArray[Any]], name: str) -> Floats:
        """Return an output in Human3.6M's order, of each window's center if there is no other."""
        values: Floats = outputs[name].astype(np.float32, copy=False)
        if not np.isfinite(values).all():
            raise EngineError(
                f"The engine {self._session.engine} on {self._session.device} returned"
                f" {_SAID[name]} that are not finite.",
                hint="Export the model again in fp32, and check its weights.",
            )
        values = in_h36m17_order(values, self.manifest.joints.skeleton)
        return self._centers(values, outputs) if self.center_only else values

    def _centers(self, values: Floats, outputs: Mapping[str, NDArray[Any]]) -> Floats:
        """Return what is said of each window's center frame."""
        count = self.manifest.output_frames
        if self.manifest.variant != "tpc":
            return values[:, count // 2 : count // 2 + 1]
        # If frames are pruned in stages, the last stage's come last.
        kept = outputs[TOKEN_INDEX][..., -count:]
        if self.manifest.flip:
            kept = kept[:, 0]  # The mirror image shares its window's choice.
        at = np.argmax(kept == self.manifest.frames // 2, axis=-1)
        centers: Floats = values[np.arange(len(values)), at][:, None]
        return centers


def _joined(parts: Sequence[Floats]) -> Floats:
    """Return arrays one after the other, in memory of their own."""
    return np.concatenate(parts) if len(parts) > 1 else parts[0].copy()


def check_process(loaded_in: int) -> None:
    """Check that this is the process that loaded a model, and not its fork.

    Raises:
        EngineError: It is not.
    """
    if os.getpid() != loaded_in:
        raise EngineError(
            f"The model was loaded in process {loaded_in}, and this is its fork {os.getpid()}: the"
            " engine's threads do not survive a fork.",
            hint="Load the model after the fork, or start workers with the method 'spawn'.",
        )


def check_skeleton(manifest: Manifest) -> None:
    """Check that this version knows the joints of a network.

    Raises:
        ManifestError: It does not.
    """
    known = NETWORK_SKELETONS.get(manifest.joints.skeleton)
    if known is None or manifest.joints.names != known.joints:
        raise ManifestError(
            f"The model's skeleton is '{manifest.joints.skeleton}'; this version lifts"
            f" {' and '.join(repr(name) for name in NETWORK_SKELETONS)}, each with its own joints.",
            hint=NEWER,
        )


def _check_model(session: Session, manifest: Manifest) -> None:
    check_skeleton(manifest)
    inputs = {spec.name: spec.shape for spec in session.inputs}
    outputs = {spec.name for spec in session.outputs}
    shape = inputs.get(KEYPOINTS, ())
    expected = (manifest.frames, len(H36M17.joints), manifest.channels)
    names = {KEYPOINTS, CONDITIONS} if manifest.conditions else {KEYPOINTS}
    if tuple(shape[1:]) != expected or set(inputs) != names or POSES not in outputs:
        raise ManifestError(
            f"The model's input {KEYPOINTS} is {format_shape(shape)}, its manifest says"
            f" {format_shape(('batch', *expected))}.",
            hint="Export the model again with hot-export.",
        )
    if manifest.spread and SPREAD not in outputs:
        raise ManifestError(
            f"The model's manifest says that it has an output '{SPREAD}', and there is none.",
            hint="Export the model again with hot-export.",
        )
    if manifest.variant == "tpc" and TOKEN_INDEX not in outputs:
        raise UsageError(
            "The model keeps some frames of each window, and its file does not say which.",
            hint="Export it again with hot-export, which makes them an output.",
        )


def mirrored_keypoints(keypoints: Floats) -> Floats:
    """Return the mirror image of normalized keypoints, (..., 17, channels)."""
    mirrored: Floats = keypoints[..., _MIRROR, :].copy()
    mirrored[..., 0] *= -1.0
    return mirrored


def averaged_with_mirror(
    poses: Floats, spread: Floats | None, back: Floats, wide: Floats | None
) -> tuple[Floats, Floats | None]:
    """Average poses and their spread with those of the mirror image, all (..., 17, 3)."""
    half = np.float32(0.5)
    poses = (poses + back[..., _MIRROR, :] * _SIGNS) * half
    if spread is not None and wide is not None:
        # A width is the same in a mirror.
        spread = (spread + wide[..., _MIRROR, :]) * half
    return poses, spread


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


@dataclass(frozen=True, eq=False)
class LiftedClip:
    """The poses of a clip.

    Attributes:
        poses: (frames, 17, 3), along the camera's axes.
        spread: (frames, 17, 3), how far each coordinate may be off; None if the network does not
            say.
        seams: How even the poses are where windows meet; None if there was one window, or if each
            was one frame, so that no step is inside any.
    """

    poses: Floats
    spread: Floats | None
    seams: SeamReport | None


def lift_prepared_clips(
    clips: Sequence[PreparedClip],
    plans: Sequence[Plan],
    runner: WindowRunner,
    recorder: LatencyRecorder,
    progress: Callable[[int, int], None] | None = None,
    scratch: Scratch | None = None,
) -> list[LiftedClip]:
    """Lift clips, those of several people together.

    Args:
        clips: The clips.
        plans: How each is cut.
        runner: The model.
        recorder: Receives the time of each stage.
        progress: Called after each run of the engine with the windows lifted and their total.
        scratch: Where the poses of long clips are kept; None for the memory.

    Raises:
        UsageError: A plan has a window that is shorter than the model's, or the disk is full.
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
    stitchers = [Stitcher(plan, scratch) for plan in plans]
    spreads = [Stitcher(plan, scratch) for plan in plans]
    total = sum(len(plan.windows) for plan in plans)
    queue = ((number, window) for number, plan in enumerate(plans) for window in plan.windows)
    for first in range(0, total, runner.batch):
        group = list(itertools.islice(queue, runner.batch))
        with recorder.timed("preparation"):
            places = [window.source_frames(plans[number].frames) for number, window in group]
            read = [(clips[number], at) for (number, _), at in zip(group, places, strict=True)]
            inputs = np.stack([clip.inputs[at] for clip, at in read])
            told = [row for clip, at in read if (row := clip.conditions_at(at)) is not None]
        poses, spread = runner.run(inputs, recorder, np.stack(told) if told else None)
        with recorder.timed("stitching"):
            for place, (number, _) in enumerate(group):
                # A network that returns its center frame only has one pose for every position.
                stitchers[number].add(np.broadcast_to(poses[place], (frames, *poses.shape[2:])))
                if spread is not None:
                    spreads[number].add(np.broadcast_to(spread[place], (frames, *poses.shape[2:])))
        if progress is not None:
            progress(first + len(group), total)
    lifted = []
    for clip in clips:
        with recorder.timed("stitching"):
            # Each clip's own, so that what is done with is freed.
            lifted.append(_finished(clip, stitchers.pop(0), spreads.pop(0), runner.manifest))
    return lifted


def _finished(
    clip: PreparedClip, stitcher: Stitcher, spreads: Stitcher, manifest: Manifest
) -> LiftedClip:
    """Return what was stitched, along the camera's axes, for the frames."""
    stitched = stitcher.result()
    spread = spreads.result() if manifest.spread else None
    clip.turn_back(stitched, spread)
    seams = stitcher.seams(stitched, manifest.unit) if manifest.frames > 1 else None
    poses = clip.resample_to_frames(stitched)
    # A long clip has no room for what is not needed any more.
    del stitched, stitcher
    return LiftedClip(poses, None if spread is None else clip.resample_to_frames(spread), seams)
