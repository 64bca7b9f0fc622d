"""Clips of motion capture, drawn at random."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FILE = "cmu_h36m17_60fps.npz"
SOURCE_FPS = 60.0
FPS = 30.0
_SPEED = 0.2


class Motion:
    """The training part of a folder with ``cmu_h36m17_60fps.npz`` and ``index.json``.

    Args:
        folder: Folder of the data.
        split: Split whose sequences are used.
        file: Name of a file of other positions of the same frames.

    Attributes:
        fps: Frames per second of the clips.
    """

    def __init__(self, folder: Path, split: str = "train", *, file: str = FILE) -> None:
        with np.load(folder / file, allow_pickle=False) as arrays:
            meters = arrays["pos_mm"].astype(np.float32) / 1000.0
            self.positions = torch.from_numpy(meters).to(torch.get_default_device())
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            glitch = arrays["glitch"]
        # Number of frames without glitch from each frame on, itself included, within its sequence.
        self.ahead = np.zeros(len(glitch), dtype=np.int64)
        for sequence in json.loads((folder / "index.json").read_text(encoding="utf-8")):
            if sequence["split"] != split:
                continue
            first, count = sequence["start"], 0
            for frame in range(first + sequence["frames"] - 1, first - 1, -1):
                count = 0 if glitch[frame] else count + 1
                self.ahead[frame] = count
        self._starts: dict[int, Tensor] = {}
        self.fps = FPS

    def clips(self, batch: int, frames: int) -> Tensor:
        """Draw clips (batch, frames, 17, 3) of movements up to 20 % faster or slower."""
        span = math.ceil((frames - 1) * SOURCE_FPS / self.fps * (1.0 + _SPEED)) + 2
        if span not in self._starts:
            starts = torch.from_numpy(np.flatnonzero(self.ahead >= span))
            self._starts[span] = starts.to(self.positions.device)
        starts = self._starts[span][torch.randint(len(self._starts[span]), (batch,))]
        speed = 1.0 + _SPEED * (2.0 * torch.rand(batch, 1) - 1.0)
        time = torch.arange(frames)[None] * (SOURCE_FPS / self.fps) * speed
        before = time.floor().long()
        weight = (time - before)[..., None, None]
        earlier = self.positions[starts[:, None] + before]
        later = self.positions[starts[:, None] + before + 1]
        return earlier + weight * (later - earlier)
