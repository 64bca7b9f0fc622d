"""The choice of frames at one stage of pruning, by any of the selectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hot_sdk.export.frames import take_frames
from hot_sdk.export.models.stages import PruningStage
from hot_sdk.export.options import SelectorKind
from hot_sdk.export.selection import (
    density_peak_scores,
    highest_frames,
    motion_scores,
    uniform_frames,
)


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
        if kind is SelectorKind.TPC:
            return density_peak_scores(self._first(features))
        if kind is SelectorKind.MOTION:
            there = keypoints if kept is None else take_frames(keypoints, kept)
            return motion_scores(self._first(there))
        if kind is SelectorKind.ATTENTION:
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
        if stage.selector is not SelectorKind.UNIFORM:
            return None
        at = None if centre is None else present.index(centre)
        positions = uniform_frames(len(present), stage.tokens, centre=at)
        present = [present[position] for position in positions]
    return positions
