"""NanoHTNet: a window's joints and its slow movements, in two small networks side by side.

Cai et al., "Efficient 3D Human Pose Estimation for Edge AI", IEEE Transactions on Image Processing
2025 (arXiv 2501.15763); published for 243 frames, of whose cosine transform 9 coefficients are
kept, with 3 blocks of 240 channels, 8 heads and MLPs of 256. State-dict keys are the published
ones.

One network sees each joint with its path through all frames as one token; the other sees each kept
coefficient of all paths as one. That leaves few tokens, so that nothing more is pruned. The result
is the poses of as many frames in the window's middle as coefficients are kept; the published
evaluation uses the one in the very middle, of a window about every frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.models.hourglass import HourglassNetwork
from hot_sdk.export.models.layers.topology_mixer import (
    TopologyMixer,
    bone_adjacency,
    chain_adjacency,
    mixer_sizes,
)
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, WeightShapes

_JOINT_CHANNELS = 8
"""Channels of one joint in one frame that each part of the network computes."""


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict; see :func:`hot_sdk.export.models.infer_shape`."""
    weights = WeightShapes("NanoHTNet", shapes)
    joints, width = weights.dimensions("pos_embed", (1, None, None))
    (coefficients,) = weights.dimensions("tem_pos_embed", (1, None, width))
    channels = _divide(weights, "tem_patch_embed.weight", width, joints)
    frames = _divide(weights, "patch_embed.weight", width, channels)
    depth, mlp_hidden = mixer_sizes(weights, "Transformer", joints, width)
    over_time = mixer_sizes(weights, "tem_Transformer", coefficients, width)
    for setting, one, other in zip(
        ("blocks", "hidden channels"), (depth, mlp_hidden), over_time, strict=True
    ):
        weights.require(one == other, f"its two parts have {one} and {other} {setting}")
    weights.dimensions("fcn_spa.weight", (_JOINT_CHANNELS * coefficients, width))
    weights.dimensions("fcn_tem.weight", (_JOINT_CHANNELS * joints, width))
    weights.dimensions("fc.weight", (3, 2 * _JOINT_CHANNELS))
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "coefficients": coefficients,
    }
    return CheckpointShape(frames, joints, config)


def _divide(weights: WeightShapes, key: str, width: int, divisor: int) -> int:
    (inputs,) = weights.dimensions(key, (width, None))
    weights.require(
        inputs % divisor == 0, f"{key!r} takes {inputs} channels, not a multiple of {divisor}"
    )
    return inputs // divisor


class NanoHTNet(HourglassNetwork):
    """The network; both its parts have the same depth. The limbs are those of Human3.6M."""

    transform: Tensor

    def __init__(self, spec: ModelSpec, *, mirrored_pairs: bool = False) -> None:
        super().__init__(spec, mirrored_pairs=mirrored_pairs)
        size, frames, joints = spec.size, spec.frames, spec.joints
        width, kept = size.width, size.coefficients
        blocks = (size.depth, width, size.heads, size.mlp_hidden)
        self.tem_patch_embed = nn.Linear(size.channels * joints, width)
        self.tem_pos_embed = nn.Parameter(torch.zeros(1, kept, width))
        self.tem_Transformer = TopologyMixer(*blocks, chain_adjacency(kept), has_limbs=False)
        self.fcn_tem = nn.Linear(width, _JOINT_CHANNELS * joints)
        self.patch_embed = nn.Linear(size.channels * frames, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, width))
        self.Transformer = TopologyMixer(*blocks, bone_adjacency(spec.graph_skeleton))
        self.fcn_spa = nn.Linear(width, _JOINT_CHANNELS * kept)
        self.fc = nn.Linear(2 * _JOINT_CHANNELS, 3)
        # In float64, for whichever precision the network is converted to.
        self.register_buffer("transform", cosine_transform(frames, kept), persistent=False)

    def fold_constants(self) -> None:
        """Precompute what no input changes; for export, after the weights are loaded."""
        super().fold_constants()
        self.transform = self.transform.to(self.fc.weight.dtype)

    def forward(self, keypoints: Tensor, index: Tensor | None = None) -> tuple[Tensor, None]:
        """Lift keypoints to poses in meters of the window's middle frames.

        See :meth:`HourglassNetwork.forward`; the poses are (batch, coefficients, joints, 3), and
        ``index`` has to be None.
        """
        frames, joints, channels = keypoints.shape[1:]
        kept, width = self.tem_pos_embed.shape[1:]
        shape = (-1, kept, joints, _JOINT_CHANNELS)
        paths = keypoints.reshape(-1, frames, joints * channels)
        slow = self.transform.to(paths.dtype) @ paths
        tokens = cast(Tensor, self.tem_patch_embed(slow.reshape(-1, joints * channels)))
        tokens = (tokens.reshape(-1, kept, width) + self.tem_pos_embed).reshape(-1, width)
        over_time = cast(Tensor, self.fcn_tem(self.tem_Transformer(tokens))).reshape(shape)

        of_joints = keypoints.transpose(1, 2).reshape(-1, frames * channels)
        tokens = cast(Tensor, self.patch_embed(of_joints))
        tokens = (tokens.reshape(-1, joints, width) + self.pos_embed).reshape(-1, width)
        over_joints = cast(Tensor, self.fcn_spa(self.Transformer(tokens)))
        over_joints = over_joints.reshape(-1, joints, kept, _JOINT_CHANNELS).transpose(1, 2)

        both = torch.cat([over_joints, over_time], dim=3).reshape(-1, 2 * _JOINT_CHANNELS)
        return cast(Tensor, self.fc(both)).reshape(-1, kept, joints, 3), None


build = NanoHTNet


def cosine_transform(frames: int, coefficients: int) -> Tensor:
    """Return the first rows of the unscaled cosine transform II, (coefficients, frames)."""
    time = (torch.arange(frames, dtype=torch.float64) + 0.5) * (math.pi / frames)
    order = torch.arange(coefficients, dtype=torch.float64)
    return 2.0 * torch.cos(order.unsqueeze(1) * time)
