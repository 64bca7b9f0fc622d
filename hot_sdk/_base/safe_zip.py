"""Open untrusted zip archives, within a budget."""

from __future__ import annotations

import io
import zipfile
from typing import IO, BinaryIO

from hot_sdk._base.budget import Budget, require

_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class _Guarded(io.RawIOBase):
    """A file that refuses to read a table of contents over the budget."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        super().__init__()
        self._stream = stream
        self._limit: int | None = limit

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        if self._limit is not None and size > self._limit:
            require(size, self._limit, "bytes in its table of contents")
        return self._stream.read(size)

    def is_open(self) -> None:
        """Lift the limit, which holds while the table of contents is read."""
        self._limit = None


def open_zip(stream: BinaryIO, budget: Budget) -> zipfile.ZipFile:
    """Open an archive.

    Raises:
        OverBudgetError: Its table of contents is over the budget.
        Exception: What zipfile raises for a broken archive.
    """
    guarded = _Guarded(stream, budget.directory_bytes)
    archive = zipfile.ZipFile(guarded)
    guarded.is_open()
    return archive


def require_plain(entry: zipfile.ZipInfo) -> None:
    """Raise ValueError for a member that is encrypted or compressed by a rare method.

    The rare methods raise errors of modules that may be missing, and NumPy writes none.
    """
    if entry.compress_type not in _PLAIN or entry.flag_bits & 1:
        raise ValueError(f"{entry.filename[:80]!a} is compressed in an unusual way")


def open_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    """Open a member, which then yields no more bytes than its entry states.

    Raises:
        ValueError: It is compressed in an unusual way.
        Exception: What zipfile raises for a broken archive.
    """
    require_plain(entry)
    return archive.open(entry)
