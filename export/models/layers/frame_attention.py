"""Attention over the joints of one frame, in few operators."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import linear

from hot_sdk.export.models.layers.transformer import Attention, Axis, Grid


class FrameAttention(Attention):
    """The same attention with one matrix multiplication for queries, keys and values once folded.

    A frame has so few tokens that an operator costs about as much as splitting them.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self._joined: tuple[Tensor, Tensor] | None = None

    def fold_constants(self) -> None:
        """Join the three layers, the scale of the logits in the first."""
        super().fold_constants()
        assert self._folded is not None
        with torch.no_grad():
            matrices, biases = zip(*self._folded, strict=True)
            self._joined = torch.cat(matrices), torch.cat(biases)

    def forward(self, tokens: Tensor, grid: Grid, axis: Axis) -> Tensor:
        """Let every token attend to the others of its frame; see :meth:`Attention.forward`."""
        if self._joined is None or axis is not Axis.JOINTS:
            return super().forward(tokens, grid, axis)
        width = tokens.shape[1]
        parts = linear(tokens, *self._joined)
        parts = parts.reshape(-1, grid.joints, 3 * self.heads, width // self.heads).transpose(1, 2)
        query, key, value = torch.split_with_sizes(parts, [self.heads] * 3, dim=1)
        mixed = (query @ key.transpose(-2, -1)).softmax(dim=-1) @ value
        return cast(Tensor, self.proj(mixed.transpose(1, 2).reshape(-1, width)))
