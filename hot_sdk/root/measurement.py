"""Measure where a person's pelvis is in each frame on its own, and how sure that is.

A pose relative to the pelvis, projected from the right place, lies on the keypoints. Distances are
those of a person of the pose's size: one who is larger by some factor is farther by the same one,
which no keypoint shows. That is left to ``hot_sdk.root.scale``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import UsageError
from hot_sdk.root.three import solve_three

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

PIXEL_NOISE = 2.0
"""Least standard deviation of a keypoint along x and y, pixels; more where residuals say so."""

_SHARED = 3.0
"""How many joints have one error in common, in effect: by how much the variance of the starter
model's roots along the ray, slow part, is above that of independent errors of its joints."""

_STEPS = 6
_CONVERGED = 1e-4
"""Share of the distance; a step that moves the root by less is the last, its own error far less."""

_FEWEST_JOINTS = 4
_FAR_OFF = 2.5
"""Residuals beyond this many standard deviations weigh less, by the square of how far beyond."""

_MEDIAN = 0.83
"""Of the root mean square of two normal errors."""

_LEAST_DEPTH = 0.05
_WORST_DEPTH = 0.5
"""Share of the distance: a depth that is no surer is not known."""

_SAFE = 1e-9
_RIDGE = 1e-12
_WORST_CONDITION = 1e9
_EYE_3 = np.eye(3)


@dataclass(frozen=True, eq=False)
class RootMeasurements:
    """The pelvis in each frame, for a person of the size of the poses.

    Attributes:
        root: (frames, 3), along the camera's axes, in the unit of the poses; NaN where the hips are
            not seen or the depth cannot be known.
        pixel_covariance: (frames, 3, 3), from the keypoints' noise; independent between frames.
        pose_covariance: (frames, 3, 3), from the errors of the poses, which change slowly; 0 if
            their spread is not known.
        misfit: (frames,), by how much the variance of the keypoints' noise is larger than stated,
            as the residuals show it; at least 1. ``pixel_covariance`` does not contain it.
        residual_px: (frames,), root mean square distance between keypoints and projected joints.
    """

    root: Doubles
    pixel_covariance: Doubles
    pose_covariance: Doubles
    misfit: Doubles
    residual_px: Doubles

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.root)

    def frame(self, index: int) -> RootMeasurements:
        """Return one frame's, as measurements of one frame."""
        part = slice(index, index + 1)
        return RootMeasurements(
            self.root[part],
            self.pixel_covariance[part],
            self.pose_covariance[part],
            self.misfit[part],
            self.residual_px[part],
        )


def measure_root(
    poses: Floats,
    valid: Mask,
    points: Floats,
    scores: Floats | None,
    intrinsics: Intrinsics,
    *,
    spread: Floats | None = None,
    pixel_noise: float = PIXEL_NOISE,
    origin: int = 0,
    start: Floats | None = None,
) -> RootMeasurements:
    """Find the pelvis in each frame by weighted least squares over the reprojection.

    The covariances are first-order. The errors of a pose's joints are taken as shared by three, and
    a joint far off its keypoint weighs less.

    Args:
        poses: (frames, 17, 3), along the camera's axes, relative to the pelvis, metric.
        valid: (frames, 17).
        points: (frames, 17, 2), pixels, NaN if missing.
        scores: (frames, 17), 0 to 1: the variance of a keypoint's noise is divided by it; None for
            1.
        intrinsics: The camera's; the distortion of its lens is removed from the points first.
        spread: (frames, 17, 3), standard deviations of ``poses``; None if they are not known.
        pixel_noise: Standard deviation of a keypoint with score 1 along x and y, pixels.
        origin: The joint that ``poses`` are relative to, and that is found: 0 for the pelvis.
        start: (frames, 3), about where it is, which saves steps; None if nothing is known of it.

    Raises:
        UsageError: An array has another shape, or the noise is not above 0.
    """
    frames = len(poses)
    shapes = {
        "poses": (np.shape(poses), (frames, 17, 3)),
        "valid": (np.shape(valid), (frames, 17)),
        "points": (np.shape(points), (frames, 17, 2)),
        "scores": (np.shape(points)[:2] if scores is None else np.shape(scores), (frames, 17)),
        "spread": (np.shape(poses) if spread is None else np.shape(spread), (frames, 17, 3)),
    }
    for name, (found, expected) in shapes.items():
        if found != expected:
            raise UsageError(
                f"{name} has shape {found}; expected {expected}.",
                hint="Give one person's frames, the 17 joints of H36M17.",
            )
    if not 0.0 < pixel_noise < np.inf:
        raise UsageError(
            f"pixel_noise is {pixel_noise!r}; expected pixels above 0.",
            hint="Give the standard deviation of the detector's keypoints; leave it out for"
            f" {PIXEL_NOISE:g} or what the residuals show.",
        )
    focal = np.array([intrinsics.fx, intrinsics.fy])
    flat = (intrinsics.undistort(points) - np.array([intrinsics.cx, intrinsics.cy])) / focal
    finite = np.isfinite(flat)
    used = valid & finite[..., 0] & finite[..., 1]
    for values in (poses, spread):
        # The sum of squares tells in most cases.
        if values is not None and not math.isfinite(np.vdot(values, values)):
            used &= np.isfinite(values).all(axis=-1)
    weight = used.astype(np.float64)
    if scores is not None:
        weight = np.where(used & (scores > 0.0), scores, 0.0 * weight)
    solvable = ((weight > 0.0).sum(axis=1) >= _FEWEST_JOINTS) & valid[:, origin]
    if not solvable.any():
        return _unknown(frames)
    # Joints along the last axis: sums over them are of what is contiguous.
    every, kept = bool(solvable.all()), None if used.all() else used[:, None]
    shown = [
        None if values is None else _planes(values, kept, slice(None) if every else solvable)
        for values in (poses, flat, spread)
    ]
    planes, seen, deviation = shown
    assert planes is not None
    assert seen is not None
    part = _measure(
        planes,
        seen * focal[:, None],
        (weight if every else weight[solvable]) / pixel_noise**2,
        None if deviation is None else deviation**2,
        focal[:, None],
        None if start is None else np.asarray(start, dtype=np.float64)[solvable],
    )
    if every:
        return part
    result = _unknown(frames)
    for name in ("root", "pixel_covariance", "pose_covariance", "misfit", "residual_px"):
        getattr(result, name)[solvable] = getattr(part, name)
    return result


def solve_root(
    poses: Floats, valid: Mask, points: Floats, scores: Floats | None, intrinsics: Intrinsics
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the pelvis in each frame on its own, (frames, 3), and the error in pixels, (frames,).

    What ``measure_root`` finds, without how sure it is. Over time, ``track_clip`` and streams find
    it better.

    Args:
        poses: See ``measure_root``, as the next four.
        valid: (frames, 17).
        points: (frames, 17, 2), pixels, NaN if missing.
        scores: (frames, 17), 0 to 1; None for 1.
        intrinsics: The camera's.

    Returns:
        NaN in frames whose pelvis is not valid, with fewer than four joints, whose depth cannot be
        known, or with a solution behind the camera.

    Raises:
        UsageError: An array has another shape.
    """
    found = measure_root(poses, valid, points, scores, intrinsics)
    return found.root.astype(np.float32), found.residual_px.astype(np.float32)


def _planes(values: Floats, kept: Mask | None, frames: slice | Mask) -> Doubles:
    """Return (frames, joints, n) as (frames, n, joints), with 0 for joints that are not kept."""
    planes = np.asarray(values, dtype=np.float64).swapaxes(1, 2)
    if kept is not None:
        planes = np.where(kept, planes, 0.0)
    return np.ascontiguousarray(planes[frames])


def _unknown(frames: int) -> RootMeasurements:
    nan = np.nan
    return RootMeasurements(
        np.full((frames, 3), nan),
        np.full((frames, 3, 3), nan),
        np.full((frames, 3, 3), nan),
        np.full(frames, nan),
        np.full(frames, nan),
    )


def _measure(
    poses: Doubles,
    seen: Doubles,
    precision: Doubles,
    variance: Doubles | None,
    focal: Doubles,
    start: Doubles | None,
) -> RootMeasurements:
    """Measure frames that have enough joints.

    Args:
        poses: (frames, 3, 17).
        seen: (frames, 2, 17), slopes times focal lengths.
        precision: (frames, 17), one over the variance of the keypoints' noise; 0 if not used.
        variance: (frames, 3, 17), of the poses.
        focal: (2, 1).
        start: (frames, 3), or None.
    """
    frames, counted = len(poses), precision > 0.0
    noise = np.full_like(precision, np.inf)
    np.divide(1.0, precision, out=noise, where=counted)
    root = _first(poses, seen / focal, precision) if start is None else start
    number = counted.sum(axis=1)
    lateral = np.zeros_like(seen)
    for step in range(_STEPS + 1):
        placed, rows = _projected(poses, root, seen, focal)
        if variance is not None:
            along = rows[:, :3] ** 2
            lateral = along[:, 2] * variance[:, 2:]
            lateral[:, 0] += along[:, 0, 0] * variance[:, 0]
            lateral[:, 1] += along[:, 1, 1] * variance[:, 1]
        weight, less = _weights(rows[:, 3], counted, number // 2, noise[:, None] + lateral)
        if step == _STEPS:
            break
        change = _change(_equations(rows, weight)[1])
        root = root + change
        if _is_small(change, root):
            placed, rows = _projected(poses, root, seen, focal)
            break
    pull, equations = _equations(rows, weight)
    normal = equations[..., :3]
    inverse = np.linalg.inv(_invertible(normal))
    deviation = np.where(counted, np.sqrt(noise), 0.0)
    shaken = (pull * deviation[:, None, None]).reshape(frames, 3, -1)
    spread_out = shaken @ shaken.transpose(0, 2, 1)
    pose_part = np.zeros_like(inverse)
    if variance is not None:
        # How each coordinate of a joint's pose moves the root: (frames, 3, 3, joints).
        gain = (pull[:, :, None] * rows[:, None, :3]).sum(axis=3)
        moved = (gain * variance[:, None]).reshape(frames, 3, -1)
        pose_part = moved @ gain.reshape(frames, 3, -1).transpose(0, 2, 1)
        pose_part = _SHARED * (inverse @ pose_part @ inverse)
    # What the stated noise and the poses' spread leave unexplained is more noise of the keypoints.
    squares = rows[:, 3] ** 2
    excess = (squares * less[:, None] - lateral) * precision[:, None]
    free = np.maximum(2.0 * number - 3.0, 1.0)
    misfit = np.maximum(excess.sum(axis=(1, 2)) / free, 1.0)
    squares = np.where(counted[:, None], squares, 0.0).sum(axis=(1, 2))
    pixel = inverse @ spread_out @ inverse
    total = pixel[:, 2, 2] * misfit + pose_part[:, 2, 2]
    known = (placed[:, 2] > _LEAST_DEPTH).all(axis=1, where=counted) & (root[:, 2] > 0.0)
    known &= np.sqrt(np.maximum(total, 0.0)) < _WORST_DEPTH * root[:, 2]
    condition = np.abs(normal).sum(axis=(1, 2)) * np.abs(inverse).sum(axis=(1, 2))
    known &= condition < _WORST_CONDITION
    error = np.sqrt(squares / np.maximum(number, 1))
    if not known.all():
        for values in (root, pixel, pose_part, misfit, error):
            values[~known] = np.nan
    return RootMeasurements(root, pixel, pose_part, misfit, error)


def linear_equations(poses: Doubles, rays: Doubles) -> tuple[Doubles, Doubles]:
    """Return the equations ``x (Z + z) = X + z_x`` of the root, which weigh joints by their depth.

    Args:
        poses: (frames, joints, 3), relative to the root.
        rays: (frames, joints, 2), slopes of the keypoints.

    Returns:
        The coefficients of the root in those of x and those of y, (frames, joints, 2, 3), and what
        they have to give, (frames, joints, 2).
    """
    rows = np.zeros((*rays.shape, 3))
    rows[..., 0, 0] = rows[..., 1, 1] = 1.0
    rows[..., 2] = -rays
    return rows, rays * poses[..., 2:] - poses[..., :2]


def _first(poses: Doubles, rays: Doubles, weight: Doubles) -> Doubles:
    """Solve the linear equations of the root."""
    rows, target = linear_equations(poses.swapaxes(1, 2), rays.swapaxes(1, 2))
    joined = np.concatenate([rows, target[..., None]], axis=-1).transpose(0, 3, 2, 1)
    return _change(_equations(np.ascontiguousarray(joined), weight[:, None])[1])


def _projected(
    poses: Doubles, root: Doubles, seen: Doubles, focal: Doubles
) -> tuple[Doubles, Doubles]:
    """Return the joints, and the derivatives of pixels by the root with residuals after them.

    A solution behind the camera is refused later.

    Returns:
        (frames, 3, 17), and (frames, 4, 2, 17).
    """
    placed = poses + root[:, :, None]
    depth = np.maximum(placed[:, 2:], _LEAST_DEPTH)
    slope = focal / depth
    flat = placed[:, :2] * slope
    rows = np.zeros((len(root), 4, *flat.shape[1:]))
    rows[:, 0, 0], rows[:, 1, 1] = slope[:, 0], slope[:, 1]
    np.divide(flat, -depth, out=rows[:, 2])
    np.subtract(seen, flat, out=rows[:, 3])
    return placed, rows


def _weights(
    residual: Doubles, counted: Mask, middle: NDArray[np.int64], variance: Doubles
) -> tuple[Doubles, Doubles]:
    """Return the weight of each coordinate, and the share by which those far off weigh less.

    Args:
        residual: (frames, 2, 17).
        counted: (frames, 17).
        middle: (frames,), half of how many are.
        variance: (frames, 2, 17), of the residuals; infinite if not counted.
    """
    weight = 1.0 / variance
    squares = residual**2 * weight
    far = np.sqrt((squares[:, 0] + squares[:, 1]) / 2.0)
    # Far off means far for this frame: its median, where the stated noise is too small.
    ordered = np.sort(np.where(counted, far, np.inf), axis=1)
    usual = ordered[np.arange(len(middle)), middle, None] / _MEDIAN
    limit = _FAR_OFF * np.maximum(usual, 1.0)
    less: Doubles = np.minimum(1.0, limit / np.maximum(far, _SAFE)) ** 2
    return weight * less[:, None], less


def _equations(rows: Doubles, weight: Doubles) -> tuple[Doubles, Doubles]:
    """Return weighted derivatives (frames, 3, 2, 17), and the normal equations (frames, 3, 4)."""
    pull = rows[:, :3] * weight[:, None]
    frames = len(rows)
    across = rows.reshape(frames, 4, -1).transpose(0, 2, 1)
    return pull, pull.reshape(frames, 3, -1) @ across


def _is_small(change: Doubles, root: Doubles) -> bool:
    """Return whether a step moved all roots by less than is known of them."""
    if len(root) == 1:
        moved = max(abs(value) for value in change[0].tolist())
        return bool(moved < _CONVERGED * abs(float(root[0, 2])))
    return bool((np.abs(change) < _CONVERGED * np.abs(root[:, 2:])).all())


def _change(equations: Doubles) -> Doubles:
    """Solve the normal equations of three unknowns in each frame, (frames, 3, 4)."""
    if len(equations) > 1:
        normal = _invertible(equations[..., :3])
        solved = np.linalg.solve(normal, equations[..., 3:])
        return np.asarray(solved[..., 0], dtype=np.float64)
    rows = equations[0].tolist()
    more = _RIDGE * max(rows[0][0] + rows[1][1] + rows[2][2], _SAFE)
    for place, row in enumerate(rows):
        row[place] += more
    return np.array([solve_three(rows, [row[3] for row in rows])])


def _invertible(normal: Doubles) -> Doubles:
    """Return matrices (frames, 3, 3) with a little more on the diagonal.

    Joints in one line leave a direction open, in which no step is taken.
    """
    trace = np.maximum(normal[:, 0, 0] + normal[:, 1, 1] + normal[:, 2, 2], _SAFE)
    ridge: Doubles = normal + (_RIDGE * trace)[:, None, None] * _EYE_3
    return ridge
