"""What is placed: frames of a person as they were lifted, how, and the same frames in a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import CameraPose
from hot_sdk.root.scale import Floor
from hot_sdk.root.tracking import AT_CAMERA

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PlaceOptions:
    """What is known of the scene, and what is asked for.

    Attributes:
        root: ``pelvis``, ``thorax`` or ``auto``: the joint that poses are relative to.
        floor: What people stand on, in the frame that they are placed in; None if it is unknown.
        bones: Known lengths of bones, meters, by the joint where each ends.
        smoothing: Return poses as the filter of the joints has them, not as they were lifted.
        contacts: Judge feet as frames come, and keep those in place that stand; needs the floor.
    """

    root: str = "pelvis"
    floor: Floor | None = None
    bones: Mapping[str, float] = field(default_factory=dict)
    smoothing: bool = False
    contacts: bool = False


@dataclass(frozen=True, eq=False)
class LiftedFrames:
    """Successive frames of one person, as they were lifted.

    Attributes:
        times: (frames,), seconds, increasing.
        poses: (frames, 17, 3), relative to the pelvis, along the camera's axes, in meters at the
            network's size; or in a unit without scale, which is then kept.
        valid: (frames, 17), joints that were seen, or not long ago.
        points: (frames, 17, 2), pixels, NaN if missing.
        scores: (frames, 17), or None.
        spread: (frames, 17, 3), standard deviations of ``poses``; None if they are not known.
        unseen_s: (frames, 17), seconds to the nearest frame that showed the joint; None for 0.
        cameras: Where the camera is, in each frame or in all of them.
        depths: (frames, 17), depth readings at the joints, meters, NaN where there is none; None if
            there are none.
    """

    times: Doubles
    poses: Floats
    valid: Mask
    points: Floats
    scores: Floats | None = None
    spread: Floats | None = None
    unseen_s: Doubles | None = None
    cameras: CameraPose | Sequence[CameraPose] = AT_CAMERA
    depths: Doubles | None = None

    def camera(self, frame: int) -> CameraPose:
        """Return where the camera is in a frame."""
        return self.cameras if isinstance(self.cameras, CameraPose) else self.cameras[frame]


@dataclass(frozen=True, eq=False)
class PlacedFrames:
    """Successive frames of one person in a frame of reference; what is not known is NaN.

    Attributes:
        origins: (frames,), the joint that poses are relative to.
        poses: (frames, 17, 3), float32, along the frame's axes at the person's size.
        valid: (frames, 17).
        spread: (frames, 17, 3), float32, of ``poses``; None if it is not known.
        root: (frames, 3), meters.
        velocity: (frames, 17, 3), of the joints in the frame, m/s.
        covariance: (frames, 17, 3, 3), of ``poses``; None without a spread.
        joints_covariance: (frames, 17, 3, 3), of the joints in the frame; NaN without a spread.
        velocity_covariance: (frames, 17, 3, 3), likewise.
        scale: (frames,), size of the person over that of the network's poses.
        scale_spread: (frames,), standard deviation of its logarithm.
        root_error: (frames,), pixels.
        contacts: (frames, 2), how likely the right and the left foot stands; None if not asked for.
    """

    origins: NDArray[np.int64]
    poses: NDArray[np.float32]
    valid: Mask
    spread: NDArray[np.float32] | None
    root: Doubles
    velocity: Doubles
    covariance: Doubles | None
    joints_covariance: Doubles
    velocity_covariance: Doubles
    scale: Doubles
    scale_spread: Doubles
    root_error: Doubles
    contacts: Doubles | None = None

    @property
    def joints(self) -> Doubles:
        """(frames, 17, 3), meters; NaN where they are not valid or the root is not known."""
        joints = self.root[:, None] + self.poses
        joints[~self.valid] = np.nan
        return joints


def unseen_seconds(
    points: Floats, scores: Floats | None, times: Doubles, min_score: float
) -> Doubles | None:
    """Return the seconds to the nearest frame that shows each joint, (frames, 17).

    Args:
        points: (frames, 17, 2), NaN if missing.
        scores: (frames, 17), or None.
        times: (frames,), seconds.
        min_score: A joint with a lower score counts as missing.

    Returns:
        None if all frames show all joints.
    """
    present = np.isfinite(points[..., 0])
    if scores is not None:
        present &= scores >= min_score
    if present.all():
        return None
    column = times[:, None]
    before = np.maximum.accumulate(np.where(present, column, -np.inf), axis=0)
    after = np.minimum.accumulate(np.where(present, column, np.inf)[::-1], axis=0)[::-1]
    nearest: Doubles = np.minimum(column - before, after - column)
    return nearest


def deviations(covariance: Doubles) -> NDArray[np.float32]:
    """Return the standard deviations along each axis."""
    diagonal = np.diagonal(covariance, axis1=-2, axis2=-1)
    return np.sqrt(np.maximum(diagonal, 0.0)).astype(np.float32)
