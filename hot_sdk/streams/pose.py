"""What a stream gives: one person's pose in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class StreamPose:
    """The pose of one person in one frame.

    Attributes:
        timestamp: Of the frame, seconds, as it was pushed.
        track_id: The person's.
        pose: (17, 3), as in ``Pose3DResult``.
        valid: (17,), as in ``Pose3DResult``.
        unit: Of ``pose``.
        delay_s: How late it is: seconds of stream from its frame to the newest that it needed, and
            of computing from the push of that one until now.
    """

    timestamp: float
    track_id: int | str | None
    pose: NDArray[np.float32]
    valid: NDArray[np.bool_]
    unit: str
    delay_s: float
