"""Read the files of ``torch.save``, in both layouts, without ``torch.load``.

A pickle may claim a tensor of any size over a storage of a few bytes, by strides of 0 or by tensors
that share a storage, and a zip archive may unpack to any size. Here every size is compared with the
bytes of the file before memory is allocated. The zip layout holds ``data.pkl`` and a member for
each storage; the legacy one five pickles, followed by the storages. See "Serialization semantics"
in PyTorch's documentation.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from hot_sdk._base.budget import Budget, input_budget, require
from hot_sdk._base.files import open_input
from hot_sdk._base.safe_zip import open_member, open_zip
from hot_sdk.export.checkpoints.unpickler import StorageKind, TensorUnpickler

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_SMALL = 1 << 20
"""Bytes that content may take in addition to its share of the file."""


class TorchScriptError(ValueError):
    """The file is a program."""


@dataclass(frozen=True, eq=False)
class _Storage:
    """Bytes of a file that tensors refer to.

    Attributes:
        dtype: Type of the numbers in it.
        content: The bytes; filled later in the legacy layout.
    """

    dtype: torch.dtype
    content: bytearray


class _Sizes:
    """Compares what is read with the size of the file."""

    def __init__(self, file_bytes: int, budget: Budget) -> None:
        self.limit = file_bytes * budget.unpacked_share + _SMALL
        self._stored = self._viewed = 0

    def add_storage(self, size: int) -> None:
        """Count the bytes of a storage."""
        self._stored += size
        require(self._stored, self.limit, "bytes of storages")

    def add_tensor(self, size: int) -> None:
        """Count the bytes that a tensor has if it is stored alone."""
        self._viewed += size
        require(self._viewed, self.limit, "bytes of tensors")


def load_torch_file(path: Path, dropped: set[str]) -> object:
    """Return the object that was saved.

    Args:
        path: The file.
        dropped: Receives the names of the objects that are not rebuilt.

    Raises:
        CheckpointError: It names what does not belong in a checkpoint.
        OSError: It cannot be read.
        Exception: Nearly anything: it is damaged or over the budget.
    """
    budget = input_budget()
    with open_input(path) as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        is_zip = stream.read(4) == b"PK\x03\x04"
        stream.seek(0)
        read = _read_zip if is_zip else _read_legacy
        return read(stream, path.name, dropped, _Sizes(size, budget), budget)


def _read_zip(
    stream: io.BufferedReader, source: str, dropped: set[str], sizes: _Sizes, budget: Budget
) -> object:
    with open_zip(stream, budget) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) < len(archive.infolist()):
            raise ValueError("two of its members have one name")
        roots = {name.partition("/")[0] for name in entries}
        root = roots.pop() if len(roots) == 1 else ""
        if f"{root}/constants.pkl" in entries:
            raise TorchScriptError
        pickled = entries.get(f"{root}/data.pkl")
        if pickled is None:
            raise ValueError("it has no data.pkl")
        order = entries.get(f"{root}/byteorder")
        if order is not None:
            with open_member(archive, order) as member:
                if member.read(16) != sys.byteorder.encode():
                    raise ValueError("it is of a machine of another byte order")
        require(pickled.file_size, sizes.limit, "bytes of pickle once it is unpacked")
        storages: dict[str, _Storage] = {}

        def storage(kind: StorageKind, key: str, count: int) -> _Storage:
            if key not in storages:
                entry = entries[f"{root}/data/{key}"]
                if entry.file_size != count * kind.dtype.itemsize:
                    raise ValueError(f"a storage of {count} numbers has {entry.file_size} bytes")
                sizes.add_storage(entry.file_size)
                storages[key] = _Storage(kind.dtype, _content(archive, entry))
            return _of_kind(storages[key], kind, count)

        with open_member(archive, pickled) as member:
            content = member.read()
        return _unpickled(io.BytesIO(content), source, dropped, sizes, budget, storage)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytearray:
    with open_member(archive, entry) as member:
        content = bytearray(member.read())
    if len(content) != entry.file_size:
        raise ValueError("a storage is cut off")
    return content


def _read_legacy(
    stream: io.BufferedReader, source: str, dropped: set[str], sizes: _Sizes, budget: Budget
) -> object:
    def load() -> object:
        return _unpickled(stream, source, dropped, sizes, budget, storage)

    storages: dict[str, _Storage] = {}

    def storage(kind: StorageKind, key: str, count: int) -> _Storage:
        if key not in storages:
            size = count * kind.dtype.itemsize
            sizes.add_storage(size)
            storages[key] = _Storage(kind.dtype, bytearray(size))
        return _of_kind(storages[key], kind, count)

    if load() != _MAGIC or load() != _PROTOCOL:
        raise ValueError("its first numbers are not those of torch.save")
    about = load()
    if not isinstance(about, dict) or about.get("little_endian") is not (sys.byteorder == "little"):
        raise ValueError("it is of a machine of another byte order")
    value = load()
    keys = load()
    if not isinstance(keys, list) or not set(storages) <= {key for key in keys if type(key) is str}:
        raise ValueError("it does not hold all of its storages")
    for key in keys:
        (count,) = struct.unpack("<q", stream.read(8))
        held = storages.get(key)
        if held is None or count * held.dtype.itemsize != len(held.content):
            raise ValueError(f"a storage of {count} numbers was expected to have others")
        if stream.readinto(held.content) != len(held.content):
            raise EOFError("a storage is cut off")
    return value


def _of_kind(storage: _Storage, kind: StorageKind, count: int) -> _Storage:
    if storage.dtype != kind.dtype or len(storage.content) != count * kind.dtype.itemsize:
        raise ValueError("a storage is described in two ways")
    return storage


def _unpickled(
    stream: BinaryIO,
    source: str,
    dropped: set[str],
    sizes: _Sizes,
    budget: Budget,
    storage: Callable[[StorageKind, str, int], _Storage],
) -> object:
    def persistent(name: object) -> object:
        # ("storage", type, key, location, count), in the legacy layout also a view, always None.
        if isinstance(name, tuple) and name[:1] in (("module",), (b"module",)) and len(name) > 1:
            return name[1]
        if not isinstance(name, tuple) or len(name) not in (5, 6) or name[5:] not in ((), (None,)):
            raise pickle.UnpicklingError("a storage is described in an unusual way")
        tag, kind, key, _, count = name[:5]
        if isinstance(tag, bytes):
            tag = tag.decode("ascii")
        if tag != "storage" or not isinstance(kind, StorageKind) or not isinstance(key, str):
            raise pickle.UnpicklingError("a storage is described in an unusual way")
        if type(count) is not int or not 0 <= count < 2**40:
            raise pickle.UnpicklingError("a storage has an impossible size")
        return storage(kind, key, count)

    def tensor(
        held: object, offset: object, shape: object, strides: object, dtype: torch.dtype | None
    ) -> Tensor:
        if not isinstance(held, _Storage) or not isinstance(dtype, (torch.dtype, type(None))):
            raise ValueError("a tensor has no storage or no type")
        if dtype is not None:
            held = _Storage(dtype, held.content)
        return _tensor(held, offset, shape, strides, sizes)

    return TensorUnpickler(stream, source, dropped, budget, tensor, persistent).load()


def _tensor(
    held: _Storage, offset: object, shape: object, strides: object, sizes: _Sizes
) -> Tensor:
    lengths, steps = _whole_numbers(shape), _whole_numbers(strides)
    if len(lengths) != len(steps) or type(offset) is not int or offset < 0:
        raise ValueError("a tensor is described in an unusual way")
    itemsize = held.dtype.itemsize
    count = math.prod(lengths)
    available = len(held.content) // itemsize
    last = offset + sum((length - 1) * step for length, step in zip(lengths, steps, strict=True))
    if count and (count > available - offset or last >= available):
        raise ValueError(
            f"a tensor of {count} numbers refers to {max(available - offset, 0)} stored ones"
        )
    if any(length >= 2**31 for length in lengths):
        raise ValueError(f"a tensor has the shape {str(lengths)[:80]}")
    sizes.add_tensor(count * itemsize)
    if not count:
        return torch.empty(lengths, dtype=held.dtype)
    whole = torch.frombuffer(held.content, dtype=held.dtype)
    return whole.as_strided(lengths, steps, offset)


def _whole_numbers(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(type(n) is int and 0 <= n < 2**62 for n in values):
        raise ValueError("a tensor is described in an unusual way")
    if len(values) > 64:
        raise ValueError(f"a tensor has {len(values)} dimensions")
    return values
