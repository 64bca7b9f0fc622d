"""MixSTE that takes one frame at a time, and remembers what it needs of those before.

Its blocks over frames attend to the newest frames that they remember, by their age in seconds in
place of an embedding of their place in a window, and look ahead by a number of frames each. So
every layer does the work of one frame for each new frame, whatever it remembers; and because the
age is in seconds, it serves any frame rate. One checkpoint serves every lookahead and every memory.

Over a clip at once, as it is trained, and frame by frame, it computes the same poses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from hot_sdk.export.models.layers.frame_attention import FrameAttention
from hot_sdk.export.models.layers.memory_attention import (
    MemoryBlock,
    Remembered,
    Visible,
    age_waves,
)
from hot_sdk.export.models.layers.transformer import Axis, Block, Grid
from hot_sdk.export.models.mixste import MixSTE
from hot_sdk.export.models.registry import family
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.step_memory import StepMemory, layer_lookaheads


@dataclass(frozen=True)
class StepState:
    """What the network keeps between frames, as it takes it.

    Attributes:
        ages: (batch, depth, slots + 1), seconds from each slot's frame, and from the newest, to the
            one whose tokens attend in that layer; ``EMPTY_AGE`` if there is none.
        memories: Keys and values of each layer.
        tokens: (batch, delayed layers, joints, width): of each layer that looks ahead, the tokens
            that it took as many frames ago.
        guess: (batch, joints, 3), the stem's guess as many frames ago as the network looks ahead;
            None if it does not, or has no stem.
    """

    ages: Tensor
    memories: tuple[Remembered, ...]
    tokens: Tensor | None = None
    guess: Tensor | None = None


class Step(NamedTuple):
    """What the network returns for a frame.

    Attributes:
        poses: (batch, 1, joints, 3), of the frame that was newest ``lookahead`` frames ago.
        spread: Of the same shape; None if the network does not predict it.
        memories: The newest frame's keys and values in each layer, with one slot.
        tokens: (batch, delayed layers, joints, width), the newest that those layers took; None if
            there are none.
        guess: (batch, joints, 3), the newest guess; None as in ``StepState``.
    """

    poses: Tensor
    spread: Tensor | None
    memories: tuple[Remembered, ...]
    tokens: Tensor | None
    guess: Tensor | None


class LiveMixSTE(MixSTE):
    """The network; its state-dict is that of MixSTE, with weights of ages for embedded times."""

    def _build_temporal(self, spec: ModelSpec) -> None:
        size = spec.size
        for block in self.STEblocks:
            cast(Block, block).attn = FrameAttention(size.width, size.heads)
        self.TTEblocks = nn.ModuleList(
            MemoryBlock(size.width, size.heads, size.mlp_hidden) for _ in range(size.depth)
        )

    def lift(
        self,
        keypoints: Tensor,
        index: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Lift all frames of clips at once, at the frame rate of the family's training data.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels), of any number of frames.
            index: None, since no frames are pruned.
            conditions: What is known, (batch, frames, conditions); None if nothing is.
        """
        assert self.spec.live is not None
        frames = torch.arange(keypoints.shape[1], dtype=keypoints.dtype, device=keypoints.device)
        live, fps = self.spec.live, family(self.spec.family).training_fps
        poses, spread = self.lift_clip(
            keypoints, frames / fps, conditions, lookahead=live.lookahead, memory=live.memory
        )
        return poses, None, spread

    def lift_clip(
        self,
        keypoints: Tensor,
        times: Tensor,
        conditions: Tensor | None = None,
        *,
        lookahead: int,
        memory: StepMemory,
    ) -> tuple[Tensor, Tensor | None]:
        """Lift all frames of clips at once, as frame by frame.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels).
            times: (frames,), seconds, ascending.
            conditions: What is known, (batch, frames, conditions); None if nothing is.
            lookahead: Frames that each pose waits for.
            memory: What the network remembers.

        Returns:
            Poses in meters, (batch, frames, joints, 3), and their spread or None.
        """
        frames, joints = keypoints.shape[1:3]
        grid = Grid(frames, joints)
        tokens, guess = self._embedded(keypoints, conditions)
        reached = 0
        layers = zip(
            self.STEblocks, self.TTEblocks, layer_lookaheads(lookahead, len(self.TTEblocks)),
            strict=True,
        )  # fmt: skip
        remembered = torch.from_numpy(memory.remembered(frames + lookahead)).to(tokens.device)
        for spatial, temporal, ahead in layers:
            tokens = self.Spatial_norm(spatial(tokens, grid, Axis.JOINTS))
            # A layer takes frame f when frame f + reached is the newest.
            asked = slice(reached + ahead, reached + ahead + frames)
            taken = slice(reached, reached + frames)
            visible = Visible(times, remembered[asked, taken])
            tokens = self.Temporal_norm(
                cast(MemoryBlock, temporal).over_clip(tokens, grid, visible)
            )
            reached += ahead
        return self._finished(tokens, guess, grid)

    def step(
        self, keypoints: Tensor, state: StepState, conditions: Tensor | None, lookahead: int
    ) -> Step:
        """Take one frame, and lift the one that was newest ``lookahead`` frames ago.

        Args:
            keypoints: Normalized, (batch, 1, joints, channels).
            state: What is remembered.
            conditions: What is known, (batch, 1, conditions); None if nothing is.
            lookahead: Frames that each pose waits for.
        """
        joints = keypoints.shape[2]
        grid = Grid(1, joints)
        tokens, guess = self._embedded(keypoints, conditions)
        width = tokens.shape[1]
        fresh: list[Remembered] = []
        delayed: list[Tensor] = []
        layers = zip(
            self.STEblocks, self.TTEblocks, layer_lookaheads(lookahead, len(self.TTEblocks)),
            state.memories, strict=True,
        )  # fmt: skip
        waves = age_waves(state.ages).unbind(1)
        for number, (spatial, temporal, ahead, memory) in enumerate(layers):
            tokens = self.Spatial_norm(spatial(tokens, grid, Axis.JOINTS))
            asking = tokens
            if ahead:
                assert state.tokens is not None
                asking = state.tokens[:, len(delayed)].reshape(-1, width)
                delayed.append(tokens.reshape(-1, joints, width))
            block = cast(MemoryBlock, temporal)
            tokens, kept = block.step(tokens, asking, waves[number], memory)
            tokens = self.Temporal_norm(tokens)
            fresh.append(kept)
        new_guess = None
        if guess is not None and lookahead:
            assert state.guess is not None
            new_guess = guess.reshape(-1, joints, 3)
            guess = state.guess.unsqueeze(1)
        poses, spread = self._finished(tokens, guess, grid)
        new_tokens = torch.stack(delayed, dim=1) if delayed else None
        return Step(poses, spread, tuple(fresh), new_tokens, new_guess)

    def _finished(
        self, tokens: Tensor, guess: Tensor | None, grid: Grid
    ) -> tuple[Tensor, Tensor | None]:
        poses = cast(Tensor, self.head(tokens)).reshape(-1, *grid, 3)
        spread = self._spread(tokens).reshape(-1, *grid, 3) if self.spec.size.spread else None
        return poses if guess is None else poses + guess, spread


build = LiveMixSTE
