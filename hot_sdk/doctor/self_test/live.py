"""Lift people frame by frame with a live network, what it remembers on the device, and compare."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.doctor.self_test.models import DEVICE, EXACT, answer, share_of_size
from hot_sdk.doctor.self_test.report import ModelFigures
from hot_sdk.engines import Session, SessionOptions, open_session
from hot_sdk.engines.tensorrt import TensorRTSession
from hot_sdk.engines.tensorrt.caches import TensorRTCaches, TensorRTRun
from hot_sdk.latency import LatencyRecorder
from hot_sdk.live.runner import StepRunner
from hot_sdk.manifest import Manifest

_FRAMES = 300
_FPS = 30.0
# The first person leaves in this frame, and somebody new comes.
_CHANGE = 150

Floats = NDArray[np.float32]


def live(model: Path, folder: Path) -> dict[str, Any]:
    """Build a live network's plan into a folder, and lift a recording with it twice."""
    with open_session(model, EXACT) as session:
        exact = _Lifted(session)
    options = SessionOptions(device=DEVICE, cache_dir=folder)
    problems = []
    with open_session(model, options, engine="tensorrt") as session:
        assert isinstance(session, TensorRTSession)
        first, again = _Lifted(session), _Lifted(session)
        if not first.on_device:
            problems.append("what the network remembers was uploaded in each frame")
        if not first.cuda_graph:
            problems.append("no CUDA graph of a run could be used")
        same = first.poses.view(np.uint32) == again.poses.view(np.uint32)
        distance = np.linalg.norm(first.poses - exact.poses, axis=-1)
        others = None
        if first.spread is not None and exact.spread is not None:
            others = share_of_size(first.spread, exact.spread)
        figures = ModelFigures(
            engine=f"{session.engine} {session.engine_version}",
            device=session.device,
            precision=session.precision,
            load_s=session.load_seconds,
            runs=_FRAMES,
            runs_equal=int(same.reshape(_FRAMES, -1).all(axis=1).sum()),
            mean_error=float(distance.mean()),
            largest_error=float(distance.max()),
            frames_shared=None,
            median_ms=float(np.median(first.times_ms)),
            p99_ms=float(np.percentile(first.times_ms, 99)),
            plan_bytes=None if session.plan is None else session.plan.stat().st_size,
            cuda_graph=first.cuda_graph,
            zero_copy=session.zero_copy,
            others_error=others,
        )
    return answer(figures, problems)


class _Lifted:
    """Two people, of whom one leaves and a third takes their place, lifted with a session.

    Attributes:
        poses: (frames, 2, 17, 3), by their rows.
        spread: The same, if the network says it.
        times_ms: (frames,), of each step of both.
        on_device: Whether what is remembered stays on the device.
        cuda_graph: Whether a run is a CUDA graph.
    """

    def __init__(self, session: Session) -> None:
        manifest = Manifest.from_metadata(session.metadata)
        runner, recorder = StepRunner(session, manifest), LatencyRecorder("clip")
        states = runner.states(2)
        for _ in range(2):
            states.add()
        inputs = _recording(runner.input_spec.channels)
        poses, spread, times = [], [], []
        for frame, keypoints in enumerate(inputs):
            if frame == _CHANGE:
                # The second person moves to the first row.
                states.remove(0)
                states.add()
            start = time.perf_counter()
            seconds = np.full(2, frame / _FPS)
            found = runner.run(states, seconds, keypoints, None, recorder)
            times.append(1e3 * (time.perf_counter() - start))
            poses.append(found.poses)
            spread.append(found.spread)
        run = states.of(slice(0, 2)).run
        self.poses: Floats = np.stack(poses)
        shown = [each for each in spread if each is not None]
        self.spread: Floats | None = np.stack(shown) if shown else None
        self.times_ms = times
        self.on_device = isinstance(states.caches, TensorRTCaches)
        self.cuda_graph = isinstance(run, TensorRTRun) and run.cuda_graph


def _recording(channels: int) -> Floats:
    """Return keypoints of joints that swing smoothly, (frames, 2, 17, channels), by rows."""
    random = np.random.default_rng(0)
    shape = (1, 3, 17, channels)
    where = random.uniform(-0.4, 0.4, shape)
    size, speed = random.uniform(0.02, 0.2, shape), random.uniform(0.5, 6.0, shape)
    phase = random.uniform(0.0, 2.0 * np.pi, shape)
    seconds = np.arange(_FRAMES).reshape(-1, 1, 1, 1) / _FPS
    people = (where + size * np.sin(speed * seconds + phase)).astype(np.float32)
    return np.concatenate([people[:_CHANGE, :2], people[_CHANGE:, 1:]])
