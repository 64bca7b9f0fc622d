"""Turn keypoints into a virtual camera that looks at the person, and poses back out of it.

A person beside the middle of an image is seen from the side, and one in a leaning camera leans;
neither is so in a camera that is turned to the person and rolled upright. After Ray3D (Zhan et al.,
CVPR 2022) and perspective crop layers (Yu et al., CVPR 2021). Each frame has a rotation of its own,
which does not depend on the window that it is lifted in, so that windows meet without a step.

Slopes are x over z and y over z of a ray. Everything is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.disk_arrays import PART, parts
from hot_sdk.camera_knowledge import MOST_VERTICAL
from hot_sdk.cameras import Intrinsics
from hot_sdk.manifest import CONDITION_NAMES
from hot_sdk.preprocessing import resampling

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

USUAL_HEIGHT_M, HEIGHT_STEP = 1.7, 0.05
"""A network is told the logarithm of a height over the former, in units of the latter."""

TOLD_HEIGHTS_M = 1.5, 2.0
"""A network is told no height beyond those of the adults that it was trained with."""

_LEAST_DEPTH = 0.05
"""Depth of a ray of length 1 in the virtual camera: 87 degrees from its axis, where it has no
meaningful slope any more."""

_LONGEST_GAP_S = 0.5
HELD_UP_S = 0.1
"""Seconds for which a direction is held that is not known any more."""

_LEAST_NORM = 0.5
"""Length of the mean of two directions 120 degrees apart: no camera turns as fast."""

_ON_FRAME = 1e-9


@dataclass(frozen=True, eq=False)
class VirtualViews:
    """The virtual cameras of some frames.

    Attributes:
        rotations: (frames, 3, 3); ``rotation @ p`` turns a point of the camera's axes.
        upright: (frames,), True if the camera is rolled upright, because gravity is known.
        pitch: (frames,), the part of the up direction along the viewing direction; 0 if unknown.
    """

    rotations: Doubles
    upright: NDArray[np.bool_]
    pitch: Doubles

    def of(self, places: slice) -> VirtualViews:
        """Return those of some of the frames."""
        return VirtualViews(self.rotations[places], self.upright[places], self.pitch[places])

    def turned(self, values: Doubles) -> Floats:
        """Return slopes in the virtual cameras, float32.

        Args:
            values: (frames, joints, 2 or more), slopes along the camera's axes; what follows the
                second channel is kept.
        """
        rays = np.concatenate([values[..., :2], np.ones_like(values[..., :1])], axis=-1)
        seen = rays @ self.rotations.transpose(0, 2, 1)
        least = _LEAST_DEPTH * np.linalg.norm(rays, axis=-1, keepdims=True)
        slopes = seen[..., :2] / np.maximum(seen[..., 2:], least)
        return np.concatenate([slopes, values[..., 2:]], axis=-1).astype(np.float32)

    def turned_back(self, poses: Floats | Doubles) -> Doubles:
        """Return poses (frames, joints, 3) of the virtual cameras along the camera's axes."""
        back: Doubles = np.asarray(poses, dtype=np.float64) @ self.rotations
        return back

    def spread_turned_back(self, spread: Floats | Doubles) -> Doubles:
        """Return the spread (frames, joints, 3) along the camera's axes.

        The errors along the virtual camera's axes are taken as independent, which they nearly are.
        """
        return turned_spread(spread, self.rotations.transpose(0, 2, 1))


def turned_spread(spread: Floats | Doubles, rotations: Doubles) -> Doubles:
    """Return the spread (..., joints, 3) along turned axes, if errors are independent by axis.

    Args:
        spread: Along the old axes.
        rotations: (..., 3, 3); ``rotation @ p`` turns a point to the new ones.
    """
    squares = np.asarray(spread, dtype=np.float64) ** 2 @ np.swapaxes(rotations, -1, -2) ** 2
    turned: Doubles = np.sqrt(squares)
    return turned


def virtual_views(centers: Doubles, up: Doubles | None) -> VirtualViews:
    """Return the virtual cameras that look at people.

    Without gravity, the camera is turned by the smallest angle. With it, it is rolled upright;
    in a frame that looks almost straight up or down, gravity counts as unknown.

    Args:
        centers: (frames, 2), the mean slopes of each frame's joints.
        up: Unit vectors along the camera's axes, (3,) or (frames, 3) with NaN where it is unknown;
            None if it always is.
    """
    ahead = np.concatenate([centers, np.ones_like(centers[:, :1])], axis=1)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    rotations = _least_turns(ahead)
    if up is None:
        return VirtualViews(rotations, np.zeros(len(ahead), np.bool_), np.zeros(len(ahead)))
    pitch = np.sum(up * ahead, axis=1)
    # A comparison with NaN is False.
    upright: NDArray[np.bool_] = np.abs(pitch) <= MOST_VERTICAL
    if upright.any():
        forward = ahead[upright]
        vertical = up if up.ndim == 1 else up[upright]
        down = pitch[upright, None] * forward - vertical
        down /= np.linalg.norm(down, axis=1, keepdims=True)
        rotations[upright] = np.stack([np.cross(down, forward), down, forward], axis=1)
    return VirtualViews(rotations, upright, np.where(upright, pitch, 0.0))


def _least_turns(ahead: Doubles) -> Doubles:
    """Return the smallest rotations that take unit vectors (frames, 3), z > 0, to the z axis."""
    x, y, z = ahead.T
    share = 1.0 / (1.0 + z)
    turns = np.empty((len(ahead), 3, 3))
    turns[:, 0, 0], turns[:, 1, 1] = 1.0 - x * x * share, 1.0 - y * y * share
    turns[:, 0, 1] = turns[:, 1, 0] = -x * y * share
    turns[:, 0, 2], turns[:, 1, 2] = -x, -y
    turns[:, 2] = ahead
    return turns


def ray_slopes(
    points: Floats, camera: Intrinsics, known: tuple[Floats, Doubles] | None = None
) -> Doubles:
    """Return the slopes (frames, joints, 2) of the rays of pixels, finite.

    Args:
        points: (frames, joints, 2), finite.
        camera: The camera's intrinsics; the distortion of its lens is removed.
        known: Points and slopes as before the points were cleaned, so that only those that were
            changed are computed; removing a distortion takes longer than all the rest.
    """
    if not camera.distortion:
        return camera.slopes(points)
    if known is None:
        slopes = camera.slopes(points)
    else:
        slopes = known[1].copy()
        changed = (points != known[0]).any(axis=-1)
        slopes[changed] = camera.slopes(points[changed])
    # Points that were detected have rays, or count as missing; those in between do, too, for all
    # but strange lenses.
    finite = np.isfinite(slopes).all(axis=-1, keepdims=True)
    if finite.all():
        return slopes
    sums = np.where(finite, slopes, 0.0).sum(axis=1, keepdims=True)
    middle = sums / np.maximum(finite.sum(axis=1, keepdims=True), 1)
    return np.where(finite, slopes, middle)


def without_ray(
    points: Floats, camera: Intrinsics | None
) -> tuple[Floats, tuple[Floats, Doubles] | None]:
    """Return points with NaN for those that the lens shows no direction at.

    Returns:
        The points; and, if the lens has any distortion, ``known`` of ``ray_slopes``.
    """
    if camera is None or not camera.distortion:
        return points, None
    slopes = camera.slopes(points)
    lost = np.isnan(slopes).any(axis=-1, keepdims=True)
    return np.where(lost, np.float32(np.nan), points), (points, slopes)


def conditions(
    names: Sequence[str], frames: int, views: VirtualViews | None, height_m: float | None
) -> Floats:
    """Return what a network is told about frames, (frames, conditions), in the order of ``names``.

    Args:
        names: Some of ``CONDITION_NAMES``.
        frames: Number of frames.
        views: The virtual cameras that the keypoints are seen in; None if there are none.
        height_m: The person's height; None if it is unknown.
    """
    told: list[float | Mask | Doubles] = []
    if views is not None or height_m is not None:
        seen = [0.0] * 3 if views is None else [1.0, views.upright, views.pitch]
        height = [0.0] * 2 if height_m is None else [1.0, height_condition(height_m)]
        told = [*seen, *height]
    table = np.zeros((frames, len(names)), dtype=np.float32)
    for name, value in zip(CONDITION_NAMES, told, strict=False):
        if name in names:
            table[:, names.index(name)] = value
    return table


def height_condition(height_m: float) -> float:
    """Return the condition ``height`` of a person's height, meters; see ``size_factor``."""
    return math.log(_told_height(height_m) / USUAL_HEIGHT_M) / HEIGHT_STEP


def size_factor(height_m: float | None) -> float:
    """Return the factor from the poses of the height that a network is told to those of a person.

    A small person nearby and a large one farther away have the same keypoints, so that a network
    needs to know only adults. It is 1 from 1.5 to 2 m.

    Args:
        height_m: The person's height; None if the network is told none.
    """
    return 1.0 if height_m is None else height_m / _told_height(height_m)


def _told_height(height_m: float) -> float:
    shortest, tallest = TOLD_HEIGHTS_M
    return min(max(height_m, shortest), tallest)


def sample_up(up: Doubles, times: Doubles, at: Doubles) -> Doubles:
    """Interpolate directions at other times, with length 1.

    Args:
        up: (frames, 3), NaN where it is unknown.
        times: (frames,), strictly increasing.
        at: (samples,).

    Returns:
        (samples, 3), NaN between frames of which one is unknown, or if they point oppositely.
    """
    known = ~np.isnan(up[:, :1])
    if not known.all():
        # A sample on a frame does not need the frame beside it.
        near = np.clip(np.searchsorted(times, at), 1, max(len(times) - 1, 1))
        near = np.minimum(near, len(times) - 1)
        before = np.maximum(near - 1, 0)
        nearest = np.where(at - times[before] < times[near] - at, before, near)
        outside = (at <= times[0]) | (at >= times[-1])
        exact = outside | (np.abs(at - times[nearest]) < _ON_FRAME)
    sampled = resampling.sample(up, times, at)
    if not known.all():
        sampled[exact] = up[nearest[exact]]
    with np.errstate(invalid="ignore", divide="ignore"):
        length = np.linalg.norm(sampled, axis=1, keepdims=True)
        return np.where(length > 1e-6, sampled / length, np.nan)


def bridged_up(up: Doubles, times: Doubles) -> Doubles:
    """Return directions with those of short gaps, as an IMU slower than the camera leaves.

    Between two frames that are no more than half a second apart they are interpolated; before the
    first and after the last known one they are held for a tenth. A network that is told gravity in
    some frames of a window only would see a view that rolls back and forth.

    Args:
        up: (frames, 3) of length 1, NaN where it is unknown.
        times: (frames,), strictly increasing.
    """
    known = ~np.isnan(up[:, 0])
    places = np.flatnonzero(known)
    if not len(places) or len(places) == len(up):
        return up
    gaps = np.flatnonzero(~known)
    after = np.searchsorted(places, gaps)
    first = places[np.maximum(after - 1, 0)]
    last = places[np.minimum(after, len(places) - 1)]
    length = times[last] - times[first]
    # Beyond the ends, both are the nearest known frame.
    beyond = np.where(length == 0.0, np.abs(times[gaps] - times[first]), 0.0)
    weight = (times[gaps] - times[first]) / np.where(length == 0.0, np.inf, length)
    between = up[first] + weight[:, None] * (up[last] - up[first])
    norm = np.linalg.norm(between, axis=1)
    short = (length <= _LONGEST_GAP_S) & (beyond <= HELD_UP_S) & (norm > _LEAST_NORM)
    bridged: Doubles = up.copy()
    bridged[gaps[short]] = between[short] / norm[short, None]
    return bridged


@dataclass(frozen=True, eq=False)
class ViewTrack:
    """The virtual cameras of a clip's frames, or of samples of it, computed where they are needed.

    Attributes:
        centers: (frames, 2), the mean slopes of each frame's joints.
        up: See ``virtual_views``; short gaps are bridged.
        times: (frames,), seconds.
        sample_times: (samples,), seconds; None if the samples are the frames.
    """

    centers: Doubles
    up: Doubles | None
    times: Doubles
    sample_times: Doubles | None = None

    def __post_init__(self) -> None:
        if self.up is not None and self.up.ndim == 2:
            object.__setattr__(self, "up", bridged_up(self.up, self.times))

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.times if self.sample_times is None else self.sample_times)

    def at(self, places: slice | NDArray[np.int64]) -> VirtualViews:
        """Return the virtual cameras of some samples."""
        per_frame = self.up is not None and self.up.ndim == 2
        if self.sample_times is None:
            up = self.up[places] if self.up is not None and per_frame else self.up
            return virtual_views(self.centers[places], up)
        seconds = self.sample_times[places]
        centers = resampling.sample(self.centers, self.times, seconds)
        up = self.up
        if up is not None and per_frame:
            up = sample_up(up, self.times, seconds)
        return virtual_views(centers, up)

    def upright(self) -> int:
        """Return the number of samples whose virtual camera is rolled upright."""
        return sum(
            int(np.count_nonzero(self.at(slice(first, first + PART)).upright))
            for first in range(0, len(self), PART)
        )

    def turn_back(self, poses: Floats, spread: Floats | None) -> None:
        """Turn poses of all samples, and their spread, to the camera's axes, in place."""
        for part in parts(poses, spread):
            views = self.at(part)
            poses[part] = views.turned_back(poses[part])
            if spread is not None:
                spread[part] = views.spread_turned_back(spread[part])
