"""What MHFormer is made of: the generators of its hypotheses, and the blocks that mix them.

Li et al., "MHFormer: Multi-Hypothesis Transformer for 3D Human Pose Estimation", CVPR 2022. Tokens
travel as one matrix, (batch · frames, hypotheses · channels); parameter names are the published
ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hot_sdk.export.layers import Attention, Axis, Block, Grid, Mlp
from hot_sdk.export.models.published import NetworkSize
from hot_sdk.export.models.registry import HYPOTHESES

_EACH = range(1, HYPOTHESES + 1)
_GENERATOR_DEPTH = 4
# Of the blocks that make the hypotheses: as published, where they divide the frames; else as many
# as divide both.
_GENERATOR_HEADS = 9


class Generator(nn.Module):
    """Blocks whose tokens are the paths of the coordinates over time (Transformer encoder of MHG).

    Args:
        frames: Of a window: the channels of a token.
        coordinates: Of a frame: the tokens.
    """

    def __init__(self, frames: int, coordinates: int) -> None:
        super().__init__()
        heads = math.gcd(frames, _GENERATOR_HEADS)
        self.pos_embed = nn.Parameter(torch.zeros(1, coordinates, frames))
        self.blocks = nn.ModuleList(
            Block(frames, heads, 2 * frames) for _ in range(_GENERATOR_DEPTH)
        )
        self.norm = nn.LayerNorm(frames, eps=1e-6)

    def forward(self, paths: Tensor) -> Tensor:
        """Map (batch · coordinates, frames) to the same shape."""
        coordinates, frames = self.pos_embed.shape[1:]
        placed = paths.reshape(-1, coordinates, frames) + self.pos_embed
        tokens = placed.reshape(-1, frames)
        for block in self.blocks:
            tokens = block(tokens, Grid(coordinates, 1), Axis.FRAMES)
        return cast(Tensor, self.norm(tokens))


class CrossAttention(nn.Module):
    """Multi-head attention over the frames whose queries, keys and values are three hypotheses'.

    Args:
        width: Channels of a token.
        heads: Attention heads.
    """

    _folded: tuple[Tensor, Tensor] | None = None

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.scale = (width // heads) ** -0.5
        self.heads = heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def fold_constants(self) -> None:
        """Put the scale of the logits into the weights that make the queries."""
        with torch.no_grad():
            self._folded = self.linear_q.weight * self.scale, self.linear_q.bias * self.scale

    def forward(self, asking: Tensor, asked: Tensor, given: Tensor, frames: int) -> Tensor:
        """Attend.

        Args:
            asking: Whose queries, (batch · frames, channels).
            asked: Whose keys.
            given: Whose values.
            frames: Of a window, as far as they are there.

        Returns:
            The shape of ``asking``.
        """
        width = asking.shape[1]
        split = (-1, frames, self.heads, width // self.heads)
        if self._folded is None:
            queries = self.linear_q(asking) * self.scale
        else:
            queries = linear(asking, *self._folded)
        queries = queries.reshape(split).transpose(1, 2)
        keys = self.linear_k(asked).reshape(split).permute(0, 2, 3, 1)
        values = self.linear_v(given).reshape(split).transpose(1, 2)
        mixed = (queries @ keys).softmax(dim=-1) @ values
        return cast(Tensor, self.proj(mixed.transpose(1, 2).reshape(-1, width)))


def _apart(tokens: Tensor) -> Sequence[Tensor]:
    """The hypotheses of (rows, hypotheses · channels), each (rows, channels)."""
    # By sizes and not into so many parts, which opset 17 does not know.
    return torch.split(tokens, [tokens.shape[1] // HYPOTHESES] * HYPOTHESES, dim=1)


class HypothesisBlock(nn.Module):
    """Base of the blocks over time: what each hypothesis gathers, then an MLP over all of them."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.norm2 = nn.LayerNorm(HYPOTHESES * size.width, eps=1e-6)
        self.mlp = Mlp(HYPOTHESES * size.width, size.mlp_hidden)

    def forward(self, tokens: Tensor, frames: int) -> Tensor:
        """Map (batch · frames, hypotheses · channels) to the same shape."""
        tokens = torch.cat(self.gather(_apart(tokens), frames), dim=1)
        return tokens + cast(Tensor, self.mlp(self.norm2(tokens)))

    def gather(self, hypotheses: Sequence[Tensor], frames: int) -> list[Tensor]:
        """The hypotheses after their attention, each (batch · frames, channels)."""
        raise NotImplementedError


class RefiningBlock(HypothesisBlock):
    """Each hypothesis attends to itself (SHR, self-hypothesis refinement)."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__(size)
        for each in _EACH:
            self.add_module(f"norm1_{each}", nn.LayerNorm(size.width, eps=1e-6))
            self.add_module(f"attn_{each}", Attention(size.width, size.heads))

    def gather(self, hypotheses: Sequence[Tensor], frames: int) -> list[Tensor]:
        """The hypotheses after their attention, each (batch · frames, channels)."""
        grid = Grid(frames, 1)
        return [
            tokens + attention(norm(tokens), grid, Axis.FRAMES)
            for tokens, (norm, attention) in zip(hypotheses, self._parts(), strict=True)
        ]

    def received(self, tokens: Tensor, frames: int) -> Tensor:
        """Attention that each frame receives in this block, (batch, frames), from its input."""
        grid = Grid(frames, 1)
        of_each = [
            attention.received(norm(part), grid)
            for part, (norm, attention) in zip(_apart(tokens), self._parts(), strict=True)
        ]
        return torch.stack(of_each).mean(dim=0)

    def _parts(self) -> list[tuple[nn.Module, Attention]]:
        return [
            (getattr(self, f"norm1_{each}"), cast(Attention, getattr(self, f"attn_{each}")))
            for each in _EACH
        ]


class InteractingBlock(HypothesisBlock):
    """Each hypothesis is asked for by the two others (CHI, cross-hypothesis interaction).

    One after the other: the second hears of the first as it is already, and the third of both.
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__(size)
        for each in _EACH:
            self.add_module(f"attn_{each}", CrossAttention(size.width, size.heads))
            for role in _EACH:
                self.add_module(f"norm3_{each}{role}", nn.LayerNorm(size.width, eps=1e-6))

    def gather(self, hypotheses: Sequence[Tensor], frames: int) -> list[Tensor]:
        """The hypotheses after their attention, each (batch · frames, channels)."""
        hypotheses = list(hypotheses)
        for number, each in enumerate(_EACH):
            other, another = (tokens for at, tokens in enumerate(hypotheses) if at != number)
            normed = [
                getattr(self, f"norm3_{each}{role}")(tokens)
                for role, tokens in zip(_EACH, (other, another, hypotheses[number]), strict=True)
            ]
            gathered = getattr(self, f"attn_{each}")(*normed, frames)
            hypotheses[number] = hypotheses[number] + gathered
        return hypotheses


class HypothesisTransformer(nn.Module):
    """The blocks over time, under their published names."""

    def __init__(self, frames: int, size: NetworkSize) -> None:
        super().__init__()
        for each in _EACH:
            embedding = nn.Parameter(torch.zeros(1, frames, size.width))
            self.register_parameter(f"pos_embed_{each}", embedding)
        self.SHR_blocks = nn.ModuleList(RefiningBlock(size) for _ in range(size.depth - 1))
        self.CHI_blocks = nn.ModuleList([InteractingBlock(size)])
        self.norm = nn.LayerNorm(HYPOTHESES * size.width, eps=1e-6)
