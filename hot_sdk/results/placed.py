"""Find where the person of a result is: what ``Pose3DResult.placed`` computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.contacts import foot_contacts, hold_standing_feet
from hot_sdk.errors import UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.results.told import ClipCamera, cameras_of
from hot_sdk.root.clips import place_clip
from hot_sdk.root.depth import checked_depth, depth_at
from hot_sdk.root.frames import LiftedFrames, PlacedFrames, unseen_seconds
from hot_sdk.root.origin import PELVIS, THORAX
from hot_sdk.root.placement import Placement
from hot_sdk.root.tracking import AT_CAMERA
from hot_sdk.skeletons import H36M17

Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]


def place_poses(
    poses: NDArray[np.float32],
    seen: Mask,
    spread: NDArray[np.float32] | None,
    times: Doubles,
    keypoints: Keypoints,
    *,
    intrinsics: Intrinsics | None,
    camera: ClipCamera | None,
    placement: Placement,
    height_m: float | None,
    height_told: bool,
    depth: ArrayLike | None,
    min_score: float,
) -> PlacedFrames:
    """Place the poses of a clip.

    Args:
        poses: (frames, 17, 3), meters, along the camera's axes.
        seen: (frames, 17), joints that were seen, or not long ago.
        spread: (frames, 17, 3), or None.
        times: (frames,), seconds.
        keypoints: Those that the poses were lifted from.
        intrinsics: The camera's; None to find no root.
        camera: Where it is: always, in each frame, or at a time; None to stay along its axes.
        placement: What else is known, and what is asked for; its own camera is not looked at.
        height_m: The person's standing height; None if it is not known.
        height_told: The network was told it.
        depth: (frames,), meters at the pelvis, NaN where there is no reading; or images of depth,
            (frames, height, width).
        min_score: A joint with a lower score counts as missing.

    Raises:
        UsageError: Something has another number of frames, or cannot be what it should be.
    """
    cameras = AT_CAMERA if camera is None else cameras_of(camera, times)
    first = None
    if camera is not None:
        first = cameras if isinstance(cameras, CameraPose) else cameras[0]
    up = keypoints.knowledge.up
    floor = placement.floor(first, None if up is None or up.ndim != 1 else up)
    points, scores = keypoints.h36m17_arrays()
    frames = LiftedFrames(
        times=times,
        poses=poses,
        valid=seen,
        points=points,
        scores=scores,
        spread=spread,
        unseen_s=unseen_seconds(points, scores, times, min_score),
        cameras=cameras,
        depths=None if depth is None else _depths(depth, points, keypoints.image_size),
    )
    return place_clip(
        frames,
        intrinsics,
        placement.options(floor),
        height_m=height_m,
        height_told=height_told,
    )


def fields_of(placed: PlacedFrames, units_per_meter: float) -> dict[str, Any]:
    """Return the fields of a result by name, in its unit."""
    unit, square = np.float32(units_per_meter), np.float32(units_per_meter**2)

    def single(values: Doubles, factor: np.float32) -> NDArray[np.float32]:
        return values.astype(np.float32) * factor

    own = placed.covariance
    return {
        "poses": placed.poses * unit,
        "valid": placed.valid,
        "spread": None if placed.spread is None else placed.spread * unit,
        "covariance": None if own is None else single(own, square),
        "root_joint": H36M17.joints[placed.origins[0]],
        "root": single(placed.root, unit),
        "root_error": placed.root_error.astype(np.float32),
        "velocity": single(placed.velocity, unit),
        "joints_covariance": single(placed.joints_covariance, square),
        "velocity_covariance": single(placed.velocity_covariance, square),
        "scale": _median(placed.scale),
        "scale_spread": _median(placed.scale_spread),
    }


def standing_feet(
    joints: NDArray[np.float32], times: Doubles, up: ArrayLike, floor_m: float | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how far joints have to be moved so that standing feet stay, and how likely they stand.

    Args:
        joints: (frames, 17, 3), meters, NaN where they are not known.
        times: (frames,), seconds.
        up: (3,), the direction away from the floor.
        floor_m: Where it is, meters; None to find it.

    Returns:
        (frames, 17, 3) and (frames, 2).
    """
    found = foot_contacts(joints, times, up=up, floor_m=floor_m)
    held = hold_standing_feet(joints, times, found, up=up)
    moved = np.where(np.isfinite(held), held - joints, 0.0).astype(np.float32)
    return moved, found.probability.astype(np.float32)


def _median(values: Doubles) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _depths(depth: ArrayLike, points: NDArray[np.float32], size: tuple[int, int]) -> Doubles:
    readings = np.asarray(depth)
    if readings.ndim not in (1, 3) or len(readings) != len(points):
        raise UsageError(
            f"depth has shape {readings.shape}; expected ({len(points)},), or as many images.",
            hint="Give meters at the pelvis in each frame, NaN where there is no reading.",
        )
    joints = np.full_like(points, np.nan)
    joints[:, [PELVIS, THORAX]] = points[:, [PELVIS, THORAX]]
    pairs = zip(readings, joints, strict=True)
    return np.stack([depth_at(checked_depth(one), seen, size) for one, seen in pairs])
