"""The Hourglass Tokenizer: choose the frames to keep, recover the frames that were dropped.

Li et al., "Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose Estimation", CVPR
2024. The same code runs in PyTorch and, traced, in the exported graph. Nothing here reads the batch
size, so that a graph with a symbolic batch needs no shape arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.layers import Attention
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.options import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.selection import (
    density_peak_scores,
    highest_frames,
    motion_scores,
    uniform_frames,
)

_INITIAL_STD = 0.02


@dataclass(frozen=True)
class HourglassSpec:
    """Where and how a network prunes and recovers frames.

    Attributes:
        tokens: Frames kept.
        prune_at: Block before which frames are pruned, counted from 0.
        selector: How frames are chosen.
        recovery: How the other frames come back; None keeps only the chosen ones.
        keep_centre: Whether the centre frame is always among the chosen.
        mirrored_pairs: The batch alternates between a window and its mirror image, and each mirror
            image uses the frames chosen for its window.
        elastic: The recovery serves any number of tokens. A kept token carries an embedding of its
            frame instead of its rank, and what the network knew of every frame before it pruned is
            added to what is recovered.
    """

    tokens: int
    prune_at: int
    selector: SelectorKind
    recovery: RecoveryKind | None
    keep_centre: bool
    mirrored_pairs: bool = False
    elastic: bool = False


def hourglass_of(spec: ModelSpec, *, mirrored_pairs: bool = False) -> HourglassSpec | None:
    """The part of a network's specification that concerns pruning; None for the plain variant.

    The centre frame is forced in where it is the frame whose pose is wanted (the ``tpc`` variant),
    and a mirror image then shares the choice of its window, as published.
    """
    if spec.tokens is None or spec.prune_at is None or spec.selector is None:
        return None
    centred = spec.variant is Variant.TPC
    return HourglassSpec(
        tokens=spec.tokens,
        prune_at=spec.prune_at,
        selector=spec.selector,
        recovery=spec.recovery,
        keep_centre=centred,
        mirrored_pairs=mirrored_pairs and centred,
        elastic=spec.elastic,
    )


class FrameSelector(nn.Module):
    """Chooses the frames to keep; it has no weights."""

    def __init__(self, spec: HourglassSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, features: Tensor, keypoints: Tensor) -> Tensor:
        """Choose.

        Args:
            features: Tokens averaged over the joints, (batch, frames, channels).
            keypoints: The network's input, (batch, frames, joints, 2 or 3).

        Returns:
            Ascending frame indices, int64: (batch, tokens), or (1, tokens) where the selector does
            not look at the data.
        """
        spec = self.spec
        if spec.selector is SelectorKind.UNIFORM:
            chosen = uniform_frames(features.shape[1], spec.tokens, keep_centre=spec.keep_centre)
            return torch.tensor([chosen], dtype=torch.int64, device=features.device)
        if spec.mirrored_pairs:
            features = features.reshape(-1, 2, *features.shape[1:])[:, 0]
            keypoints = keypoints.reshape(-1, 2, *keypoints.shape[1:])[:, 0]
        if spec.selector is SelectorKind.TPC:
            scores = density_peak_scores(features)
        else:
            scores = motion_scores(keypoints)
        index = highest_frames(scores, spec.tokens, keep_centre=spec.keep_centre)
        if spec.mirrored_pairs:
            index = torch.stack([index, index], dim=1).reshape(-1, spec.tokens)
        return index


def take_frames(values: Tensor, index: Tensor) -> Tensor:
    """Pick frames, each batch item its own.

    Args:
        values: (batch, frames, ...).
        index: (batch, tokens) or (1, tokens), int64.

    Returns:
        (batch, tokens, ...), by one Gather whatever the batch size.
    """
    if index.shape[0] == 1:
        return values.index_select(1, index.reshape(-1))
    frames, tokens = values.shape[1], index.shape[1]
    # A running count over the batch gives each item the offset of its first row.
    item = torch.cumsum((index[:, :1] >= 0).to(torch.float32), dim=0) - 1.0
    rows = (index.to(torch.float32) + item * frames).to(torch.int64).reshape(-1)
    taken = values.reshape(-1, *values.shape[2:]).index_select(0, rows)
    return taken.reshape(-1, tokens, *values.shape[2:])


def interpolate_frames(tokens: Tensor, index: Tensor, frames: int) -> Tensor:
    """Fill the dropped frames linearly in time; outside the kept frames, hold the nearest.

    Args:
        tokens: Kept frames, (batch, tokens, joints, channels).
        index: Their times, ascending, (batch, tokens) or (1, tokens), int64.
        frames: Length of the window.

    Returns:
        (batch, frames, joints, channels).
    """
    kept = index.shape[1]
    time = torch.arange(frames, device=index.device, dtype=torch.float32)
    when = index.to(torch.float32)
    passed = (when.unsqueeze(1) <= time.unsqueeze(1)).to(torch.float32).sum(dim=2)
    before = (passed - 1.0).clamp(min=0.0).to(torch.int64)
    after = passed.clamp(max=kept - 1.0).to(torch.int64)
    start = take_frames(when.unsqueeze(2), before).squeeze(2)
    stop = take_frames(when.unsqueeze(2), after).squeeze(2)
    weight = ((time - start) / (stop - start).clamp(min=1.0)).clamp(min=0.0, max=1.0)
    weight = weight.to(tokens.dtype).unsqueeze(2).unsqueeze(3)
    earlier, later = take_frames(tokens, before), take_frames(tokens, after)
    return earlier + weight * (later - earlier)


class TokenRecoveringAttention(nn.Module):
    """Cross attention from one learnt query per frame to the kept tokens, joint by joint.

    Parameter names are those of the published state-dict (``cross_attention.*``).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
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


class HourglassNetwork(nn.Module):
    """Base of every network that can prune and recover frames.

    It holds the hourglass's parameters under their published names, at the top level of the
    state-dict, and only those that the specification needs.
    """

    def __init__(
        self, hourglass: HourglassSpec | None, *, frames: int, width: int, heads: int
    ) -> None:
        super().__init__()
        self.hourglass = hourglass
        self.frames = frames
        if hourglass is not None:
            self.selector = FrameSelector(hourglass)
        if hourglass is not None and hourglass.recovery is RecoveryKind.TRA:
            embedded = frames if hourglass.elastic else hourglass.tokens
            self.pos_embed_token = nn.Parameter(torch.zeros(1, embedded, width))
            self.x_token = nn.Parameter(torch.zeros(1, frames, width))
            self.cross_attention = TokenRecoveringAttention(width, heads)
            nn.init.trunc_normal_(self.pos_embed_token, std=_INITIAL_STD)

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

    def prune(
        self, tokens: Tensor, keypoints: Tensor, index: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Keep the chosen frames.

        Args:
            tokens: (batch, frames, joints, channels).
            keypoints: The network's input.
            index: Frames to keep, or None to let the selector choose.

        Returns:
            The kept tokens, (batch, tokens, joints, channels), and their frames, (batch, tokens).

        Raises:
            ValueError: ``index`` has neither one row nor one for each window.
        """
        assert self.hourglass is not None
        if index is None:
            index = cast(Tensor, self.selector(tokens.mean(dim=2), keypoints))
        elif index.shape[0] not in (1, tokens.shape[0]):
            raise ValueError(
                f"index chooses frames for {index.shape[0]} windows, but there are "
                f"{tokens.shape[0]}; expected one row for all, or one for each"
            )
        kept = take_frames(tokens, index)
        if self.recovers_by_attention:
            embedding: Tensor = self.pos_embed_token
            if self.hourglass.elastic:
                embedding = embedding[0].index_select(0, index.reshape(-1))
                embedding = embedding.reshape(-1, index.shape[1], embedding.shape[1])
            kept = kept + embedding.unsqueeze(2)
        return kept, index

    def recover(self, tokens: Tensor, index: Tensor, unpruned: Tensor) -> Tensor:
        """Bring the dropped frames back, as the specification says.

        Args:
            tokens: (batch, tokens, joints, channels).
            index: Their frames, (batch, tokens).
            unpruned: The tokens of every frame as they were before pruning, (batch, frames, joints,
                channels); an elastic hourglass adds them.

        Returns:
            (batch, frames, joints, channels); the tokens themselves where nothing is recovered.
        """
        assert self.hourglass is not None
        if self.hourglass.recovery is RecoveryKind.TRA:
            recovered = cast(Tensor, self.cross_attention(self.x_token, tokens))
            recovered = self.x_token.unsqueeze(2) + recovered
            return recovered + unpruned if self.hourglass.elastic else recovered
        if self.hourglass.recovery is RecoveryKind.INTERPOLATE:
            return interpolate_frames(tokens, index, self.frames)
        return tokens
