"""Results in files: npz and json hold everything, csv what a table can.

A csv file is one row for each frame, after lines that begin with ``#`` and hold the rest as JSON;
``pandas.read_csv(path, comment="#")`` reads it. Numbers are written with as many digits as give the
same float32 (float64 for timestamps) back; NaN is null in json and an empty cell in csv.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import stat
import tokenize
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base import records
from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.safe_npz import open_archive
from hot_sdk._base.validation import closest
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import MAX_FRAMES
from hot_sdk.latency import LatencyReport
from hot_sdk.preprocessing.policies import AppliedPolicy
from hot_sdk.results.result import Pose3DResult
from hot_sdk.skeletons import H36M17
from hot_sdk.windows import SeamReport

_Float = TypeVar("_Float", np.float32, np.float64)

SCHEMA = 1
FORMATS = ("npz", "json", "csv")

_JOINTS = len(H36M17.joints)
_LARGEST = 1 << 30
# Parsed JSON takes some twenty times the memory of its text.
_LARGEST_JSON = 1 << 28
# What json, csv, numpy and zipfile raise over the content of a broken file.
_BROKEN = (
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    SyntaxError,
    csv.Error,
    lzma.LZMAError,
    tokenize.TokenError,
)
# How the files of each format begin.
_BEGINNINGS = {b"PK\x03\x04": "npz", b"{": "json", b"# {": "csv"}
_COLUMNS = ("x", "y", "z", "valid")
_OPTIONAL = ("root_x", "root_y", "root_z", "root_error_px")


@dataclass(frozen=True)
class _Description:
    """All of a result that is no array."""

    schema: int
    joints: tuple[str, ...]
    unit: str
    axes: str
    track_id: int | str | None
    policies: tuple[AppliedPolicy, ...]
    seams: SeamReport | None
    latency: LatencyReport | None
    model: str
    warnings: tuple[str, ...]


def save_result(result: Pose3DResult, path: Path, name: str | None = None) -> Path:
    """See ``Pose3DResult.save``."""
    if name is not None and name not in FORMATS:
        raise UsageError(f"Unknown format {name!r}.", hint=closest(str(name), FORMATS))
    write = _WRITERS.get(path.suffix.lower()[1:] if name is None else name)
    if write is None:
        raise UsageError(
            f"'{path.name}' names none of the formats of a result.",
            hint=f"End it with one of: {', '.join(f'.{name}' for name in FORMATS)}.",
        )
    require_writable_target(path)
    with replaced_on_success(path) as temporary:
        write(result, temporary)
    return path


def load_result(path: Path) -> Pose3DResult:
    """See ``Pose3DResult.load``."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would wait for its other end.
            raise ResultError(f"'{path}' is no file.", hint="Check the path.")
        with path.open("rb") as stream:
            start = stream.read(4)
        name = next((name for text, name in _BEGINNINGS.items() if start.startswith(text)), None)
        if name is None:
            raise ValueError(f"it is none of {', '.join(FORMATS)}")
        largest = _LARGEST_JSON if name == "json" else _LARGEST
        if status.st_size > largest:
            raise ValueError(
                f"it has {status.st_size} bytes, more than the {largest} that are read"
            )
        return _READERS[name](path)
    except ResultError:
        raise
    except OSError as error:
        raise ResultError(
            f"'{path}' cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from error
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ResultError(
            f"'{path}' is no result of this SDK: {reason}.", hint="Lift the keypoints again."
        ) from error


def _describe(result: Pose3DResult, *, whole: bool) -> str:
    return records.to_json(
        _Description(
            schema=SCHEMA,
            joints=H36M17.joints,
            unit=result.unit,
            axes=result.axes,
            track_id=result.track_id,
            policies=result.policies,
            seams=result.seams if whole else None,
            latency=result.latency if whole else None,
            model=result.model,
            warnings=result.warnings,
        )
    )


def _assembled(
    text: str,
    poses: NDArray[Any],
    valid: NDArray[Any],
    timestamps: NDArray[Any],
    root: NDArray[Any] | None,
    root_error: NDArray[Any] | None,
) -> Pose3DResult:
    data = records.parse_object(text)
    if data.get("schema") != SCHEMA:
        raise ResultError(
            f"The result has version {str(data.get('schema'))[:40]}; this SDK reads {SCHEMA}.",
            hint="Run: pip install --upgrade hot-sdk",
        )
    described = records.build(_Description, data)
    if described.joints != H36M17.joints:
        raise ValueError("its joints are not the 17 of Human3.6M")
    if len(poses) > MAX_FRAMES:
        raise ValueError(f"it has {len(poses)} frames, more than {MAX_FRAMES}")
    return Pose3DResult(
        poses=_converted(poses, np.float32),
        valid=valid,
        unit=described.unit,
        axes=described.axes,
        root=None if root is None else _converted(root, np.float32),
        root_error=None if root_error is None else _converted(root_error, np.float32),
        timestamps=_converted(timestamps, np.float64),
        track_id=described.track_id,
        policies=described.policies,
        seams=described.seams,
        latency=described.latency,
        model=described.model,
        warnings=described.warnings,
    )


def _converted(array: NDArray[Any], dtype: type[_Float]) -> NDArray[_Float]:
    # What is too large becomes infinite, which a result refuses.
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def _write_npz(result: Pose3DResult, path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "poses": result.poses,
        "valid": result.valid,
        "timestamps": result.timestamps,
        "description": np.array(_describe(result, whole=True)),
    }
    if result.root is not None and result.root_error is not None:
        arrays |= {"root": result.root, "root_error": result.root_error}
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def _read_npz(path: Path) -> Pose3DResult:
    with path.open("rb") as stream, open_archive(stream, largest=_LARGEST) as arrays:
        return _assembled(
            str(arrays["description"][()]),
            _numeric(arrays["poses"]),
            _numeric(arrays["valid"]),
            _numeric(arrays["timestamps"]),
            _numeric(arrays["root"]) if "root" in arrays else None,
            _numeric(arrays["root_error"]) if "root_error" in arrays else None,
        )


def _numeric(array: NDArray[Any] | bytes) -> NDArray[Any]:
    if isinstance(array, bytes):  # So numpy gives an entry that is no array.
        raise ValueError("an entry is no array")
    if array.dtype.kind not in "bfiu" or array.ndim < 1:
        raise ValueError(f"an array holds {array.dtype} of shape {array.shape}")
    return array


def _plain(values: NDArray[np.floating]) -> list[Any]:
    """Nested lists of the shortest decimals that give the same float32, None for NaN."""
    shortest = np.array([float(str(value)) for value in values.reshape(-1)], dtype=object)
    shortest[np.isnan(values.reshape(-1))] = None
    nested: list[Any] = shortest.reshape(values.shape).tolist()
    return nested


def _write_json(result: Pose3DResult, path: Path) -> None:
    record = {
        "description": json.loads(_describe(result, whole=True)),
        "timestamps": result.timestamps.tolist(),
        "poses": _plain(result.poses),
        "valid": result.valid.tolist(),
        "root": None if result.root is None else _plain(result.root),
        "root_error": None if result.root_error is None else _plain(result.root_error),
    }
    text = json.dumps(record, allow_nan=False)
    if len(text) > _LARGEST_JSON:
        raise ResultError(
            f"{len(result)} frames take {len(text)} characters of json; at most {_LARGEST_JSON} are"
            " read.",
            hint="Save it as npz.",
        )
    path.write_text(text, encoding="utf-8")


def _read_json(path: Path) -> Pose3DResult:
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    root, error = record.get("root"), record.get("root_error")
    return _assembled(
        json.dumps(record["description"]),
        np.array(record["poses"], dtype=np.float64).reshape(-1, _JOINTS, 3),
        np.array(record["valid"]).reshape(-1, _JOINTS),
        np.array(record["timestamps"], dtype=np.float64),
        None if root is None else np.array(root, dtype=np.float64),
        None if error is None else np.array(error, dtype=np.float64),
    )


def _header(*, with_root: bool) -> list[str]:
    joints = [f"{joint}_{column}" for joint in H36M17.joints for column in _COLUMNS]
    return ["frame", "timestamp_s", *(_OPTIONAL if with_root else ()), *joints]


def _write_csv(result: Pose3DResult, path: Path) -> None:
    text = io.StringIO(newline="")
    text.write(f"# {_describe(result, whole=False)}\n")
    writer = csv.writer(text, lineterminator="\n")
    root, error = result.root, result.root_error
    writer.writerow(_header(with_root=root is not None and error is not None))
    for frame, (pose, valid) in enumerate(zip(result.poses, result.valid, strict=True)):
        row: list[object] = [frame, repr(float(result.timestamps[frame]))]
        if root is not None and error is not None:
            row += [_cell(value) for value in (*root[frame], error[frame])]
        for joint, is_valid in zip(pose, valid, strict=True):
            row += [*map(_cell, joint), int(is_valid)]
        writer.writerow(row)
    path.write_text(text.getvalue(), encoding="utf-8")


def _cell(value: np.float32) -> str:
    return "" if np.isnan(value) else str(value)


def _read_csv(path: Path) -> Pose3DResult:
    with path.open(encoding="utf-8", newline="") as stream:
        first = stream.readline(records.MAX_TEXT + 4)
        if not first.startswith("# "):
            raise ValueError("its first line is no description")
        rows = csv.reader(stream)
        header = next(rows, [])
        with_root = "root_x" in header
        if header != _header(with_root=with_root):
            raise ValueError("its columns are not those of a result")
        table = np.array(list(_rows(rows, len(header))), dtype=np.float64)
    table = table.reshape(-1, len(header))
    body = table[:, 2 + len(_OPTIONAL) * with_root :].reshape(-1, _JOINTS, len(_COLUMNS))
    return _assembled(
        first[2:],
        body[..., :3],
        body[..., 3] != 0.0,
        table[:, 1],
        table[:, 2:5] if with_root else None,
        table[:, 5] if with_root else None,
    )


def _rows(rows: Iterable[list[str]], width: int) -> Iterable[NDArray[np.float64]]:
    for number, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"row {number} has {len(row)} columns, where {width} were expected")
        if number >= MAX_FRAMES:
            raise ValueError(f"it has more than {MAX_FRAMES} frames")
        # An array, for a list of so many numbers takes four times the memory.
        yield np.array([float(cell) if cell else np.nan for cell in row])


_WRITERS: dict[str, Callable[[Pose3DResult, Path], None]] = {
    "npz": _write_npz,
    "json": _write_json,
    "csv": _write_csv,
}
_READERS: dict[str, Callable[[Path], Pose3DResult]] = {
    "npz": _read_npz,
    "json": _read_json,
    "csv": _read_csv,
}
