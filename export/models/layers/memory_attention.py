"""Attention over frames by their age, for a clip at once or for one frame with a memory.

Logits are those of the contents plus a function of the time from key to query. It is a sum of
waves, weighted by the query, after the relative positions of Shaw et al., NAACL 2018, and the
rotations of Su et al., "RoFormer", 2021: a wave of a difference of times is a product of waves of
both, so that a clip needs no table of all pairs.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from hot_sdk.export.models.layers.transformer import Attention, Axis, Grid, Mlp
from hot_sdk.step_memory import EMPTY_AGE

WAVES = 10
_LONGEST_S, _SHORTEST_S = 12.0, 0.1
"""Periods of the first and the last wave, seconds."""
_RECENCY = 0.2
"""Weight of every wave before training: nearer frames count more."""
_NOTHING = -3e4
"""Logit of a slot without a frame; within the range of float16."""


class Remembered(NamedTuple):
    """What a layer keeps of frames.

    Attributes:
        keys: (batch, joints · heads, head width, slots).
        values: (batch, joints · heads, slots, head width).
    """

    keys: Tensor
    values: Tensor


class Visible(NamedTuple):
    """What each frame of a clip may attend to.

    Attributes:
        times: (frames,), seconds.
        allowed: (frames, frames): the frame of the row may attend to that of the column.
    """

    times: Tensor
    allowed: Tensor


class MemoryAttention(Attention):
    """Multi-head self-attention over the frames of each joint, with weights for their ages.

    Args:
        width: Channels of a token.
        heads: Attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.age_weights = nn.Linear(width, heads * 2 * WAVES)
        nn.init.zeros_(self.age_weights.weight)
        nn.init.zeros_(self.age_weights.bias)
        with torch.no_grad():
            self.age_weights.bias.view(heads, 2, WAVES)[:, 0] = _RECENCY

    def over_clip(self, tokens: Tensor, grid: Grid, visible: Visible) -> Tensor:
        """Let every frame attend to those that it sees.

        Args:
            tokens: (batch · frames · joints, channels).
            grid: Frames and joints of the rows.
            visible: What each frame sees.

        Returns:
            The shape of ``tokens``.
        """
        query, key, value = (
            self._by_head(part, grid, Axis.FRAMES) for part in self._projected(tokens)
        )
        cosine, sine = self._age_weights(tokens, grid)
        angles = visible.times[:, None] * _frequencies(tokens)
        # cos(a − b) and sin(a − b) by the waves of a, the query's, and of b, the key's.
        cos, sin = angles.cos(), angles.sin()
        query = torch.cat([query, cosine * cos + sine * sin, cosine * sin - sine * cos], dim=-1)
        waves = torch.cat([cos, sin], dim=1)
        key = torch.cat([key, waves.expand(*key.shape[:3], 2 * WAVES)], dim=-1)
        unseen = (~visible.allowed).to(tokens.dtype) * _NOTHING
        logits = query @ key.transpose(-2, -1) + unseen
        mixed = logits.softmax(dim=-1) @ value
        return self._merged(mixed, grid)

    def step(
        self, newest: Tensor, asking: Tensor, ages: Tensor, memory: Remembered, joints: int
    ) -> tuple[Tensor, Remembered]:
        """Let one frame attend to the memory and to the newest frame.

        Args:
            newest: Tokens of the newest frame, (batch · joints, channels).
            asking: Those of the frame that attends, the same or an earlier one.
            ages: Seconds from each slot's frame, and from the newest, to the one that attends,
                (batch, slots + 1); ``EMPTY_AGE`` if there is none.
            memory: Keys and values of the slots.
            joints: Joints of a frame.

        Returns:
            The shape of ``asking``; and the newest frame's keys and values, with one slot.
        """
        grid = Grid(1, joints)
        _, key, value = self._projected(newest)
        query = self._by_head(self._projected(asking)[0], grid, Axis.FRAMES)
        fresh = Remembered(
            self._by_head(key, grid, Axis.FRAMES, keys=True),
            self._by_head(value, grid, Axis.FRAMES),
        )
        angles = ages.unsqueeze(-1) * _frequencies(ages)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1).transpose(1, 2).unsqueeze(1)
        weights = torch.cat(self._age_weights(asking, grid), dim=-1)
        nothing = (ages > 0.5 * EMPTY_AGE).to(ages.dtype) * _NOTHING
        by_age = weights @ waves + nothing.unsqueeze(1).unsqueeze(1)
        logits = torch.cat([query @ memory.keys, query @ fresh.keys], dim=-1) + by_age
        share = logits.softmax(dim=-1)
        slots = memory.keys.shape[3]
        mixed = share[..., :slots] @ memory.values + share[..., slots:] * fresh.values
        return self._merged(mixed, grid), fresh

    def _projected(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Return scaled queries, keys and values, (tokens, channels) each."""
        if self._folded is not None:
            return tuple(nn.functional.linear(tokens, *layer) for layer in self._folded)
        query, key, value = cast(Tensor, self.qkv(tokens)).chunk(3, dim=-1)
        return query * (tokens.shape[1] // self.heads) ** -0.5, key, value

    def _age_weights(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, ...]:
        """Return the weights of cosines and sines, (batch, joints · heads, frames, waves) each."""
        weights = cast(Tensor, self.age_weights(tokens))
        return self._by_head(weights, grid, Axis.FRAMES).chunk(2, dim=-1)

    def _merged(self, mixed: Tensor, grid: Grid) -> Tensor:
        split = mixed.reshape(-1, grid.joints, self.heads, grid.frames, mixed.shape[-1])
        rows = split.permute(0, 3, 1, 2, 4).reshape(-1, self.heads * mixed.shape[-1])
        return cast(Tensor, self.proj(rows))


class MemoryBlock(nn.Module):
    """Pre-norm transformer block over frames; the keys are those of ``transformer.Block``."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = MemoryAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden)

    def over_clip(self, tokens: Tensor, grid: Grid, visible: Visible) -> Tensor:
        """Transform all frames; see :meth:`MemoryAttention.over_clip`."""
        tokens = tokens + self.attn.over_clip(self.norm1(tokens), grid, visible)
        return tokens + cast(Tensor, self.mlp(self.norm2(tokens)))

    def step(
        self, newest: Tensor, asking: Tensor, ages: Tensor, memory: Remembered, joints: int
    ) -> tuple[Tensor, Remembered]:
        """Transform one frame; see :meth:`MemoryAttention.step`."""
        normed = self.norm1(newest)
        asked = normed if asking is newest else self.norm1(asking)
        mixed, fresh = self.attn.step(normed, asked, ages, memory, joints)
        tokens = asking + mixed
        return tokens + cast(Tensor, self.mlp(self.norm2(tokens))), fresh


def _frequencies(like: Tensor) -> Tensor:
    """Return the waves' radians per second, (waves,), with the type and device of a tensor."""
    ratio = (_SHORTEST_S / _LONGEST_S) ** (1.0 / (WAVES - 1))
    values = [2.0 * math.pi / (_LONGEST_S * ratio**number) for number in range(WAVES)]
    return torch.tensor(values, dtype=like.dtype, device=like.device)
