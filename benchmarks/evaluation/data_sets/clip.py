"""What every data set becomes: clips of keypoints with the poses that are true."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import Intrinsics
from hot_sdk.keypoints import Keypoints


@dataclass(frozen=True, eq=False)
class EvaluationClip:
    """One person before one camera.

    Attributes:
        name: Unique in its data set; letters, digits, ``_`` and ``-``, so that it can name a file.
        subject: Who it is.
        action: What they do; clips are averaged by it.
        keypoints: What a lifter is given.
        truth: (frames, 17, 3), float32, the joints of ``H36M17`` along the camera's axes (x right,
            y down, z forward), relative to the pelvis, metres.
        valid: (frames,), False where the truth is not to be used.
        root: (frames, 3), the pelvis along the camera's axes, metres; None where unknown.
        intrinsics: The camera's, where known.
    """

    name: str
    subject: str
    action: str
    keypoints: Keypoints
    truth: NDArray[np.float32]
    valid: NDArray[np.bool_]
    root: NDArray[np.float32] | None = None
    intrinsics: Intrinsics | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.truth)

    @property
    def truth_mm(self) -> NDArray[np.float64]:
        """``truth`` in millimetres."""
        return self.truth.astype(np.float64) * 1000.0


def plain_name(text: str) -> str:
    """A text as a part of a file's name."""
    return re.sub(r"[^\w-]+", "_", text)
