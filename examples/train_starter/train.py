"""Train the starter model: one checkpoint for every ratio. See README.md next to this file."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bodies import Bodies, Marks, mark, set_lengths, straighten_legs
from cameras import CONDITIONS, inform, mirror, see
from detector import detect
from motion import FPS, Motion
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from hot_sdk._base.records import to_json
from hot_sdk.export.checkpoints.reader import KEY, TrainingRecord
from hot_sdk.export.enums import SelectorKind
from hot_sdk.export.models import ModelSpec, build, resolve
from hot_sdk.export.models.hourglass import HourglassNetwork
from hot_sdk.skeletons import H36M17

LOG = logging.getLogger("train_starter")

FRAMES = 81
SIZE = {
    "width": 96,
    "depth": 4,
    "heads": 4,
    "mlp_hidden": 192,
    "stem": 512,
    "conditions": CONDITIONS,
    "spread": 64,
}
RATIOS = (0.2, 0.33, 0.5, 0.75, 1.0)
PRUNE_AT = 1
PARTS = ("bodies", "legs", "marks")
"""What can be left out: other bodies, straighter legs, marks beside joints."""
PARENTS = list(H36M17.parents[1:])
LICENSE = "Apache-2.0 (network code of MixSTE published under MIT with HoT)"
CREDIT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created "
    "with funding from NSF EIA-0196217."
)
LIMITS = (
    "Trained on 48 minutes of motion capture of few people, given the lengths of 6,064 adults "
    "(soldiers of 17 to 58 years, no children), seen by virtual cameras with synthetic detector "
    "errors; nose, head and spine are constructed points. Not trained or measured on Human3.6M."
)
_SHORTEST = 9
"""Frames that the network is built for if only the stem is trained from scratch."""
NEW = ("stem.known.", "spread_")
"""Keys of layers that weights to start from may lack."""
_FIRST_SPREAD = 0.05
_SPREAD_WEIGHT = 0.02
"""Low, so that the spread's gradient takes no part in the clipping of the others'."""
_HALF_WIDTH = 1.139
"""Half the interval that holds 68 % of a Laplace distribution of scale 1."""
TIMED = ("Temporal_pos_embed", "x_token", "pos_embed_token")


State = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One stage of the training.

    Attributes:
        frames: Frames of a clip; 1 trains the stem alone.
        batch: Clips in a step.
        rate: Highest learning rate.
        stem_share: Share of that rate for the stem.
        velocity: Weight of velocities in the loss.
        prunes: Frames are pruned, by another ratio in each step.
    """

    frames: int
    batch: int
    rate: float
    stem_share: float
    velocity: float = 2.0
    prunes: bool = False


STAGES = (
    Stage(1, 2048, 2e-3, 1.0),
    Stage(27, 32, 6e-4, 0.1),
    Stage(FRAMES, 16, 3e-4, 0.1),
    # A higher weight would trade fast movements for smooth poses between kept frames.
    Stage(FRAMES, 16, 1.5e-4, 0.1, velocity=1.0, prunes=True),
)


def in_float32(module: nn.Module) -> nn.Module:
    """Make a module compute in float32 always, and return it.

    bfloat16 resolves a meter to a few millimeters, and chooses frames at chance level.
    """
    plain = module.forward

    def forward(first: Tensor, *others: Tensor | None) -> Tensor:
        values = (
            value.float() if value is not None and value.is_floating_point() else value
            for value in (first, *others)
        )
        with torch.autocast(first.device.type, enabled=False):
            return plain(*values)

    module.forward = forward
    return module


def architecture(
    frames: int, ratio: float = 0.5, selector: SelectorKind | None = None
) -> ModelSpec:
    """Resolve the elastic network for clips of a length."""
    return resolve(
        "mixste", frames=frames, ratio=ratio, selector=selector, prune_at=PRUNE_AT, elastic=True,
        **SIZE,
    )  # fmt: skip


def network(frames: int, weights: dict[str, Tensor] | None = None) -> HourglassNetwork:
    """Build the network for clips of a length, the weights' time embeddings stretched to it."""
    # On the CPU, so that a seed means the same weights everywhere.
    with torch.device("cpu"):
        made = build(architecture(frames)).train()
    if weights is not None:
        stretched = {
            key: functional.interpolate(
                value.transpose(1, 2), size=frames, mode="linear", align_corners=True
            ).transpose(1, 2)
            if key in TIMED
            else value
            for key, value in weights.items()
        }
        missing, unexpected = made.load_state_dict(stretched, strict=False)
        assert not unexpected, unexpected
        assert all(key.startswith(NEW) for key in missing), missing
    else:
        for key, parameter in made.named_parameters():
            if key in TIMED or key == "Spatial_pos_embed":
                nn.init.trunc_normal_(parameter, std=0.02)
        # At first the blocks do not correct the stem's guess.
        nn.init.zeros_(made.head[1].weight)
        nn.init.zeros_(made.head[1].bias)
        # Interpolation is a good guess by itself.
        nn.init.zeros_(made.cross_attention.proj.weight)
        nn.init.zeros_(made.cross_attention.proj.bias)
    if weights is None or "spread_head.3.bias" not in weights:
        nn.init.zeros_(made.spread_head[3].weight)
        nn.init.constant_(made.spread_head[3].bias, math.log(_FIRST_SPREAD))
    return made.to(torch.get_default_device())


def prune_at_random(made: HourglassNetwork, frames: int) -> None:
    """Prune by a random ratio, and a random selector: mostly the published one."""
    ratio = RATIOS[int(torch.randint(len(RATIOS), (), device="cpu"))]
    uniform = float(torch.rand((), device="cpu")) < 0.2
    selector = SelectorKind.UNIFORM if uniform else SelectorKind.TPC
    made.prune_as(made.spec.plain() if ratio >= 1.0 else architecture(frames, ratio, selector))
    for layer in made.selectors:
        in_float32(layer)


def loss_of(
    poses: Tensor, truth: Tensor, weight: float, directions: float
) -> tuple[Tensor, Tensor]:
    """Return the loss of poses, and mean joint error alone, in meters.

    Args:
        poses: (batch, frames, 17, 3).
        truth: Of the same shape.
        weight: Of the error of velocities.
        directions: Of the error of bones' directions, meters.
    """
    error = (poses - truth).norm(dim=-1).mean()
    loss = (
        error + directions * (bone_directions(poses) - bone_directions(truth)).norm(dim=-1).mean()
    )
    if truth.shape[1] > 1:
        loss = loss + weight * (poses - truth).diff(dim=1).norm(dim=-1).mean()
    return loss, error.detach()


def bone_directions(poses: Tensor) -> Tensor:
    """Return the unit vectors of all bones, (..., 16, 3)."""
    bones = poses[..., 1:, :] - poses[..., PARENTS, :]
    return bones / bones.norm(dim=-1, keepdim=True).clamp(min=0.02)


def spread_loss(spread: Tensor, error: Tensor) -> Tensor:
    """Return the mean negative log likelihood of errors under Laplace distributions."""
    scale = spread / _HALF_WIDTH
    return (error.abs() / scale + scale.log()).mean()


@dataclass(frozen=True)
class Scenes:
    """Everything that clips are drawn from, and the parts of ``PARTS`` that are left out."""

    motion: Motion
    bodies: Bodies
    marks: Marks
    without: tuple[str, ...] = ()

    def draw(self, batch: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw keypoints, conditions and the true poses of a step; see ``cameras.inform``."""
        view = mirror(see(*self.people(batch, frames)))
        return inform(self.detected(view.keypoints), view)

    def detected(self, keypoints: Tensor) -> Tensor:
        """Return keypoints as a detector finds them."""
        return detect(keypoints)

    def people(self, batch: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw moving people, what a detector marks of them, and their statures; see ``see``."""
        lengths = self.bodies.draw(batch)
        world = self.clips(batch, frames)
        if "legs" not in self.without:
            world = straighten_legs(world)
        if "bodies" not in self.without:
            world = set_lengths(world, lengths)
        marks = world
        if "marks" not in self.without:
            moved = mark(world, lengths, self.marks.draw(batch)) - world
            marks = world + torch.rand(batch, 1, 1, 1) * moved
        return world, marks, lengths["stature"]

    def clips(self, batch: int, frames: int) -> Tensor:
        """Draw movements, (batch, frames, 17, 3), world meters, y up."""
        return self.motion.clips(batch, frames)


def main() -> None:
    """Train through all stages and save the averaged weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of cmu_h36m17_60fps.npz and index.json")
    parser.add_argument("output", type=Path, help="folder of checkpoint, log and weights")
    parser.add_argument("--steps", default="16000,4000,4000,2000", help="steps of each stage")
    batches = ",".join(str(stage.batch) for stage in STAGES)
    parser.add_argument("--batches", default=batches, help="clips per step of each stage")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--start", type=Path, help="weights to start from")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plain", action="store_true", help="never prune, for comparison")
    parser.add_argument("--bfloat16", action="store_true", help="faster if the CPU has it")
    parser.add_argument(
        "--directions", type=float, default=0.05, help="weight of bones' directions, meters"
    )
    parser.add_argument(
        "--without", nargs="*", default=(), choices=PARTS, help="leave out, for comparison"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[logging.FileHandler(options.output / "train.log"), logging.StreamHandler()],
    )
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)
    torch.manual_seed(options.seed)
    steps = [int(text) for text in options.steps.split(",")]
    batches = [int(text) for text in options.batches.split(",")]
    scenes = Scenes(Motion(options.data), Bodies(), Marks(), tuple(options.without))
    kept = options.output / "checkpoint.pt"
    state: State | None = None
    if kept.exists():
        state = torch.load(kept, weights_only=True, map_location="cpu")
    elif options.start is not None:
        first = next(number for number, count in enumerate(steps) if count > 0)
        state = {"stage": first, "step": 0, "average": load_file(options.start)}
    for number, stage in enumerate(STAGES):
        if state is not None and state["stage"] > number:
            continue
        # More clips in a step make its gradient less noisy, which permits a higher rate.
        rate = stage.rate * math.sqrt(batches[number] / stage.batch)
        stage = dataclasses.replace(stage, batch=batches[number], rate=rate)
        state = run_stage(number, stage, steps[number], scenes, state, kept, options)
    assert state is not None
    record = TrainingRecord(FPS, SIZE["heads"], PRUNE_AT, LICENSE, CREDIT, LIMITS)
    weights = {key: value.contiguous().cpu() for key, value in state["average"].items()}
    target = options.output / "starter.safetensors"
    save_file(weights, target, {KEY: to_json(record)})
    target.chmod(0o644)


def rate_at(step: int, steps: int, highest: float, warm_up: int) -> float:
    """Return a step's learning rate: a linear rise over ``warm_up`` steps, times half a cosine."""
    cosine = 0.02 + 0.49 * (1.0 + math.cos(math.pi * step / steps))
    return highest * min(1.0, (step + 1) / warm_up) * cosine


def descend(loss: Tensor, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
    """Take one step down the loss, along a gradient of norm 1 at most."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def average_in(means: list[nn.Parameter], parameters: list[nn.Parameter], decay: float) -> None:
    """Take parameters into their running means."""
    with torch.no_grad():
        torch._foreach_lerp_(means, parameters, 1.0 - decay)


def save_state(state: State, path: Path) -> None:
    """Save what an interrupted run needs, or leave the file as it was."""
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


def random_state() -> dict[str, Tensor]:
    """Return the state of the random generators of every device in use."""
    state = {"cpu": torch.get_rng_state()}
    if torch.get_default_device().type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor]) -> None:
    """Restore the random generators of an interrupted run."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.get_default_device().type == "cuda":
        torch.cuda.set_rng_state(state["cuda"])


def run_stage(
    number: int, stage: Stage, steps: int, scenes: Scenes, state: State | None, kept: Path,
    options: argparse.Namespace,
) -> State:  # fmt: skip
    """Train through one stage, from its beginning or from where it was interrupted."""
    frames = max(stage.frames, _SHORTEST)
    if stage.frames == 1 and state is not None:
        # Only the stem is trained: the other weights stay as they are.
        frames = state["average"]["Temporal_pos_embed"].shape[1]
    made = network(frames, None if state is None else state["average"])
    prunes = stage.prunes and not options.plain
    if not prunes:
        made.prune_as(made.spec.plain())
    average = copy.deepcopy(made)
    for layer in (made.head[1], made.stem.guess, made.spread_head):
        in_float32(layer)
    parameters, means = list(made.parameters()), list(average.parameters())
    # A few clips show the stem far fewer views than it was trained on, so it learns slowly.
    stem = {"params": list(made.stem.parameters()), "share": stage.stem_share}
    others = [value for name, value in made.named_parameters() if not name.startswith("stem.")]
    groups = [stem, {"params": others, "share": 1.0}]
    optimizer = torch.optim.AdamW(groups, lr=stage.rate, weight_decay=0.02)
    first = 0
    if state is not None and state["step"] > 0:
        made.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
        set_random_state(state["random"])
    smooth: Tensor | None = None
    saved = logged = time.monotonic()
    for step in tqdm(range(first, steps), desc=f"stage {number}", initial=first, total=steps):
        rate = rate_at(step, steps, stage.rate, 200)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        keypoints, conditions, truth = scenes.draw(stage.batch, stage.frames)
        device, spread = keypoints.device.type, None
        with torch.autocast(device, dtype=torch.bfloat16, enabled=options.bfloat16):
            if prunes:
                prune_at_random(made, frames)
            if stage.frames == 1:
                guess = made.stem(keypoints, conditions)[1]
            else:
                guess, _, spread = made.lift(keypoints, None, conditions)
        loss, error = loss_of(guess, truth, stage.velocity, options.directions)
        if spread is not None:
            loss = loss + _SPREAD_WEIGHT * spread_loss(spread, (guess - truth).detach())
        descend(loss, optimizer, parameters)
        average_in(means, parameters, min(0.999, (1 + step) / (10 + step)))
        smooth = error if smooth is None else smooth.lerp(error, 0.02)
        now, last = time.monotonic(), step + 1 == steps
        if now - logged > 20.0 or last:
            shown = (number, step + 1, steps, 1000 * float(smooth), rate)
            LOG.info("stage %d step %d of %d: %.1f mm, rate %.2g", *shown)
            logged = now
        if now - saved > 60.0 or last:
            saved = now
            state = {
                "stage": number + last,
                "step": 0 if last else step + 1,
                "network": made.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "random": random_state(),
            }
            save_state(state, kept)
    assert state is not None
    return state


if __name__ == "__main__":
    main()
