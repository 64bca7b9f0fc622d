"""Add to keypoints what a detector gets wrong.

Random numbers are drawn on torch's default device.
"""

from __future__ import annotations

import math

import torch
from cameras import uniform
from torch import Tensor

# Joints whose place differs from one detector or data set to the next.
LOOSE_JOINTS = [0, 1, 4, 7, 8, 9, 10]
SWAPPED = ((1, 4), (2, 5), (3, 6), (14, 11), (15, 12), (16, 13))


_LEAST_GAP, _LONGEST_GAP = 2.0, 20.0
"""Frames for which joints are missing on average."""


def detect(keypoints: Tensor) -> Tensor:
    """Add a detector's errors: noise that lasts, other conventions, swaps, joints that stick."""
    batch, frames = keypoints.shape[:2]
    centered = keypoints - keypoints.mean(dim=2, keepdim=True)
    spread = centered.square().sum(dim=3).mean(dim=(1, 2)).sqrt()[:, None, None, None]
    # A quarter of the clips is clean; the noise of the others is 0.2 to 5 % of the body's spread.
    level = torch.exp(uniform(math.log(0.002), math.log(0.05), batch, 1, 1, 1))
    level = level * (torch.rand(batch, 1, 1, 1) > 0.25)
    each = 0.5 + torch.rand(batch, 1, 17, 1)
    slow = torch.randn(batch, 2 + frames // 6, 17, 2)
    slow = torch.nn.functional.interpolate(
        slow.flatten(2).transpose(1, 2), size=frames, mode="linear", align_corners=True
    )
    slow = slow.transpose(1, 2).unflatten(2, (17, 2))
    noise = level * each * (0.8 * slow + 0.6 * torch.randn(batch, frames, 17, 2))
    offsets = torch.zeros(batch, 1, 17, 2)
    shifted = 0.04 * (torch.rand(batch, 1, 1, 1) > 0.4)
    offsets[:, :, LOOSE_JOINTS] = shifted * torch.randn(batch, 1, len(LOOSE_JOINTS), 2)
    seen = keypoints + spread * (noise + offsets)
    time = torch.arange(frames)[None]
    for first, second in SWAPPED:
        start = torch.randint(frames, (batch, 1))
        swapped = (time >= start) & (time < start + torch.randint(1, 5, (batch, 1)))
        swapped = swapped & (torch.rand(batch, 1) < 0.03)
        pair = seen[:, :, [first, second]]
        seen[:, :, [first, second]] = torch.where(swapped[..., None, None], pair.flip(2), pair)
    # A missing joint stays where it was, as under the runtime's policy.
    for _ in range(2):
        joint = torch.randint(17, (batch,))
        start = torch.randint(frames, (batch, 1))
        lost = (time >= start) & (time < start + torch.randint(1, 20, (batch, 1)))
        lost = lost & (torch.rand(batch, 1) < 0.3)
        row = torch.arange(batch)
        track = seen[row, :, joint]
        held = track[row, (start[:, 0] - 1).clamp(min=0)]
        seen[row, :, joint] = torch.where(lost[..., None], held[:, None], track)
    jumped = torch.rand(batch, frames, 17, 1) < 0.0015
    return seen + jumped * spread * torch.randn(batch, frames, 17, 2) * 0.6


def lose(keypoints: Tensor) -> Tensor:
    """Make 2 to 30 % of the joints of every second clip missing (NaN), each for some frames.

    A joint goes and comes back as a Markov chain does, whose mean gap is drawn for each clip.
    """
    batch, frames, joints = keypoints.shape[:3]
    share = uniform(0.02, 0.3, batch, 1) * (torch.rand(batch, 1) < 0.5)
    gap = torch.exp(uniform(math.log(_LEAST_GAP), math.log(_LONGEST_GAP), batch, 1))
    stays, goes = 1.0 - 1.0 / gap, share / (1.0 - share) / gap
    drawn = torch.rand(frames, batch, joints)
    gone = [drawn[0] < share]
    for each in drawn[1:]:
        gone.append(each < torch.where(gone[-1], stays, goes))
    lost = torch.stack(gone, dim=1)
    # Nobody is seen by nothing.
    lost[:, 0, 0] = False
    return keypoints.masked_fill(lost[..., None], math.nan)
