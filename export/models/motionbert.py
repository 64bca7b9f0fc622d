"""MotionBERT's DSTformer: two streams that attend to joints and frames in opposite order.

Zhu et al., "MotionBERT: A Unified Perspective on Learning Human Motion Representations", ICCV
2023, published in the sizes full and lite; with the hourglass of Li et al., CVPR 2024, whose
MotionBERT is the lite one. State-dict keys are the published ones. A window may be shorter than
those of training: it uses the first rows of the table of times.

The sizes of a MotionBERT network, read off the shapes of its weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import Variant
from hot_sdk.export.models.families import NetworkSize
from hot_sdk.export.models.hourglass import (
    HourglassNetwork,
    HourglassSpec,
    chosen_frames,
    hourglass_of,
)
from hot_sdk.export.models.layers.transformer import Attention, Axis, Grid, Mlp
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, ShapeRules

_TIMES = "temp_embed"


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of MotionBERT is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("MotionBERT", shapes)
    joints, width = rules.dimensions("pos_embed", (1, None, None))
    (frames,) = rules.dimensions(_TIMES, (1, None, 1, width))
    (channels,) = rules.dimensions("joints_embed.weight", (width, None))
    (mlp_hidden,) = rules.dimensions("blocks_st.0.mlp_s.fc1.weight", (None, width))
    (representation,) = rules.dimensions("pre_logits.fc.weight", (None, width))
    rules.dimensions("head.weight", (3, representation))
    depth = rules.depth("blocks_st|blocks_ts")
    for stream in ("blocks_st", "blocks_ts"):
        for block in range(depth):
            for mlp in ("mlp_s", "mlp_t"):
                rules.dimensions(f"{stream}.{block}.{mlp}.fc1.weight", (mlp_hidden, width))
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "representation": representation,
    }
    found = rules.hourglass(frames, width)
    return CheckpointShape(
        frames,
        joints,
        config,
        found.variant,
        found.tokens,
        found.elastic,
        # The recovery has a query for each frame of the window; nothing else counts the frames.
        time_embedding=_TIMES if found.variant is Variant.PLAIN else None,
    )


__all__ = ["DSTformer", "build", "infer_shape"]


class DualBlock(nn.Module):
    """Attention over joints and over frames, each with an MLP of its own, in a given order."""

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
        """Map (batch · frames · joints, channels) to the same shape."""
        if self.first is Axis.JOINTS:
            return self._over_frames(self._over_joints(tokens, grid), grid)
        return self._over_joints(self._over_frames(tokens, grid), grid)

    def _over_joints(self, tokens: Tensor, grid: Grid) -> Tensor:
        tokens = tokens + self.attn_s(self.norm1_s(tokens), grid, Axis.JOINTS)
        return tokens + cast(Tensor, self.mlp_s(self.norm2_s(tokens)))

    def _over_frames(self, tokens: Tensor, grid: Grid) -> Tensor:
        tokens = tokens + self.attn_t(self.norm1_t(tokens), grid, Axis.FRAMES)
        return tokens + cast(Tensor, self.mlp_t(self.norm2_t(tokens)))

    def received(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Attention that each frame receives here, (batch, frames), from this block's input.

        Of a block that attends to frames first; then its input is that of the attention.
        """
        return self.attn_t.received(self.norm1_t(tokens), grid)


class DSTformer(HourglassNetwork):
    """The network.

    Args:
        frames: Frames of a window.
        joints: Joints of the skeleton.
        size: Size of the network; its depth counts layers of both streams.
        hourglass: Where and how frames are pruned; None is the plain network.
    """

    def __init__(
        self,
        *,
        frames: int,
        joints: int,
        size: NetworkSize,
        hourglass: HourglassSpec | None = None,
    ) -> None:
        width = size.width
        super().__init__(hourglass, frames=frames, width=width, heads=size.heads)
        self.joints_embed = nn.Linear(size.channels, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, width))
        self.temp_embed = nn.Parameter(torch.zeros(1, frames, 1, width))
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
        """Lift keypoints.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels).
            index: Frames to keep, as returned, instead of the selectors' choice.

        Returns:
            Poses in normalized pixels, (batch, frames, joints, 3), or (batch, tokens, joints, 3)
            where nothing is recovered; and the kept frames of all stages, (batch, sum of their
            tokens), or None where nothing is pruned.
        """
        frames, joints, channels = keypoints.shape[1:]
        width = self.pos_embed.shape[2]
        grid = Grid(frames, joints)
        tokens = cast(Tensor, self.joints_embed(keypoints.reshape(-1, channels)))
        placed = tokens.reshape(-1, *grid, width) + self.pos_embed + self.temp_embed
        tokens = placed.reshape(-1, width)
        kept: tuple[Tensor, ...] = ()
        received = None
        for number, (joints_first, frames_first, blend) in enumerate(
            zip(self.blocks_st, self.blocks_ts, self.ts_attn, strict=True)
        ):
            if self.prunes_before(number):
                whole = tokens.reshape(-1, *grid, width)
                pruned, kept = self.prune(whole, keypoints, kept, index, received)
                tokens, grid = pruned.reshape(-1, width), Grid(pruned.shape[1], joints)
            received = partial(cast(DualBlock, frames_first).received, tokens, grid)
            by_joints, by_frames = joints_first(tokens, grid), frames_first(tokens, grid)
            share = blend(torch.cat([by_joints, by_frames], dim=1)).softmax(dim=1)
            tokens = by_joints * share[:, :1] + by_frames * share[:, 1:]
        tokens = cast(Tensor, self.norm(tokens))
        if kept:
            recovered = self.recover(tokens.reshape(-1, *grid, width), kept)
            tokens, grid = recovered.reshape(-1, width), Grid(recovered.shape[1], joints)
        return self.head(self.pre_logits(tokens)).reshape(-1, *grid, 3), chosen_frames(kept)


def build(spec: ModelSpec, *, mirrored_pairs: bool = False) -> DSTformer:
    """Build the network of a specification; see :func:`hot_sdk.export.models.build`."""
    return DSTformer(
        frames=spec.frames,
        joints=spec.joints,
        size=spec.size,
        hourglass=hourglass_of(spec, mirrored_pairs=mirrored_pairs),
    )
