"""Geometry of poses, as functions of arrays: bone lengths, and where a person is.

All lengths are in the unit of the poses that are passed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import Intrinsics
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

_PARENTS = [max(parent, 0) for parent in H36M17.parents]
_SHORTEST = np.float32(1e-6)
"""Shortest bone that has a direction, as a share of its median length."""

_STEPS = 5
_FEWEST_JOINTS = 4

# One leg, the trunk and the head, from the sole to the crown: the bones that end in these joints.
_LEGS = ("right_knee", "right_ankle", "left_knee", "left_ankle")
_TRUNK_AND_HEAD = ("spine", "thorax", "neck_nose", "head")

# From the ankle to the ground, as a share of the height (Drillis and Contini, Body Segment
# Parameters, 1966: 0.039).
_FOOT = 0.039


def bone_lengths(poses: Floats) -> Floats:
    """Return the length of the bone that ends in each joint, (frames, 17); 0 at the root."""
    lengths: Floats = np.linalg.norm(poses - poses[:, _PARENTS], axis=-1).astype(np.float32)
    return lengths


def median_bone_lengths(poses: Floats, valid: Mask) -> Floats:
    """Return the median length of each bone, (17,), over the frames where both ends are valid.

    A bone that is never wholly valid has the median of the network's guesses, and NaN if there is
    no pose at all.
    """
    lengths = bone_lengths(poses)
    whole = valid & valid[:, _PARENTS] & np.isfinite(lengths)
    median = np.full(lengths.shape[1], np.nan, dtype=np.float32)
    for joint in range(len(median)):
        counted = whole[:, joint]
        known = lengths[counted if counted.any() else np.isfinite(lengths[:, joint]), joint]
        if len(known):
            median[joint] = np.median(known)
    return median


def constant_bones(poses: Floats, valid: Mask) -> Floats:
    """Return poses whose bones have their median length in each frame, left as right.

    Args:
        poses: (frames, 17, 3), relative to the pelvis.
        valid: (frames, 17).
    """
    lengths, median = bone_lengths(poses), median_bone_lengths(poses, valid)
    median = (median + median[list(H36M17.mirror)]) / np.float32(2)
    moved: Floats = poses.copy()
    for joint, parent in enumerate(H36M17.parents):
        if parent < 0:
            continue
        bone = poses[:, joint] - poses[:, parent]
        # A bone of no length has no direction, and stays so.
        length = np.maximum(lengths[:, joint], _SHORTEST * median[joint])
        factor = np.divide(median[joint], length, out=np.zeros_like(length), where=length > 0.0)
        moved[:, joint] = moved[:, parent] + bone * factor[:, None]
    return moved


def upright_height(poses: Floats, valid: Mask) -> float:
    """Return the height of the person who stands upright, from the sole to the crown; may be NaN.

    The sum of the bones of one leg (the mean of both), the trunk and the head, each the median
    over the clip, with the foot's height below the ankle as Drillis and Contini (Body Segment
    Parameters, 1966) measured it. The person does not have to stand upright in the clip.
    """
    median = median_bone_lengths(poses, valid)
    legs, trunk = (
        sum(float(median[H36M17.joints.index(name)]) for name in names)
        for names in (_LEGS, _TRUNK_AND_HEAD)
    )
    return (legs / 2 + trunk) / (1.0 - _FOOT)


def solve_root(
    poses: Floats, valid: Mask, points: Floats, scores: Floats | None, intrinsics: Intrinsics
) -> tuple[Floats, Floats]:
    """Find the pelvis by least squares over the pixels between keypoints and projected joints.

    Each frame is solved separately, over the joints that are valid and seen, weighted by their
    scores: first the linear solution of ``x (Z + z) = X + z_x``, which weighs joints by their
    depth, then a few Gauss-Newton steps on the distances themselves.

    Args:
        poses: (frames, 17, 3), along the camera's axes, relative to the pelvis, metric.
        valid: (frames, 17).
        points: (frames, 17, 2), pixels, NaN if missing.
        scores: (frames, 17), 0 to 1; None for equal weights.
        intrinsics: The camera's; the distortion of its lens is removed from the points first.

    Returns:
        The pelvis, (frames, 3), and the root mean square distance in pixels, (frames,); NaN in
        frames whose pelvis is not valid, with fewer than four joints, or with a solution behind the
        camera.
    """
    if intrinsics.distortion:
        points = intrinsics.undistort(points).astype(np.float32)
        intrinsics = intrinsics.without_distortion()
    weight = np.where(np.isnan(points[..., 0]), 0.0, 1.0 if scores is None else scores)
    weight = np.where(valid, weight, 0.0).astype(np.float64)
    # Directions instead of pixels, so that focal lengths are out of the way.
    center, focal = [intrinsics.cx, intrinsics.cy], [intrinsics.fx, intrinsics.fy]
    rays = np.where(weight[..., None] > 0.0, (points - center) / focal, 0.0)
    posed = np.asarray(np.isfinite(poses).all(axis=-1))
    weight = np.where(posed, weight, 0.0)
    joints = np.where(posed[..., None], poses, 0.0).astype(np.float64)
    solvable = (weight > 0.0).sum(axis=1) >= _FEWEST_JOINTS
    solvable &= valid[:, 0]  # Poses are relative to it.
    root = np.full((len(poses), 3), np.nan)
    if solvable.any():
        root[solvable] = _solve(joints[solvable], rays[solvable], weight[solvable], focal)
    # The equations also have solutions behind the camera.
    behind = ~((root[:, None, 2] + joints[..., 2]).min(axis=1) > 0.0)
    root[behind] = np.nan
    error = _pixel_error(joints + root[:, None], points, weight, intrinsics)
    return root.astype(np.float32), error.astype(np.float32)


def _solve(poses: Doubles, rays: Doubles, weight: Doubles, focal: list[float]) -> Doubles:
    """Return the root of each frame, (frames, 3)."""
    weights = np.concatenate([weight, weight], axis=1)
    zeros = np.zeros_like(weight)
    root = _least_squares(*linear_equations(poses, rays), weights)
    for _ in range(_STEPS):
        placed = poses + root[:, None]
        depth = np.where(np.abs(placed[..., 2]) > 1e-6, placed[..., 2], 1e-6)
        seen = placed[..., :2] / depth[..., None]
        across = np.stack([1 / depth, zeros, -seen[..., 0] / depth], axis=-1) * focal[0]
        down = np.stack([zeros, 1 / depth, -seen[..., 1] / depth], axis=-1) * focal[1]
        root = root + _least_squares(across, down, (rays - seen) * focal, weights)
    return root


def linear_equations(poses: Doubles, rays: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Return the equations ``x (Z + z) = X + z_x`` of the root, which weigh joints by their depth.

    Args:
        poses: (frames, joints, 3), relative to the root.
        rays: (frames, joints, 2), slopes of the keypoints.

    Returns:
        The coefficients of the root in those of x and in those of y, each (frames, joints, 3), and
        what they have to give, (frames, joints, 2).
    """
    ones, zeros = np.ones_like(rays[..., 0]), np.zeros_like(rays[..., 0])
    across = np.stack([ones, zeros, -rays[..., 0]], axis=-1)
    down = np.stack([zeros, ones, -rays[..., 1]], axis=-1)
    return across, down, rays * poses[..., 2:] - poses[..., :2]


def _least_squares(across: Doubles, down: Doubles, target: Doubles, weight: Doubles) -> Doubles:
    """Solve the weighted least squares of three unknowns in each frame."""
    rows = np.concatenate([across, down], axis=1)
    weighted = rows * weight[..., None]
    normal = np.einsum("fri,frj->fij", weighted, rows)
    targets = np.concatenate([target[..., 0], target[..., 1]], axis=1)
    right = np.einsum("fri,fr->fi", weighted, targets)
    # Joints in one line leave a direction open; the smallest step is taken there.
    solution: Doubles = np.einsum("fij,fj->fi", np.linalg.pinv(normal, hermitian=True), right)
    return solution


def _pixel_error(
    placed: Doubles, points: Floats, weight: Doubles, intrinsics: Intrinsics
) -> Doubles:
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = ((intrinsics.project(placed) - points) ** 2).sum(axis=-1)
    counted = np.where(weight > 0.0, apart, 0.0)
    seen = np.maximum((weight > 0.0).sum(axis=1), 1)
    error: Doubles = np.sqrt(counted.sum(axis=1) / seen)
    return np.where(np.isfinite(placed[:, 0, 0]), error, np.nan)
