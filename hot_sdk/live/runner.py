"""Run a live network: one frame of several people at a time, with what it remembers of them."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines import Session
from hot_sdk.engines.caches import Caches, PreparedRun
from hot_sdk.engines.session import Arrays, format_shape
from hot_sdk.errors import EngineError, ManifestError
from hot_sdk.inference import (
    averaged_with_mirror,
    check_process,
    check_skeleton,
    mirrored_keypoints,
)
from hot_sdk.latency import LatencyRecorder
from hot_sdk.live.state import MirroredStates, StepRun, StepStates
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, POSES, SPREAD, Manifest
from hot_sdk.preprocessing import InputSpec
from hot_sdk.preprocessing.normalization import BOUNDING_BOX
from hot_sdk.skeletons import H36M17, in_h36m17_order, in_network_order
from hot_sdk.step_graph import StepGraph

MOST_PEOPLE = 64
"""People in one run of a file that leaves the batch open: the caches of more leave the processor's
own, and a run of more is not faster for each."""

_JOINTS = len(H36M17.joints)
_AGAIN = "Export the model again with hot-export."

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


class StepPoses(NamedTuple):
    """What a live network returns for a frame of each person.

    Attributes:
        poses: (people, 17, 3), float32, the root at 0, of the frame that was newest ``lookahead``
            frames ago; of no meaning for people who did not take a step, and before there is one.
        spread: Of the same shape, how far each coordinate may be off; None if the network does not
            say.
    """

    poses: Floats
    spread: Floats | None


class _Taken(NamedTuple):
    states: StepStates
    poses: Floats
    spread: Floats | None
    finished: list[tuple[slice, PreparedRun, Arrays]]


class StepRunner:
    """Runs a live network through a session; may be shared by threads that have their own states.

    Its input and output have the joints of ``H36M17`` in their order, whichever order the network
    was trained in.

    Args:
        session: The model.
        manifest: Its manifest, which has a ``step``.
        flip: Average with the mirror image, of which as much is remembered.

    Attributes:
        manifest: The model's manifest.
        graph: What the network remembers.
        input_spec: The input that the network expects.
        center_only: False: every frame's pose is returned.
        first_inference_s: Time of the session's first run, seconds; None before it.

    Raises:
        ManifestError: The file is not as its manifest says, or needs the box about a whole clip.
    """

    center_only = False

    def __init__(self, session: Session, manifest: Manifest, *, flip: bool = False) -> None:
        assert manifest.step is not None
        check_skeleton(manifest)
        _check_tensors(session, manifest, manifest.step)
        self.manifest = manifest
        self.graph: StepGraph = manifest.step
        self.input_spec = InputSpec.from_manifest(manifest)
        if self.input_spec.normalization == BOUNDING_BOX:
            raise ManifestError(
                "The model takes one frame at a time, and needs keypoints in the box about all of"
                " them.",
                hint="Export it again with another --normalization.",
            )
        self.first_inference_s: float | None = None
        self._first_lock = threading.Lock()
        self._session = session
        self._process = os.getpid()
        self._states = MirroredStates if flip else StepStates

    def states(self, people: int) -> StepStates:
        """Return memory for a number of people.

        Raises:
            EngineError: The engine has not enough.
        """
        return self._states(
            self.graph,
            _JOINTS,
            people,
            batch=self.manifest.batch,
            make_caches=self._session.caches,
        )

    def run(
        self,
        states: StepStates,
        times: Doubles,
        keypoints: Floats,
        conditions: Floats | None,
        recorder: LatencyRecorder,
    ) -> StepPoses:
        """Let people take one step, in as few runs of the engine as their rows need.

        Args:
            states: What is remembered; it gets what the network returns, unless an error is raised.
            times: (people,), when each one's frame was, seconds: later than the one before; NaN if
                the person has no further frame; infinite if the person takes no step.
            keypoints: (people, 17, channels), normalized, finite.
            conditions: (people, conditions), what is known; None if nothing is.
            recorder: Receives the time of each run.

        Raises:
            EngineError: The engine failed, returned NaN, or this process was forked from the one
                that loaded the model.
        """
        check_process(self._process)
        takes = ~np.isinf(times)
        seconds = times if takes.all() else np.where(takes, times, np.nan)
        taken = [self._take(states, seconds, takes, keypoints, conditions, recorder)]
        poses, spread = taken[0].poses, taken[0].spread
        if isinstance(states, MirroredStates):
            # What is known of the camera is the same in a mirror.
            image = mirrored_keypoints(keypoints)
            back = self._take(states.mirror, seconds, takes, image, conditions, recorder)
            poses, spread = averaged_with_mirror(poses, spread, back.poses, back.spread)
            taken.append(back)
        # As in the published evaluations: the network only nearly keeps the root at 0.
        poses[:, 0] = 0.0
        if spread is not None:
            spread[:, 0] = 0.0
        # After the last run, so that an error leaves everyone in the same frame.
        for step in taken:
            for rows, run, outputs in step.finished:
                step.states.store(rows, seconds[rows], outputs, takes[rows], run)
        return StepPoses(poses, spread)

    def _take(
        self,
        states: StepStates,
        seconds: Doubles,
        takes: Mask,
        keypoints: Floats,
        conditions: Floats | None,
        recorder: LatencyRecorder,
    ) -> _Taken:
        """Run the network for one step of people, which is not kept yet."""
        people, order = len(seconds), self.manifest.joints.skeleton
        poses = np.zeros((people, _JOINTS, 3), dtype=np.float32)
        spread = np.zeros(poses.shape, dtype=np.float32) if self.manifest.spread else None
        finished: list[tuple[slice, PreparedRun, Arrays]] = []
        for rows in self._parts(takes):
            own = slice(rows.start, min(rows.stop, people))
            step = states.of(rows)
            run = step.run or self._prepare(step, states.caches, rows)
            states.feeds(rows, seconds[own])
            shown = own.stop - own.start
            step.fed[KEYPOINTS][:shown, 0] = in_network_order(keypoints[own], order)
            if self.manifest.conditions:
                step.fed[CONDITIONS][:shown, 0] = 0.0 if conditions is None else conditions[own]
            outputs = self._run_session(run, recorder)
            poses[own] = in_h36m17_order(outputs[POSES][:shown, 0], order)
            if spread is not None:
                spread[own] = in_h36m17_order(outputs[SPREAD][:shown, 0], order)
            finished.append((own, run, outputs))
        return _Taken(states, poses, spread, finished)

    def _prepare(self, step: StepRun, caches: Caches, rows: slice) -> PreparedRun:
        """Hand the arrays of a run to the session, with those of keypoints and conditions."""
        manifest, people = self.manifest, rows.stop - rows.start
        step.fed[KEYPOINTS] = np.zeros((people, 1, _JOINTS, manifest.channels), np.float32)
        if manifest.conditions:
            step.fed[CONDITIONS] = np.zeros((people, 1, len(manifest.conditions)), np.float32)
        step.run = self._session.prepare(step.fed, caches, rows)
        return step.run

    def _parts(self, takes: Mask) -> Iterator[slice]:
        """Return the rows of each run; of a fixed batch, they may reach beyond the people."""
        batch = self.manifest.batch
        if batch is not None:
            for first in range(0, len(takes), batch):
                if takes[first : first + batch].any():
                    yield slice(first, first + batch)
            return
        most = min(MOST_PEOPLE, self._session.largest_batch or MOST_PEOPLE)
        if len(takes) <= most and takes.all():
            yield slice(0, len(takes))
            return
        bounds = np.flatnonzero(np.diff(np.concatenate([[False], takes, [False]]).astype(np.int8)))
        for first, end in bounds.reshape(-1, 2).tolist():
            for start in range(first, end, most):
                yield slice(start, min(start + most, end))

    def _run_session(self, run: PreparedRun, recorder: LatencyRecorder) -> Arrays:
        start = time.perf_counter()
        outputs = run()
        taken = time.perf_counter() - start
        recorder.add("inference", taken)
        if self.first_inference_s is None:
            with self._first_lock:
                self.first_inference_s = self.first_inference_s or taken
        self._check_finite(outputs)
        return outputs

    def _check_finite(self, outputs: Mapping[str, NDArray[Any]]) -> None:
        """Check all outputs: what is not finite would be remembered."""
        # Sums of squares, in one pass without arrays of their own, tell in most cases; of what
        # overflows, vdot says nothing.
        if math.isfinite(sum(float(np.vdot(one, one)) for one in outputs.values())):
            return
        for name, one in outputs.items():
            if not np.isfinite(one).all():
                raise EngineError(
                    f"The engine {self._session.engine} on {self._session.device} returned"
                    f" '{name}' that is not finite.",
                    hint="Export the model again in fp32, and check its weights.",
                )


def _check_tensors(session: Session, manifest: Manifest, graph: StepGraph) -> None:
    """Check the names and shapes of a session's tensors against its manifest.

    Raises:
        ManifestError: They differ.
    """
    channels = manifest.channels
    inputs = {KEYPOINTS: (1, _JOINTS, channels), **graph.states(_JOINTS)}
    outputs = {POSES: (1, _JOINTS, 3), **graph.updates(_JOINTS)}
    if manifest.conditions:
        inputs[CONDITIONS] = (1, len(manifest.conditions))
    if manifest.spread:
        outputs[SPREAD] = outputs[POSES]
    for kind, expected, specs in (
        ("inputs", inputs, session.inputs),
        ("outputs", outputs, session.outputs),
    ):
        found = {spec.name: spec.shape[1:] for spec in specs}
        wrong = sorted(
            name for name in {*expected, *found} if expected.get(name) != found.get(name)
        )
        if wrong:
            name = wrong[0]
            said, has = (
                f"{name} {format_shape(('batch', *shapes[name]))}" if name in shapes else "none"
                for shapes in (expected, found)
            )
            raise ManifestError(
                f"The model's {kind} are not those of its manifest: {said} there, {has} in the"
                " file.",
                hint=_AGAIN,
            )
        if any(spec.dtype != "float32" for spec in specs):
            raise ManifestError(f"The model's {kind} are not all float32.", hint=_AGAIN)
