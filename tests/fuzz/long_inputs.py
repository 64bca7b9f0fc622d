"""Lift clips of many frames, and archives of many clips: processor time and memory for each.

    python tests/fuzz/long_inputs.py clips MODEL [--frames 10000 100000] [--format npz]
    python tests/fuzz/long_inputs.py archive MODEL [--clips 10000]

A clip is one file of a person with scores, lifted by ``hot-infer`` in a new process; the clips of
an archive, of 30 to 119 frames, are lifted one after the other as each of its workers does, without
Ray. A narrow network: hot-export --model mixste --random-weights --frames 27 --set width=8
--set depth=2 --set heads=2 --set mlp_hidden=8 --set spread=8 --output narrow.onnx
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk._base.files import sha256_of
from hot_sdk.infer.batch_job import Job, lift_one
from hot_sdk.infer.inputs import EngineOptions, InputOptions

_COMMAND = "import sys; from hot_sdk.infer.cli import main; sys.exit(main())"
_SIZE = (1920, 1080)


def write_clip(path: Path, frames: int, seed: int) -> None:
    """Write keypoints of someone who sways."""
    chance = np.random.default_rng(seed)
    places = chance.uniform(200.0, 800.0, (1, 17, 2))
    sway = 40.0 * np.sin(np.arange(frames) / 15.0)[:, None, None]
    points = places + sway + chance.normal(0.0, 1.0, (frames, 17, 2))
    scores = chance.uniform(0.5, 1.0, (frames, 17))
    Keypoints(points, scores, skeleton="h36m17", image_size=_SIZE, fps=50.0).save(path)


def lift_clip(folder: Path, model: str, frames: int, format_name: str) -> None:
    """Lift a clip with ``hot-infer``, and print what it takes."""
    clip = folder / f"clip_{frames}.npz"
    write_clip(clip, frames, 0)
    words = [str(clip), "--model", model, "--threads", "1", "--format", format_name]
    child = subprocess.Popen([sys.executable, "-c", _COMMAND, *words, "-o", str(folder)])
    _, ended, used = os.wait4(child.pid, 0)
    seconds, megabytes = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(
        f"{frames} frames, {format_name}: status {os.waitstatus_to_exitcode(ended)},"
        f" {megabytes:.0f} MB, {1e6 * seconds / frames:.0f} us of the processor a frame",
        flush=True,
    )


def lift_archive(folder: Path, model: str, clips: int) -> None:
    """Lift the clips of an archive, and print what each tenth takes."""
    source, target = folder / "archive", folder / "poses"
    names = [f"{number // 100:04d}/{number:06d}.npz" for number in range(clips)]
    for number, name in enumerate(names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        write_clip(source / name, 30 + 7 * number % 90, number)
    options = EngineOptions(threads=1)
    file = Path(model)
    job = Job(str(source), str(target), model, sha256_of(file), options, InputOptions())
    with Pose3DEngine(file, threads=1) as engine:
        began, done = time.process_time(), 0
        for number, name in enumerate(names, start=1):
            done += lift_one(job, name, lambda: engine).state == "done"
            if number % max(clips // 10, 1) == 0:
                each = (time.process_time() - began) / max(clips // 10, 1)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f"{number} clips, {done} done: {1e3 * each:.1f} ms each, {peak:.0f} MB")
                sys.stdout.flush()
                began = time.process_time()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=("clips", "archive"))
    parser.add_argument("model")
    parser.add_argument("--frames", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--format", default="npz")
    parser.add_argument("--clips", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.kind == "archive":
            lift_archive(Path(folder), options.model, options.clips)
            return
        for frames in options.frames:
            lift_clip(Path(folder), options.model, frames, options.format)


if __name__ == "__main__":
    main()
