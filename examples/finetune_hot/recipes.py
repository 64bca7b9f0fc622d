"""How each family's authors train it: the loss and the schedule, as data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Recipe:
    """The training of a family.

    Attributes:
        source: Where it is published.
        rate: Learning rate of the first epoch.
        decay: Factor after each epoch.
        halve_every: Epochs after which the factor is 0.5 instead; 0 for never.
        weight_decay: Of AdamW; 0 makes it Adam.
        amsgrad: Use the AMSGrad variant.
        batch: Windows in a step.
        epochs: Number of epochs.
        joints: Weight of each joint's error; empty for 1.
        still: Weight of the squared movement of the predicted joints.
        velocity: Weight of the error of velocities.
        scale: Weight of the error that is left if each pose is scaled to its truth.
    """

    source: str
    rate: float
    decay: float
    batch: int
    epochs: int
    halve_every: int = 0
    weight_decay: float = 0.0
    amsgrad: bool = False
    joints: tuple[float, ...] = ()
    still: float = 0.0
    velocity: float = 0.0
    scale: float = 0.0

    def rate_of(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        halved = epoch // self.halve_every if self.halve_every else 0
        return float(self.rate * 0.5**halved * self.decay ** (epoch - halved))


_IN_PIXELS = {"decay": 0.99, "epochs": 60, "weight_decay": 0.01, "velocity": 20.0, "scale": 0.5}

RECIPES = {
    "mixste": Recipe(
        "github.com/NationalGAILab/HoT, main_mixste.py and common/arguments.py",
        rate=4e-5,
        decay=0.99,
        batch=4,
        epochs=160,
        weight_decay=0.1,
        joints=(1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
        still=0.5,
        velocity=2.0,
    ),
    "mhformer": Recipe(
        "github.com/NationalGAILab/HoT, main_mhformer_tpc.py and README",
        rate=1e-3,
        decay=0.95,
        batch=210,
        epochs=20,
        halve_every=5,
        amsgrad=True,
    ),
    "motionbert": Recipe(
        "github.com/Walter0807/MotionBERT, configs/pose3d/MB_ft_h36m_global_lite.yaml",
        rate=5e-4,
        batch=32,
        **_IN_PIXELS,
    ),
    "motionagformer": Recipe(
        "github.com/TaatiTeam/MotionAGFormer, configs/h36m/MotionAGFormer-base.yaml",
        rate=5e-4,
        batch=16,
        **_IN_PIXELS,
    ),
}


def loss_of(poses: Tensor, truth: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return the loss and the mean error of a joint, both in the unit of the poses.

    Args:
        poses: (batch, frames, joints, 3), relative to the root.
        truth: The same shape.
        recipe: The weights.
    """
    weights = torch.ones(poses.shape[2]) if not recipe.joints else torch.tensor(recipe.joints)
    weights = weights.to(poses)
    error = (poses - truth).norm(dim=-1)
    loss = (weights * error).mean()
    if recipe.still:
        moved = poses.diff(dim=1).square()
        loss = loss + recipe.still * (weights.unsqueeze(1) * moved).mean()
    if recipe.velocity:
        loss = loss + recipe.velocity * (poses - truth).diff(dim=1).norm(dim=-1).mean()
    if recipe.scale:
        agreement = (poses * truth).sum(dim=(2, 3), keepdim=True)
        square = poses.square().sum(dim=(2, 3), keepdim=True).clamp(min=1e-12)
        scaled = poses * (agreement / square)
        loss = loss + recipe.scale * (scaled - truth).norm(dim=-1).mean()
    return loss, error.detach().mean()
