"""Write a result as a BVH file, which programs for animation read.

The skeleton has every joint of ``H36M17`` under its name. Where three bones begin, at the pelvis
and the thorax, each has a node of its own in between (``lower_spine``, ``left_clavicle``, ...), at
the same place, which turns that bone alone. Offsets are those of the T-pose of
``hot_sdk.results.rotations``: x to the person's left, y up, z forward.

Rotations are angles about Z, X and Y in this order at every node, as simple readers expect. Where
that about X passes a right angle, as in knees and of those who sit, the other two change fast:
between frames, interpolate rotations and not their angles (Blender's importer makes quaternions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.validation import closest
from hot_sdk.bones import median_bone_lengths, upright_height
from hot_sdk.camera_knowledge import checked_height, checked_up
from hot_sdk.cameras import CameraPose
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import MAX_FRAMES
from hot_sdk.results.result import METERS, MILLIMETERS, ROBOT_AXES, Pose3DResult
from hot_sdk.results.rotations import (
    REST_DIRECTIONS,
    BoneRotations,
    bone_rotations,
    matrices,
    shortest_arc,
)
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float64]

UNITS_PER_METER = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
"""Units in which a file may be written."""

_METERS = {METERS: 1.0, MILLIMETERS: 1e-3}
_Y = np.array([0.0, 1.0, 0.0])
# BVH files have y up, and people face z. A camera looks along the negative z axis then.
_CAMERA_TO_BVH = np.diag([1.0, -1.0, -1.0])
_ROBOT_TO_BVH = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
_ONE_FRAME_S = 1.0 / 30.0
"""Duration of a frame that is the only one."""

_UNEVEN = 0.5
"""Share of a frame by which a time may be off the mean rate."""

_LOCKED = 1e-7
"""Cosine of the angle about X below which those about Z and Y are one."""

_BETWEEN = {
    "right_hip": "right_pelvis",
    "left_hip": "left_pelvis",
    "spine": "lower_spine",
    "neck_nose": "neck",
    "left_shoulder": "left_clavicle",
    "right_shoulder": "right_clavicle",
}
"""Names of the nodes that turn the bones to these joints, where more than one bone begins."""


@dataclass(frozen=True)
class BvhFile:
    """What a BVH file holds.

    Attributes:
        path: The file.
        frames: Number of frames.
        frame_s: Seconds between frames.
        unit: Unit of offsets and positions, which the format itself does not state.
        resampled: The result's times were uneven, so that frames lie between those of the result.
        held_frames: Frames in which a joint had no value, so that the last rotation was held.
        held_root_frames: Frames whose place was not known, so that the last one was held; 0 if it
            is known in none, and the pelvis stays at the origin.
        moved_mean: How far joints are from those of the result, mean, in ``unit``: the bones of a
            file have one length, their median.
        moved_max: The same, the farthest joint.
    """

    path: Path
    frames: int
    frame_s: float
    unit: str
    resampled: bool
    held_frames: int
    held_root_frames: int
    moved_mean: float
    moved_max: float


def save_bvh(
    result: Pose3DResult,
    path: str | Path,
    *,
    unit: str = "m",
    up: ArrayLike | CameraPose | None = None,
    height_m: float | None = None,
    hold: bool = True,
) -> BvhFile:
    """Write a result as a BVH file: y up, rotations in the order Z, X, Y, degrees.

    Bones have their median length over the clip. Joints that are only guesses (``result.valid``)
    are written as they are. The pelvis is where ``result.root`` says, or stays at the origin if
    that is None. Camera and world have the same origin: the camera's, or the robot's.

    Args:
        result: The result.
        path: The file; an existing one is replaced when the new one is complete.
        unit: ``m``, as Blender reads, ``cm``, as most other programs, or ``mm``.
        up: The direction away from the ground along the camera's axes, or the camera's pose on a
            robot that stands level; None for a level camera. Not for results along a robot's axes.
        height_m: The person's standing height, meters, of poses without a metric unit.
        hold: Hold the last rotations and place (before the first, the first) in frames without a
            pose; if False, refuse such results.

    Returns:
        What was written.

    Raises:
        ResultError: There is no pose, or some frames lack one and ``hold`` is False, the poses have
            no metric unit and no height is given, or the times do not grow.
        UsageError: An option or the path is wrong, or a height is given for metric poses.
    """
    path = Path(path)
    if unit not in UNITS_PER_METER:
        raise UsageError(f"Unknown unit {unit!r}.", hint=closest(str(unit), (*UNITS_PER_METER,)))
    if path.suffix.lower() != ".bvh":
        raise UsageError(f"'{path.name}' does not end in .bvh.", hint="Name it so.")
    require_writable_target(path)
    if result.root_joint != H36M17.joints[0]:
        raise ResultError(
            f"The poses are relative to the {result.root_joint}, and a BVH file to the pelvis.",
            hint="Lift with root='pelvis'.",
        )
    if not np.isfinite(result.poses).all(axis=(1, 2)).any():
        raise ResultError("No frame of the result has a pose.", hint="Check the keypoints.")
    scale = _meters(result, height_m) * UNITS_PER_METER[unit]
    turn = _to_bvh_axes(result, up)
    poses, root, frame_s, resampled = _evenly(result)
    joints = (poses * scale) @ turn.T
    lengths = median_bone_lengths(result.poses, result.valid).astype(np.float64) * scale
    turns, held = _held(bone_rotations(joints).local)
    place, held_root = np.zeros((len(joints), 3)), 0
    if root is not None and np.isfinite(root).all(axis=-1).any():
        place, held_root = _held((root * scale) @ turn.T)
    if not hold and (held or held_root):
        raise ResultError(
            f"{held} of {len(poses)} frames lack joints, and {held_root} the place of the pelvis.",
            hint="Leave out hold=False, and the last ones are held.",
        )
    found = BoneRotations(turns, lengths).positions(lengths)
    moved = np.linalg.norm(found - joints, axis=-1)
    moved = moved[np.isfinite(moved)]
    with replaced_on_success(path) as temporary:
        temporary.write_text(_text(turns, lengths, place, frame_s), encoding="ascii")
    return BvhFile(
        path=path,
        frames=len(poses),
        frame_s=frame_s,
        unit=unit,
        resampled=resampled,
        held_frames=held,
        held_root_frames=held_root,
        moved_mean=float(moved.mean()),
        moved_max=float(moved.max()),
    )


def _meters(result: Pose3DResult, height_m: float | None) -> float:
    """Return how many meters 1 is in the result."""
    height = checked_height(height_m)
    if result.unit in _METERS:
        if height is not None:
            raise UsageError(
                f"height_m is given, and the poses are in {result.unit} already.",
                hint="Scale them first: result.with_root_from_height(keypoints, intrinsics, ...).",
            )
        return _METERS[result.unit]
    if height is None:
        raise ResultError(
            f"The poses are in '{result.unit}', whose scale is unknown.",
            hint="Give the person's height: height_m=.",
        )
    standing = upright_height(result.poses, result.valid)
    if not standing > 0.0:
        raise ResultError("The poses have no size.", hint="Check the model's weights.")
    return height / standing


def _to_bvh_axes(result: Pose3DResult, up: ArrayLike | CameraPose | None) -> Floats:
    """Return the matrix from the result's axes to x, y up and z."""
    if result.axes == ROBOT_AXES:
        if up is not None:
            raise UsageError(
                "up is given, and the result is along a robot's axes, whose z is up.",
                hint="Leave it out.",
            )
        return _ROBOT_TO_BVH
    if up is None:
        return _CAMERA_TO_BVH
    upright = matrices(shortest_arc(_CAMERA_TO_BVH @ checked_up(up, None), _Y))
    turn: Floats = upright @ _CAMERA_TO_BVH
    return turn


def _evenly(result: Pose3DResult) -> tuple[Floats, Floats | None, float, bool]:
    """Return poses and root at even times, the seconds between them, and whether that is new.

    A rate that varies, as that of a phone's videos, becomes the median one, and joints between two
    frames lie on straight lines.
    """
    times = result.timestamps
    poses = result.poses.astype(np.float64)
    root = None if result.root is None else result.root.astype(np.float64)
    if len(times) < 2:
        return poses, root, _ONE_FRAME_S, False
    steps = np.diff(times)
    if not (steps > 0.0).all():
        place = int(np.argmin(steps > 0.0)) + 1
        raise ResultError(
            f"The time of frame {place} is not after that of the one before.",
            hint="Give timestamps that grow.",
        )
    step = float(times[-1] - times[0]) / len(steps)
    even = times[0] + step * np.arange(len(times))
    if np.abs(times - even).max() < _UNEVEN * step:
        return poses, root, step, False
    step = float(np.median(steps))
    count = round(float(times[-1] - times[0]) / step) + 1
    if count > MAX_FRAMES:
        raise ResultError(
            f"At the median rate, {1.0 / step:.4g} fps, these times have {count} frames.",
            hint="Save the parts between pauses on their own.",
        )
    even = times[0] + step * np.arange(count)
    places = np.interp(even, times, np.arange(len(times)))
    before = np.floor(places).astype(np.intp)
    after = np.minimum(before + 1, len(times) - 1)
    share = places - before

    def between(values: Floats) -> Floats:
        weights = share.reshape(-1, *(1,) * (values.ndim - 1))
        # A frame without a value only counts where it is needed.
        mixed: Floats = (1.0 - weights) * values[before] + weights * values[after]
        return np.where(weights == 0.0, values[before], mixed)

    return between(poses), None if root is None else between(root), step, True


def _held(values: Floats) -> tuple[Floats, int]:
    """Return values (frames, ..., channels) with gaps filled, and the number of frames with gaps.

    Each series keeps its last value, and has its first before it.
    """
    known = np.asarray(np.isfinite(values).all(axis=-1))
    gaps = int((~known.reshape(len(known), -1).all(axis=1)).sum())
    if not known.any(axis=0).all():
        raise ResultError(
            "A bone has no direction in any frame: its joints have no value, or are at one place.",
            hint="Check the poses.",
        )
    numbers = np.arange(len(known)).reshape(-1, *(1,) * (known.ndim - 1))
    last = np.maximum.accumulate(np.where(known, numbers, -1), axis=0)
    last = np.where(last < 0, np.argmax(known, axis=0), last)
    return np.take_along_axis(values, last[..., None], axis=0), gaps


def _text(turns: Floats, lengths: Floats, root: Floats, frame_s: float) -> str:
    lines = ["HIERARCHY"]
    order: list[int | None] = []
    _add_node(lines, order, "ROOT", 0, lengths)
    lines = _indented(lines)
    angles = _euler_degrees(matrices(turns))
    channels = [root]
    channels += [
        np.zeros((len(turns), 3)) if joint is None else angles[:, joint] for joint in order
    ]
    lines += ["MOTION", f"Frames: {len(turns)}", f"Frame Time: {frame_s:.9g}"]
    lines += [" ".join([f"{value:.6f}" for value in row]) for row in np.hstack(channels).tolist()]
    return "\n".join(lines) + "\n"


def _indented(lines: list[str]) -> list[str]:
    depth, indented = 0, []
    for line in lines:
        depth -= line == "}"
        indented.append("\t" * depth + line)
        depth += line == "{"
    return indented


def _add_node(
    lines: list[str], order: list[int | None], kind: str, joint: int, lengths: Floats
) -> None:
    """Add a joint and all that hang on it, and which bone each node's channels turn, if any."""
    bones = [child for child, parent in enumerate(H36M17.parents) if parent == joint]
    alone = len(bones) == 1
    turned = 0 if kind == "ROOT" else bones[0] if alone else None
    _open(lines, order, kind, H36M17.joints[joint], REST_DIRECTIONS[joint] * lengths[joint], turned)
    for bone in bones:
        if not alone:
            _open(lines, order, "JOINT", _BETWEEN[H36M17.joints[bone]], np.zeros(3), bone)
        _add_node(lines, order, "JOINT", bone, lengths)
        if not alone:
            lines.append("}")
    if not bones:
        lines += ["End Site", "{", _offset(np.zeros(3)), "}"]
    lines.append("}")


def _open(
    lines: list[str],
    order: list[int | None],
    kind: str,
    name: str,
    offset: Floats,
    turned: int | None,
) -> None:
    positions = "6 Xposition Yposition Zposition" if kind == "ROOT" else "3"
    lines += [f"{kind} {name}", "{", _offset(offset)]
    lines.append(f"CHANNELS {positions} Zrotation Xrotation Yrotation")
    order.append(turned)


def _offset(values: Floats) -> str:
    # Not -0.
    return "OFFSET " + " ".join(f"{value + 0.0:.6f}" for value in values.tolist())


def _euler_degrees(turns: Floats) -> Floats:
    """Return angles about Z, X and Y, in this order, (frames, joints, 3), each near the last.

    Each rotation has two such triples, which both count on by full turns: that which is nearest to
    the frame before is taken.

    Args:
        turns: (frames, joints, 3, 3), the products of rotations about Z, X and Y.
    """
    about_x = np.arctan2(turns[..., 2, 1], np.hypot(turns[..., 2, 0], turns[..., 2, 2]))
    about_z = np.arctan2(-turns[..., 0, 1], turns[..., 1, 1])
    about_y = np.arctan2(-turns[..., 2, 0], turns[..., 2, 2])
    first = np.stack([about_z, about_x, about_y], axis=-1)
    second = np.stack([about_z + math.pi, math.pi - about_x, about_y + math.pi], axis=-1)
    # Where X is a quarter of a turn, only the sum or difference of the others is known.
    locked = np.cos(about_x) < _LOCKED
    together = np.arctan2(turns[..., 0, 2], turns[..., 0, 0])
    found = np.empty_like(first)
    last = np.zeros(first.shape[1:])
    for frame in range(len(first)):
        choices = np.stack([first[frame], second[frame]])
        if locked[frame].any():
            about = np.stack([last[:, 0], about_x[frame], last[:, 2]], axis=-1)
            about[:, 2] = together[frame] - np.sign(about_x[frame]) * last[:, 0]
            choices = np.where(locked[frame][:, None], about, choices)
        choices += 2.0 * math.pi * np.round((last - choices) / (2.0 * math.pi))
        far = np.abs(choices - last).sum(axis=-1)
        last = np.where((far[0] <= far[1])[:, None], choices[0], choices[1])
        found[frame] = last
    degrees: Floats = np.degrees(found)
    return degrees
