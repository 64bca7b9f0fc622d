"""Choose the frames to keep, gather them, and interpolate the others between them.

The clustering is the limit of the published one (Li et al., CVPR 2024) with vanishing noise, in a
form whose float32 evaluation chooses the frames of exact arithmetic, in every engine, unless two
scores are closer than rounding. Nothing here reads the batch size, so that a graph with a symbolic
batch needs no shape arithmetic.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import SelectorKind
from hot_sdk.manifest import PruningStage


class FrameSelector(nn.Module):
    """Choose the frames to keep; a module without weights.

    Args:
        stages: The stages of pruning up to this one, which is the last.
        frames: Frames of the window.
        keep_center: The window's center frame is always chosen.
        mirrored_pairs: The batch alternates between a window and its mirror image, and each mirror
            image uses the frames chosen for its window.
    """

    def __init__(
        self,
        stages: tuple[PruningStage, ...],
        *,
        frames: int,
        keep_center: bool,
        mirrored_pairs: bool,
    ) -> None:
        super().__init__()
        self.stage = stages[-1]
        self.center = frames // 2 if keep_center else None
        self.mirrored_pairs = mirrored_pairs
        self.fixed = _fixed_positions(stages, frames, self.center)

    def forward(
        self,
        features: Tensor,
        keypoints: Tensor,
        kept: Tensor | None = None,
        attention: Tensor | None = None,
    ) -> Tensor:
        """Choose among the frames that earlier stages kept.

        Args:
            features: What is compared of a frame, (batch, kept, channels).
            keypoints: The network's input, (batch, frames, joints, 2 or 3).
            kept: Frames that the stage before kept, (batch, kept) or (1, kept); None is all.
            attention: Attention that each frame received, (batch, kept); required by the
                ``attention`` selector alone.

        Returns:
            Ascending positions among the kept frames, int64: (batch, tokens), or (1, tokens) if the
            choice does not depend on the data.
        """
        if self.fixed is not None:
            return torch.tensor([self.fixed], dtype=torch.int64, device=features.device)
        positions = highest_frames(
            self.scores(features, keypoints, kept, attention),
            self.stage.tokens,
            keep=self.center_mask(features, kept),
        )
        if self.mirrored_pairs:
            pairs = torch.stack([positions, positions], dim=1)
            return pairs.reshape(-1, self.stage.tokens)
        return positions

    def scores(
        self, features: Tensor, keypoints: Tensor, kept: Tensor | None, attention: Tensor | None
    ) -> Tensor:
        """Score the frames that are left, (windows, kept); the arguments are those of a call."""
        kind = self.stage.selector
        if kind == SelectorKind.TPC:
            return density_peak_scores(self.windows(features))
        if kind == SelectorKind.MOTION:
            present = keypoints if kept is None else take_frames(keypoints, kept)
            return motion_scores(self.windows(present))
        if kind == SelectorKind.ATTENTION:
            assert attention is not None
            return self.windows(attention)
        count = features.shape[1]
        chosen = torch.zeros(1, count, device=features.device)
        chosen[:, uniform_frames(count, self.stage.tokens, center=None)] = 1.0
        # One row for each window, though all are equal: the center differs.
        return chosen + 0.0 * self.windows(features)[:, :, 0].to(chosen.dtype)

    def center_mask(self, features: Tensor, kept: Tensor | None) -> Tensor | None:
        """Mark the center frame among the kept ones, (batch or 1, kept) bool."""
        if self.center is None:
            return None
        if kept is None:
            return (torch.arange(features.shape[1], device=features.device) == self.center)[None]
        return self.windows(kept) == self.center if kept.shape[0] != 1 else kept == self.center

    def windows(self, values: Tensor) -> Tensor:
        """Drop the mirror images from a batch of pairs."""
        if not self.mirrored_pairs:
            return values
        return values.reshape(-1, 2, *values.shape[1:])[:, 0]


def _fixed_positions(
    stages: tuple[PruningStage, ...], frames: int, center: int | None
) -> list[int] | None:
    """Return the positions of the last stage if no stage depends on the data, else None."""
    present, positions = list(range(frames)), None
    for stage in stages:
        if stage.selector != SelectorKind.UNIFORM:
            return None
        at = None if center is None else present.index(center)
        positions = uniform_frames(len(present), stage.tokens, center=at)
        present = [present[position] for position in positions]
    return positions


def highest_frames(scores: Tensor, tokens: int, *, keep: Tensor | None = None) -> Tensor:
    """Return the indices of the highest scores, ascending; of equal scores the earlier frame wins.

    Args:
        scores: (batch, frames), finite.
        tokens: Number of frames to choose.
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
    # An engine that compiles in lower precision may rank fewer frames than there are tokens; the
    # key of what fills up is 0, which would be the frame after the last. Or it may round a key up.
    return frames - chosen.clamp(min=1.0, max=float(frames)).to(torch.int64)


def _outranks(scores: Tensor) -> Tensor:
    """Return if frame j outranks frame i: (batch, frames i, frames j) bool, a total order."""
    frames = scores.shape[1]
    mine, other = scores.unsqueeze(2), scores.unsqueeze(1)
    # The exporter makes this comparison a constant, but not torch.tril: TensorRT before 10.2 reads
    # no Trilu on bool.
    time = torch.arange(frames, device=scores.device)
    earlier = time < time.unsqueeze(1)
    return (other > mine) | ((other == mine) & earlier)


def density_peak_scores(features: Tensor) -> Tensor:
    """Score each frame as a cluster center (density peaks with one neighbor besides itself).

    Published as ``cluster_dpc_knn`` with k = 2, which counts the frame itself; equal densities go
    to the earlier frame instead of the published random noise.

    Args:
        features: (batch, frames, channels).

    Returns:
        (batch, frames), float64 if the features are, else float32.
    """
    distance_sq = squared_distances(features)
    frames = distance_sq.shape[1]
    itself = torch.eye(frames, dtype=torch.bool, device=features.device)
    beyond = torch.finfo(distance_sq.dtype).max
    nearest_sq = torch.where(itself, beyond, distance_sq).amin(dim=2)
    density = torch.exp(nearest_sq * -0.5)

    distance = distance_sq.sqrt()
    farthest = distance.amax(dim=(1, 2)).unsqueeze(1)
    # Compare distances: a nearer neighbor is a higher density, but for slow motion all densities
    # are so close to 1 that float32 makes most of them equal.
    to_denser = torch.where(_outranks(-nearest_sq), distance, beyond).amin(dim=2)
    separation = torch.minimum(to_denser, farthest)
    return separation * density


def squared_distances(features: Tensor) -> Tensor:
    """Return the squared distances between frames, over the number of channels; symmetric.

    They come from one centered, symmetrized Gram matrix, since those of an uncentered one lose the
    digits that order the frames.

    Args:
        features: (batch, frames, channels).

    Returns:
        (batch, frames, frames), float64 if the features are, else float32.
    """
    if features.dtype != torch.float64:
        features = features.to(torch.float32)
    centered = features - features.mean(dim=1, keepdim=True)
    gram = centered @ centered.transpose(1, 2)
    twice_gram = gram + gram.transpose(1, 2)
    square = (centered * centered).sum(dim=2)
    distance_sq = square.unsqueeze(2) + square.unsqueeze(1) - twice_gram
    return distance_sq.clamp(min=0.0) * (1.0 / features.shape[2])


def motion_scores(keypoints: Tensor) -> Tensor:
    """Score each frame by how far its keypoints moved since the one before, summed over joints.

    Args:
        keypoints: (batch, frames, joints, 2 or 3); a third channel, the confidence, is not read.

    Returns:
        (batch, frames); the first frame has the score of the second.
    """
    position = keypoints[..., :2].to(torch.float32)
    step = (position[:, 1:] - position[:, :-1]).square().sum(dim=3).sqrt().sum(dim=2)
    return torch.cat([step[:, :1], step], dim=1)


def uniform_frames(frames: int, tokens: int, *, center: int | None) -> list[int]:
    """Return evenly spaced frames, the first and the last among them.

    If a center is given, it replaces the frame nearest to it.
    """
    chosen = [math.floor(rank * (frames - 1) / (tokens - 1) + 0.5) for rank in range(tokens)]
    if center is not None and center not in chosen:
        nearest = min(range(tokens), key=lambda rank: abs(chosen[rank] - center))
        chosen[nearest] = center
    return chosen


def take_frames(values: Tensor, index: Tensor) -> Tensor:
    """Gather frames, each batch item its own ones.

    Args:
        values: (batch, frames, ...).
        index: (batch, tokens) or (1, tokens), int64, 0 to frames - 1.

    Returns:
        (batch, tokens, ...), by one Gather for every batch size.
    """
    if index.shape[0] == 1:
        return values.index_select(1, index.reshape(-1))
    frames, tokens = values.shape[1], index.shape[1]
    # A running count over the batch gives each item the offset of its first row. Whole numbers from
    # here on: a product that an engine rounds would read another item's rows, or none that exist.
    # The half keeps a rounded count in its item, the limits in the batch, if that is fixed.
    count = torch.cumsum((index[:, :1] >= 0).to(torch.float32), dim=0) - 0.5
    batch = index.shape[0]
    last = float(batch - 1) if isinstance(batch, int) else None
    item = count.clamp(min=0.0, max=last).to(torch.int64)
    rows = (index + item * frames).reshape(-1)
    taken = values.reshape(-1, *values.shape[2:]).index_select(0, rows)
    return taken.reshape(-1, tokens, *values.shape[2:])


def window_frames(kept: Tensor, positions: Tensor) -> Tensor:
    """Return the frames of the window at positions among the kept frames.

    Args:
        kept: Frames, (batch, kept) or (1, kept), int64.
        positions: (batch, tokens) or (1, tokens), int64.

    Returns:
        (batch, tokens), or (1, tokens) if both have one row.
    """
    if kept.shape[0] == 1:
        return kept.reshape(-1).index_select(0, positions.reshape(-1)).reshape(positions.shape)
    return take_frames(kept, positions)


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
    before = (passed - 1.0).clamp(min=0.0, max=kept - 1.0).to(torch.int64)
    after = passed.clamp(min=0.0, max=kept - 1.0).to(torch.int64)
    start = take_frames(when.unsqueeze(2), before).squeeze(2)
    stop = take_frames(when.unsqueeze(2), after).squeeze(2)
    weight = ((time - start) / (stop - start).clamp(min=1.0)).clamp(min=0.0, max=1.0)
    weight = weight.to(tokens.dtype).unsqueeze(2).unsqueeze(3)
    earlier, later = take_frames(tokens, before), take_frames(tokens, after)
    return earlier + weight * (later - earlier)
