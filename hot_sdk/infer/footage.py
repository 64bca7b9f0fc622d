"""What ``hot-infer`` is given: people's keypoints, from a file of them or found in a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.keypoints import Keypoints

USUAL_FPS = 30.0
"""Frames a second where nothing says how many."""

MIN_FRAMES = 10
"""Tracked people who are seen in fewer frames are left out, as chance finds."""


@dataclass(frozen=True, eq=False)
class Footage:
    """An input, read.

    Attributes:
        people: Keypoints of each person, all of the same frames.
        video: The frames' images, as ``open_video`` takes it; None for a keypoint file.
        detection_ms: (frames,), what finding the people in each frame took; None for a keypoint
            file.
        notes: What the user should know of how the people were found.
    """

    people: tuple[Keypoints, ...]
    video: str | None = None
    detection_ms: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()


def left_out(people: int) -> str:
    """The end of a note on tracked people."""
    if not people:
        return ""
    return f"; {people} more, seen in fewer than {MIN_FRAMES} frames, were left out"
