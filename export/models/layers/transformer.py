"""Transformer layers that every family shares.

Tokens travel as one matrix, (batch · frames · joints, channels), so that each linear layer is one
matrix multiplication with its bias; attention over joints and over frames differ only in how the
heads are laid out, and no transpose stands between a spatial and a temporal block.
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
# And of (batch, frames, joints, heads, head width): for queries and values, and for keys, where the
# attended axis comes last.
_ROWS = {Axis.JOINTS: (0, 1, 3, 2, 4), Axis.FRAMES: (0, 2, 3, 1, 4)}
_COLUMNS = {Axis.JOINTS: (0, 1, 3, 4, 2), Axis.FRAMES: (0, 2, 3, 4, 1)}


class Attention(nn.Module):
    """Multi-head self-attention along one axis of the grid (Vaswani et al., NeurIPS 2017).

    Args:
        width: Channels of a token.
        heads: Attention heads.
        bias: The layer that makes queries, keys and values has a bias.
    """

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width)
        self._folded: tuple[tuple[Tensor, Tensor | None], ...] | None = None

    def fold_constants(self) -> None:
        """Split the weights into queries, keys and values, the scale of the logits in the first.

        One matrix multiplication for all three has to be split afterwards, which copies everything:
        7 to 10 % of an attention over joints in ONNX Runtime.
        """
        with torch.no_grad():
            head_width = self.qkv.in_features // self.heads
            scales = (head_width**-0.5, 1.0, 1.0)
            bias = cast("Tensor | None", self.qkv.bias)
            biases = (None, None, None) if bias is None else bias.chunk(3)
            self._folded = tuple(
                (weight * scale, None if part is None else part * scale)
                for weight, part, scale in zip(
                    self.qkv.weight.chunk(3), biases, scales, strict=True
                )
            )

    def forward(self, tokens: Tensor, grid: Grid, axis: Axis) -> Tensor:
        """Let every token attend to the others along an axis.

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

    def received_attention(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Average the attention that each frame receives over heads, joints and querying frames.

        Args:
            tokens: (batch · frames · joints, channels).
            grid: Frames and joints of the rows.

        Returns:
            (batch, frames).
        """
        return self._weights(tokens, grid, Axis.FRAMES)[0].mean(dim=(1, 2))

    def _weights(self, tokens: Tensor, grid: Grid, axis: Axis) -> tuple[Tensor, Tensor]:
        if self._folded is not None:
            query, key, value = (linear(tokens, *layer) for layer in self._folded)
            logits = self._by_head(query, grid, axis) @ self._by_head(key, grid, axis, keys=True)
            return logits.softmax(dim=-1), self._by_head(value, grid, axis)
        head_width = tokens.shape[1] // self.heads
        projected = cast(Tensor, self.qkv(tokens))
        split = projected.reshape(-1, *grid, 3, self.heads, head_width).permute(_BY_HEAD[axis])
        # Compilers recognize attention in four dimensions: the joints count as batch where they
        # are attended, and as further heads where the frames are.
        if axis is Axis.JOINTS:
            split = split.reshape(3, -1, self.heads, grid.joints, head_width)
        else:
            split = split.reshape(3, -1, grid.joints * self.heads, grid.frames, head_width)
        query, key, value = split.unbind(0)
        query = query * head_width**-0.5
        return (query @ key.transpose(-2, -1)).softmax(dim=-1), value

    def _by_head(self, rows: Tensor, grid: Grid, axis: Axis, *, keys: bool = False) -> Tensor:
        """Lay out rows by head, in four dimensions; keys as columns."""
        split = rows.reshape(-1, *grid, self.heads, rows.shape[1] // self.heads)
        split = split.permute((_COLUMNS if keys else _ROWS)[axis])
        if axis is Axis.JOINTS:
            return split.reshape(-1, *split.shape[2:])
        return split.reshape(-1, grid.joints * self.heads, *split.shape[3:])


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each token, (tokens, channels), by itself."""
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
        """Add attention along an axis, then an MLP, to (batch · frames · joints, channels)."""
        tokens = tokens + self.attn(self.norm1(tokens), grid, axis)
        return tokens + cast(Tensor, self.mlp(self.norm2(tokens)))

    def received_attention(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return the attention that frames receive, (batch, frames), from the block's input."""
        return self.attn.received_attention(self.norm1(tokens), grid)
