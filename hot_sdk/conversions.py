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
# Shortest bone that has a direction, as a share of its usual length.
_SHORTEST = np.float32(1e-6)


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
    factor = _SCALE[MILLIMETRES] / in_unit(result.unit, "A conversion to millimetres")
    applied = _applied("to_millimetres", f"from {result.unit}", len(result))
    return scaled(result, factor, MILLIMETRES, applied)


def scaled(result: Pose3DResult, factor: float, unit: str, applied: AppliedPolicy) -> Pose3DResult:
    """A result with every distance in it multiplied.

    Args:
        result: Any.
        factor: To multiply by.
        unit: Of the new result.
        applied: What was done.
    """
    seams = result.seams
    if seams is not None:
        distances = {
            field.name: getattr(seams, field.name) * factor
            for field in dataclasses.fields(seams)
            if isinstance(getattr(seams, field.name), float)
        }
        seams = dataclasses.replace(seams, unit=unit, **distances)
    return dataclasses.replace(
        result,
        poses=result.poses * np.float32(factor),
        root=None if result.root is None else result.root * np.float32(factor),
        unit=unit,
        seams=seams,
        policies=(*result.policies, applied),
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


def usual_bone_lengths(result: Pose3DResult) -> NDArray[np.float32]:
    """Median of each bone's length, (17,), over the frames in which both its ends are valid.

    A bone that is never wholly valid has the median of what the network made of it, and NaN where
    there is no pose at all.
    """
    parents = [max(parent, 0) for parent in H36M17.parents]
    lengths = bone_lengths(result)
    whole = result.valid & result.valid[:, parents] & np.isfinite(lengths)
    usual = np.full(len(parents), np.nan, dtype=np.float32)
    for joint in range(len(parents)):
        counted = whole[:, joint]
        known = lengths[counted if counted.any() else np.isfinite(lengths[:, joint]), joint]
        if len(known):
            usual[joint] = np.median(known)
    return usual


def with_constant_bones(result: Pose3DResult) -> Pose3DResult:
    """See ``Pose3DResult.with_constant_bones``."""
    lengths, median = bone_lengths(result), usual_bone_lengths(result)
    median = (median + median[list(H36M17.mirror)]) / np.float32(2)
    poses = result.poses.copy()
    for joint, parent in enumerate(H36M17.parents):
        if parent < 0:
            continue
        bone = result.poses[:, joint] - result.poses[:, parent]
        # A bone of no length has no direction: it keeps none.
        length = np.maximum(lengths[:, joint], _SHORTEST * median[joint])
        factor = np.divide(median[joint], length, out=np.zeros_like(length), where=length > 0.0)
        poses[:, joint] = poses[:, parent] + bone * factor[:, None]
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
