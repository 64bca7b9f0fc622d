"""Human3.6M (Ionescu et al., TPAMI 2014) in the npz layout of VideoPose3D, which the field uses.

``data_3d_h36m.npz`` holds ``positions_3d``: by subject and action, (frames, 32 or 17, 3), meters in
the room. ``data_2d_h36m_NAME.npz`` holds ``positions_2d``: by subject and action, one array for
each of the four cameras, (frames, 17, 2), pixels; NAME is ``gt`` for projections and
``cpn_ft_h36m_dbb`` for the detections of most published numbers; anyone's own detections in this
layout may have a third number, the score. DATASETS.md of VideoPose3D (facebookresearch/VideoPose3D)
describes how to make both from the licensed data. Both are pickles, which ``safe_pickle`` reads.

``metadata`` of the second file lists its left and right joints (``keypoints_symmetry``), by which
COCO's order differs from Human3.6M's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip, plain_name
from hot_sdk.benchmarks.evaluation.data_sets.safe_pickle import (
    broken,
    holds,
    items,
    mapping,
    numbers,
    read_object,
    stacked,
)
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import DatasetError, KeypointsError
from hot_sdk.keypoints import Keypoints
from hot_sdk.skeletons import H36M17, skeleton_format

_Part = TypeVar("_Part")

NAME = "h36m"
FPS = 50.0
TRAINING_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TEST_SUBJECTS = ("S9", "S11")
DETECTIONS = "cpn_ft_h36m_dbb"

KEPT_OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Indices of the 17 joints of ``H36M17``, in its order, among the 32 recorded ones; the others are
copies, toes and fingers."""

ACTIONS = (
    "Directions",
    "Discussion",
    "Eating",
    "Greeting",
    "Phoning",
    "Photo",
    "Posing",
    "Purchases",
    "Sitting",
    "SittingDown",
    "Smoking",
    "Waiting",
    "WalkDog",
    "Walking",
    "WalkTogether",
)
"""The 15 actions that published numbers are averaged over; each recording in the files is named by
its action, in some after a space also by a number."""


def load_human36m(
    root: Path, *, detections: str = DETECTIONS, subjects: Sequence[str] = TEST_SUBJECTS
) -> list[EvaluationClip]:
    """Load the test set, S9 and S11, or other subjects: every action, all four cameras.

    If there are more keypoints than poses, those past the end are left out, as in the published
    evaluations. One recording of S11, Directions, is broken and in no published file.

    Args:
        root: Folder of the files.
        detections: NAME of ``data_2d_h36m_NAME.npz``, whose joints are Human3.6M's or COCO's.
        subjects: Of ``TRAINING_SUBJECTS`` and ``TEST_SUBJECTS``.

    Returns:
        A clip for each recording and camera, named as in ``S9_Directions_1_54138969``; ``action``
        is one of ``ACTIONS``.

    Raises:
        DatasetError: A file is missing, broken, not safe to read, or of other people or joints.
    """
    poses_file = root / "data_3d_h36m.npz"
    points_file = root / f"data_2d_h36m_{detections}.npz"
    for path in (poses_file, points_file):
        if not path.is_file():
            prefix = "data_2d_h36m_"
            others = sorted(file.stem.removeprefix(prefix) for file in root.glob(f"{prefix}*.npz"))
            made = "Give the folder of VideoPose3D's files; its DATASETS.md says how to make them."
            named = f"The folder holds the detections {', '.join(others)}."
            raise DatasetError(
                f"There is no '{path}'.",
                hint=named if others and path == points_file else made,
            )
    poses = read_object(poses_file, "positions_3d")
    points = read_object(points_file, "positions_2d")
    try:
        world = _part(subjects, poses, lambda held: _joints(numbers(held)))
    except ValueError as error:
        raise broken(poses_file, error) from error
    try:
        skeleton = _skeleton(points_file)
        seen = _part(subjects, points, lambda held: [numbers(one) for one in items(held)])
        return [
            clip
            for (subject, recording), positions in world.items()
            for clip in _recording(subject, recording, positions, seen, skeleton)
        ]
    except (ValueError, LookupError, KeypointsError) as error:
        raise broken(points_file, error) from error


def camera(subject: str, number: int) -> tuple[CameraPose, Intrinsics, str, tuple[int, int]]:
    """Return a camera's pose in the room (meters), intrinsics, name and image size."""
    known = _calibration()
    shared, own = known["cameras"][number], known["subjects"][subject][number]
    w, x, y, z = own["camera_to_world_wxyz"]
    pose = CameraPose.from_quaternion((x, y, z, w), np.array(own["position_mm"]) / 1000.0)
    intrinsics = Intrinsics(*shared["focal_length_px"], *shared["principal_point_px"])
    width, height = shared["image_size"]
    return pose, intrinsics, shared["id"], (width, height)


@cache
def _calibration() -> dict[str, Any]:
    folder = resources.files("hot_sdk.benchmarks.evaluation.data_sets") / "data"
    held: dict[str, Any] = json.loads((folder / "human36m_cameras.json").read_text("utf-8"))
    return held


def _skeleton(points_file: Path) -> str:
    """Return the order of the joints, by which of them are left and right."""
    if not holds(points_file, "metadata"):
        return H36M17.name
    about = mapping(read_object(points_file, "metadata"))
    left, right = (set(_indices(side)) for side in items(about["keypoints_symmetry"]))
    if left <= set(H36M17.left) and right <= set(H36M17.right):
        return H36M17.name
    coco = skeleton_format("coco17")
    if [left, right] == [
        {coco.joints.index(name) for name in side} for side in (coco.left, coco.right)
    ]:
        return coco.name
    raise ValueError(
        f"its left joints are {sorted(left)} and its right ones {sorted(right)}, which are neither"
        " Human3.6M's nor COCO's"
    )


def _indices(value: object) -> list[int]:
    return [int(one) for one in stacked(value)]


def _part(
    subjects: Sequence[str], data: object, convert: Callable[[object], _Part]
) -> dict[tuple[str, str], _Part]:
    """Return what is held for some subjects, by subject and recording."""
    held = mapping(data)
    for subject in subjects:
        if subject not in held:
            raise ValueError(f"there is no {subject!a} in it")
    return {
        (subject, recording): convert(value)
        for subject in subjects
        for recording, value in mapping(held[subject]).items()
    }


def _joints(positions: NDArray[Any]) -> NDArray[np.float64]:
    if positions.ndim != 3 or positions.shape[1] not in (17, 32) or positions.shape[2] != 3:
        raise ValueError(f"poses have shape {positions.shape}; expected 32 or 17 joints")
    if positions.shape[1] == 32:
        positions = positions[:, KEPT_OF_32]
    return positions.astype(np.float64)


def _recording(
    subject: str,
    recording: str,
    world: NDArray[np.float64],
    seen: Mapping[tuple[str, str], Sequence[NDArray[Any]]],
    skeleton: str,
) -> list[EvaluationClip]:
    views = seen.get((subject, recording), ())
    if len(views) != len(_calibration()["cameras"]):
        raise ValueError(f"{subject} {recording!a} is seen by {len(views)} cameras instead of 4")
    action = recording.partition(" ")[0]
    if action not in ACTIONS:
        raise ValueError(f"{recording!a} is not one of the 15 actions")
    clips = []
    for number, points in enumerate(views):
        pose, intrinsics, identity, size = camera(subject, number)
        name = plain_name(f"{subject}_{recording}_{identity}")
        if len(points) < len(world):
            raise ValueError(f"{name} has {len(points)} keypoints for {len(world)} poses")
        if points.ndim != 3 or points.shape[2] not in (2, 3):
            raise ValueError(f"the keypoints of {name} have shape {points.shape}")
        scores = points[: len(world), :, 2] if points.shape[2] == 3 else None
        placed = (world - pose.translation) @ pose.rotation
        clips.append(
            EvaluationClip(
                name=name,
                subject=subject,
                action=action,
                keypoints=Keypoints(
                    points[: len(world), :, :2],
                    scores,
                    skeleton=skeleton,
                    image_size=size,
                    fps=FPS,
                ),
                truth=(placed - placed[:, :1]).astype(np.float32),
                valid=np.ones(len(world), dtype=np.bool_),
                root=placed[:, 0].astype(np.float32),
                intrinsics=intrinsics,
            )
        )
    return clips
