"""Try an untrusted model in a child process: load it and compute its first poses, within limits.

A model is a program: a graph may hold a loop without end, or an operator that fills all memory. The
child has a limit of time and, on a CPU, of memory, and is killed at either; the model is opened in
this process only after that.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from hot_sdk.errors import EngineError, HotSDKError, UsageError
from hot_sdk.infer.inputs import EngineOptions
from hot_sdk.keypoints import Keypoints
from hot_sdk.skeletons import H36M17
from hot_sdk.starter import resolve_model

MEMORY_BYTES = 4 << 30
"""Memory of the child on a CPU; drivers of GPUs reserve far more than they use."""

# Not by 'python -m', which searches the working directory first.
_PROGRAM = (
    "import sys; sys.path = [folder for folder in sys.path if folder];"
    " from hot_sdk.infer.trial import main; main()"
)
_SIZE = (1000, 1000)
_LONGEST_S = 1e6


def try_model(model: str, options: EngineOptions, seconds: float) -> None:
    """Load a model and compute its first poses in a child process.

    Args:
        model: The file, or ``starter``.
        options: How it is opened.
        seconds: Time for both.

    Raises:
        UsageError: The time is not above 0.
        EngineError: The time or the memory was not enough, the child crashed, or it refused the
            model.
    """
    if not 0.0 < seconds <= _LONGEST_S:
        raise UsageError(f"--limit-seconds is {seconds}.", hint="Give a number above 0.")
    task = {**dataclasses.asdict(options), "model": str(resolve_model(model))}
    task["cache_dir"] = None if options.cache_dir is None else str(options.cache_dir)
    command = [sys.executable, "-c", _PROGRAM, json.dumps(task)]
    hint = "Do not run it unless you trust its origin; a slow machine needs a larger limit."
    try:
        child = subprocess.run(
            command, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"The model '{model}' did not compute its first poses within {seconds:g} s.", hint=hint
        ) from error
    answer = child.stdout.decode(errors="replace").strip().rpartition("\n")[2]
    if child.returncode == 0 and answer == "{}":
        return
    try:
        refusal = json.loads(answer)
        message, advice = str(refusal["message"]), str(refusal["hint"])
    except (ValueError, LookupError, TypeError) as error:
        raise EngineError(
            f"The process that tried the model '{model}', within {MEMORY_BYTES >> 30} GB of memory,"
            f" ended with status {child.returncode}.",
            hint=hint,
        ) from error
    raise EngineError(f"The model '{model}' failed when it was tried: {message}", hint=advice)


def main() -> None:
    """Try the model that the last argument describes; print the answer as JSON. Runs in a child."""
    task = json.loads(sys.argv[-1])
    if task["device"] == "cpu":
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    model = task.pop("model")
    cache = task.pop("cache_dir")
    answer = {}
    try:
        options = EngineOptions(**task, cache_dir=None if cache is None else Path(cache))
        with options.open(model) as engine:
            engine(_standing(engine.manifest.frames, engine.manifest.training_fps))
    except HotSDKError as error:
        answer = {"message": error.message, "hint": error.hint}
    except MemoryError:
        answer = {
            "message": f"it takes more than {MEMORY_BYTES >> 30} GB of memory.",
            "hint": "Do not run it unless you trust its origin.",
        }
    sys.stdout.write(json.dumps(answer) + "\n")


def _standing(frames: int, fps: float) -> Keypoints:
    """Return keypoints of someone who stands still."""
    joints = np.arange(len(H36M17.joints))
    points = np.stack([500.0 + 10.0 * (joints % 5), 200.0 + 30.0 * joints], axis=-1)
    whole = np.broadcast_to(points, (frames, *points.shape)).astype(np.float32)
    return Keypoints(whole, skeleton=H36M17.name, image_size=_SIZE, fps=fps)
