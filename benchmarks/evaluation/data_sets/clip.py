"""The form that every data set is loaded into: clips of keypoints with their true poses."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import Intrinsics
from hot_sdk.keypoints import Keypoints


@dataclass(frozen=True, eq=False)
class EvaluationClip:
    """One person seen by one camera.

    Attributes:
        name: Unique in its data set; letters, digits, ``_`` and ``-``, so that it can name a file.
        subject: Who is seen.
        action: What they do; published numbers are averaged over actions.
        keypoints: The input of a lifter.
        truth: (frames, 17, 3), float32, the joints of ``H36M17`` along the camera's axes (x right,
            y down, z forward), relative to the pelvis, meters.
        valid: (frames,), False if the truth must not be used.
        root: (frames, 3), the pelvis along the camera's axes, meters; None if unknown.
        intrinsics: The camera's intrinsics; None if unknown.
        mm_per_px: (frames,), millimeters per pixel at the person: what turns a network's normalized
            pixels into millimeters. None if unknown.
        up: (3,) or (frames, 3), unit vectors along the camera's axes which point away from the
            ground; None if unknown.
        height_m: How tall the person is, from the soles to the top of the head; None if unknown.
        scale_of: Values of ``Manifest.trained_on`` for which ``mm_per_px`` holds; None for all.
        notes: What a reader of its errors has to know.
    """

    name: str
    subject: str
    action: str
    keypoints: Keypoints
    truth: NDArray[np.float32]
    valid: NDArray[np.bool_]
    root: NDArray[np.float32] | None = None
    intrinsics: Intrinsics | None = None
    mm_per_px: NDArray[np.float64] | None = None
    up: NDArray[np.float64] | None = None
    height_m: float | None = None
    scale_of: tuple[str | None, ...] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.truth)

    @property
    def truth_mm(self) -> NDArray[np.float64]:
        """``truth`` in millimeters."""
        return self.truth.astype(np.float64) * 1000.0


def plain_name(text: str) -> str:
    """Return a text that can be a part of a file's name."""
    return re.sub(r"[^\w-]+", "_", text)
