"""The function that is exported: a network with its input and output conventions, and mirroring."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from hot_sdk.export.models import ModelSpec, build, family
from hot_sdk.export.models.hourglass import HourglassNetwork


class Lifting(nn.Module):
    """Maps keypoints to poses and, where frames are pruned, the frames that were kept."""

    def __init__(self, network: HourglassNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, keypoints_2d: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | tuple[Tensor]:
        """Lift.

        Args:
            keypoints_2d: Normalised, (batch, frames, joints, 2 or 3).
            index: Frames to keep instead of the selector's choice, in the shape returned.

        Returns:
            Poses, (batch, frames, joints, 3), and the kept frames, (batch, tokens) int64, unless
            every frame is kept.
        """
        poses, kept = self.network(keypoints_2d, index)
        return (poses,) if kept is None else (poses, _for_each_item(kept, keypoints_2d))


class MirrorAveragedLifting(nn.Module):
    """Averages the poses of a window and of its mirror image, in one batch of pairs.

    The mirror image swaps left and right joints; the published evaluations average so
    (Pavllo et al., CVPR 2019). Window and mirror image stand side by side in the batch, so that no
    operator has to know how large it is.
    """

    mirror: Tensor
    input_sign: Tensor
    output_sign: Tensor

    def __init__(self, network: HourglassNetwork, mirror: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mirror", torch.tensor(mirror), persistent=False)
        signs = torch.tensor([-1.0, 1.0, 1.0])
        self.register_buffer("input_sign", signs[:channels].clone(), persistent=False)
        self.register_buffer("output_sign", signs, persistent=False)

    def forward(
        self, keypoints_2d: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | tuple[Tensor]:
        """Lift as :class:`Lifting`, but with two choices of frames, (batch, 2, tokens)."""
        mirrored = keypoints_2d.index_select(2, self.mirror) * self.input_sign
        pairs = torch.stack([keypoints_2d, mirrored], dim=1)
        pairs = pairs.reshape(-1, *keypoints_2d.shape[1:])
        if index is not None:
            index = index.reshape(-1, index.shape[-1])
        poses, kept = self.network(pairs, index)
        poses = poses.reshape(-1, 2, *poses.shape[1:])
        direct, back = poses[:, 0], poses[:, 1].index_select(2, self.mirror) * self.output_sign
        averaged = (direct + back) * 0.5
        if kept is None:
            return (averaged,)
        return averaged, _for_each_item(kept, pairs).reshape(-1, 2, kept.shape[-1])


def _for_each_item(kept: Tensor, keypoints: Tensor) -> Tensor:
    if kept.shape[0] == 1:
        # Repeats a constant choice over the batch without asking for its size: nothing is below 0
        # in magnitude, not even NaN. For one window too, since an output that no node computes is
        # none.
        return kept + (keypoints[:, 0, 0, :1].abs() < 0.0).to(kept.dtype)
    return kept


def build_lifting(spec: ModelSpec, state: dict[str, Tensor], *, flip: bool) -> nn.Module:
    """The function to export, with its weights, as it runs in PyTorch.

    Args:
        spec: The architecture.
        state: A state-dict that fits it exactly.
        flip: Average with the mirror image.
    """
    network = build(spec, mirrored_pairs=flip)
    network.load_state_dict(state, strict=True)
    network.requires_grad_(False)
    if not flip:
        return Lifting(network).eval()
    mirror = family(spec.family).skeleton.mirror
    return MirrorAveragedLifting(network, mirror, spec.size.channels).eval()


def folded(lifting: nn.Module) -> nn.Module:
    """A copy with everything precomputed that does not depend on the input."""
    duplicate = copy.deepcopy(lifting)
    for module in duplicate.modules():
        if isinstance(module, HourglassNetwork):
            module.fold_constants()
    return duplicate
