"""Transformer parts that every family shares.

Tokens travel as one matrix, (batch · frames · joints, channels), so that each linear layer is one
matrix product with its bias; attention over joints and over frames differ only in how the heads are
laid out, and no transpose stands between a spatial and a temporal block.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Grid(NamedTuple):
    """How the rows of a token matrix are arranged: frame by frame, joints within."""

    frames: int
    joints: int


class Axis(Enum):
    """What a token attends to: the joints of its frame, or its joint over all frames."""

    JOINTS = "joints"
    FRAMES = "frames"


# Axes of (batch, frames, joints, 3, heads, head width) that put the attended axis last but one.
_BY_HEAD = {Axis.JOINTS: (3, 0, 1, 4, 2, 5), Axis.FRAMES: (3, 0, 2, 4, 1, 5)}


class Attention(nn.Module):
    """Multi-head self-attention along one axis of the grid (Vaswani et al., NeurIPS 2017).

    Args:
        width: Channels of a token.
        heads: Attention heads.
        bias: Whether the layer that makes queries, keys and values has a bias.
    """

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width)
        self._folded: tuple[Tensor, Tensor | None] | None = None

    def fold_constants(self) -> None:
        """Put the scale of the logits into the weights that make the queries."""
        with torch.no_grad():
            width = self.qkv.in_features
            scale = torch.ones_like(self.qkv.weight[:, 0])
            scale[:width] = (width // self.heads) ** -0.5
            bias = cast("Tensor | None", self.qkv.bias)
            self._folded = (
                self.qkv.weight * scale.unsqueeze(1),
                None if bias is None else bias * scale,
            )

    def forward(self, tokens: Tensor, grid: Grid, axis: Axis) -> Tensor:
        """Attend.

        Args:
            tokens: (batch · frames · joints, channels).
            grid: Frames and joints of the rows.
            axis: The attended axis.

        Returns:
            The shape of ``tokens``.
        """
        weights, value = self._weights(tokens, grid, axis)
        mixed = weights @ value
        return cast(Tensor, self.proj(mixed.transpose(1, 2).reshape(-1, tokens.shape[1])))

    def received(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Attention that each frame receives, averaged over heads, joints and asking frames.

        Args:
            tokens: (batch · frames · joints, channels).
            grid: Frames and joints of the rows.

        Returns:
            (batch, frames).
        """
        return self._weights(tokens, grid, Axis.FRAMES)[0].mean(dim=(1, 2))

    def _weights(self, tokens: Tensor, grid: Grid, axis: Axis) -> tuple[Tensor, Tensor]:
        width = tokens.shape[1]
        head_width = width // self.heads
        projected = self.qkv(tokens) if self._folded is None else linear(tokens, *self._folded)
        split = projected.reshape(-1, *grid, 3, self.heads, head_width).permute(_BY_HEAD[axis])
        # Attention in four dimensions is the form that compilers recognise: the joints count as
        # batch where they are attended, and as further heads where the frames are.
        if axis is Axis.JOINTS:
            split = split.reshape(3, -1, self.heads, grid.joints, head_width)
        else:
            split = split.reshape(3, -1, grid.joints * self.heads, grid.frames, head_width)
        query, key, value = split.unbind(0)
        if self._folded is None:
            query = query * head_width**-0.5
        return (query @ key.transpose(-2, -1)).softmax(dim=-1), value


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (tokens, channels) to the same shape."""
        return cast(Tensor, self.fc2(self.act(self.fc1(tokens))))


class Block(nn.Module):
    """Pre-norm transformer block (Dosovitskiy et al., ICLR 2021)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden)

    def forward(self, tokens: Tensor, grid: Grid, axis: Axis) -> Tensor:
        """Map (batch · frames · joints, channels) to the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens), grid, axis)
        return tokens + cast(Tensor, self.mlp(self.norm2(tokens)))

    def received(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Attention that each frame receives in this block, (batch, frames), from its input."""
        return self.attn.received(self.norm1(tokens), grid)
