"""The Hourglass Tokenizer: choose the frames to keep, recover the frames that were dropped.

Li et al., "Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose Estimation", CVPR
2024. The same code runs in PyTorch and, traced, in the exported graph. Nothing here reads the batch
size, so that a graph with a symbolic batch needs no shape arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.models.frame_selection import (
    FrameSelector,
    interpolate_frames,
    take_frames,
    window_frames,
)
from hot_sdk.export.models.spec import ModelSpec

_INITIAL_STD = 0.02


@runtime_checkable
class Foldable(Protocol):
    """A layer that can precompute what no input changes."""

    def fold_constants(self) -> None:
        """Precompute it, once the weights are loaded; the state-dict stays as it is."""


class HourglassNetwork(nn.Module):
    """Base of every network: prunes and recovers frames as the specification says.

    It holds the hourglass's parameters under their published names, at the top level of the
    state-dict, and only those that the specification needs. With an elastic recovery, a kept token
    carries an embedding of its frame instead of its rank, and what attention recovers corrects what
    interpolation between the kept frames gives.

    Args:
        spec: The architecture.
        mirrored_pairs: The batch alternates between a window and its mirror image. In the ``tpc``
            variant each mirror image then uses the frames chosen for its window, as published.
        bias: The recovery's layers that make queries, keys and values have a bias.
    """

    def __init__(self, spec: ModelSpec, *, mirrored_pairs: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.frames = spec.frames
        self.prune_as(spec, mirrored_pairs=mirrored_pairs)
        if self.recovers_by_attention:
            width = spec.size.width
            embedded = spec.frames if spec.elastic else spec.stages[0].tokens
            self.pos_embed_token = nn.Parameter(torch.zeros(1, embedded, width))
            self.x_token = nn.Parameter(torch.zeros(1, spec.frames, width))
            self.cross_attention = TokenRecoveringAttention(width, spec.size.heads, bias=bias)
            nn.init.trunc_normal_(self.pos_embed_token, std=_INITIAL_STD)
        if spec.stages:
            self.interpolation = FrameInterpolation(spec.frames)

    def prune_as(self, spec: ModelSpec, *, mirrored_pairs: bool = False) -> None:
        """Prune as a specification says from now on, with the weights that are there."""
        self.spec = spec
        # The center is the frame whose pose this variant is for.
        centered = spec.variant is Variant.TPC
        self.selectors = nn.ModuleList(
            FrameSelector(
                spec.stages[: number + 1],
                frames=spec.frames,
                keep_center=centered,
                mirrored_pairs=mirrored_pairs and centered,
            )
            for number in range(len(spec.stages))
        )

    @property
    def recovers_by_attention(self) -> bool:
        """True if the network recovers frames with trained weights."""
        return self.spec.recovery is RecoveryKind.TRA

    def fold_constants(self) -> None:
        """Precompute what no input changes; for export, after the weights are loaded."""
        if self.recovers_by_attention:
            self.cross_attention.fold_queries(self.x_token)
        for module in self.modules():
            if module is not self and isinstance(module, Foldable):
                module.fold_constants()

    def forward(
        self, keypoints: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Lift keypoints to poses.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels).
            index: Frames to keep, in the shape returned, instead of the selectors' choice.

        Returns:
            Poses in the family's unit, (batch, frames, joints, 3), or (batch, tokens, joints, 3) if
            no frames are recovered; and the kept frames of all stages, (batch, sum of their
            tokens), or None if no frames are pruned.
        """
        raise NotImplementedError

    def lift(
        self,
        keypoints: Tensor,
        index: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Lift keypoints to poses, told what is known of the camera if the network takes that.

        Args:
            keypoints: See ``forward``.
            index: See there.
            conditions: (batch, frames, conditions); None for nothing, and if the network takes
                none.

        Returns:
            The poses and kept frames of ``forward``, and the poses' spread, of the same shape as
            they: half the width of the interval that holds 68 % of errors along each axis. None if
            the network does not predict it.
        """
        assert conditions is None
        return (*self(keypoints, index), None)

    def prunes_at(self, block: int) -> bool:
        """Return True if frames are pruned before a block, counted from 0."""
        return any(stage.prune_at == block for stage in self.spec.stages)

    def features(self, tokens: Tensor) -> Tensor:
        """Reduce tokens to what the selectors compare of a frame, (batch, frames, channels)."""
        return tokens.mean(dim=2)

    def prune(
        self,
        tokens: Tensor,
        keypoints: Tensor,
        kept: tuple[Tensor, ...],
        index: Tensor | None,
        attention: Callable[[], Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Keep the frames that the next stage chooses.

        Args:
            tokens: (batch, frames of the stage before, joints, channels).
            keypoints: The network's input.
            kept: Frames that each stage before this one kept; empty at the first.
            index: Frames that all stages have to keep, (batch, sum of their tokens), in place of
                the selectors' choices; or None.
            attention: Computes the attention that each frame received in the last temporal block,
                (batch, frames); called only for the ``attention`` selector.

        Returns:
            The kept tokens, (batch, tokens, joints, channels), and ``kept`` with this stage's
            frames, (batch, tokens), ascending.

        Raises:
            ValueError: ``index`` has neither one row nor one for each window.
        """
        stage = self.spec.stages[len(kept)]
        present = kept[-1] if kept else None
        if index is None:
            received = None
            if stage.selector == SelectorKind.ATTENTION:
                assert attention is not None
                received = attention()
            select = self.selectors[len(kept)]
            positions = cast(Tensor, select(self.features(tokens), keypoints, present, received))
        elif index.shape[0] not in (1, tokens.shape[0]):
            raise ValueError(
                f"index chooses frames for {index.shape[0]} windows, but there are "
                f"{tokens.shape[0]}; expected one row for all, or one for each"
            )
        else:
            first = sum(earlier.tokens for earlier in self.spec.stages[: len(kept)])
            positions = index[:, first : first + stage.tokens]
            if present is not None:
                positions = (present.unsqueeze(1) < positions.unsqueeze(2)).sum(dim=2)
        frames = positions if present is None else window_frames(present, positions)
        taken = take_frames(tokens, positions)
        if self.recovers_by_attention and not kept:
            embedding: Tensor = self.pos_embed_token
            if self.spec.elastic:
                embedding = embedding[0].index_select(0, frames.reshape(-1))
                embedding = embedding.reshape(-1, frames.shape[1], embedding.shape[1])
            taken = taken + embedding.unsqueeze(2)
        return taken, (*kept, frames)

    def recover(self, tokens: Tensor, kept: tuple[Tensor, ...]) -> Tensor:
        """Recover the dropped frames, as the specification says.

        Args:
            tokens: (batch, tokens, joints, channels).
            kept: Frames that each stage kept, the last one's those of the tokens.

        Returns:
            (batch, frames, joints, channels); the tokens themselves if no frames are recovered.
        """
        if self.recovers_by_attention:
            recovered = cast(Tensor, self.cross_attention(self.x_token, tokens))
            recovered = self.x_token.unsqueeze(2) + recovered
            if self.spec.elastic:
                return cast(Tensor, self.interpolation(tokens, kept[-1])) + recovered
            return recovered
        if self.spec.recovery is RecoveryKind.INTERPOLATE:
            return cast(Tensor, self.interpolation(tokens, kept[-1]))
        return tokens


class TokenRecoveringAttention(nn.Module):
    """Cross attention from one learned query per frame to the kept tokens, joint by joint.

    Parameter names are those of the published state-dict (``cross_attention.*``).

    Args:
        width: Channels of a token.
        heads: Attention heads.
        bias: The layers that make queries, keys and values have a bias.
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
        """Attend from every frame of the window to the kept tokens.

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
    """Recovery without weights; a module, so that an exported file's nodes bear its name."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, tokens: Tensor, index: Tensor) -> Tensor:
        """Fill the dropped frames; see ``interpolate_frames``."""
        return interpolate_frames(tokens, index, self.frames)


def chosen_frames(kept: tuple[Tensor, ...]) -> Tensor | None:
    """Join the frames that the stages kept into what a network returns of its choices.

    Returns:
        (batch, sum of the stages' tokens), or one row if no choice depends on the data; None if no
        frames were pruned.
    """
    if len(kept) < 2:
        return kept[0] if kept else None
    widest = next((frames for frames in kept if frames.shape[0] != 1), kept[0])
    # One row is repeated over the batch without reading its size.
    rows = widest[:, :1] * 0
    return torch.cat([frames + rows for frames in kept], dim=1)
