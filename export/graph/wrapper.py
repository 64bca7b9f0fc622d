"""The function that is exported: a network with its input and output conventions, and mirroring."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from hot_sdk.export.models import ModelSpec, build
from hot_sdk.export.models.hourglass import HourglassNetwork


class Lifter(nn.Module):
    """Map keypoints to poses and, if frames are pruned, the indices of the kept frames.

    Args:
        network: The network.
        subtracted: Index of the root, if its prediction is to be subtracted from all joints; None
            if the network predicts them relative to it.
        scale: Factor from the network's unit to that of the output.
    """

    def __init__(
        self, network: HourglassNetwork, subtracted: int | None = None, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.network = network
        self.subtracted, self.scale = subtracted, scale

    def forward(
        self, keypoints_2d: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | tuple[Tensor]:
        """Lift windows of keypoints.

        Args:
            keypoints_2d: Normalized, (batch, frames, joints, 2 or 3).
            index: Frames to keep instead of the selector's choice, in the shape returned.

        Returns:
            Poses, (batch, frames, joints, 3), and the kept frames, (batch, tokens) int64, unless
            every frame is kept.
        """
        poses, kept = self.network(keypoints_2d, index)
        poses = _finished(poses, self.subtracted, self.scale)
        return (poses,) if kept is None else (poses, _repeat_over_batch(kept, keypoints_2d))


class MirrorAveragedLifter(nn.Module):
    """Average the poses of a window and of its mirror image, in one batch of pairs.

    The mirror image swaps left and right joints; the published evaluations average this way
    (Pavllo et al., CVPR 2019). Window and mirror image are neighbors in the batch, so that no
    operator depends on the batch size.

    Args:
        network: The network.
        mirror: Index of each joint's mirror image.
        channels: Channels of a keypoint.
        subtracted: See :class:`Lifter`.
        scale: See there.
    """

    mirror: Tensor
    input_sign: Tensor
    output_sign: Tensor

    def __init__(
        self,
        network: HourglassNetwork,
        mirror: tuple[int, ...],
        channels: int,
        subtracted: int | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.subtracted, self.scale = subtracted, scale
        self.register_buffer("mirror", torch.tensor(mirror), persistent=False)
        signs = torch.tensor([-1.0, 1.0, 1.0])
        self.register_buffer("input_sign", signs[:channels].clone(), persistent=False)
        self.register_buffer("output_sign", signs, persistent=False)

    def forward(
        self, keypoints_2d: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | tuple[Tensor]:
        """Lift as :class:`Lifter` does, but with two choices of frames, (batch, 2, tokens)."""
        mirrored = keypoints_2d.index_select(2, self.mirror) * self.input_sign
        pairs = torch.stack([keypoints_2d, mirrored], dim=1)
        pairs = pairs.reshape(-1, *keypoints_2d.shape[1:])
        if index is not None:
            index = index.reshape(-1, index.shape[-1])
        poses, kept = self.network(pairs, index)
        poses = poses.reshape(-1, 2, *poses.shape[1:])
        direct, back = poses[:, 0], poses[:, 1].index_select(2, self.mirror) * self.output_sign
        averaged = _finished((direct + back) * 0.5, self.subtracted, self.scale)
        if kept is None:
            return (averaged,)
        return averaged, _repeat_over_batch(kept, pairs).reshape(-1, 2, kept.shape[-1])


def _finished(poses: Tensor, root: int | None, scale: float) -> Tensor:
    """Subtract the root's prediction, which may be larger than the body, and convert the unit."""
    if root is not None:
        poses = poses - poses[:, :, root : root + 1]
    return poses if scale == 1.0 else poses * scale


def _repeat_over_batch(kept: Tensor, keypoints: Tensor) -> Tensor:
    if kept.shape[0] == 1:
        # Repeats a constant choice over the batch without asking for its size: no magnitude is
        # below 0, not even NaN's. Also for one window, since engines reject an output that no node
        # computes.
        return kept + (keypoints[:, 0, 0, :1].abs() < 0.0).to(kept.dtype)
    return kept


def build_lifter(spec: ModelSpec, state: dict[str, Tensor], *, flip: bool) -> nn.Module:
    """Build the function to export, with its weights, as it runs in PyTorch.

    Args:
        spec: The architecture.
        state: A state-dict that fits it exactly.
        flip: Average with the mirror image.
    """
    network = build(spec, mirrored_pairs=flip)
    network.load_state_dict(state, strict=True)
    network.requires_grad_(False)
    skeleton = spec.skeleton
    subtracted = None if spec.root_relative else skeleton.parents.index(-1)
    scale = 1e-3 if spec.millimeters else 1.0
    if not flip:
        return Lifter(network, subtracted, scale).eval()
    mirror, channels = skeleton.mirror, spec.size.channels
    return MirrorAveragedLifter(network, mirror, channels, subtracted, scale).eval()


def fold_constants(lifter: nn.Module) -> nn.Module:
    """Return a copy with everything precomputed that does not depend on the input."""
    duplicate = copy.deepcopy(lifter)
    for module in duplicate.modules():
        if isinstance(module, HourglassNetwork):
            module.fold_constants()
    return duplicate
