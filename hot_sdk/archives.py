"""NumPy archives that nobody vouches for."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

# What zipfile and numpy raise over a broken archive, memory that a header asks for among them.
_BROKEN = (
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    ArithmeticError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    OSError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class ArchiveError(ValueError):
    """An archive is broken, too large, or does not hold what was asked of it."""


@contextlib.contextmanager
def open_archive(stream: BinaryIO, *, largest: int) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open an npz file; arrays are read when they are asked for, and no pickle ever is.

    Args:
        stream: The file.
        largest: Bytes that it may unpack to: a few bytes of zip can hold any number of zeros.

    Raises:
        ArchiveError: It is broken or too large, or the body raised over what is in it.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            whole = sum(entry.file_size for entry in archive.infolist())
        if whole > largest:
            raise ValueError(f"it unpacks to {whole} bytes, more than the {largest} that are read")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as arrays:
            yield arrays
    except _BROKEN as error:
        raise ArchiveError(" ".join(str(error).split())[:200] or type(error).__name__) from error
