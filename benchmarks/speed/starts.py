"""Time a program, and ``hot-infer``, from the start of the process to the first poses.

What a user waits for when a robot's program starts: Python itself, the SDK's imports, the model,
and the first run. Each time in a new process, so that nothing is loaded yet; but Python has
compiled the modules before, as it has those of a program that was started once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.leftovers import temporary_folder
from hot_sdk.benchmarks.speed.messages import Batch, WorkerTask
from hot_sdk.errors import EngineError
from hot_sdk.keypoints import Keypoints
from hot_sdk.manifest import Manifest

STAGES = ("python", "imports", "load", "first poses")
"""Parts of a start, in order: until the program's first line; the SDK; the model; a first clip."""

_PROGRAM = """\
import time
began = time.monotonic()
import json, sys
sys.path = [folder for folder in sys.path if folder]
task = json.loads(sys.argv[1])
from pathlib import Path
from hot_sdk import Keypoints, Pose3DEngine
imported = time.monotonic()
cache = task.pop("cache_dir")
engine = Pose3DEngine(cache_dir=None if cache is None else Path(cache), **task)
loaded = time.monotonic()
engine(Keypoints.from_file(sys.argv[2]))
print(json.dumps([began, imported, loaded, time.monotonic()]))
"""
_COMMAND = """\
import sys
sys.path = [folder for folder in sys.path if folder]
from hot_sdk.infer.cli import main
sys.exit(main())
"""
_LONGEST_S = 600.0


@dataclass(frozen=True)
class StartTimes:
    """Times of one start.

    Attributes:
        batch: The whole of it, as a turn of a measure.
        stages: Seconds of each of ``STAGES``; empty for a command.
    """

    batch: Batch
    stages: tuple[float, ...]


def time_start(task: WorkerTask, clip: Path) -> StartTimes:
    """Start a program that opens a model and lifts a clip; the clip's file is read in it, too.

    Raises:
        EngineError: It failed.
    """
    about = {
        "model": str(task.file),
        "engine": task.engine,
        "device": task.device,
        "threads": task.threads,
        "cache_dir": task.cache_dir,
    }
    start = time.monotonic()
    printed = _run([sys.executable, "-c", _PROGRAM, json.dumps(about), str(clip)])
    began, imported, loaded, end = json.loads(printed.splitlines()[-1])
    stages = (began - start, imported - began, loaded - imported, end - loaded)
    return StartTimes(Batch(start, end, (end - start,), ()), stages)


def time_command(task: WorkerTask, clip: Path) -> StartTimes:
    """Run ``hot-infer`` on a clip's file, from the start of the process to its end.

    Raises:
        EngineError: It failed.
    """
    with temporary_folder("hot-benchmark") as folder:
        words = [str(clip), "--model", str(task.file), "--output-dir", str(folder)]
        words += ["--engine", task.engine, "--device", task.device]
        if task.threads is not None:
            words += ["--threads", str(task.threads)]
        if task.cache_dir is not None:
            words += ["--cache-dir", task.cache_dir]
        start = time.monotonic()
        _run([sys.executable, "-c", _COMMAND, *words])
        end = time.monotonic()
    return StartTimes(Batch(start, end, (end - start,), ()), ())


def write_short_clip(manifest: Manifest, target: Path) -> Path:
    """Write keypoints of a real person, one window of a model long, to a file."""
    from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val

    longest: Keypoints = max(load_starter_val(views=1), key=len).keypoints
    count = min(len(longest), max(manifest.frames, 2))
    clip = Keypoints(
        longest.points[:count],
        None,
        skeleton=longest.skeleton,
        image_size=longest.image_size,
        fps=manifest.training_fps,
        track_id=1,
    )
    return clip.save(target)


def _run(command: Sequence[str]) -> str:
    # With it, every start would compile the SDK anew, which takes longer than all the rest.
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"A start that was to be timed took over {_LONGEST_S:g} seconds.",
            hint="Leave start and command out of --measure.",
        ) from error
    if ended.returncode != 0:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else "it wrote nothing"
        raise EngineError(
            f"A start that was to be timed ended with status {ended.returncode}: {reason}",
            hint="Leave start and command out of --measure.",
        )
    return ended.stdout
