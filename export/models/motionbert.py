"""MotionBERT's DSTformer: two streams that attend to joints and frames in opposite order.

Zhu et al., "MotionBERT: A Unified Perspective on Learning Human Motion Representations", ICCV
2023, published in the sizes full and lite; with the hourglass of Li et al., CVPR 2024, whose
MotionBERT is the lite one. State-dict keys are the published ones. A window may be shorter than
those of training: it uses the first rows of the table of times.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import Variant
from hot_sdk.export.models.families import NetworkSize
from hot_sdk.export.models.hourglass import HourglassNetwork, chosen_frames
from hot_sdk.export.models.layers.transformer import Attention, Axis, Grid, Mlp
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, WeightShapes


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict; see :func:`hot_sdk.export.models.infer_shape`."""
    weights = WeightShapes("MotionBERT", shapes)
    joints, width = weights.dimensions("pos_embed", (1, None, None))
    (frames,) = weights.dimensions("temp_embed", (1, None, 1, width))
    (channels,) = weights.dimensions("joints_embed.weight", (width, None))
    (mlp_hidden,) = weights.dimensions("blocks_st.0.mlp_s.fc1.weight", (None, width))
    (representation,) = weights.dimensions("pre_logits.fc.weight", (None, width))
    weights.dimensions("head.weight", (3, representation))
    depth = weights.depth("blocks_st|blocks_ts")
    for stream in ("blocks_st", "blocks_ts"):
        for block in range(depth):
            for mlp in ("mlp_s", "mlp_t"):
                weights.dimensions(f"{stream}.{block}.{mlp}.fc1.weight", (mlp_hidden, width))
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "representation": representation,
    }
    found = weights.with_hourglass(frames, joints, config)
    # The recovery has a query for each frame of the window; nothing else depends on their number.
    return replace(found, time_embedding="temp_embed") if found.variant is Variant.PLAIN else found


class DSTformer(HourglassNetwork):
    """The network; its depth counts layers of both streams."""

    def __init__(self, spec: ModelSpec, *, mirrored_pairs: bool = False) -> None:
        super().__init__(spec, mirrored_pairs=mirrored_pairs)
        size, width = spec.size, spec.size.width
        self.joints_embed = nn.Linear(size.channels, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, spec.joints, width))
        self.temp_embed = nn.Parameter(torch.zeros(1, spec.frames, 1, width))
        self.blocks_st = nn.ModuleList(DualBlock(size, Axis.JOINTS) for _ in range(size.depth))
        self.blocks_ts = nn.ModuleList(DualBlock(size, Axis.FRAMES) for _ in range(size.depth))
        self.ts_attn = nn.ModuleList(nn.Linear(2 * width, 2) for _ in range(size.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        fully_connected = nn.Linear(width, size.representation)
        self.pre_logits = nn.Sequential(OrderedDict(fc=fully_connected, act=nn.Tanh()))
        self.head = nn.Linear(size.representation, 3)
        for table in (self.pos_embed, self.temp_embed):
            nn.init.trunc_normal_(table, std=0.02)
        for blend in self.ts_attn:
            nn.init.zeros_(cast(nn.Linear, blend).weight)
            nn.init.constant_(cast(nn.Linear, blend).bias, 0.5)

    def forward(
        self, keypoints: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Lift keypoints to poses in normalized pixels; see :meth:`HourglassNetwork.forward`."""
        frames, joints, channels = keypoints.shape[1:]
        width = self.pos_embed.shape[2]
        grid = Grid(frames, joints)
        tokens = cast(Tensor, self.joints_embed(keypoints.reshape(-1, channels)))
        placed = tokens.reshape(-1, *grid, width) + self.pos_embed + self.temp_embed
        tokens = placed.reshape(-1, width)
        kept: tuple[Tensor, ...] = ()
        attention = None
        for number, (joints_first, frames_first, blend) in enumerate(
            zip(self.blocks_st, self.blocks_ts, self.ts_attn, strict=True)
        ):
            if self.prunes_at(number):
                whole = tokens.reshape(-1, *grid, width)
                pruned, kept = self.prune(whole, keypoints, kept, index, attention)
                tokens, grid = pruned.reshape(-1, width), Grid(pruned.shape[1], joints)
            attention = partial(cast(DualBlock, frames_first).received_attention, tokens, grid)
            by_joints, by_frames = joints_first(tokens, grid), frames_first(tokens, grid)
            share = blend(torch.cat([by_joints, by_frames], dim=1)).softmax(dim=1)
            tokens = by_joints * share[:, :1] + by_frames * share[:, 1:]
        tokens = cast(Tensor, self.norm(tokens))
        if kept:
            recovered = self.recover(tokens.reshape(-1, *grid, width), kept)
            tokens, grid = recovered.reshape(-1, width), Grid(recovered.shape[1], joints)
        return self.head(self.pre_logits(tokens)).reshape(-1, *grid, 3), chosen_frames(kept)


build = DSTformer


class DualBlock(nn.Module):
    """Attention over joints and over frames in a given order, each with its own MLP."""

    def __init__(self, size: NetworkSize, first: Axis) -> None:
        super().__init__()
        self.first = first
        self.norm1_s = nn.LayerNorm(size.width, eps=1e-6)
        self.norm1_t = nn.LayerNorm(size.width, eps=1e-6)
        self.attn_s = Attention(size.width, size.heads)
        self.attn_t = Attention(size.width, size.heads)
        self.norm2_s = nn.LayerNorm(size.width, eps=1e-6)
        self.norm2_t = nn.LayerNorm(size.width, eps=1e-6)
        self.mlp_s = Mlp(size.width, size.mlp_hidden)
        self.mlp_t = Mlp(size.width, size.mlp_hidden)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Attend over both axes of (batch · frames · joints, channels), one after the other."""
        if self.first is Axis.JOINTS:
            return self._over_frames(self._over_joints(tokens, grid), grid)
        return self._over_joints(self._over_frames(tokens, grid), grid)

    def _over_joints(self, tokens: Tensor, grid: Grid) -> Tensor:
        tokens = tokens + self.attn_s(self.norm1_s(tokens), grid, Axis.JOINTS)
        return tokens + cast(Tensor, self.mlp_s(self.norm2_s(tokens)))

    def _over_frames(self, tokens: Tensor, grid: Grid) -> Tensor:
        tokens = tokens + self.attn_t(self.norm1_t(tokens), grid, Axis.FRAMES)
        return tokens + cast(Tensor, self.mlp_t(self.norm2_t(tokens)))

    def received_attention(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return the attention that each frame receives, (batch, frames), from the block's input.

        The block has to attend to frames first, so that its input is that of the attention.
        """
        return self.attn_t.received_attention(self.norm1_t(tokens), grid)
