"""Write and read the fields of a result: npz and json hold everything, csv nearly.

A csv file has one row for each frame, after a line that begins with ``#`` and holds the rest as
JSON; ``pandas.read_csv(path, comment="#")`` reads it. Numbers have as many digits as restore the
same float32 (float64 for timestamps); NaN is null in json and an empty cell in csv.
``docs/result-files.md`` describes all formats.
"""

from __future__ import annotations

import csv
import json
import lzma
import tokenize
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base import records
from hot_sdk._base.budget import input_budget
from hot_sdk._base.disk_arrays import parts
from hot_sdk._base.files import (
    open_input,
    read_input,
    replaced_on_success,
    require_writable_target,
)
from hot_sdk._base.optional import NEWER
from hot_sdk._base.safe_json import parse_json, parsed_bytes
from hot_sdk._base.safe_npz import open_npz
from hot_sdk._base.validation import closest
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import MAX_FRAMES
from hot_sdk.latency import LatencyReport
from hot_sdk.manifest import current_unit
from hot_sdk.preprocessing.policies import AppliedPolicy
from hot_sdk.results.tables import read_table, write_table
from hot_sdk.skeletons import H36M17
from hot_sdk.windows import SeamReport

Fields = Mapping[str, Any]
"""The fields of a ``Pose3DResult`` by name."""

SCHEMA = 2
"""The version that is written. Version 1, which has other names for a few values, is read, too."""

FORMATS = ("npz", "json", "csv")

_JOINTS = len(H36M17.joints)
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

_ADDED: dict[str, Any] = {
    "first_frame": 0,
    "root_joint": H36M17.joints[0],
    "frame_id": None,
    "scale": None,
    "scale_spread": None,
}
"""What files of version 2 lack that were written before it was added."""
# How the files of each format begin.
_BEGINNINGS = {b"PK\x03\x04": "npz", b"{": "json", b"# {": "csv"}
_ARRAYS = {
    "poses": np.float32,
    "valid": None,
    "timestamps": np.float64,
    "root": np.float32,
    "root_error": np.float32,
    "spread": np.float32,
    "velocity": np.float32,
    "joints_covariance": np.float32,
    "velocity_covariance": np.float32,
    "covariance": np.float32,
    "contacts": np.float32,
}
_OPTIONAL_ARRAYS = tuple(_ARRAYS)[3:]
_SHAPES = {
    "spread": (_JOINTS, 3),
    "velocity": (_JOINTS, 3),
    "joints_covariance": (_JOINTS, 3, 3),
    "velocity_covariance": (_JOINTS, 3, 3),
    "covariance": (_JOINTS, 3, 3),
}
"""Of a frame, of arrays that json may hold without any frame."""


@dataclass(frozen=True)
class _Description:
    """Every field of a result that is no array."""

    unit: str
    axes: str
    track_id: int | str | None
    policies: tuple[AppliedPolicy, ...]
    seams: SeamReport | None
    latency: LatencyReport | None
    model: str
    warnings: tuple[str, ...]
    first_frame: int = 0
    root_joint: str = H36M17.joints[0]
    frame_id: str | None = None
    scale: float | None = None
    scale_spread: float | None = None
    schema: int = SCHEMA
    joints: tuple[str, ...] = H36M17.joints


def write_fields(path: Path, fields: Fields, format_name: str | None = None) -> None:
    """Write a result; see ``Pose3DResult.save``."""
    if format_name is not None and format_name not in FORMATS:
        raise UsageError(
            f"Unknown format {format_name!r}.", hint=closest(str(format_name), FORMATS)
        )
    name = path.suffix.lower()[1:] if format_name is None else format_name
    write = {"npz": _write_npz, "json": _write_json, "csv": _write_csv}.get(name)
    if write is None:
        raise UsageError(
            f"'{path.name}' names none of the formats of a result.",
            hint=f"End it with one of: {', '.join(f'.{name}' for name in FORMATS)}.",
        )
    require_writable_target(path)
    with replaced_on_success(path) as temporary:
        write(temporary, fields)


def read_fields(path: Path) -> dict[str, Any]:
    """Read a result; see ``Pose3DResult.load``."""
    try:
        with open_input(path) as stream:
            start = stream.read(4)
        name = next((name for text, name in _BEGINNINGS.items() if start.startswith(text)), None)
        if name is None:
            raise ValueError(f"it is none of {', '.join(FORMATS)}")
        return {"npz": _read_npz, "json": _read_json, "csv": _read_csv}[name](path)
    except ResultError:
        raise
    except OSError as error:
        raise ResultError(
            f"'{path}' cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from error
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ResultError(
            f"'{path}' is no result of this SDK: {reason}.", hint="Lift the keypoints again."
        ) from error


def _describe(fields: Fields, **changes: None) -> str:
    described = {key: value for key, value in fields.items() if key not in _ARRAYS}
    return records.to_json(_Description(**{**described, **changes}))


def _restored(text: str, arrays: Mapping[str, NDArray[Any] | None]) -> dict[str, Any]:
    data = records.parse_object(text)
    schema = data.get("schema")
    if schema not in (1, SCHEMA):
        raise ResultError(
            f"The result has version {str(schema)[:40]}; this SDK reads {SCHEMA}.",
            hint=NEWER,
        )
    described = vars(records.build(_Description, {**_ADDED, **data})).copy()
    if described.pop("joints") != H36M17.joints:
        raise ValueError("its joints are not the 17 of Human3.6M")
    if described.pop("schema") == 1:
        described["unit"] = current_unit(described["unit"])
    poses = arrays["poses"]
    if poses is not None and len(poses) > MAX_FRAMES:
        raise ValueError(f"it has {len(poses)} frames, more than {MAX_FRAMES}")
    # What is too large becomes infinite, which a result refuses.
    with np.errstate(over="ignore"):
        for name, dtype in _ARRAYS.items():
            array = arrays.get(name)
            described[name] = array if array is None or dtype is None else array.astype(dtype)
    return described


def _write_npz(path: Path, fields: Fields) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("description.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, np.array(_describe(fields)), allow_pickle=False)
        for name in _ARRAYS:
            array = fields[name]
            if array is None:
                continue
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(member, {**header, "fortran_order": False})
                for part in parts(array):
                    member.write(array[part].tobytes())


def _read_npz(path: Path) -> dict[str, Any]:
    with open_input(path) as stream, open_npz(stream) as arrays:
        required = {name: _numeric(arrays[name]) for name in ("poses", "valid", "timestamps")}
        optional = {name: _numeric(arrays[name]) for name in _OPTIONAL_ARRAYS if name in arrays}
        return _restored(str(arrays["description"][()]), {**required, **optional})


def _numeric(array: NDArray[Any] | bytes) -> NDArray[Any]:
    if isinstance(array, bytes):  # NumPy returns an entry so that is no array.
        raise ValueError("an entry is no array")
    if array.dtype.kind not in "bfiu" or array.ndim < 1:
        raise ValueError(f"an array holds {array.dtype} of shape {array.shape}")
    return array


def _plain(values: NDArray[np.floating]) -> list[Any]:
    """Return nested lists of the shortest decimals that restore a float32, None for NaN."""
    shortest = np.array([float(str(value)) for value in values.reshape(-1)], dtype=object)
    shortest[np.isnan(values.reshape(-1))] = None
    nested: list[Any] = shortest.reshape(values.shape).tolist()
    return nested


def _write_json(path: Path, fields: Fields) -> None:
    limit, parsed = input_budget().parsed_bytes, 0
    with path.open("wb") as stream:
        for text in _json_texts(fields):
            parsed += parsed_bytes(text)
            if parsed > limit:
                raise ResultError(
                    f"{len(fields['poses'])} frames take more json than is read again.",
                    hint="Save it as npz.",
                )
            stream.write(text)


def _json_texts(fields: Fields) -> Iterator[bytes]:
    """Yield the text of a file, a part of an array at a time."""
    yield b'{"description": ' + json.dumps(json.loads(_describe(fields))).encode()
    for name in ("timestamps", *(name for name in _ARRAYS if name != "timestamps")):
        values = fields[name]
        if values is None:
            if name in ("root", "root_error"):
                yield f', "{name}": null'.encode()
            continue
        yield f', "{name}": ['.encode()
        for part in parts(values):
            shown = _plain(values[part]) if values.dtype == np.float32 else values[part].tolist()
            text = json.dumps(shown, allow_nan=False)[1:-1]
            yield (f", {text}" if part.start else text).encode()
        yield b"]"
    yield b"}"


def _read_json(path: Path) -> dict[str, Any]:
    budget = input_budget()
    record = parse_json(read_input(path, budget.file_bytes), budget)
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    arrays: dict[str, NDArray[Any] | None] = {
        "poses": np.array(record["poses"], dtype=np.float64).reshape(-1, _JOINTS, 3),
        "valid": np.array(record["valid"]).reshape(-1, _JOINTS),
        "timestamps": np.array(record["timestamps"], dtype=np.float64),
    }
    for name in _OPTIONAL_ARRAYS:
        if record.get(name) is not None:
            array = np.array(record[name], dtype=np.float64)
            arrays[name] = array.reshape(-1, *_SHAPES[name]) if name in _SHAPES else array
    return _restored(json.dumps(record["description"]), arrays)


def _write_csv(path: Path, fields: Fields) -> None:
    write_table(path, _describe(fields, seams=None, latency=None), fields)


def _read_csv(path: Path) -> dict[str, Any]:
    return _restored(*read_table(path))
