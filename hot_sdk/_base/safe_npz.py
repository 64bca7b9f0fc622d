"""NumPy archives that nobody vouches for."""

from __future__ import annotations

import contextlib
import struct
import tokenize
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
    # Of numpy, which parses the header of an array as Python's source.
    tokenize.TokenError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)


class ArchiveError(ValueError):
    """An archive is broken, too large, or does not hold what was asked of it."""


class _Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of an archive, each read when it is asked for.

    Not numpy's own: that gives the bytes of a member which is no array, unpacked without a limit.
    """

    def __init__(self, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> None:
        self._archive = archive
        self._entries = entries

    def __getitem__(self, name: str) -> NDArray[Any]:
        entry = self._entries[name]
        # The other methods raise errors of modules that may be missing, and numpy writes none.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"'{name}' is compressed in an unusual way")
        with self._archive.open(entry) as member:
            array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


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
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            whole = sum(entry.file_size for entry in archive.infolist())
            if whole > largest:
                raise ValueError(
                    f"it unpacks to {whole} bytes, more than the {largest} that are read"
                )
            yield _Arrays(archive, entries)
    except _BROKEN as error:
        raise ArchiveError(" ".join(str(error).split())[:200] or type(error).__name__) from error
