"""Time what a new frame costs a live network and a window model, and a push until its pose.

Models take turns, in time of the processor, which is that of the clock on one thread while nothing
else runs. Each turn is a row of frames: the first finds the processor's caches full of the other
models' weights, as after other work of a program, the others find them as in a video.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from hot_sdk import Pose3DEngine
from hot_sdk._base.tables import Table
from hot_sdk.benchmarks.evaluation import EvaluationClip
from hot_sdk.benchmarks.speed.series import median_interval
from hot_sdk.inference import WindowRunner
from hot_sdk.latency import LatencyRecorder
from hot_sdk.live.runner import StepRunner

FPS = 30.0
_PEOPLE = (1, 4)
_ROW = 10
_PUSHES = 300


def time_frames(window: Pose3DEngine, lives: dict[int, Pose3DEngine], rounds: int) -> Table:
    """Time a new frame of one person and of four, in turn.

    Args:
        window: A window model, which lifts a window for each frame.
        lives: Live networks by lookahead.
        rounds: Turns of each.
    """
    chosen = {"window": window, **{f"live, lookahead {key}": one for key, one in lives.items()}}
    runs = {
        (name, people): (_window_run if name == "window" else _step_run)(engine, people)
        for name, engine in chosen.items()
        for people in _PEOPLE
    }
    firsts: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    others: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            first, *rest = (_time_of(run) for _ in range(_ROW))
            firsts[key].append(first)
            others[key].append(float(np.median(rest)))
    rows = []
    for (name, people), taken in others.items():
        ms = median_interval(taken)
        assert ms is not None
        runner = chosen[name]._runner
        size = runner.states(1).bytes_per_person if isinstance(runner, StepRunner) else None
        rows.append(
            (
                name,
                str(people),
                f"{ms.value:.2f}",
                f"{ms.low:.2f} to {ms.high:.2f}",
                f"{np.median(others['window', people]) / ms.value:.1f}",
                f"{np.median(firsts[name, people]):.2f}",
                f"{np.median(firsts['window', people]) / np.median(firsts[name, people]):.1f}",
                "" if size is None else f"{size / 1e6:.2f}",
            )
        )
    header = (
        *("model", "people", "in a row, ms", "95 % of median", "cheaper"),
        *("after others, ms", "cheaper", "MB a person"),
    )
    title = f"A new frame, one thread, ms of the processor, {rounds} rounds of {_ROW} frames"
    return Table(title, header, tuple(rows), text_columns=1)


def time_delays(lives: dict[int, Pose3DEngine], clip: EvaluationClip) -> Table:
    """Time pushes of a live stream until their pose, and of a video stream, beside the engine.

    Args:
        lives: Live networks by lookahead.
        clip: Whose first keypoints are pushed.
    """
    rows = []
    for lookahead, engine in lives.items():
        for mode in ("video", "live"):
            keypoints = dataclasses.replace(clip.keypoints, timestamps=None, fps=None)
            size, count = keypoints.image_size, min(len(keypoints), _PUSHES)
            with engine.stream(mode, fps=FPS, skeleton="h36m17", image_size=size) as stream:
                for number in range(count):
                    stream.push(keypoints.points[number], number / FPS, 0)
                    if stream._worker is not None:
                        stream._worker.settle()
                report = stream.report()
            latency = report.latency
            assert latency.delay is not None
            assert latency.inference is not None
            assert report.lookahead_ms is not None
            wait = report.lookahead_ms
            rows.append(
                (
                    f"{lookahead}",
                    mode,
                    f"{latency.delay.median - wait:.2f}",
                    f"{latency.delay.min - wait:.2f}",
                    f"{latency.inference.median:.2f}",
                    f"{latency.inference.min:.2f}",
                )
            )
    header = ("lookahead", "mode", "push to pose", "least", "engine", "least")
    return Table(
        "From push to pose, ms, without the lookahead", header, tuple(rows), text_columns=2
    )


def _step_run(engine: Pose3DEngine, people: int) -> Callable[[], object]:
    """Return a function that takes a frame of some people, all of it but the keypoints' way in."""
    runner = engine._runner
    assert isinstance(runner, StepRunner)
    states, recorder = runner.states(people), LatencyRecorder("clip")
    for _ in range(people):
        states.add()
    chance = np.random.default_rng(0)
    keypoints = chance.normal(0.0, 0.3, (people, 17, runner.input_spec.channels))
    told = np.zeros((people, len(runner.manifest.conditions)), np.float32)
    inputs, count = keypoints.astype(np.float32), iter(range(1 << 30))

    def run() -> object:
        times = np.full(people, next(count) / FPS)
        return runner.run(states, times, inputs, told if told.size else None, recorder)

    for _ in range(200):
        run()
    return run


def _window_run(engine: Pose3DEngine, people: int) -> Callable[[], object]:
    runner, frames = engine._runner, engine.manifest.frames
    assert isinstance(runner, WindowRunner)
    chance, recorder = np.random.default_rng(0), LatencyRecorder("clip")
    shape = (people, frames, 17, runner.input_spec.channels)
    inputs = chance.normal(0.0, 0.3, shape).astype(np.float32)
    return lambda: runner.run(inputs, recorder)


def _time_of(run: Callable[[], object]) -> float:
    start = time.thread_time()
    run()
    return 1e3 * (time.thread_time() - start)
