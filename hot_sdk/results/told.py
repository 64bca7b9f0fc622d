"""What a caller says of a clip beside its keypoints: where its camera is, and who is seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hot_sdk.camera_knowledge import Up
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import UsageError
from hot_sdk.keypoints import Keypoints

Doubles = NDArray[np.float64]

ClipCamera = CameraPose | Sequence[CameraPose] | Callable[[float], CameraPose]


def cameras_of(camera: ClipCamera, times: Doubles) -> CameraPose | Sequence[CameraPose]:
    """Return where the camera is: always, or in each frame.

    Raises:
        UsageError: There is another number of poses than frames, or something is none.
    """
    if isinstance(camera, CameraPose):
        return camera
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
