"""Measure whether a stream's memory stays flat over a million pushes, and the cost of a push.

    python benchmarks/studies/stream_soak.py MODEL.onnx [--pushes 1000000] [--people 3]

Random keypoints of people who come, leave for longer than their time to live, and return under new
track ids. Prints resident memory and the cost of pushes at ten places on the way.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk import Pose3DEngine, Pose3DStream
from hot_sdk.benchmarks.machine import describe_machine

_FPS = 30.0
_STAY = 900
"""Frames that a person stays before another comes in their place."""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--pushes", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=3)
    options = parser.parse_args()
    print(describe_machine("numpy", "onnxruntime"))
    random = np.random.default_rng(0)
    frames = random.uniform(100.0, 500.0, (256, 17, 3)).astype(np.float32)
    frames[..., 2] = 0.9
    with (
        Pose3DEngine(options.model) as engine,
        engine.stream(
            "video",
            # The engine runs as rarely as a window allows: this is about everything else.
            hop=engine.manifest.frames // 2,
            fps=_FPS,
            max_people=options.people,
            skeleton="coco17",
            image_size=(640, 480),
            time_to_live_s=0.1,
        ) as stream,
    ):
        _soak(stream, frames, options.pushes, options.people)
        print(stream.report())


def _soak(stream: Pose3DStream, frames: NDArray[np.float32], pushes: int, people: int) -> None:
    print("pushes      resident MB  push without engine, median us")
    quiet: list[float] = []
    place = 0
    for number in range(pushes):
        frame, person = divmod(number, people)
        start = time.perf_counter()
        poses = stream.push(frames[frame % 256], frame / _FPS, f"{person}-{frame // _STAY}")
        taken = time.perf_counter() - start
        if not poses and len(quiet) < 10_000:
            quiet.append(taken)
        if (number + 1) * 10 // pushes > place:
            place += 1
            median_us = 1e6 * float(np.median(quiet))
            print(f"{number + 1:>9}  {_resident_mb():>10.1f}  {median_us:>10.1f}")
            quiet.clear()


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("This system does not report a process's resident memory.")


if __name__ == "__main__":
    main()
