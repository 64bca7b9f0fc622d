"""Read untrusted .npz files."""

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

from hot_sdk.errors import HotSDKError

# What zipfile and numpy raise for a broken archive, including the memory that a header claims.
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
    # From numpy, which parses the header of an array as Python's source.
    tokenize.TokenError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)


class NpzError(ValueError):
    """An archive is broken, too large, or does not hold what is needed."""


class _Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of an archive, each read on access.

    numpy's own class would return the bytes of a member that is no array, unpacked without a limit.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}

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
def open_npz(stream: BinaryIO, *, max_bytes: int) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open an npz file; arrays are read on access, and pickles never.

    Args:
        stream: The file.
        max_bytes: Most bytes that it may unpack to: a few bytes of zip can hold any number of
            zeros.

    Raises:
        NpzError: The file is broken or too large, or the body raised over its content.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > max_bytes:
                raise ValueError(f"it unpacks to {size} bytes, over the limit of {max_bytes}")
            yield _Arrays(archive)
    except HotSDKError:
        raise
    except _BROKEN as error:
        raise NpzError(" ".join(str(error).split())[:200] or type(error).__name__) from error
