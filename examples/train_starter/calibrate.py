"""Calibrate the spread of trained weights on the held-out motion. See README.md next to this file.

    python calibrate.py DATA OUTPUT/starter.safetensors

One factor for each axis makes the intervals hold 68 % of the errors. The file is written anew.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from bodies import Bodies, Marks
from motion import FPS, Motion
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from train import FRAMES, Scenes, network, prune_at_random
from train_live import NEW, lift_at_random, live_network

from hot_sdk.benchmarks.evaluation.coverage import LEVELS, interval_width
from hot_sdk.export.models.live_mixste import LiveMixSTE

LOG = logging.getLogger("calibrate")

_BATCH = 16


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of cmu_h36m17_60fps.npz and index.json")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(1)
    weights = load_file(options.weights)
    weights["spread_factor"] = torch.ones(3)
    live = any(NEW in key for key in weights)
    made = live_network(weights) if live else network(FRAMES, weights)
    made.eval()
    scenes = Scenes(Motion(options.data, "val"), Bodies(), Marks())
    ratios = []
    with torch.inference_mode():
        for _ in range(options.steps):
            keypoints, conditions, truth = scenes.draw(_BATCH, FRAMES)
            if isinstance(made, LiveMixSTE):
                poses, spread = lift_at_random(made, keypoints, conditions, FPS)
            else:
                prune_at_random(made, FRAMES)
                poses, _, spread = made.lift(keypoints, None, conditions)
            assert spread is not None
            # The pelvis is the origin, which has no error.
            ratios.append(((poses - truth).abs() / spread)[:, :, 1:].flatten(0, 2))
    measured = torch.cat(ratios)
    factor = torch.stack([_quantile(axis, 0.68) for axis in measured.unbind(1)])
    LOG.info("factors of x, y and z: %s", [round(value, 4) for value in factor.tolist()])
    for name in ("laplace", "normal"):
        widths = [interval_width(level, name) for level in LEVELS]
        held = [((measured / factor) < width).float().mean().item() for width in widths]
        shown = ", ".join(
            f"{level}%: {share:.1%}" for level, share in zip(LEVELS, held, strict=True)
        )
        LOG.info("intervals of a %s distribution hold %s", name, shown)
    weights["spread_factor"] = factor
    with safe_open(options.weights, "pt") as stored:
        metadata = stored.metadata()
    save_file(weights, options.weights, metadata)
    options.weights.chmod(0o644)


def _quantile(values: Tensor, share: float) -> Tensor:
    return values.kthvalue(int(share * len(values))).values


if __name__ == "__main__":
    main()
