"""The Hourglass Tokenizer: choose the frames to keep, recover the frames that were dropped.

Li et al., "Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose Estimation", CVPR
2024. The same code runs in PyTorch and, traced, in the exported graph. Nothing here reads the batch
size, so that a graph with a symbolic batch needs no shape arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.models.frame_selection import (
    FrameSelector,
    interpolate_frames,
    take_frames,
    take_kept,
)
from hot_sdk.export.models.layers.transformer import Attention
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.manifest import PruningStage

_INITIAL_STD = 0.02


@dataclass(frozen=True)
class HourglassSpec:
    """Where and how a network prunes and recovers frames.

    Attributes:
        stages: Where frames are pruned, and how many are kept; each stage chooses among those that
            the one before it kept.
        recovery: How the other frames come back; None keeps only the chosen ones.
        keep_centre: Whether the centre frame is always among the chosen.
        mirrored_pairs: The batch alternates between a window and its mirror image, and each mirror
            image uses the frames chosen for its window.
        elastic: The recovery serves any number of tokens. A kept token carries an embedding of its
            frame instead of its rank, and what attention recovers corrects what interpolation
            between the kept frames gives.
    """

    stages: tuple[PruningStage, ...]
    recovery: RecoveryKind | None
    keep_centre: bool
    mirrored_pairs: bool = False
    elastic: bool = False

    @property
    def tokens(self) -> int:
        """Frames that the last stage keeps."""
        return self.stages[-1].tokens


def hourglass_of(spec: ModelSpec, *, mirrored_pairs: bool = False) -> HourglassSpec | None:
    """The part of a network's specification that concerns pruning; None for the plain variant.

    The centre frame is forced in where it is the frame whose pose is wanted (the ``tpc`` variant),
    and a mirror image then shares the choice of its window, as published.
    """
    if not spec.stages:
        return None
    centred = spec.variant is Variant.TPC
    return HourglassSpec(
        stages=spec.stages,
        recovery=spec.recovery,
        keep_centre=centred,
        mirrored_pairs=mirrored_pairs and centred,
        elastic=spec.elastic,
    )


def selectors_of_stages(hourglass: HourglassSpec | None, frames: int) -> nn.ModuleList:
    """A ``FrameSelector`` for each stage of pruning; none for the plain network."""
    if hourglass is None:
        return nn.ModuleList()
    return nn.ModuleList(
        FrameSelector(
            hourglass.stages[: number + 1],
            frames=frames,
            keep_centre=hourglass.keep_centre,
            mirrored_pairs=hourglass.mirrored_pairs,
        )
        for number in range(len(hourglass.stages))
    )


class TokenRecoveringAttention(nn.Module):
    """Cross attention from one learnt query per frame to the kept tokens, joint by joint.

    Parameter names are those of the published state-dict (``cross_attention.*``).

    Args:
        width: Channels of a token.
        heads: Attention heads.
        bias: Whether the layers that make queries, keys and values have one.
    """

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(width, width, bias=bias)
        self.linear_k = nn.Linear(width, width, bias=bias)
        self.linear_v = nn.Linear(width, width, bias=bias)
        self.proj = nn.Linear(width, width)
        self._folded: Tensor | None = None

    def fold_queries(self, frame_queries: Tensor) -> None:
        """Keep the projected queries as a constant, since they do not depend on the input."""
        with torch.no_grad():
            self._folded = self._project_queries(frame_queries).clone()

    def _project_queries(self, frame_queries: Tensor) -> Tensor:
        frames, width = frame_queries.shape[1:]
        head_width = width // self.heads
        queries = cast(Tensor, self.linear_q(frame_queries.reshape(frames, width)))
        queries = queries.reshape(1, 1, frames, self.heads, head_width).transpose(2, 3)
        scaled: Tensor = queries * head_width**-0.5
        return scaled

    def forward(self, frame_queries: Tensor, tokens: Tensor) -> Tensor:
        """Recover every frame.

        Args:
            frame_queries: ``x_token``, (1, frames, channels).
            tokens: (batch, tokens, joints, channels).

        Returns:
            (batch, frames, joints, channels), without the residual.
        """
        frames, width = frame_queries.shape[1:]
        kept, joints = tokens.shape[1:3]
        heads, head_width = self.heads, width // self.heads
        queries = self._folded if self._folded is not None else self._project_queries(frame_queries)
        flat = tokens.reshape(-1, width)
        split = (-1, kept, joints, heads, head_width)
        keys = self.linear_k(flat).reshape(split).permute(0, 2, 3, 4, 1)
        values = self.linear_v(flat).reshape(split).permute(0, 2, 3, 1, 4)
        attention = (queries @ keys).softmax(dim=-1)
        recovered = (attention @ values).permute(0, 3, 1, 2, 4).reshape(-1, width)
        return cast(Tensor, self.proj(recovered)).reshape(-1, frames, joints, width)


class FrameInterpolation(nn.Module):
    """Recovery without weights; a module, so that an exported file's nodes bear its name.

    Args:
        frames: Frames of a window.
    """

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, tokens: Tensor, index: Tensor) -> Tensor:
        """Fill the dropped frames; see ``interpolate_frames``."""
        return interpolate_frames(tokens, index, self.frames)


class HourglassNetwork(nn.Module):
    """Base of every network that can prune and recover frames.

    It holds the hourglass's parameters under their published names, at the top level of the
    state-dict, and only those that the specification needs.

    Args:
        hourglass: Where and how frames are pruned; None is a plain network.
        frames: Frames of a window.
        width: Channels of a token.
        heads: Attention heads of the recovery.
        bias: Whether its layers that make queries, keys and values have a bias.
    """

    def __init__(
        self,
        hourglass: HourglassSpec | None,
        *,
        frames: int,
        width: int,
        heads: int,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.hourglass = hourglass
        self.frames = frames
        self.selectors = selectors_of_stages(hourglass, frames)
        if hourglass is not None and hourglass.recovery is RecoveryKind.TRA:
            embedded = frames if hourglass.elastic else hourglass.stages[0].tokens
            self.pos_embed_token = nn.Parameter(torch.zeros(1, embedded, width))
            self.x_token = nn.Parameter(torch.zeros(1, frames, width))
            self.cross_attention = TokenRecoveringAttention(width, heads, bias=bias)
            nn.init.trunc_normal_(self.pos_embed_token, std=_INITIAL_STD)
        if hourglass is not None:
            self.interpolation = FrameInterpolation(frames)

    @property
    def recovers_by_attention(self) -> bool:
        """Whether the network holds trained recovery weights."""
        return self.hourglass is not None and self.hourglass.recovery is RecoveryKind.TRA

    def fold_constants(self) -> None:
        """Precompute what no input changes; for export, after the weights are loaded."""
        if self.recovers_by_attention:
            self.cross_attention.fold_queries(self.x_token)
        for module in self.modules():
            if isinstance(module, Attention):
                module.fold_constants()

    def prunes_before(self, block: int) -> bool:
        """Whether frames are pruned before a block, counted from 0."""
        stages = () if self.hourglass is None else self.hourglass.stages
        return any(stage.prune_at == block for stage in stages)

    def features(self, tokens: Tensor) -> Tensor:
        """What the selectors compare of a frame, (batch, frames, channels), from its tokens."""
        return tokens.mean(dim=2)

    def prune(
        self,
        tokens: Tensor,
        keypoints: Tensor,
        kept: tuple[Tensor, ...],
        index: Tensor | None,
        received: Callable[[], Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Keep the frames that the next stage chooses.

        Args:
            tokens: (batch, frames that are still there, joints, channels).
            keypoints: The network's input.
            kept: Frames that each stage before this one kept; empty at the first.
            index: Frames that all stages have to keep, (batch, sum of their tokens), in place of
                the selectors' choices; or None.
            received: Gives the attention that each frame received in the last temporal block,
                (batch, frames); what the ``attention`` selector goes by.

        Returns:
            The kept tokens, (batch, tokens, joints, channels), and ``kept`` with this stage's
            frames, (batch, tokens), ascending.

        Raises:
            ValueError: ``index`` has neither one row nor one for each window.
        """
        assert self.hourglass is not None
        stage = self.hourglass.stages[len(kept)]
        there = kept[-1] if kept else None
        if index is None:
            attention = None
            if stage.selector == SelectorKind.ATTENTION:
                assert received is not None
                attention = received()
            choose = self.selectors[len(kept)]
            positions = cast(Tensor, choose(self.features(tokens), keypoints, there, attention))
        elif index.shape[0] not in (1, tokens.shape[0]):
            raise ValueError(
                f"index chooses frames for {index.shape[0]} windows, but there are "
                f"{tokens.shape[0]}; expected one row for all, or one for each"
            )
        else:
            first = sum(earlier.tokens for earlier in self.hourglass.stages[: len(kept)])
            positions = index[:, first : first + stage.tokens]
            if there is not None:
                positions = (there.unsqueeze(1) < positions.unsqueeze(2)).sum(dim=2)
        frames = positions if there is None else take_kept(there, positions)
        taken = take_frames(tokens, positions)
        if self.recovers_by_attention and not kept:
            embedding: Tensor = self.pos_embed_token
            if self.hourglass.elastic:
                embedding = embedding[0].index_select(0, frames.reshape(-1))
                embedding = embedding.reshape(-1, frames.shape[1], embedding.shape[1])
            taken = taken + embedding.unsqueeze(2)
        return taken, (*kept, frames)

    def recover(self, tokens: Tensor, kept: tuple[Tensor, ...]) -> Tensor:
        """Bring the dropped frames back, as the specification says.

        Args:
            tokens: (batch, tokens, joints, channels).
            kept: Frames that each stage kept, the last one's those of the tokens.

        Returns:
            (batch, frames, joints, channels); the tokens themselves where nothing is recovered.
        """
        assert self.hourglass is not None
        if self.hourglass.recovery is RecoveryKind.TRA:
            recovered = cast(Tensor, self.cross_attention(self.x_token, tokens))
            recovered = self.x_token.unsqueeze(2) + recovered
            if self.hourglass.elastic:
                return cast(Tensor, self.interpolation(tokens, kept[-1])) + recovered
            return recovered
        if self.hourglass.recovery is RecoveryKind.INTERPOLATE:
            return cast(Tensor, self.interpolation(tokens, kept[-1]))
        return tokens


def chosen_frames(kept: tuple[Tensor, ...]) -> Tensor | None:
    """What a network returns of its choices: the frames of all stages, one after the other.

    Returns:
        (batch, sum of the stages' tokens), or one row where no choice depends on the data; None
        where nothing was pruned.
    """
    if len(kept) < 2:
        return kept[0] if kept else None
    widest = next((frames for frames in kept if frames.shape[0] != 1), kept[0])
    # One row is repeated over the batch without asking for its size.
    rows = widest[:, :1] * 0
    return torch.cat([frames + rows for frames in kept], dim=1)
