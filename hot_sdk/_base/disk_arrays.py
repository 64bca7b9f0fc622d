"""Arrays that are too long for memory: in a file without a name, which leaves nothing behind.

They are arrays like any others. What was written or read stays in memory until ``release``, or
until the system needs the memory.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hot_sdk._base.files import unwritable

PART = 1 << 13
"""Frames that are best read or written at once."""

_CHUNK = 1 << 20


class _Mapping(mmap.mmap):
    """The memory of a file that one array is in."""

    folder: Path


@dataclass(frozen=True)
class Scratch:
    """Where long arrays are kept.

    Attributes:
        folder: The folder of their files.
        least_frames: The fewest frames that are kept there; fewer are kept in memory.
    """

    folder: Path
    least_frames: int = 1 << 16


def zeros(scratch: Scratch | None, frames: int, *shape: int) -> NDArray[np.float32]:
    """Return an array of zeros, (frames, ...), float32: on disk if there is a place and it is long.

    Raises:
        UsageError: The folder has no room for it, or cannot be written.
    """
    if scratch is None or frames < scratch.least_frames:
        return np.zeros((frames, *shape), dtype=np.float32)
    return _on_disk(scratch.folder, (frames, *shape), np.float32)


def empty_like(values: NDArray[Any], frames: int) -> NDArray[Any]:
    """Return an array like another one, of so many frames: on disk, if that is.

    Raises:
        UsageError: There is no room for it.
    """
    mapping = _mapping_of(values)
    shape = (frames, *values.shape[1:])
    if mapping is None:
        return np.empty(shape, values.dtype)
    return _on_disk(mapping.folder, shape, values.dtype)


def release(values: NDArray[Any]) -> None:
    """Give back the memory of an array on disk, which keeps its content; others stay."""
    mapping = _mapping_of(values)
    if mapping is not None and hasattr(mapping, "madvise"):
        mapping.madvise(mmap.MADV_DONTNEED)


def parts(*arrays: NDArray[Any] | None) -> Iterator[slice]:
    """Yield slices of ``PART`` frames of arrays of one length, and release each after its use."""
    given = [array for array in arrays if array is not None]
    for first in range(0, len(given[0]), PART):
        yield slice(first, first + PART)
        for array in given:
            release(array)


def _on_disk(folder: Path, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            _reserve(stream, size)
            mapping = _Mapping(stream.fileno(), size)
    except OSError as error:
        raise unwritable(folder, error) from error
    mapping.folder = folder
    return np.frombuffer(mapping, dtype).reshape(shape)


def _reserve(stream: IO[bytes], size: int) -> None:
    """Take the room of a file; if it were missing later, writing would end the process."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(stream.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
        else:
            return
    for first in range(0, size, _CHUNK):
        stream.write(bytes(min(_CHUNK, size - first)))
    stream.flush()


def _mapping_of(values: NDArray[Any]) -> _Mapping | None:
    owner: Any = values
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    return owner if isinstance(owner, _Mapping) else None
