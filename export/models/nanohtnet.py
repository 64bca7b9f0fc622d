"""NanoHTNet: a window's joints and its slow movements, in two small networks side by side.

Cai et al., "Efficient 3D Human Pose Estimation for Edge AI", IEEE Transactions on Image Processing
2025 (arXiv 2501.15763); published for 243 frames, of whose cosine transform 9 coefficients are
kept, with 3 blocks of 240 channels, 8 heads and MLPs of 256. State-dict keys are the published
ones.

One network sees each joint with its path through all frames as one token; the other sees each kept
coefficient of all paths as one. That leaves few tokens, so that nothing more is pruned. The result
is the poses of as many frames in the window's middle as coefficients are kept; the published
evaluation uses the one in the very middle, of a window about every frame.

The sizes of a NanoHTNet network, read off the shapes of its weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.errors import CheckpointError
from hot_sdk.export.enums import Variant
from hot_sdk.export.models.families import NetworkSize
from hot_sdk.export.models.hourglass import HourglassNetwork
from hot_sdk.export.models.htnet import mixer_sizes
from hot_sdk.export.models.layers.graph_convolution import bone_adjacency, chain_adjacency
from hot_sdk.export.models.layers.topology_mixer import TopologyMixer
from hot_sdk.export.models.registry import family
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, ShapeRules
from hot_sdk.skeletons import Skeleton

JOINT_CHANNELS = 8
"""Channels of one joint in one frame that each part of the network gives."""


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes. Heads leave no trace.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of NanoHTNet is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("NanoHTNet", shapes)
    joints, width = rules.dimensions("pos_embed", (1, None, None))
    (coefficients,) = rules.dimensions("tem_pos_embed", (1, None, width))
    (of_frame,) = rules.dimensions("tem_patch_embed.weight", (width, None))
    channels = _quotient("tem_patch_embed.weight", of_frame, joints)
    (of_path,) = rules.dimensions("patch_embed.weight", (width, None))
    frames = _quotient("patch_embed.weight", of_path, channels)
    depth, mlp_hidden = mixer_sizes(rules, "Transformer", joints, width)
    over_time = mixer_sizes(rules, "tem_Transformer", coefficients, width)
    for setting, one, other in zip(
        ("blocks", "hidden channels"), (depth, mlp_hidden), over_time, strict=True
    ):
        _require(one == other, f"its two parts have {one} and {other} {setting}")
    rules.dimensions("fcn_spa.weight", (JOINT_CHANNELS * coefficients, width))
    rules.dimensions("fcn_tem.weight", (JOINT_CHANNELS * joints, width))
    rules.dimensions("fc.weight", (3, 2 * JOINT_CHANNELS))
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "coefficients": coefficients,
    }
    return CheckpointShape(frames, joints, config, Variant.PLAIN, None)


def _quotient(key: str, size: int, of: int) -> int:
    _require(size % of == 0, f"{key!r} takes {size} channels, no multiple of {of}")
    return size // of


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise CheckpointError(
            f"The checkpoint is not one of NanoHTNet: {fault}.",
            hint="Name the model that the checkpoint was trained as.",
        )


__all__ = ["NanoHTNet", "build", "cosine_transform", "infer_shape"]


class NanoHTNet(HourglassNetwork):
    """The network.

    Args:
        frames: Frames of a window.
        skeleton: Joints and bones; limbs are those of Human3.6M.
        size: Size of the network; both its parts have the same depth.
    """

    transform: Tensor

    def __init__(self, *, frames: int, skeleton: Skeleton, size: NetworkSize) -> None:
        width, kept, joints = size.width, size.coefficients, len(skeleton.joints)
        super().__init__(None, frames=frames, width=width, heads=size.heads)
        blocks = (size.depth, width, size.heads, size.mlp_hidden)
        self.tem_patch_embed = nn.Linear(size.channels * joints, width)
        self.tem_pos_embed = nn.Parameter(torch.zeros(1, kept, width))
        self.tem_Transformer = TopologyMixer(*blocks, chain_adjacency(kept), has_limbs=False)
        self.fcn_tem = nn.Linear(width, JOINT_CHANNELS * joints)
        self.patch_embed = nn.Linear(size.channels * frames, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, width))
        self.Transformer = TopologyMixer(*blocks, bone_adjacency(skeleton))
        self.fcn_spa = nn.Linear(width, JOINT_CHANNELS * kept)
        self.fc = nn.Linear(2 * JOINT_CHANNELS, 3)
        # In float64, for whatever precision the network is brought to.
        self.register_buffer("transform", cosine_transform(frames, kept), persistent=False)

    def fold_constants(self) -> None:
        """Precompute what no input changes; for export, after the weights are loaded."""
        super().fold_constants()
        self.tem_Transformer.fold_constants()
        self.Transformer.fold_constants()
        self.transform = self.transform.to(self.fc.weight.dtype)

    def forward(self, keypoints: Tensor, index: Tensor | None = None) -> tuple[Tensor, None]:
        """Lift keypoints.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels).
            index: No frames can be chosen: None.

        Returns:
            Poses in metres of the window's middle, (batch, coefficients, joints, 3), and None.
        """
        frames, joints, channels = keypoints.shape[1:]
        kept, width = self.tem_pos_embed.shape[1:]
        shape = (-1, kept, joints, JOINT_CHANNELS)
        paths = keypoints.reshape(-1, frames, joints * channels)
        slow = self.transform.to(paths.dtype) @ paths
        tokens = cast(Tensor, self.tem_patch_embed(slow.reshape(-1, joints * channels)))
        tokens = (tokens.reshape(-1, kept, width) + self.tem_pos_embed).reshape(-1, width)
        over_time = cast(Tensor, self.fcn_tem(self.tem_Transformer(tokens))).reshape(shape)

        of_joints = keypoints.transpose(1, 2).reshape(-1, frames * channels)
        tokens = cast(Tensor, self.patch_embed(of_joints))
        tokens = (tokens.reshape(-1, joints, width) + self.pos_embed).reshape(-1, width)
        over_joints = cast(Tensor, self.fcn_spa(self.Transformer(tokens)))
        over_joints = over_joints.reshape(-1, joints, kept, JOINT_CHANNELS).transpose(1, 2)

        both = torch.cat([over_joints, over_time], dim=3).reshape(-1, 2 * JOINT_CHANNELS)
        return cast(Tensor, self.fc(both)).reshape(-1, kept, joints, 3), None


def cosine_transform(frames: int, coefficients: int) -> Tensor:
    """The first rows of the cosine transform of type II, unscaled: (coefficients, frames)."""
    time = (torch.arange(frames, dtype=torch.float64) + 0.5) * (math.pi / frames)
    order = torch.arange(coefficients, dtype=torch.float64)
    return 2.0 * torch.cos(order.unsqueeze(1) * time)


def build(spec: ModelSpec, *, mirrored_pairs: bool = False) -> NanoHTNet:
    """Build the network of a specification; see :func:`hot_sdk.export.models.build`."""
    return NanoHTNet(frames=spec.frames, skeleton=family(spec.family).skeleton, size=spec.size)
