"""How even poses are where windows meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SeamReport:
    """Steps at seams beside steps inside windows.

    A step is the mean distance that the joints move from one frame to the next. It is at a seam
    where the windows that give the two frames, or their shares in them, are not the same. Poses
    that jump at seams have larger steps there than inside.

    Attributes:
        seams: Places where a window takes over from another.
        unit: Of all distances.
        mean_step: Mean step at a seam.
        max_step: Largest step at a seam.
        mean_step_inside: Mean step inside a window; None where every step is at a seam.
        max_step_inside: Largest such step.
        mean_disagreement: Mean distance between the joints that two windows give for one frame;
            None where no frame was given twice.
        max_disagreement: Largest mean over a frame's joints.
    """

    seams: int
    unit: str
    mean_step: float
    max_step: float
    mean_step_inside: float | None
    max_step_inside: float | None
    mean_disagreement: float | None
    max_disagreement: float | None

    def __str__(self) -> str:
        seams = "1 seam" if self.seams == 1 else f"{self.seams} seams"
        text = f"{seams}: step {self.mean_step:.4g} mean, {self.max_step:.4g} max"
        if self.mean_step_inside is not None:
            text += f"; inside {self.mean_step_inside:.4g} mean, {self.max_step_inside:.4g} max"
        if self.mean_disagreement is not None:
            text += f"; windows disagree by {self.mean_disagreement:.4g} mean"
        return f"{text} ({self.unit})"


def steps_at_seams(frames: int, weights: Sequence[tuple[int, Floats]]) -> NDArray[np.bool_]:
    """Whether each step, from a frame to the next, is at a seam, (frames - 1,).

    Args:
        frames: Of the clip.
        weights: For each window, the first frame that it gives, and its weight in that frame and
            those that follow. Every frame has a weight from some window.
    """
    total = np.zeros(frames, dtype=np.float32)
    for first, weight in weights:
        total[first : first + len(weight)] += weight
    at_seam = np.zeros(frames - 1, dtype=np.bool_)
    for first, weight in weights:
        end = first + len(weight)
        share = np.zeros(len(weight) + 2, dtype=np.float32)
        share[1:-1] = weight / total[first:end]
        # One step before the window and one after it, which the clip's own ends do not have.
        changes = np.diff(share) != 0.0
        before, after = int(first == 0), int(end == frames)
        at_seam[first - 1 + before : end - after] |= changes[before : len(changes) - after]
    return at_seam


def measure_seams(
    poses: Floats,
    at_seam: NDArray[np.bool_],
    disagreement: Floats | None,
    *,
    seams: int,
    unit: str,
) -> SeamReport:
    """Measure steps and disagreements.

    Args:
        poses: (frames, joints, 3), at least two frames.
        at_seam: (frames - 1,), whether each step is at a seam; at least one is.
        disagreement: Distances between two windows' poses of one frame, any number; None where
            nothing was given twice.
        seams: How many seams there are.
        unit: Of ``poses``.
    """
    steps = np.linalg.norm(np.diff(poses, axis=0), axis=-1).mean(axis=-1)
    across, inside = steps[at_seam], steps[~at_seam]
    has_inside = len(inside) > 0
    return SeamReport(
        seams=seams,
        unit=unit,
        mean_step=float(across.mean()),
        max_step=float(across.max()),
        mean_step_inside=float(inside.mean()) if has_inside else None,
        max_step_inside=float(inside.max()) if has_inside else None,
        mean_disagreement=None if disagreement is None else float(disagreement.mean()),
        max_disagreement=None if disagreement is None else float(disagreement.max()),
    )
