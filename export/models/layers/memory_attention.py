"""Attention over frames by their age, for a clip at once or for one frame with a memory.

Logits are those of the contents plus a function of the time from key to query. It is a sum of
waves, weighted by the query, after the relative positions of Shaw et al., NAACL 2018, and the
rotations of Su et al., "RoFormer", 2021: a wave of a difference of times is a product of waves of
both, so that a clip needs no table of all pairs.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias, cast

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


_Layer: TypeAlias = tuple[Tensor, Tensor]
"""Matrix and bias."""


class _Joined(NamedTuple):
    """What a step multiplies by: the frame that attends, the newest one, and one that is both."""

    asking: _Layer
    newest: _Layer
    both: _Layer


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
        self._joined: _Joined | None = None

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

    def fold_constants(self) -> None:
        """Join the matrices that a step multiplies by, with the scale of the logits in them.

        A step has few rows, so that the number of operators counts.
        """
        super().fold_constants()
        assert self._folded is not None
        with torch.no_grad():
            query, key, value = (_biased(layer) for layer in self._folded)
            waves = self._wave_layer()
            self._joined = _Joined(
                asking=_join(query, waves),
                newest=_join(key, value),
                both=_join(query, waves, key, value),
            )

    def step(
        self, newest: Tensor, asking: Tensor, waves: Tensor, memory: Remembered
    ) -> tuple[Tensor, Remembered]:
        """Let one frame attend to the memory and to the newest frame.

        Args:
            newest: Tokens of the newest frame, (batch · joints, channels).
            asking: Those of the frame that attends, the same tensor or of an earlier frame.
            waves: Of the ages of the slots and of the newest frame; see :func:`age_waves`; (batch,
                2 · waves + 1, slots + 1).
            memory: Keys and values of the slots.

        Returns:
            The shape of ``asking``; and the newest frame's keys and values, with one slot.
        """
        rows, slots = memory.keys.shape[1], memory.keys.shape[3]
        query, weights, key, value = self._step_rows(newest, asking)
        # All of one layout, in which a head's row is a matrix of one row: nothing is transposed.
        head_width = query.shape[1] // self.heads
        query, key, value = (part.reshape(-1, rows, 1, head_width) for part in (query, key, value))
        by_age = weights.reshape(-1, rows, weights.shape[1] // self.heads) @ waves
        # Engines take as long to multiply one column as a whole memory.
        of_fresh = (query * key).sum(dim=-1, keepdim=True)
        by_content = torch.cat([query @ memory.keys, of_fresh], dim=-1)
        share = (by_content + by_age.unsqueeze(2)).softmax(dim=-1)
        of_slots, of_newest = torch.split_with_sizes(share, [slots, 1], dim=-1)
        mixed = of_slots @ memory.values + of_newest * value
        return cast(Tensor, self.proj(mixed.reshape(asking.shape))), Remembered(
            key.reshape(-1, rows, head_width, 1), value
        )

    def _step_rows(self, newest: Tensor, asking: Tensor) -> tuple[Tensor, ...]:
        """Return query, weights of waves, key and value, (batch · joints, …) each."""
        width = newest.shape[1]
        sizes = [width, self.heads * (2 * WAVES + 1), width, width]
        if self._joined is None:
            query, key, value = self._projected(newest)
            if asking is not newest:
                query = self._projected(asking)[0]
            of_waves = cast(Tensor, self.age_weights(asking)).reshape(-1, 2 * WAVES)
            weights = nn.functional.pad(of_waves, (0, 1), value=1.0)
            return query, weights.reshape(len(asking), -1), key, value
        if asking is newest:
            joined = nn.functional.linear(newest, *self._joined.both)
            return tuple(torch.split_with_sizes(joined, sizes, dim=1))
        of_asking = nn.functional.linear(asking, *self._joined.asking)
        of_newest = nn.functional.linear(newest, *self._joined.newest)
        return (
            *torch.split_with_sizes(of_asking, sizes[:2], dim=1),
            *torch.split_with_sizes(of_newest, sizes[2:], dim=1),
        )

    def _wave_layer(self) -> _Layer:
        """Return the layer that makes the weights of waves, with one of 1 for the last."""
        weight = self.age_weights.weight.reshape(self.heads, 2 * WAVES, -1)
        bias = self.age_weights.bias.reshape(self.heads, 2 * WAVES)
        weight = nn.functional.pad(weight, (0, 0, 0, 1))
        return weight.flatten(0, 1), nn.functional.pad(bias, (0, 1), value=1.0).flatten()

    def _projected(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Return scaled queries, keys and values, (tokens, channels) each."""
        if self._folded is not None:
            return tuple(nn.functional.linear(tokens, *layer) for layer in self._folded[:3])
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
        self, newest: Tensor, asking: Tensor, waves: Tensor, memory: Remembered
    ) -> tuple[Tensor, Remembered]:
        """Transform one frame; see :meth:`MemoryAttention.step`."""
        normed = self.norm1(newest)
        asked = normed if asking is newest else self.norm1(asking)
        mixed, fresh = self.attn.step(normed, asked, waves, memory)
        tokens = asking + mixed
        return tokens + cast(Tensor, self.mlp(self.norm2(tokens))), fresh


def age_waves(ages: Tensor) -> Tensor:
    """Return the waves of ages, and a last row that is far below 0 where there is no frame.

    Args:
        ages: (batch, layers, slots + 1), seconds; ``EMPTY_AGE`` if there is none.

    Returns:
        (batch, layers, 2 · waves + 1, slots + 1).
    """
    frequencies = _frequencies(ages)
    phases = torch.zeros_like(frequencies)
    both = torch.cat([frequencies, frequencies]).unsqueeze(1)
    # A sine is a cosine a quarter later.
    shift = torch.cat([phases, phases - 0.5 * math.pi]).unsqueeze(1)
    ages = ages.unsqueeze(2)
    nothing = (0.5 * EMPTY_AGE - ages).clamp(_NOTHING, 0.0)
    return torch.cat([(ages * both + shift).cos(), nothing], dim=2)


def _biased(layer: tuple[Tensor, Tensor | None]) -> _Layer:
    matrix, bias = layer
    return matrix, matrix.new_zeros(len(matrix)) if bias is None else bias


def _join(*layers: _Layer) -> _Layer:
    matrices, biases = zip(*layers, strict=True)
    return torch.cat(matrices), torch.cat(biases)


def _frequencies(like: Tensor) -> Tensor:
    """Return the waves' radians per second, (waves,), with the type and device of a tensor."""
    ratio = (_SHORTEST_S / _LONGEST_S) ** (1.0 / (WAVES - 1))
    values = [2.0 * math.pi / (_LONGEST_S * ratio**number) for number in range(WAVES)]
    return torch.tensor(values, dtype=like.dtype, device=like.device)
