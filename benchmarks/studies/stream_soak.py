"""Measure whether a stream's memory stays flat over a million pushes, and the cost of a push.

    python benchmarks/studies/stream_soak.py starter-live [--pushes 1000000] [--people 3]
    python benchmarks/studies/stream_soak.py MODEL.onnx

Keypoints of bodies that move, of people who come, leave for longer than their time to live, and
return under new track ids. Prints resident memory and the cost of pushes, in time of the processor,
at ten places on the way. The engine of a window model runs as rarely as a window allows, because
this is about everything else; that of a live network runs for each push.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk import Pose3DEngine, Pose3DStream
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.starter import resolve_model

_FPS = 30.0
_STAY = 900
"""Frames that a person stays before another comes in their place."""

_KEPT = 10_000
"""Pushes whose cost is kept, before each place."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="a file, or the name of a model that ships")
    parser.add_argument("--pushes", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=3)
    options = parser.parse_args(arguments)
    _say(describe_machine("numpy", "onnxruntime"))
    frames = _moving()
    with Pose3DEngine(resolve_model(options.model), threads=1) as engine:
        live = engine.manifest.step is not None
        with engine.stream(
            "video",
            hop=1 if live else engine.manifest.frames // 2,
            fps=_FPS,
            max_people=options.people,
            skeleton="coco17",
            image_size=(640, 480),
            time_to_live_s=0.1,
        ) as stream:
            _soak(stream, frames, options.pushes, options.people, every=live)
            _say(str(stream.report()))


def _moving() -> NDArray[np.float32]:
    """Return keypoints (256, 17, 3) of a body whose joints swing, the last frame near the first."""
    random = np.random.default_rng(0)
    body, swing = random.uniform(100.0, 400.0, (2, 17, 2)) * [[[1.0]], [[0.05]]]
    turns = 2.0 * np.pi * (np.arange(256)[:, None, None] * 4 / 256 + random.uniform(size=(17, 2)))
    scores = np.full((256, 17, 1), 0.9)
    return np.concatenate([body + swing * np.sin(turns), scores], axis=-1, dtype=np.float32)


def _soak(
    stream: Pose3DStream, frames: NDArray[np.float32], pushes: int, people: int, *, every: bool
) -> None:
    of = "push" if every else "push without engine"
    _say(f"pushes      resident MB  {of}, median us")
    taken: list[float] = []
    place = 0
    for number in range(pushes):
        frame, person = divmod(number, people)
        start = time.thread_time()
        poses = stream.push(frames[frame % 256], frame / _FPS, f"{person}-{frame // _STAY}")
        seconds = time.thread_time() - start
        if (every or not poses) and len(taken) < _KEPT:
            taken.append(seconds)
        if (number + 1) * 10 // pushes > place:
            place += 1
            median_us = 1e6 * float(np.median(taken))
            _say(f"{number + 1:>9}  {_resident_mb():>10.1f}  {median_us:>10.1f}")
            taken.clear()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("This system does not report a process's resident memory.")


if __name__ == "__main__":
    main()
