"""Which frames to keep: scores of frames, and the choice of the highest.

The clustering is the limit of the published one (Li et al., CVPR 2024) with vanishing noise, in a
form whose float32 evaluation chooses the frames of exact arithmetic, in every engine.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
