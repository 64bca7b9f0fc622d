"""The choice of frames at one stage of pruning, by any of the selectors.

Which frames to keep: scores of frames, and the choice of the highest.

The clustering is the limit of the published one (Li et al., CVPR 2024) with vanishing noise, in a
form whose float32 evaluation chooses the frames of exact arithmetic, in every engine.

Frames picked out of a window, and filled in between.

Nothing here reads the batch size, so that a graph with a symbolic batch needs no shape arithmetic.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import SelectorKind
from hot_sdk.manifest import PruningStage


def highest_frames(scores: Tensor, tokens: int, *, keep: Tensor | None = None) -> Tensor:
    """Indices of the highest scores in ascending order; among equal scores the earlier frame wins.

    Args:
        scores: (batch, frames), finite.
        tokens: How many frames to choose.
        keep: Frames to rank above all others, (batch or 1, frames) bool.

    Returns:
        (batch, tokens) int64.
    """
    frames = scores.shape[1]
    if keep is not None:
        scores = torch.where(keep, torch.finfo(scores.dtype).max, scores)
    # Engines differ in which of two equal scores their TopK takes, and none sorts int64 everywhere.
    # Ranks by comparison settle both: TopK then meets only distinct floats, already in time order.
    rank = _outranks(scores).to(scores.dtype).sum(dim=2)
    time_key = torch.arange(frames, 0, -1, device=scores.device, dtype=scores.dtype)
    key = torch.where(rank < tokens, time_key, 0.0)
    chosen, _ = torch.topk(key, tokens, dim=1, sorted=True)
    return frames - chosen.to(torch.int64)


def _outranks(scores: Tensor) -> Tensor:
    """Whether frame j outranks frame i: (batch, frames i, frames j) bool, a strict total order."""
    frames = scores.shape[1]
    mine, other = scores.unsqueeze(2), scores.unsqueeze(1)
    earlier = torch.ones(frames, frames, dtype=torch.bool, device=scores.device).tril(-1)
    return (other > mine) | ((other == mine) & earlier)


def density_peak_scores(features: Tensor) -> Tensor:
    """Score of each frame as a cluster centre (density peaks with one neighbour besides itself).

    Published as ``cluster_dpc_knn`` with k = 2, which counts the frame itself. Distances come from
    one centred, symmetrised Gram matrix, since those of an uncentred one lose the digits that order
    the frames; equal densities go to the earlier frame in place of the published random noise.

    Args:
        features: (batch, frames, channels).

    Returns:
        (batch, frames), float32, or float64 where the features are.
    """
    if features.dtype != torch.float64:
        features = features.to(torch.float32)
    frames, channels = features.shape[1], features.shape[2]
    centred = features - features.mean(dim=1, keepdim=True)
    gram = centred @ centred.transpose(1, 2)
    twice_gram = gram + gram.transpose(1, 2)
    square = (centred * centred).sum(dim=2)
    distance_sq = square.unsqueeze(2) + square.unsqueeze(1) - twice_gram
    distance_sq = distance_sq.clamp(min=0.0) * (1.0 / channels)

    itself = torch.eye(frames, dtype=torch.bool, device=features.device)
    beyond = torch.finfo(features.dtype).max
    nearest_sq = torch.where(itself, beyond, distance_sq).amin(dim=2)
    density = torch.exp(nearest_sq * -0.5)

    distance = distance_sq.sqrt()
    farthest = distance.amax(dim=(1, 2)).unsqueeze(1)
    # The nearer the neighbour the denser. The densities themselves would not do: of slow motion
    # they lie so close to 1 that float32 makes most of them equal.
    to_denser = torch.where(_outranks(-nearest_sq), distance, beyond).amin(dim=2)
    separation = torch.minimum(to_denser, farthest)
    return separation * density


def motion_scores(keypoints: Tensor) -> Tensor:
    """How far each frame's keypoints moved since the frame before, summed over joints.

    Args:
        keypoints: (batch, frames, joints, 2 or 3); a third channel, the confidence, is not read.

    Returns:
        (batch, frames); the first frame has the score of the second.
    """
    position = keypoints[..., :2].to(torch.float32)
    step = (position[:, 1:] - position[:, :-1]).square().sum(dim=3).sqrt().sum(dim=2)
    return torch.cat([step[:, :1], step], dim=1)


def uniform_frames(frames: int, tokens: int, *, centre: int | None) -> list[int]:
    """Evenly spaced frames, the first and the last among them.

    Where a centre is given, the frame nearest to it is replaced by it.
    """
    chosen = [math.floor(rank * (frames - 1) / (tokens - 1) + 0.5) for rank in range(tokens)]
    if centre is not None and centre not in chosen:
        nearest = min(range(tokens), key=lambda rank: abs(chosen[rank] - centre))
        chosen[nearest] = centre
    return chosen


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


def take_kept(kept: Tensor, positions: Tensor) -> Tensor:
    """The frames at positions among those that were kept before.

    Args:
        kept: Frames, (batch, kept) or (1, kept), int64.
        positions: Among them, (batch, tokens) or (1, tokens), int64.

    Returns:
        (batch, tokens), or (1, tokens) where both have one row.
    """
    if kept.shape[0] == 1:
        return kept.reshape(-1).index_select(0, positions.reshape(-1)).reshape(positions.shape)
    return take_frames(kept, positions)


class FrameSelector(nn.Module):
    """Chooses the frames to keep; it has no weights.

    Args:
        stages: The stages of pruning up to this one, which is the last.
        frames: Of the window.
        keep_centre: The window's centre frame is always among the chosen.
        mirrored_pairs: See ``HourglassSpec``.
    """

    def __init__(
        self,
        stages: tuple[PruningStage, ...],
        *,
        frames: int,
        keep_centre: bool,
        mirrored_pairs: bool,
    ) -> None:
        super().__init__()
        self.stage = stages[-1]
        self.centre = frames // 2 if keep_centre else None
        self.mirrored_pairs = mirrored_pairs
        self.fixed = _fixed_positions(stages, frames, self.centre)

    def forward(
        self,
        features: Tensor,
        keypoints: Tensor,
        kept: Tensor | None = None,
        received: Tensor | None = None,
    ) -> Tensor:
        """Choose.

        Args:
            features: Tokens averaged over the joints, (batch, kept, channels).
            keypoints: The network's input, (batch, frames, joints, 2 or 3).
            kept: The frames that are still there, (batch, kept) or (1, kept); None is all.
            received: Attention that each frame received, (batch, kept); for that selector alone.

        Returns:
            Ascending positions among the kept frames, int64: (batch, tokens), or (1, tokens) where
            the choice does not depend on the data.
        """
        if self.fixed is not None:
            return torch.tensor([self.fixed], dtype=torch.int64, device=features.device)
        positions = highest_frames(
            self._scores(features, keypoints, kept, received),
            self.stage.tokens,
            keep=self._centre(features, kept),
        )
        if self.mirrored_pairs:
            pairs = torch.stack([positions, positions], dim=1)
            return pairs.reshape(-1, self.stage.tokens)
        return positions

    def _scores(
        self, features: Tensor, keypoints: Tensor, kept: Tensor | None, received: Tensor | None
    ) -> Tensor:
        kind = self.stage.selector
        if kind == SelectorKind.TPC:
            return density_peak_scores(self._first(features))
        if kind == SelectorKind.MOTION:
            there = keypoints if kept is None else take_frames(keypoints, kept)
            return motion_scores(self._first(there))
        if kind == SelectorKind.ATTENTION:
            assert received is not None
            return self._first(received)
        count = features.shape[1]
        chosen = torch.zeros(1, count, device=features.device)
        chosen[:, uniform_frames(count, self.stage.tokens, centre=None)] = 1.0
        # One row for each window, though all are equal: the centre differs.
        return chosen + 0.0 * self._first(features)[:, :, 0].to(chosen.dtype)

    def _centre(self, features: Tensor, kept: Tensor | None) -> Tensor | None:
        """Where the centre frame is, (batch or 1, kept) bool."""
        if self.centre is None:
            return None
        if kept is None:
            return (torch.arange(features.shape[1], device=features.device) == self.centre)[None]
        return self._first(kept) == self.centre if kept.shape[0] != 1 else kept == self.centre

    def _first(self, values: Tensor) -> Tensor:
        """The windows alone, where each is followed by its mirror image."""
        if not self.mirrored_pairs:
            return values
        return values.reshape(-1, 2, *values.shape[1:])[:, 0]


def _fixed_positions(
    stages: tuple[PruningStage, ...], frames: int, centre: int | None
) -> list[int] | None:
    """Positions where neither this stage nor one before it looks at the data."""
    present, positions = list(range(frames)), None
    for stage in stages:
        if stage.selector != SelectorKind.UNIFORM:
            return None
        at = None if centre is None else present.index(centre)
        positions = uniform_frames(len(present), stage.tokens, centre=at)
        present = [present[position] for position in positions]
    return positions
