"""Ground truth of one's own: keypoints and true poses of one clip in one file, npz or csv.

An npz file has the arrays of ``Keypoints.save`` and also ``poses_3d`` (frames, joints, 3) along
the camera's axes (x right, y down, z forward), with ``unit``, ``m`` or ``mm``. Optional are
``poses_skeleton``, the order of their joints if it is not that of the keypoints, ``valid``
(frames,), False for frames that must not be scored, and the texts ``subject`` and ``action``.

A csv file has the columns of ``Keypoints.save`` and also ``JOINT_x_m``, ``JOINT_y_m`` and
``JOINT_z_m`` for each joint of the poses; or ``_mm``; or ``_3d`` if the unit is given with the
file; and perhaps ``valid``, 0 or 1.

Poses may be relative to any place, as only the joints' places relative to the pelvis count.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.budget import input_budget
from hot_sdk._base.files import open_input, read_input
from hot_sdk._base.safe_npz import NpzError, open_npz
from hot_sdk.benchmarks.evaluation.checks import check_body
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip, plain_name
from hot_sdk.errors import DatasetError
from hot_sdk.keypoints import Keypoints
from hot_sdk.readers.joint_names import match_names
from hot_sdk.readers.tables.rows import all_rows
from hot_sdk.skeletons import H36M17, skeleton_format

SUFFIXES = (".npz", ".csv")

Floats = NDArray[np.float64]

_COLUMN = re.compile(r"(.+)[ _.\-]([xyz])[ _.\-](m|mm|3d)", re.IGNORECASE)
_LAYOUT = "docs/evaluation.md describes both layouts."
_AGREES = 0.8
_BETTER = 0.02
"""How well the truth's x and y agree with the keypoints, as a correlation: 0.97 and more on clips
of motion capture seen from any side, where no other choice of axes comes nearer than 0.03."""

_FEWEST_JOINTS = 8
_AXES = "xyz"


def load_own_files(path: Path, *, unit: str | None = None) -> list[EvaluationClip]:
    """Load a file, or every npz and csv file of a folder.

    Args:
        path: The file or folder; a clip is named after its file.
        unit: Unit of the true poses, ``m`` or ``mm``; None if the files say.

    Raises:
        DatasetError: A file has no true poses or no unit, or they cannot be a person's, in this
            unit, along the camera's axes.
        KeypointsError: Its keypoints cannot be read.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files or not all(file.is_file() for file in files):
        raise DatasetError(
            f"There is no file {' or '.join(SUFFIXES)} at '{path}'.", hint="Check the path."
        )
    names = [plain_name(file.stem) for file in files]
    if len(set(names)) < len(names):
        raise DatasetError(
            f"Two files in '{path}' give a clip the same name.", hint="Rename one of them."
        )
    return [_clip(file, name, unit) for file, name in zip(files, names, strict=True)]


@dataclass(frozen=True, eq=False)
class _Truth:
    """What a file says of the true poses."""

    poses: NDArray[Any]
    skeleton: str | None
    unit: str | None
    valid: NDArray[np.bool_] | None
    subject: str = "all"
    action: str | None = None


def _clip(path: Path, name: str, unit: str | None) -> EvaluationClip:
    try:
        truth = _read_csv(path) if path.suffix.lower() == ".csv" else _read_npz(path)
    except (NpzError, ValueError, LookupError, csv.Error) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatasetError(f"'{path}' has no true poses: {reason}.", hint=_LAYOUT) from error
    except OSError as error:
        raise DatasetError(
            f"'{path}' cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from error
    keypoints = Keypoints.from_file(path)
    if len(keypoints) != len(truth.poses):
        raise DatasetError(
            f"'{path}' has keypoints of {len(keypoints)} frames and true poses of"
            f" {len(truth.poses)}.",
            hint="Give both for the same frames.",
        )
    if unit is not None and truth.unit not in (None, unit):
        raise DatasetError(
            f"'{path}' says that its poses are in {truth.unit}, not in {unit}.",
            hint="Leave --unit out.",
        )
    poses = _in_h36m17(path, truth, truth.skeleton or keypoints.skeleton)
    poses = check_body(poses, unit or truth.unit, f"poses_3d of '{path.name}'")
    relative = poses - poses[:, :1]
    _check_axes(path, keypoints, relative)
    return EvaluationClip(
        name=name,
        subject=truth.subject,
        action=truth.action or name,
        keypoints=keypoints,
        truth=relative.astype(np.float32),
        valid=np.ones(len(poses), dtype=np.bool_) if truth.valid is None else truth.valid,
        root=poses[:, 0].astype(np.float32),
        intrinsics=keypoints.camera,
        up=keypoints.knowledge.up,
        height_m=keypoints.height_m,
    )


def _read_npz(path: Path) -> _Truth:
    with open_input(path) as stream, open_npz(stream) as arrays:
        if "poses_3d" not in arrays:
            held = ", ".join(sorted(arrays))[:200]
            raise ValueError(f"there is no array 'poses_3d', but {held!a}")
        poses = arrays["poses_3d"]
        if poses.ndim != 3 or poses.shape[2] != 3 or poses.dtype.kind not in "fiu":
            raise ValueError(f"poses_3d is {poses.dtype} of shape {poses.shape}")
        valid = arrays.get("valid")
        if valid is not None:
            if valid.shape != poses.shape[:1] or not np.isin(valid, (0, 1)).all():
                raise ValueError(f"valid is {valid.dtype} of shape {valid.shape}")
            valid = valid.astype(np.bool_)
        texts = {
            name: _text(arrays, name)
            for name in ("unit", "poses_skeleton", "subject", "action")
            if name in arrays
        }
    return _Truth(
        poses.astype(np.float64),
        texts.get("poses_skeleton"),
        texts.get("unit"),
        valid,
        texts.get("subject", "all"),
        texts.get("action"),
    )


def _text(arrays: Mapping[str, NDArray[Any]], name: str) -> str:
    array = arrays[name]
    if array.size != 1 or array.dtype.kind != "U" or not 4 <= array.dtype.itemsize <= 800:
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, not a text")
    return str(array.reshape(1)[0])


def _read_csv(path: Path) -> _Truth:
    content = read_input(path, input_budget().file_bytes)
    first = content.split(b"\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=lambda one: first.count(one.encode()))
    header, *rows = (row for row in all_rows(content, delimiter) if row)
    columns = {
        (found[1], found[2].lower(), found[3].lower()): place
        for place, cell in enumerate(header)
        if (found := _COLUMN.fullmatch(cell.strip()))
    }
    units = {unit for _, _, unit in columns}
    if len(units) != 1:
        raise ValueError(
            "there are no columns such as left_wrist_x_m, left_wrist_x_mm or left_wrist_x_3d"
            if not units
            else "its columns are in several units"
        )
    (unit,) = units
    joints = [joint for joint, axis, _ in columns if axis == "x"]
    found_skeleton = match_names(joints)
    if found_skeleton is None or len(found_skeleton[1]) != len(joints):
        raise ValueError(f"the joints {', '.join(joints)[:120]!a} are those of no known skeleton")
    skeleton, order = found_skeleton
    places = [columns[joints[joint], axis, unit] for joint in order for axis in _AXES]
    lower = [cell.strip().lower() for cell in header]
    table = [[_cell(row[place], delimiter) for place in places] for row in rows]
    numbers = [int(float(row[_frame_column(lower)])) for row in rows]
    if sorted(numbers) != list(range(min(numbers), min(numbers) + len(numbers))):
        raise ValueError("its rows are not one for each frame")
    sort = np.argsort(numbers)
    valid = None
    if "valid" in lower:
        cells = [row[lower.index("valid")].strip() for row in rows]
        if not set(cells) <= {"0", "1"}:
            raise ValueError("the column 'valid' holds something else than 0 and 1")
        valid = np.array([cell == "1" for cell in cells])[sort]
    poses = np.array(table, dtype=np.float64).reshape(len(rows), -1, 3)[sort]
    return _Truth(poses, skeleton, None if unit == "3d" else unit, valid)


def _frame_column(header: list[str]) -> int:
    if "frame" not in header:
        raise ValueError("there is no column 'frame'")
    return header.index("frame")


def _cell(text: str, delimiter: str) -> float:
    plain = text.strip() if delimiter == "," else text.strip().replace(",", ".")
    return float(plain) if plain else np.nan


def _in_h36m17(path: Path, truth: _Truth, skeleton: str) -> Floats:
    """Return the poses in Human3.6M's joints, NaN where the sources of one are missing."""
    joints = len(skeleton_format(skeleton).joints)
    if truth.poses.shape[1] != joints:
        raise DatasetError(
            f"poses_3d of '{path}' has {truth.poses.shape[1]} joints, and '{skeleton}' {joints}.",
            hint="Name the order of their joints: poses_skeleton, one of list_skeletons().",
        )
    if skeleton == H36M17.name:
        return truth.poses
    # Relative to a joint, as what is far away would lose digits.
    known = np.isfinite(truth.poses).all(axis=-1, keepdims=True)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    place = np.where(known, truth.poses, 0.0).sum(axis=1, keepdims=True) / count
    near = np.where(known, truth.poses - place, np.nan).astype(np.float32)
    derive = skeleton_format(skeleton).to_h36m17
    xy, yz = (derive(near[..., axes], None)[0] for axes in ([0, 1], [1, 2]))
    joined: Floats = np.concatenate([xy, yz[..., 1:]], axis=-1).astype(np.float64) + place
    return joined


def _check_axes(path: Path, keypoints: Keypoints, relative: Floats) -> None:
    """Check that the truth's x and y are those of the image.

    Raises:
        DatasetError: Another choice of axes, or none, agrees with the keypoints.
    """
    points = keypoints.h36m17_arrays()[0].astype(np.float64)
    points = points - points[:, :1]
    both = np.isfinite(np.concatenate([points, relative], axis=-1))
    known: NDArray[np.bool_] = np.logical_and.reduce(both, axis=-1)
    some = known.sum(axis=1) >= _FEWEST_JOINTS
    if not some.any():
        raise DatasetError(
            f"'{path}' has no frame in which keypoints and true joints are known.",
            hint="Mark what is missing with NaN, and only that.",
        )
    seen, true = (
        each / _size(each)
        for each in (np.where(known[..., None], of, 0.0)[some] for of in (points, relative))
    )
    products = np.einsum("fji,fjk->ik", seen, true)
    squares, spread = (true**2).sum(axis=(0, 1)), (seen**2).sum()
    agreement = {
        (x, y, right, down): float(
            (right * products[0, x] + down * products[1, y])
            / np.sqrt(max(spread * (squares[x] + squares[y]), 1e-12))
        )
        for x, y in itertools.permutations(range(3), 2)
        for right, down in itertools.product((1, -1), repeat=2)
    }
    given = agreement.pop((0, 1, 1, 1))
    best = max(agreement, key=lambda choice: agreement[choice])
    if given >= _AGREES and agreement[best] <= given + _BETTER:
        return
    hint = (
        "Rotate them to the camera's axes with its extrinsics, and check the order of the joints."
    )
    if agreement[best] > max(_AGREES, given + _BETTER):
        x, y, right, down = best
        looks = f"{'' if right > 0 else '-'}{_AXES[x]} points right and"
        looks += f" {'' if down > 0 else '-'}{_AXES[y]} down"
        hint = f"It looks as if {looks} in the image. {hint}"
    raise DatasetError(
        f"poses_3d of '{path.name}' is not along the camera's axes (x right, y down, z forward):"
        f" its x and y agree with the keypoints by {given:.2f} of 1.",
        hint=hint,
    )


def _size(values: Floats) -> Floats:
    size: Floats = np.sqrt((values**2).mean(axis=(1, 2), keepdims=True))
    return np.maximum(size, 1e-9)
