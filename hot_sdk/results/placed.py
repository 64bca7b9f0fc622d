"""Find where the person of a result is: what ``Pose3DResult.placed`` computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.camera_knowledge import Up
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.contacts import foot_contacts, hold_standing_feet
from hot_sdk.errors import UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.preprocessing.virtual_view import turned_spread
from hot_sdk.root.clips import place_clip
from hot_sdk.root.depth import checked_depth, depth_at
from hot_sdk.root.origin import PELVIS, THORAX
from hot_sdk.root.placement import Placement
from hot_sdk.root.placing import LiftedFrames, PlacedFrames, deviations, unseen_seconds
from hot_sdk.root.tracking import AT_CAMERA
from hot_sdk.skeletons import H36M17
from hot_sdk.windows import SeamReport

Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]

COVARIANCES = ("covariance", "joints_covariance", "velocity_covariance")

ClipCamera = CameraPose | Sequence[CameraPose] | Callable[[float], CameraPose]


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

    Raises:
        UsageError: Something has another number of frames, or cannot be what it should be.
    """
    cameras = cameras_of(camera, times)
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
        unseen_s=unseen_seconds(points, scores, times),
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


def cameras_of(camera: ClipCamera | None, times: Doubles) -> CameraPose | Sequence[CameraPose]:
    """Return where the camera is: always, or in each frame.

    Raises:
        UsageError: There is another number of poses than frames, or something is none.
    """
    if camera is None or isinstance(camera, CameraPose):
        return AT_CAMERA if camera is None else camera
    found = [camera(time) for time in times.tolist()] if callable(camera) else list(camera)
    if len(found) != len(times) or not all(isinstance(one, CameraPose) for one in found):
        raise UsageError(
            f"camera has {len(found)} entries; expected a CameraPose for each of {len(times)}"
            " frames.",
            hint="Give one CameraPose for a camera at rest, one for each frame, or a function of"
            " the time that returns one.",
        )
    return found


def first_camera(camera: ClipCamera, times: Doubles) -> CameraPose:
    """Return where the camera is in the first frame."""
    cameras = cameras_of(camera, times)
    return cameras if isinstance(cameras, CameraPose) else cameras[0]


def told_clip(
    keypoints: Keypoints,
    intrinsics: Intrinsics | None,
    up: Up | None,
    height_m: float | None,
    camera: ClipCamera | None,
    fps: float,
) -> Keypoints:
    """Return keypoints with what is known of the camera and the person.

    Args:
        keypoints: The clip.
        intrinsics: The camera's; None for those of the keypoints, as for the next two.
        up: The direction away from the ground.
        height_m: The person's height, meters.
        camera: Where the camera is; says where up is if nothing else does.
        fps: Frames per second, if the keypoints do not say it.

    Raises:
        UsageError: A value cannot be what it should be.
    """
    known = intrinsics or keypoints.camera
    if up is None and keypoints.knowledge.up is None and camera is not None and known is not None:
        times = keypoints.times(keypoints.effective_fps or fps)
        cameras = cameras_of(camera, times)
        # The z axis of the frame, along the camera's axes.
        if isinstance(cameras, CameraPose):
            up = cameras
        else:
            up = np.stack([one.rotation[2] for one in cameras])
    if intrinsics is None and up is None and height_m is None:
        return keypoints
    return keypoints.with_camera(intrinsics, up=up, height_m=height_m)


def no_place(asked: Mapping[str, object], told: Keypoints, unit: str) -> UsageError:
    """Return what to say if it was asked where someone is whom nothing can place."""
    names = ", ".join(asked) or "intrinsics"
    if told.camera is None:
        return UsageError(
            f"{names} is given without the camera's intrinsics, which say where the rays are.",
            hint="Give intrinsics=Intrinsics(...), too; from_field_of_view makes a rough one.",
        )
    return UsageError(
        f"{names} is given, and the model returns '{unit}', whose scale is unknown.",
        hint="Use a model that returns meters.",
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


def turned_fields(fields: Mapping[str, Any], rotation: Doubles) -> dict[str, Any]:
    """Return the fields of a result along other axes, but for the root."""
    turn = rotation.astype(np.float32)
    turned: dict[str, Any] = {"poses": fields["poses"] @ turn.T}
    if fields["velocity"] is not None:
        turned["velocity"] = fields["velocity"] @ turn.T
    for name in COVARIANCES:
        if fields[name] is not None:
            turned[name] = turn @ fields[name] @ turn.T
    if fields["covariance"] is not None:
        turned["spread"] = deviations(turned["covariance"])
    elif fields["spread"] is not None:
        turned["spread"] = turned_spread(fields["spread"], rotation).astype(np.float32)
    return turned


def scaled_fields(fields: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return the fields of a result that hold distances, multiplied."""
    powers = dict.fromkeys(("poses", "root", "spread", "velocity"), 1)
    powers |= dict.fromkeys(COVARIANCES, 2)
    return {
        name: None if fields[name] is None else fields[name] * np.float32(factor**power)
        for name, power in powers.items()
    }


def scaled_seams(seams: SeamReport | None, factor: float, unit: str) -> SeamReport | None:
    """Return the report on seams with every distance in it multiplied."""
    if seams is None:
        return None
    distances: dict[str, Any] = {
        key: value * factor for key, value in vars(seams).items() if isinstance(value, float)
    }
    return dataclasses.replace(seams, unit=unit, **distances)


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
