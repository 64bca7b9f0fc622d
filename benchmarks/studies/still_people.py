"""Measure how much a model's poses move of people who do not: jitter, for one or several models.

    python benchmarks/studies/still_people.py starter EARLIER.onnx --noise 2

Each clip of ``starter-val`` is one frame, held for five seconds, with noise on its keypoints. The
step is the mean distance that a joint moves from one frame to the next; the sway is its distance
from its mean place.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hot_sdk import Pose3DEngine
from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_report
from hot_sdk.benchmarks.evaluation import EvaluationClip, load_starter_val
from hot_sdk.benchmarks.evaluation.corruption import with_noise
from hot_sdk.starter import resolve_model

FRAMES = 150
CORRELATIONS = (0.0, 0.8)
"""Correlations of a joint's noise in a frame and the next."""
HEADER = ("model", "noise", "step, mm a frame", "in depth", "sway, mm", "ends' step")
_ENDS = (3, 6, 13, 16)


def held(clip: EvaluationClip) -> EvaluationClip:
    """Return the middle frame of a clip, held."""
    at = np.full(FRAMES, len(clip) // 2)
    points = clip.keypoints.points[at]
    keypoints = dataclasses.replace(clip.keypoints, points=points, scores=None, timestamps=None)
    return dataclasses.replace(
        clip, keypoints=keypoints, truth=clip.truth[at], valid=clip.valid[at], root=None
    )


def measure(engine: Pose3DEngine, clips: Sequence[EvaluationClip]) -> NDArray[np.float64]:
    """Return the mean step, its part in depth, the sway and the ends' step, millimeters."""
    found = []
    for result in engine.lift([clip.keypoints for clip in clips]):
        poses = result.to_millimeters().poses.astype(np.float64)
        steps = np.diff(poses, axis=0)
        away = np.linalg.norm(poses - poses.mean(axis=0), axis=-1)
        length = np.linalg.norm(steps, axis=-1)
        parts = (length, np.abs(steps[..., 2]), away, length[:, _ENDS])
        found.append([part.mean() for part in parts])
    mean: NDArray[np.float64] = np.mean(found, axis=0)
    return mean


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("still_people", arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog="still_people", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="models that return meters or millimeters")
    add("--noise", type=float, default=2.0, metavar="PX", help="standard deviation (default: 2)")
    add("--views", type=int, default=1, help="cameras per sequence, 1 to 4 (default: 1)")
    add("--threads", type=int, metavar="N", help="CPU threads of the engine")
    parser.add_shared_arguments()
    options = parser.parse(arguments)
    clips = [held(clip) for clip in load_starter_val(views=options.views)]
    rows = []
    for name in options.models:
        with Pose3DEngine(resolve_model(name), threads=options.threads) as engine:
            for correlation in CORRELATIONS:
                noisy = [with_noise(one, options.noise, correlation=correlation) for one in clips]
                kind = f"{options.noise:g} px, {'lasting' if correlation else 'new in each frame'}"
                figures = (f"{figure:.2f}" for figure in measure(engine, noisy))
                rows.append((name, kind, *figures))
    print_report([Table(f"{len(clips)} still people", HEADER, tuple(rows), text_columns=2)])


if __name__ == "__main__":
    sys.exit(main())
