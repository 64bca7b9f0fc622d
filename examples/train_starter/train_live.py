"""Train the live starter from the starter's weights. See README.md next to this file."""

from __future__ import annotations

import argparse
import copy
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from bodies import Bodies, Marks
from detector import lose
from motion import FPS, Motion
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm
from train import (
    CREDIT,
    LICENSE,
    LIMITS,
    SIZE,
    Scenes,
    State,
    average_in,
    descend,
    in_float32,
    loss_of,
    random_state,
    rate_at,
    save_state,
    set_random_state,
    spread_loss,
)

from hot_sdk._base.records import to_json
from hot_sdk.export.checkpoints.reader import KEY, TrainingRecord
from hot_sdk.export.models import resolve
from hot_sdk.export.models.layers.memory_attention import Visible
from hot_sdk.export.models.layers.transformer import Grid
from hot_sdk.export.models.live_mixste import LiveMixSTE
from hot_sdk.preprocessing.causal import CausalCleaner
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.starter import starter_checkpoint
from hot_sdk.step_memory import StepMemory

LOG = logging.getLogger("train_live")
T = TypeVar("T")

NEW = ".age_weights."
"""Part of the keys of the layers that the starter's weights lack."""
LOOKAHEADS = (0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
"""Drawn anew in each step."""
MEMORIES = (
    StepMemory(63),
    StepMemory(63),
    StepMemory(40),
    StepMemory(24),
    StepMemory(16, 12, 5),
    StepMemory(16, 16, 3),
    StepMemory(10, 10, 6),
)
SPREAD_WEIGHT = 0.02


class LiveScenes(Scenes):
    """Scenes whose missing joints are filled, and whose jumps are doubted, as the runtime does."""

    def detected(self, keypoints: Tensor) -> Tensor:
        """Return keypoints as a live network gets them."""
        found = lose(super().detected(keypoints))
        return torch.stack([_filled(clip, self.motion.fps) for clip in found])


def _filled(clip: Tensor, fps: float) -> Tensor:
    cleaner, filled = CausalCleaner(InputPolicies()), []
    for points in clip.numpy():
        frame = cleaner.add(points, None, fps=fps)
        assert frame is not None
        filled.append(frame.cleaned.points[0])
    return torch.from_numpy(np.stack(filled))


def live_network(weights: dict[str, Tensor]) -> LiveMixSTE:
    """Build the network from its own weights, or from those of the starter."""
    made = LiveMixSTE(resolve("mixste", frames=2, **SIZE)).train()
    missing, unused = made.load_state_dict(weights, strict=False)
    assert all(NEW in key for key in missing), missing
    LOG.info("new: %d tensors; not used: %s", len(missing), ", ".join(unused) or "none")
    return made


def pick(values: Sequence[T]) -> T:
    """Draw one of several values."""
    return values[int(torch.randint(len(values), ()))]


def lift_at_random(
    made: LiveMixSTE, keypoints: Tensor, conditions: Tensor, fps: float
) -> tuple[Tensor, Tensor | None]:
    """Lift clips with a random lookahead and memory; return poses and their spread."""
    times = torch.arange(keypoints.shape[1]) / fps
    ahead, memory = pick(LOOKAHEADS), pick(MEMORIES)
    return made.lift_clip(keypoints, times, conditions, lookahead=ahead, memory=memory)


def frame_rate() -> float:
    """Draw frames per second: 30 every second time, else 15 to 60."""
    draw = torch.rand(2).tolist()
    return FPS if draw[0] < 0.5 else 15.0 * 4.0 ** draw[1]


def compile_blocks(made: LiveMixSTE) -> None:
    """Have the blocks compiled; they compute the same with fewer passes over memory."""
    for block in made.STEblocks:
        block.forward = torch.compile(block.forward, dynamic=False)
    for block in made.TTEblocks:
        block.over_clip = _with_same_strides(torch.compile(block.over_clip, dynamic=False))


def _with_same_strides(compiled: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function that is compiled once for all lookaheads."""

    def over_clip(tokens: Tensor, grid: Grid, visible: Visible) -> Tensor:
        return compiled(tokens, grid, visible._replace(allowed=visible.allowed.contiguous()))

    return over_clip


def main() -> None:
    """Train, and save the averaged weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of cmu_h36m17_60fps.npz and index.json")
    parser.add_argument("output", type=Path, help="folder of checkpoint, log and weights")
    parser.add_argument("--start", type=Path, default=starter_checkpoint(), help="weights")
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=16, help="clips per step")
    parser.add_argument("--frames", type=int, default=64, help="frames of a clip")
    parser.add_argument("--rate", type=float, default=4e-4, help="highest learning rate")
    parser.add_argument("--velocity", type=float, default=2.0, help="weight of velocities")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bfloat16", action="store_true", help="faster if the CPU has it")
    parser.add_argument("--gaps", action="store_true", help="joints are missing in half the clips")
    parser.add_argument("--compile", action="store_true", help="faster after some minutes")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[logging.FileHandler(options.output / "train.log"), logging.StreamHandler()],
    )
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    kind = LiveScenes if options.gaps else Scenes
    scenes = kind(Motion(options.data), Bodies(), Marks())
    average = train(scenes, options)
    record = TrainingRecord(FPS, SIZE["heads"], None, LICENSE, CREDIT, LIMITS)
    weights = {key: value.contiguous() for key, value in average.items()}
    target = options.output / "starter-live.safetensors"
    save_file(weights, target, {KEY: to_json(record)})
    target.chmod(0o644)


def train(scenes: Scenes, options: argparse.Namespace) -> dict[str, Tensor]:
    """Train from the start, or from where the run was interrupted; return averaged weights."""
    made = live_network(load_file(options.start))
    average = copy.deepcopy(made)
    for layer in (made.head[1], made.stem.guess, made.spread_head):
        in_float32(layer)
    if options.compile:
        compile_blocks(made)
    parameters = [value for value in made.parameters() if value.requires_grad]
    means = [value for value in average.parameters() if value.requires_grad]
    # A few clips show the stem far fewer views than it was trained on, so it learns slowly.
    groups = {"stem.": 0.1, NEW: 5.0, "": 1.0}
    shares: dict[float, list[nn.Parameter]] = {share: [] for share in groups.values()}
    for name, value in made.named_parameters():
        if value.requires_grad:
            shares[next(share for part, share in groups.items() if part in name)].append(value)
    optimizer = torch.optim.AdamW(
        [{"params": values, "share": share} for share, values in shares.items()],
        lr=options.rate, weight_decay=0.02,
    )  # fmt: skip
    kept, first = options.output / "checkpoint.pt", 0
    if kept.exists():
        state: State = torch.load(kept, weights_only=True)
        made.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
        set_random_state(state["random"])
    smooth: Tensor | None = None
    saved = logged = time.monotonic()
    for step in tqdm(range(first, options.steps), initial=first, total=options.steps):
        rate = rate_at(step, options.steps, options.rate, 50)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        scenes.motion.fps = frame_rate()
        keypoints, conditions, truth = scenes.draw(options.batch, options.frames)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bfloat16):
            poses, spread = lift_at_random(made, keypoints, conditions, scenes.motion.fps)
        # A step at another rate is another share of a second.
        velocity = options.velocity * scenes.motion.fps / FPS
        loss, error = loss_of(poses, truth, velocity, 0.05)
        assert spread is not None
        loss = loss + SPREAD_WEIGHT * spread_loss(spread, (poses - truth).detach())
        descend(loss, optimizer, parameters)
        average_in(means, parameters, min(0.998, (1 + step) / (10 + step)))
        smooth = error if smooth is None else smooth.lerp(error, 0.02)
        now, last = time.monotonic(), step + 1 == options.steps
        if now - logged > 20.0 or last:
            LOG.info("step %d of %d: %.1f mm", step + 1, options.steps, 1000 * float(smooth))
            logged = now
        if now - saved > 60.0 or last:
            saved = now
            state = {
                "step": step + 1,
                "network": made.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "random": random_state(),
            }
            save_state(state, kept)
    return average.state_dict()


if __name__ == "__main__":
    main()
