"""Results in another unit, along other axes, or with bones of constant length."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import CameraPose
from hot_sdk.errors import ResultError
from hot_sdk.policies import AppliedPolicy
from hot_sdk.result import (
    CAMERA_AXES,
    METRES,
    MILLIMETRES,
    NORMALISED_PIXELS,
    ROBOT_AXES,
    Pose3DResult,
)
from hot_sdk.skeleton import H36M17

_SCALE = {METRES: 1.0, MILLIMETRES: 1000.0}


def in_unit(unit: str, what: str) -> float:
    """Units to a metre.

    Args:
        unit: Of a result.
        what: What needs it, as the subject of a sentence.

    Raises:
        ResultError: It is no metric unit.
    """
    if unit == NORMALISED_PIXELS:
        raise ResultError(
            f"{what} needs metric poses, and the model gives '{unit}', whose scale is unknown.",
            hint="Use a model that gives metres, such as the mixste family.",
        )
    return _SCALE[unit]


def to_millimetres(result: Pose3DResult) -> Pose3DResult:
    """See ``Pose3DResult.to_millimetres``."""
    factor = np.float32(_SCALE[MILLIMETRES] / in_unit(result.unit, "A conversion to millimetres"))
    seams = result.seams
    if seams is not None:
        seams = dataclasses.replace(
            seams,
            unit=MILLIMETRES,
            **{
                field.name: getattr(seams, field.name) * float(factor)
                for field in dataclasses.fields(seams)
                if isinstance(getattr(seams, field.name), float)
            },
        )
    return dataclasses.replace(
        result,
        poses=result.poses * factor,
        root=None if result.root is None else result.root * factor,
        unit=MILLIMETRES,
        seams=seams,
        policies=(*result.policies, _applied("to_millimetres", f"from {result.unit}", len(result))),
    )


def to_robot_frame(result: Pose3DResult, camera: CameraPose) -> Pose3DResult:
    """See ``Pose3DResult.to_robot_frame``."""
    require_camera_axes(result)
    rotation = camera.rotation.astype(np.float32)
    root = result.root
    if root is not None:
        offset = camera.translation * in_unit(result.unit, "A root in the robot's frame")
        root = (root @ rotation.T + offset).astype(np.float32)
    detail = f"rotation {np.round(camera.rotation, 4).tolist()}, translation"
    detail += f" {np.round(camera.translation, 4).tolist()} m"
    return dataclasses.replace(
        result,
        poses=result.poses @ rotation.T,
        root=root,
        axes=ROBOT_AXES,
        policies=(*result.policies, _applied("to_robot_frame", detail, len(result))),
    )


def bone_lengths(result: Pose3DResult) -> NDArray[np.float32]:
    """Length of the bone that ends in each joint, (frames, 17), result's unit; 0 at the root."""
    parents = [max(parent, 0) for parent in H36M17.parents]
    lengths: NDArray[np.float32] = np.linalg.norm(
        result.poses - result.poses[:, parents], axis=-1
    ).astype(np.float32)
    return lengths


def with_constant_bones(result: Pose3DResult) -> Pose3DResult:
    """See ``Pose3DResult.with_constant_bones``."""
    lengths = bone_lengths(result)
    known = np.where(result.valid, lengths, np.nan)
    # A joint that is never valid has the median of what the network made of it.
    known = np.where(result.valid.any(axis=0), known, lengths)
    median = np.nanmedian(known, axis=0) if np.isfinite(known).any(axis=0).all() else lengths[0]
    median = (median + median[list(H36M17.mirror)]) / 2
    poses = result.poses.copy()
    for joint, parent in enumerate(H36M17.parents):
        if parent < 0:
            continue
        bone = result.poses[:, joint] - result.poses[:, parent]
        # A bone of no length has no direction: it keeps none.
        length = np.maximum(lengths[:, joint], np.finfo(np.float32).tiny)
        poses[:, joint] = poses[:, parent] + bone * (median[joint] / length)[:, None]
    # Frames without a pose, as streams leave them, stay so.
    moved = np.linalg.norm(poses - result.poses, axis=-1)
    moved = moved[np.isfinite(moved)] if np.isfinite(moved).any() else np.zeros(1)
    detail = f"joints moved by {moved.mean():.4g} {result.unit} on average, {moved.max():.4g} at"
    detail += " most"
    return dataclasses.replace(
        result,
        poses=poses.astype(np.float32),
        policies=(*result.policies, _applied("constant_bones", detail, len(result))),
    )


def require_camera_axes(result: Pose3DResult) -> None:
    """Raise ResultError unless a result is along the camera's axes."""
    if result.axes != CAMERA_AXES:
        raise ResultError(
            f"The poses are along other axes ({result.axes}).",
            hint="Convert the result as the engine gave it, and turn it last.",
        )


def _applied(name: str, detail: str, frames: int) -> AppliedPolicy:
    return AppliedPolicy(name, detail, frames, frames, "frames")
