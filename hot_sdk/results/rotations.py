"""Rotations of bones from a rest pose, as quaternions, and the joints that they lead back to.

The rest pose is a T-pose along axes of its own: x to the person's left, y up, z forward
(right-handed, as in BVH and glTF files). Trunk, neck and head point up, legs down, and everything
from the pelvis to the hips and from the thorax to the wrists points aside.

17 points show where a bone points, but mostly not how it is turned about itself:

- The pelvis has a full orientation: x along the line from the right to the left hip, y towards the
  spine.
- So has the bone from spine to thorax: y along it, x towards the line from the right to the left
  shoulder.
- Every other bone has the smallest rotation, relative to the bone before it, that makes it point
  where it does (the swing of a swing-twist decomposition, whose twist is none).

Quaternions are x, y, z, w, as in ROS and SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.errors import ResultError
from hot_sdk.results.angles import known_joints, unit
from hot_sdk.results.result import Pose3DResult
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float64]

_SIDE, _UP = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
_DOWN = ("knee", "ankle")
_ASIDE = ("hip", "shoulder", "elbow", "wrist")

_SPINE, _CHEST = H36M17.joints.index("spine"), H36M17.joints.index("thorax")
_RIGHT_HIP, _LEFT_HIP = H36M17.joints.index("right_hip"), H36M17.joints.index("left_hip")
_SHOULDERS = [H36M17.joints.index(f"{side}_shoulder") for side in ("right", "left")]

_OPPOSITE = 1e-12
"""1 plus the cosine of an angle, below which two directions are opposite."""


def _rest_direction(joint: str) -> Floats:
    side, _, part = joint.rpartition("_")
    if part in _ASIDE:
        return _SIDE if side == "left" else -_SIDE
    if part in _DOWN:
        return -_UP
    return np.zeros(3) if joint == H36M17.joints[0] else _UP


REST_DIRECTIONS: Floats = np.array([_rest_direction(joint) for joint in H36M17.joints])
"""(17, 3), where the bone that ends in each joint points in the rest pose; 0 at the pelvis."""
REST_DIRECTIONS.setflags(write=False)


@dataclass(frozen=True, eq=False)
class BoneRotations:
    """Rotations of the bones of each frame from the rest pose of ``hot_sdk.results.rotations``.

    Arrays are read-only, and NaN where a joint that they need, or one nearer to the pelvis, is not
    valid or has no value.

    Attributes:
        local: (frames, 17, 4), x, y, z, w: of the bone that ends in each joint of ``H36M17``,
            relative to the bone that ends where it begins; at the pelvis, of the rest pose's axes
            along the axes of the poses. The sign never jumps from one frame to the next.
        lengths: (frames, 17), of the same bones, in the unit of the poses; 0 at the pelvis.
    """

    local: Floats
    lengths: Floats

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.local)

    def world(self) -> Floats:
        """Return the rotations along the axes of the poses, (frames, 17, 4); signs continue."""
        turned = np.empty_like(self.local)
        for joint, parent in enumerate(H36M17.parents):
            before = None if parent < 0 else turned[:, parent]
            own = self.local[:, joint]
            turned[:, joint] = own if before is None else multiplied(before, own)
        return continuous(turned)

    def positions(self, lengths: ArrayLike | None = None) -> Floats:
        """Return the joints relative to the pelvis, (frames, 17, 3), along the axes of the poses.

        Args:
            lengths: (17,) or (frames, 17), of the bone that ends in each joint; None for those of
                each frame, which give back the poses.

        Raises:
            ResultError: The lengths have another shape.
        """
        wanted = self.lengths if lengths is None else np.asarray(lengths, dtype=np.float64)
        if wanted.shape not in ((len(H36M17.joints),), self.lengths.shape):
            raise ResultError(
                f"lengths has shape {wanted.shape}; expected (17,) or {self.lengths.shape}.",
                hint="Give the length of the bone that ends in each joint, 0 at the pelvis.",
            )
        bones = rotated(self.world(), REST_DIRECTIONS)
        placed = np.zeros((len(self), len(H36M17.joints), 3))
        for joint, parent in enumerate(H36M17.parents):
            if parent >= 0:
                length = wanted[..., joint, None]
                placed[:, joint] = placed[:, parent] + length * bones[:, joint]
        return placed


def bone_rotations(
    poses: Pose3DResult | ArrayLike, *, valid: ArrayLike | None = None
) -> BoneRotations:
    """Return the rotation of each bone from the rest pose; see ``hot_sdk.results.rotations``.

    Args:
        poses: A result; or (frames, 17, 3), joints of ``H36M17`` in any unit along right-handed
            axes.
        valid: (frames, 17), of an array of poses: joints that are not count as unknown. Of a
            result, ``result.valid`` is taken.

    Raises:
        ResultError: The poses or ``valid`` have another shape.
        UsageError: ``valid`` is given with a result.
    """
    joints = known_joints(poses, valid)
    frames = len(joints)
    local = np.empty((frames, len(H36M17.joints), 4))
    world = np.empty_like(local)
    lengths = np.zeros((frames, len(H36M17.joints)))
    world[:, 0] = local[:, 0] = _pelvis(joints)
    shoulders = joints[:, _SHOULDERS[1]] - joints[:, _SHOULDERS[0]]
    for joint, parent in enumerate(H36M17.parents):
        if parent < 0:
            continue
        bone = joints[:, joint] - joints[:, parent]
        lengths[:, joint] = np.linalg.norm(bone, axis=-1)
        if joint == _CHEST:
            turned = from_axes(_perpendicular(shoulders, bone), unit(bone))
            local[:, joint] = multiplied(inverse(world[:, parent]), turned)
        else:
            seen = rotated(inverse(world[:, parent]), unit(bone))
            local[:, joint] = shortest_arc(REST_DIRECTIONS[joint], seen)
        world[:, joint] = multiplied(world[:, parent], local[:, joint])
    local = continuous(local)
    for array in (local, lengths):
        array.setflags(write=False)
    return BoneRotations(local, lengths)


def multiplied(first: Floats, second: Floats) -> Floats:
    """Return the quaternions (..., 4) of rotations that turn by the second, then the first."""
    x1, y1, z1, w1 = np.moveaxis(first, -1, 0)
    x2, y2, z2, w2 = np.moveaxis(second, -1, 0)
    return np.stack(
        [
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
        ],
        axis=-1,
    )


def inverse(quaternions: Floats) -> Floats:
    """Return the quaternions (..., 4), of length 1, that turn back."""
    back: Floats = quaternions * np.array([-1.0, -1.0, -1.0, 1.0])
    return back


def rotated(quaternions: Floats, vectors: Floats) -> Floats:
    """Return vectors (..., 3) turned by quaternions (..., 4) of length 1."""
    along, scalar = quaternions[..., :3], quaternions[..., 3:]
    twice = 2.0 * np.cross(along, vectors)
    turned: Floats = vectors + scalar * twice + np.cross(along, twice)
    return turned


def matrices(quaternions: Floats) -> Floats:
    """Return the matrices (..., 3, 3) of quaternions (..., 4) of length 1."""
    columns = [rotated(quaternions, axis) for axis in np.eye(3)]
    return np.stack(columns, axis=-1)


def shortest_arc(start: Floats, end: Floats) -> Floats:
    """Return the quaternions (..., 4) that turn one direction by the least to others.

    Of opposite directions, about which no arc is the shortest, that about an axis that depends on
    the first alone.

    Args:
        start: (3,), of length 1.
        end: (..., 3), of length 1; NaN gives NaN.
    """
    cosine = (start * end).sum(axis=-1, keepdims=True)
    turns = np.concatenate([np.cross(start, end), 1.0 + cosine], axis=-1)
    aside = np.append(np.cross(start, np.roll(start, 1)), 0.0)
    turns = np.where(1.0 + cosine < _OPPOSITE, aside, turns)
    return unit(turns)


def continuous(quaternions: Floats) -> Floats:
    """Return quaternions (frames, ..., 4) with signs so that each is near the last one before it.

    The first of each has a w of at least 0. NaN is passed over.
    """
    signed: Floats = quaternions.copy()
    flat = signed.reshape(len(signed), -1, 4)
    for series in np.moveaxis(flat, 1, 0):
        known = np.flatnonzero(~np.isnan(series).any(axis=-1))
        if not len(known):
            continue
        chosen = series[known]
        near = (chosen[1:] * chosen[:-1]).sum(axis=-1) >= 0.0
        signs = np.cumprod([1.0 if chosen[0, 3] >= 0.0 else -1.0, *np.where(near, 1.0, -1.0)])
        series[known] = chosen * signs[:, None]
    return signed


def _pelvis(joints: Floats) -> Floats:
    left = unit(joints[:, _LEFT_HIP] - joints[:, _RIGHT_HIP])
    return from_axes(left, _perpendicular(joints[:, _SPINE] - joints[:, 0], left))


def _perpendicular(vectors: Floats, axis: Floats) -> Floats:
    """Return the part of vectors (..., 3) across an axis, with length 1."""
    along = unit(axis)
    return unit(vectors - (vectors * along).sum(axis=-1, keepdims=True) * along)


def from_axes(x: Floats, y: Floats) -> Floats:
    """Return the quaternions of rotations that turn the first two axes to these, (frames, 4)."""
    turns = np.stack([x, y, np.cross(x, y)], axis=-1)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.moveaxis(turns, 0, -1)
    # Four formulas that differ by a factor; the longest is never near 0.
    one = np.ones_like(xx)
    formulas = np.stack(
        [
            np.stack([one + xx - yy - zz, yx + xy, zx + xz, zy - yz], axis=-1),
            np.stack([yx + xy, one - xx + yy - zz, zy + yz, xz - zx], axis=-1),
            np.stack([zx + xz, zy + yz, one - xx - yy + zz, yx - xy], axis=-1),
            np.stack([zy - yz, xz - zx, yx - xy, one + xx + yy + zz], axis=-1),
        ]
    )
    longest = np.argmax(np.linalg.norm(formulas, axis=-1), axis=0)
    return unit(formulas[longest, np.arange(len(longest))])
