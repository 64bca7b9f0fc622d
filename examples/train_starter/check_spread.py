"""Measure whether ``spread`` holds the errors of people whom nobody calibrated it on.

    python check_spread.py DATA OUTPUT/starter.safetensors

Limbs of held-out motion on the captured body and on drawn ones, and people on their own skeletons,
whose movements were part of the training and whose lengths were not; nothing known of the camera.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bodies import ARMS, LEGS, Bodies, Marks
from cameras import CONDITIONS, inform, mirror, see
from detector import detect
from motion import Motion
from safetensors.torch import load_file
from torch import Tensor
from train import FRAMES, Scenes, architecture, network

from hot_sdk._base.tables import Table, print_report
from hot_sdk.benchmarks.evaluation.coverage import LEVELS, interval_width

LIMBS = sorted(joint for chain in (*LEGS, *ARMS) for joint in chain)
HEADER = ("people", "MPJPE of limbs, mm", *(f"{level} %" for level in LEVELS), "spread, mm")
_BATCH = 16


@dataclass(frozen=True)
class People:
    """People whose errors are compared with the spread.

    Attributes:
        name: Who they are.
        skeleton: ``asf`` or ``bvh31`` for the training's people on their own skeletons; None for
            the held-out motion.
        without: See ``Scenes``.
        noisy: Keypoints have a detector's errors.
        told: Camera and person are known as in the training.
    """

    name: str
    skeleton: str | None = None
    without: tuple[str, ...] = ("bodies", "legs", "marks")
    noisy: bool = False
    told: bool = False


PEOPLE = (
    People("held-out motion, captured body"),
    People("held-out motion, drawn bodies", without=("legs", "marks")),
    People("the same, as a detector marks them", without=("legs",)),
    People("the same, with a detector's noise", without=("legs",), noisy=True),
    People("drawn as in training, with what is known", without=(), noisy=True, told=True),
    People("own skeletons (asf)", skeleton="asf"),
    People("own skeletons (bvh31)", skeleton="bvh31"),
)


def motion_of(folder: Path, skeleton: str | None) -> Motion:
    """Return the held-out motion, or that of the training on one kind of skeleton."""
    if skeleton is None:
        return Motion(folder, "val")
    motion = Motion(folder)
    chosen = np.zeros_like(motion.ahead)
    for sequence in json.loads((folder / "index.json").read_text(encoding="utf-8")):
        if sequence.get("skeleton") == skeleton:
            chosen[sequence["start"] : sequence["start"] + sequence["frames"]] = 1
    motion.ahead *= chosen
    return motion


def measure(weights: dict[str, Tensor], people: People, folder: Path, steps: int) -> list[str]:
    """Return the row of some people."""
    torch.manual_seed(3)
    made = network(FRAMES, weights).eval()
    made.prune_as(architecture(FRAMES, 0.5))
    scenes = Scenes(motion_of(folder, people.skeleton), Bodies(), Marks(), people.without)
    errors, ratios, spreads = [], [], []
    with torch.inference_mode():
        for _ in range(steps):
            view = mirror(see(*scenes.people(_BATCH, FRAMES)))
            seen = detect(view.keypoints) if people.noisy else view.keypoints
            conditions, truth = torch.zeros(_BATCH, FRAMES, CONDITIONS), view.poses
            if people.told:
                seen, conditions, truth = inform(seen, view)
            poses, _, spread = made.lift(seen, None, conditions)
            off = (poses - truth)[:, :, LIMBS]
            errors.append(off.norm(dim=-1).flatten())
            ratios.append((off.abs() / spread[:, :, LIMBS]).flatten())
            spreads.append(spread[:, :, LIMBS].flatten())
    ratio = torch.cat(ratios)
    held = [float((ratio < interval_width(level)).float().mean()) for level in LEVELS]
    figures = [1000.0 * float(torch.cat(errors).mean()), *(100.0 * share for share in held)]
    figures.append(1000.0 * float(torch.cat(spreads).mean()))
    return [people.name, *(f"{figure:.1f}" for figure in figures)]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of cmu_h36m17_60fps.npz and index.json")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--steps", type=int, default=12, help="16 clips in each (default: 12)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    weights = load_file(options.weights)
    rows = [tuple(measure(weights, people, options.data, options.steps)) for people in PEOPLE]
    print_report([Table(options.weights.name, HEADER, tuple(rows))])


if __name__ == "__main__":
    main()
