"""Frames picked out of a window, and filled in between.

Nothing here reads the batch size, so that a graph with a symbolic batch needs no shape arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
