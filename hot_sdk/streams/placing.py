"""Turn what was lifted of one person's frames into the stream's poses, placed where people are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import Intrinsics
from hot_sdk.results.result import CAMERA_AXES, METERS, ROBOT_AXES
from hot_sdk.root.frames import LiftedFrames, unseen_seconds
from hot_sdk.root.placing import PersonPlacer
from hot_sdk.skeletons import H36M17
from hot_sdk.streams.observations import DEPTH_JOINTS, Observations, TrackId
from hot_sdk.streams.pose import StreamPose

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PersonPlacing:
    """How a person is placed.

    Attributes:
        placer: The person's.
        intrinsics: The camera's; None if they are not known, and then no root is.
        height_m: The person's standing height; None if it is not known.
        in_robot_frame: The camera's place is known in each frame.
        frame_id: Name of the frame.
    """

    placer: PersonPlacer
    intrinsics: Intrinsics | None
    height_m: float | None
    in_robot_frame: bool
    frame_id: str


@dataclass(frozen=True, eq=False)
class Lifted:
    """What was lifted of a person's frames: those that became final, and perhaps later ones.

    Attributes:
        poses: (frames, 17, 3), along the camera's axes.
        spread: Of the same shape; None if the network does not judge it.
        valid: (frames, 17), joints that were seen, or not long ago.
        unit: Of the poses.
        delays: (final frames,), seconds.
    """

    poses: Floats
    spread: Floats | None
    valid: Mask
    unit: str
    delays: list[float]


def stream_poses(
    track_id: TrackId,
    seen: Observations,
    first: int,
    lifted: Lifted,
    placing: PersonPlacing,
    min_score: float,
) -> list[StreamPose]:
    """Return the poses of the frames that became final.

    Args:
        track_id: The person's id.
        seen: What was seen of the person.
        first: The first frame of ``lifted`` within it.
        lifted: What was lifted.
        placing: How the person is placed.
        min_score: A joint with a lower score counts as missing.
    """
    span, final = slice(first, first + len(lifted.poses)), len(lifted.delays)
    unseen = unseen_seconds(seen.points, seen.scores, seen.times, min_score)
    frames = LiftedFrames(
        times=seen.times[span],
        poses=lifted.poses,
        valid=lifted.valid,
        points=seen.points[span],
        scores=seen.scores[span],
        spread=lifted.spread,
        unseen_s=None if unseen is None else unseen[span],
        cameras=seen.cameras[span].tolist(),
        depths=_depths(seen, span),
    )
    intrinsics = placing.intrinsics if lifted.unit == METERS else None
    placed = placing.placer.place(frames, final, intrinsics, placing.height_m)
    joints = placed.joints
    keypoints = keypoints_of(seen, span)
    return [
        StreamPose(
            timestamp=time,
            track_id=track_id,
            pose=placed.poses[at],
            valid=placed.valid[at],
            unit=lifted.unit,
            delay_s=lifted.delays[at],
            spread=None if placed.spread is None else placed.spread[at],
            axes=ROBOT_AXES if placing.in_robot_frame else CAMERA_AXES,
            frame_id=placing.frame_id,
            root_joint=H36M17.joints[placed.origins[at]],
            root=placed.root[at],
            joints=joints[at],
            velocity=placed.velocity[at],
            covariance=None if placed.covariance is None else placed.covariance[at],
            joints_covariance=placed.joints_covariance[at],
            velocity_covariance=placed.velocity_covariance[at],
            scale=float(placed.scale[at]),
            scale_spread=float(placed.scale_spread[at]),
            root_error=float(placed.root_error[at]),
            keypoints=keypoints[at],
            contacts=None if placed.contacts is None else placed.contacts[at],
        )
        for at, time in enumerate(frames.times[:final].tolist())
    ]


def keypoints_of(seen: Observations, span: slice) -> Floats:
    """Return x, y and the score of some frames' joints, (frames, 17, 3), NaN if missing."""
    keypoints = np.concatenate([seen.points[span], seen.scores[span][..., None]], axis=-1)
    keypoints[np.isnan(keypoints[..., 0])] = np.nan
    return keypoints


def _depths(seen: Observations, span: slice) -> Doubles | None:
    """Return the depths at all joints, (frames, 17); None if there are none."""
    known = seen.depths[span]
    if np.isnan(known).all():
        return None
    depths = np.full(seen.points[span].shape[:2], np.nan)
    depths[:, DEPTH_JOINTS] = known
    return depths
