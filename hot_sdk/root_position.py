"""Where a person is: the pelvis's position from poses, keypoints and a calibrated camera."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import Intrinsics
from hot_sdk.conversions import in_unit, require_camera_axes, scaled, usual_bone_lengths
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.policies import AppliedPolicy
from hot_sdk.result import Pose3DResult
from hot_sdk.skeleton import H36M17

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
