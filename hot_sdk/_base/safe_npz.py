"""Read untrusted .npz and .npy files, within a budget."""

from __future__ import annotations

import contextlib
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.budget import Budget, input_budget, require
from hot_sdk._base.safe_zip import open_member, open_zip
from hot_sdk.errors import HotSDKError

BROKEN_ARCHIVE = (
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
"""What zipfile and numpy raise for a broken archive, including the memory that a header claims."""

_LONGEST_TEXT = 4 << 20
"""Bytes of an array of texts, four for each character."""

_LARGEST_SIZE = 1 << 40
_CHUNK = 1 << 20
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


class NpzError(ValueError):
    """An archive is broken, too large, or does not hold what is needed."""


class PickledArrayError(ValueError):
    """An array holds Python objects, a pickle."""


class _Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of an archive, each read on access.

    numpy's own class would return the bytes of a member that is no array, unpacked without a limit.
    """

    def __init__(self, archive: zipfile.ZipFile, budget: Budget) -> None:
        self._archive = archive
        self._budget = budget
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        entry = self._entries[name]
        with open_member(self._archive, entry) as member:
            return read_npy(member, entry.file_size, self._budget)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@contextlib.contextmanager
def open_npz(
    stream: BinaryIO, *, budget: Budget | None = None
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open an npz file; arrays are read on access, and pickles never.

    Args:
        stream: The file.
        budget: Limits of its content; None for ``input_budget()``.

    Raises:
        NpzError: The file is broken or over the budget, or the body raised over its content.
    """
    budget = input_budget() if budget is None else budget
    try:
        with open_zip(stream, budget) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            require(size, budget.unpacked_bytes, "bytes once it is unpacked")
            yield _Arrays(archive, budget)
    except HotSDKError:
        raise
    except BROKEN_ARCHIVE as error:
        raise NpzError(" ".join(str(error).split())[:300] or type(error).__name__) from error


def read_npy(stream: IO[bytes], size: int, budget: Budget) -> NDArray[Any]:
    """Read one array, after its header was compared with the bytes that are there.

    Args:
        stream: The content of an npy file, from its beginning.
        size: The number of its bytes.
        budget: Limits of its content.

    Raises:
        PickledArrayError: It holds Python objects.
        Exception: One of ``BROKEN_ARCHIVE``: it is broken, cut off or over the budget, or a text
            holds what is no character.
    """
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"an array is of version {version}")
    header = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        header = np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = header(stream)
    if dtype.hasobject:
        raise PickledArrayError("an array holds Python objects, a pickle")
    count = math.prod(shape)
    if not all(0 <= length < _LARGEST_SIZE for length in shape):
        raise ValueError(f"an array has shape {str(shape)[:80]}")
    require(count, budget.values, "values in an array")
    bytes_claimed = count * dtype.itemsize
    # Before NumPy 2.1, sizes of texts over 2 GiB are negative.
    if not 0 <= bytes_claimed <= size:
        raise ValueError(f"an array is cut off: {bytes_claimed} bytes are claimed")
    if dtype.kind in "US":
        require(bytes_claimed, _LONGEST_TEXT, "bytes of text in an array")
    flat = np.zeros(count, dtype)
    if bytes_claimed:
        _fill(flat.view(np.uint8), stream)
    array = flat.reshape(shape, order="F" if by_columns else "C")
    if dtype.kind == "U":
        _require_characters(array)
    return array


def _fill(flat: NDArray[np.uint8], stream: IO[bytes]) -> None:
    for first in range(0, len(flat), _CHUNK):
        part = flat[first : first + _CHUNK]
        content = stream.read(len(part))
        if len(content) != len(part):
            raise ValueError(f"an array is cut off: {len(flat)} bytes are claimed")
        part[:] = np.frombuffer(content, np.uint8)


def _require_characters(array: NDArray[np.str_]) -> None:
    """Raise for texts of numbers that are no characters, over which Python itself fails."""
    codes = array.astype(array.dtype.newbyteorder("=")).reshape(-1).view(np.uint32)
    low, high = _SURROGATES
    if (codes > _LAST_CHARACTER).any() or ((codes >= low) & (codes <= high)).any():
        raise ValueError("a text holds numbers that are no characters")
