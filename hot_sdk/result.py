"""3D poses of one person, with everything needed to use them rightly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.latency import LatencyReport
from hot_sdk.policies import AppliedPolicy
from hot_sdk.seams import SeamReport

CAMERA_AXES = "camera: x right, y down, z forward"
ROBOT_AXES = "robot: x forward, y left, z up"

METRES = "m"
MILLIMETRES = "mm"
NORMALISED_PIXELS = "normalised_px"


@dataclass(frozen=True, eq=False)
class Pose3DResult:
    """3D poses of one person.

    Attributes:
        poses: (frames, 17, 3), the joints of ``H36M17`` in ``unit`` along ``axes``, relative to
            the pelvis unless ``root`` is given and added.
        valid: (frames, 17), False where the keypoint was missing for so long that the joint is no
            more than the network's guess.
        unit: ``m``, ``mm`` or ``normalised_px`` (half the image's width; no metric scale).
        axes: ``CAMERA_AXES`` or ``ROBOT_AXES``.
        root: (frames, 3), the pelvis's position in ``unit`` along ``axes``, where a conversion
            found it; None otherwise. ``poses`` stays relative to it.
        root_error: (frames,), root mean square distance in pixels between the keypoints and the
            projected pose, where the root was found by reprojection; None otherwise.
        timestamps: (frames,), seconds.
        track_id: The person's, as the keypoints had it.
        policies: What was done about the input, in order.
        seams: How even the poses are where windows meet; None where there was one window.
        latency: How long it took; None in a result that was loaded from csv.
        model: Name of the model file.
        warnings: What the reader of these poses has to know, such as that the weights are random.
    """

    poses: NDArray[np.float32]
    valid: NDArray[np.bool_]
    unit: str
    axes: str
    root: NDArray[np.float32] | None
    root_error: NDArray[np.float32] | None
    timestamps: NDArray[np.float64]
    track_id: int | str | None
    policies: tuple[AppliedPolicy, ...]
    seams: SeamReport | None
    latency: LatencyReport | None
    model: str
    warnings: tuple[str, ...] = ()
