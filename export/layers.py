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


# Axes of (batch, frames, joints, heads, head width) that put heads before the attended axis.
_TO_HEADS = {Axis.JOINTS: (0, 1, 3, 2, 4), Axis.FRAMES: (0, 2, 3, 1, 4)}
_FROM_HEADS = {Axis.JOINTS: (0, 1, 3, 2, 4), Axis.FRAMES: (0, 3, 1, 2, 4)}


class Attention(nn.Module):
    """Multi-head self-attention along one axis of the grid (Vaswani et al., NeurIPS 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self._folded: list[tuple[Tensor, Tensor]] | None = None

    def fold_constants(self) -> None:
        """Split the joint projection in three, with the scale of the logits in the first.

        Costs no operation more and saves the graph one copy of queries, keys and values.
        """
        with torch.no_grad():
            weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
            scale = (self.qkv.in_features // self.heads) ** -0.5
            scales = (scale, 1.0, 1.0)
            self._folded = [
                ((weight * scale).clone(), (bias * scale).clone())
                for weight, bias, scale in zip(weights, biases, scales, strict=True)
            ]

    def forward(self, tokens: Tensor, grid: Grid, axis: Axis) -> Tensor:
        """Attend.

        Args:
            tokens: (batch · frames · joints, channels).
            grid: Frames and joints of the rows.
            axis: The attended axis.

        Returns:
            The shape of ``tokens``.
        """
        width = tokens.shape[1]
        head_width = width // self.heads
        split = (-1, grid.frames, grid.joints, self.heads, head_width)
        if self._folded is None:
            query, key, value = self.qkv(tokens).chunk(3, dim=1)
            query = query * head_width**-0.5
        else:
            query, key, value = (linear(tokens, *parameters) for parameters in self._folded)
        query, key, value = (
            part.reshape(split).permute(_TO_HEADS[axis]) for part in (query, key, value)
        )
        mixed = ((query @ key.transpose(-2, -1)).softmax(dim=-1) @ value).permute(_FROM_HEADS[axis])
        return cast(Tensor, self.proj(mixed.reshape(-1, width)))


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
