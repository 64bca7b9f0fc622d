"""Where a person is: the pelvis's position from poses, keypoints and a calibrated camera.

Results in another unit, along other axes, or with bones of constant length.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.preprocessing.policies import AppliedPolicy
from hot_sdk.results.result import (
    CAMERA_AXES,
    METERS,
    MILLIMETERS,
    NORMALIZED_PIXELS,
    ROBOT_AXES,
    Pose3DResult,
)
from hot_sdk.skeletons import H36M17

_SCALE = {METERS: 1.0, MILLIMETERS: 1000.0}
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
    if unit == NORMALIZED_PIXELS:
        raise ResultError(
            f"{what} needs metric poses, and the model gives '{unit}', whose scale is unknown.",
            hint="Use a model that gives metres, such as the mixste family.",
        )
    return _SCALE[unit]


def to_millimeters(result: Pose3DResult) -> Pose3DResult:
    """See ``Pose3DResult.to_millimeters``."""
    factor = _SCALE[MILLIMETERS] / in_unit(result.unit, "A conversion to millimetres")
    applied = _applied("to_millimeters", f"from {result.unit}", len(result))
    return scaled(result, factor, MILLIMETERS, applied)


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


_STEPS = 5
_FEWEST_JOINTS = 4
_SHORTEST_M, _TALLEST_M = 0.5, 2.8

# One leg, the trunk and the head, from the sole to the crown: the bones that end in these joints.
_UPRIGHT = ("right_knee", "right_ankle", "left_knee", "left_ankle", "spine", "thorax")
_UPRIGHT_HEAD = ("neck_nose", "head")

# From the ankle to the ground, as a share of the height (Drillis and Contini, Body Segment
# Parameters, 1966: 0.039).
_FOOT = 0.039

Doubles = NDArray[np.float64]


def root_by_reprojection(
    result: Pose3DResult, keypoints: Keypoints, intrinsics: Intrinsics
) -> Pose3DResult:
    """Least squares over the distances, in pixels, between keypoints and projected joints.

    Each frame for itself, over the joints that are valid and seen, weighted by their scores: the
    linear solution of ``x (Z + z) = X + z_x`` first, which weighs joints by their depth, then a few
    Gauss-Newton steps on the distances themselves.

    Args:
        result: Along the camera's axes, metric.
        keypoints: What it was lifted from.
        intrinsics: Of the camera.

    Raises:
        ResultError: See ``Pose3DResult.with_root_by_reprojection``.
    """
    require_camera_axes(result)
    in_unit(result.unit, "The root's position")
    if len(keypoints) != len(result):
        raise ResultError(
            f"The keypoints have {len(keypoints)} frames, the poses {len(result)}.",
            hint="Give the keypoints that these poses were lifted from.",
        )
    if None not in (keypoints.track_id, result.track_id) and keypoints.track_id != result.track_id:
        raise ResultError(
            f"The keypoints are of {keypoints.track_id!r}, the poses of {result.track_id!r}.",
            hint="Give the keypoints that these poses were lifted from.",
        )
    points, scores = keypoints.h36m17_arrays()
    weight = np.where(np.isnan(points[..., 0]), 0.0, 1.0 if scores is None else scores)
    weight = np.where(result.valid, weight, 0.0).astype(np.float64)
    # Directions instead of pixels, so that focal lengths are out of the way.
    centre, focal = [intrinsics.cx, intrinsics.cy], [intrinsics.fx, intrinsics.fy]
    rays = np.where(weight[..., None] > 0.0, (points - centre) / focal, 0.0)
    posed = np.asarray(np.isfinite(result.poses).all(axis=-1))
    weight = np.where(posed, weight, 0.0)
    poses = np.where(posed[..., None], result.poses, 0.0).astype(np.float64)
    solvable = (weight > 0.0).sum(axis=1) >= _FEWEST_JOINTS
    root = np.full((len(result), 3), np.nan)
    if solvable.any():
        root[solvable] = _solve(poses[solvable], rays[solvable], weight[solvable], focal)
    # A person behind the camera is none: the equations do not know that.
    behind = ~((root[:, None, 2] + poses[..., 2]).min(axis=1) > 0.0)
    root[behind] = np.nan
    error = _pixel_error(poses + root[:, None], points, weight, intrinsics)
    found = int(np.isfinite(root[:, 0]).sum())
    detail = f"reprojection error {float(np.nanmean(error)) if found else float('nan'):.3g} px"
    return dataclasses.replace(
        result,
        root=root.astype(np.float32),
        root_error=error.astype(np.float32),
        policies=(
            *result.policies,
            AppliedPolicy("root_by_reprojection", detail, found, len(result), "frames"),
        ),
    )


def root_by_height(
    result: Pose3DResult, keypoints: Keypoints, intrinsics: Intrinsics, height_m: float
) -> Pose3DResult:
    """Scale the poses so that their upright length is the person's, then reproject.

    The upright length is that of the bones of one leg (the mean of both), the trunk and the head,
    each the median over the clip, with the foot's height below the ankle as Drillis and Contini
    (Body Segment Parameters, 1966) measured it; nobody has to stand upright for it.

    Args:
        result: Along the camera's axes, metric.
        keypoints: What it was lifted from.
        intrinsics: Of the camera.
        height_m: Metres.

    Raises:
        ResultError: See ``Pose3DResult.with_root_by_reprojection``.
        UsageError: Nobody is of this height.
    """
    if not _SHORTEST_M <= height_m <= _TALLEST_M:
        raise UsageError(
            f"A height of {height_m} m is nobody's; expected {_SHORTEST_M} to {_TALLEST_M}.",
            hint="Give metres.",
        )
    require_camera_axes(result)
    unit = in_unit(result.unit, "The root's position")
    median = usual_bone_lengths(result)
    joint = H36M17.joints.index
    legs = sum(float(median[joint(name)]) for name in _UPRIGHT[:4]) / 2
    trunk = sum(float(median[joint(name)]) for name in (*_UPRIGHT[4:], *_UPRIGHT_HEAD))
    standing = (legs + trunk) / (1.0 - _FOOT)
    if not standing > 0.0:  # Also where no frame has a pose.
        raise ResultError("The poses have no size.", hint="Check the model's weights.")
    factor = height_m * unit / standing
    detail = f"by {factor:.4g}, from {standing / unit:.3f} m to {height_m:g} m"
    applied = AppliedPolicy("scaled_to_height", detail, len(result), len(result), "frames")
    tall = scaled(result, factor, result.unit, applied)
    return root_by_reprojection(tall, keypoints, intrinsics)


def _solve(poses: Doubles, rays: Doubles, weight: Doubles, focal: list[float]) -> Doubles:
    """Root of each frame, (frames, 3)."""
    # x (Z + tz) = X + tx, and y alike: three unknowns, linear.
    ones, zeros = np.ones_like(weight), np.zeros_like(weight)
    across = np.stack([ones, zeros, -rays[..., 0]], axis=-1)
    down = np.stack([zeros, ones, -rays[..., 1]], axis=-1)
    rows = np.concatenate([across, down], axis=1)
    wanted = rays * poses[..., 2:] - poses[..., :2]
    wanted = np.concatenate([wanted[..., 0], wanted[..., 1]], axis=1)
    root = _least_squares(rows, wanted, np.concatenate([weight, weight], axis=1))
    for _ in range(_STEPS):
        placed = poses + root[:, None]
        depth = np.where(np.abs(placed[..., 2]) > 1e-6, placed[..., 2], 1e-6)
        seen = placed[..., :2] / depth[..., None]
        across = np.stack([1 / depth, zeros, -seen[..., 0] / depth], axis=-1) * focal[0]
        down = np.stack([zeros, 1 / depth, -seen[..., 1] / depth], axis=-1) * focal[1]
        apart = (rays - seen) * focal
        root = root + _least_squares(
            np.concatenate([across, down], axis=1),
            np.concatenate([apart[..., 0], apart[..., 1]], axis=1),
            np.concatenate([weight, weight], axis=1),
        )
    return root


def _least_squares(rows: Doubles, wanted: Doubles, weight: Doubles) -> Doubles:
    """Weighted least squares of three unknowns in each frame."""
    weighted = rows * weight[..., None]
    normal = np.einsum("fri,frj->fij", weighted, rows)
    right = np.einsum("fri,fr->fi", weighted, wanted)
    # Joints in one line leave a direction open; the smallest step is taken there.
    solution: Doubles = np.einsum("fij,fj->fi", np.linalg.pinv(normal, hermitian=True), right)
    return solution


def _pixel_error(
    placed: Doubles, points: NDArray[np.float32], weight: Doubles, intrinsics: Intrinsics
) -> Doubles:
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = ((intrinsics.project(placed) - points) ** 2).sum(axis=-1)
    counted = np.where(weight > 0.0, apart, 0.0)
    seen = np.maximum((weight > 0.0).sum(axis=1), 1)
    error: Doubles = np.sqrt(counted.sum(axis=1) / seen)
    return np.where(np.isfinite(placed[:, 0, 0]), error, np.nan)
