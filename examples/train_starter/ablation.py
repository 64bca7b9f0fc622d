"""Measure what each part of the training brings, on the stem alone. README.md says how.

    python ablation.py DATA OUTPUT --start EARLIER.safetensors

Trains the stem once with everything, once with another seed, and once for each part that is left
out or added, all from the same weights and for as many steps, and measures them on people whom
they never saw. What was tried and is not part of the training is in this file.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bodies import ARMS, LEGS, PELVIS, THORAX, Bodies, Marks
from cameras import CONDITIONS, mirror, see
from detector import detect
from motion import FILE, FPS, Motion
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from train import (
    CREDIT,
    LICENSE,
    LIMITS,
    PRUNE_AT,
    SIZE,
    STAGES,
    Scenes,
    average_in,
    descend,
    loss_of,
    network,
    rate_at,
)

from hot_sdk._base.records import to_json
from hot_sdk._base.tables import Table, print_report
from hot_sdk.benchmarks.evaluation import load_starter_val
from hot_sdk.benchmarks.evaluation.clip_errors import ClipErrors, measure_clip
from hot_sdk.benchmarks.evaluation.metrics import summarize
from hot_sdk.export.checkpoints.reader import KEY, TrainingRecord
from hot_sdk.export.models.hourglass import HourglassNetwork
from hot_sdk.preprocessing.normalization import by_image_width

HEADER = (
    "stem",
    *(f"{name}, {of}" for of in ("starter-val", "other bodies") for name in (
        "MPJPE", "P-MPJPE", "straight knees °", "shoulder width",
    )),
    "CPU seconds",
)  # fmt: skip
_OTHERS, _BATCHES = 1024, 12


@dataclass(frozen=True)
class Variant:
    """A training of the stem.

    Attributes:
        name: What is special about it.
        uncorrected: The motion capture is that before its correction.
        without: See ``Scenes``.
        directions: Weight of bones' directions in the loss, meters.
        limbs: Arms and legs are those of other people's movements.
        reprojection: Weight of the error in another camera's image, at the person's distance.
        seed: Of the training.
        steps: Share of the steps; 0 measures the weights that all start from.
    """

    name: str
    uncorrected: bool = False
    without: tuple[str, ...] = ()
    directions: float = 0.05
    limbs: bool = False
    reprojection: float = 0.0
    seed: int = 0
    steps: float = 1.0


VARIANTS = (
    Variant("that it starts from", steps=0.0),
    Variant("everything"),
    Variant("everything, another seed", seed=1),
    Variant("motion before its correction", uncorrected=True),
    Variant("bodies as captured", without=("bodies",)),
    Variant("legs as captured", without=("legs",)),
    Variant("joints in place of marks", without=("marks",)),
    Variant("no loss of directions", directions=0.0),
    Variant("and limbs of several people", limbs=True),
    Variant("and a loss of reprojection", reprojection=0.5),
)


@dataclass(frozen=True)
class Recombined(Scenes):
    """Scenes in which half the clips have arms and legs of other clips."""

    def clips(self, batch: int, frames: int) -> Tensor:
        """Draw clips, (batch, frames, 17, 3)."""
        return recombine(super().clips(batch, frames))


def recombine(world: Tensor) -> Tensor:
    """Give half the clips the legs of others, half the right and half the left arm.

    Limbs keep their movement in relation to hips and trunk, or shoulders and trunk.
    """
    moved = world.clone()
    for limbs in (LEGS, ARMS[:1], ARMS[1:]):
        ends = LEGS if limbs is LEGS else ARMS
        across = world[:, :, ends[1][0]] - world[:, :, ends[0][0]]
        axes = _axes(across, world[:, :, THORAX] - world[:, :, PELVIS])
        order = torch.randperm(len(world))
        # From the axes of one person to those of another.
        turn = axes.transpose(2, 3) @ axes[order]
        takes = torch.rand(len(world), 1, 1) < 0.5
        for chain in limbs:
            root = world[:, :, list(chain[:1])]
            others = world[order][:, :, list(chain[1:])] - root[order]
            placed = root + others @ turn.transpose(2, 3)
            for joint, place in zip(chain[1:], placed.unbind(2), strict=True):
                moved[:, :, joint] = torch.where(takes, place, moved[:, :, joint])
    return moved


def _axes(across: Tensor, upwards: Tensor) -> Tensor:
    """Return rotations to the axes of a body, (batch, frames, 3, 3)."""
    right = functional.normalize(across, dim=-1)
    along = upwards - (upwards * right).sum(dim=-1, keepdim=True) * right
    along = functional.normalize(along, dim=-1)
    return torch.stack([right, along, torch.linalg.cross(right, along)], dim=-2)


def reprojection_loss(poses: Tensor, truth: Tensor) -> Tensor:
    """Return the mean distance in the image of a camera anywhere around, at the person's distance.

    Args:
        poses: (batch, frames, 17, 3), meters about the pelvis.
        truth: Of the same shape.
    """
    turn = torch.linalg.qr(torch.randn(len(poses), 3, 3))[0]
    away = 2.5 + 4.0 * torch.rand(len(poses), 1, 1)
    seen = []
    for each in (poses, truth):
        turned = torch.einsum("bij,bfkj->bfki", turn, each)
        depth = (turned[..., 2] + away).clamp(min=0.6)
        seen.append(turned[..., :2] * (away / depth)[..., None])
    return (seen[0] - seen[1]).norm(dim=-1).mean()


def train(
    variant: Variant, scenes: Scenes, weights: dict[str, Tensor], steps: int, batch: int
) -> HourglassNetwork:
    """Train the stem, and return the network of averaged weights."""
    torch.manual_seed(variant.seed)
    frames = weights["Temporal_pos_embed"].shape[1]
    made, average = network(frames, weights), network(frames, weights)
    rate = STAGES[0].rate * math.sqrt(batch / STAGES[0].batch)
    parameters, means = list(made.stem.parameters()), list(average.stem.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.02)
    for step in tqdm(range(steps), desc=variant.name):
        optimizer.param_groups[0]["lr"] = rate_at(step, steps, rate, 200)
        keypoints, conditions, truth = scenes.draw(batch, 1)
        guess = made.stem(keypoints, conditions)[1]
        loss, _ = loss_of(guess, truth, 0.0, variant.directions)
        if variant.reprojection:
            loss = loss + variant.reprojection * reprojection_loss(guess, truth)
        descend(loss, optimizer, parameters)
        average_in(means, parameters, min(0.999, (1 + step) / (10 + step)))
    # The blocks do not correct the stem's guess.
    nn.init.zeros_(average.head[1].weight)
    nn.init.zeros_(average.head[1].bias)
    return average.eval()


def lift(made: HourglassNetwork, keypoints: Tensor) -> np.ndarray:
    """Return the stem's poses (frames, 17, 3) in millimeters, told nothing of the camera."""
    told = torch.zeros(*keypoints.shape[:2], CONDITIONS)
    return 1000.0 * made.stem(keypoints, told)[1][:, 0].double().numpy()


def on_starter_val(made: HourglassNetwork) -> list[ClipErrors]:
    """Return the errors on one view of each sequence of ``starter-val``."""
    found = []
    for clip in load_starter_val(views=1):
        seen = by_image_width(clip.keypoints.points, clip.keypoints.image_size, "pad_to_square")
        poses = lift(made, torch.from_numpy(seen)[:, None])
        found.append(measure_clip(poses, clip.truth_mm, valid=clip.valid))
    return found


def on_other_bodies(made: HourglassNetwork, scenes: Scenes) -> list[ClipErrors]:
    """Return the errors on held-out motion of drawn bodies, marked as a detector would."""
    torch.manual_seed(7)
    found = []
    for _ in range(_BATCHES):
        view = mirror(see(*scenes.people(_OTHERS, 1)))
        poses = lift(made, detect(view.keypoints))
        found.append(measure_clip(poses, 1000.0 * view.poses[:, 0].double().numpy()))
    return found


def row(errors: list[ClipErrors]) -> tuple[str, ...]:
    """Return the figures of a table's row."""
    found = summarize(errors)
    return (
        f"{found.mpjpe_mm:.1f}",
        f"{found.p_mpjpe_mm:.1f}",
        f"{found.angles['knee'].straight_bias_degrees:+.1f}",
        f"{found.lengths['shoulder_width'].bias_mm:+.0f}",
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of cmu_h36m17_60fps.npz and index.json")
    parser.add_argument("output", type=Path, help="folder of the weights of each variant")
    parser.add_argument("--start", type=Path, required=True, help="weights to start from")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=1024, help="frames in a step")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="variants whose name contains this")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    weights = load_file(options.start)
    held_out = Scenes(Motion(options.data, "val"), Bodies(), Marks(), ("legs",))
    record = to_json(TrainingRecord(FPS, SIZE["heads"], PRUNE_AT, LICENSE, CREDIT, LIMITS))
    rows = []
    for number, variant in enumerate(VARIANTS):
        if options.only not in variant.name:
            continue
        name = "uncorrected_60fps.npz" if variant.uncorrected else FILE
        scenes = Scenes(Motion(options.data, file=name), Bodies(), Marks(), variant.without)
        if variant.limbs:
            scenes = Recombined(**{
                field.name: getattr(scenes, field.name) for field in dataclasses.fields(scenes)
            })  # fmt: skip
        start = time.process_time()
        made = train(variant, scenes, weights, int(options.steps * variant.steps), options.batch)
        taken = time.process_time() - start
        kept = {key: value.contiguous() for key, value in made.state_dict().items()}
        save_file(kept, options.output / f"{number}.safetensors", {KEY: record})
        with torch.inference_mode():
            figures = row(on_starter_val(made)) + row(on_other_bodies(made, held_out))
        rows.append((variant.name, *figures, f"{taken:.0f}"))
        print_report([Table(f"{options.steps} steps", HEADER, tuple(rows))])


if __name__ == "__main__":
    main()
