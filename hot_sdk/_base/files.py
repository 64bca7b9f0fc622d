"""Write files atomically, check where they can be written, and hash them."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from hot_sdk._base.budget import require
from hot_sdk._base.leftovers import clear_old_files, temporary_name
from hot_sdk.errors import UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Some files of the system have a size of 0 and content.
_LEAST_READ = 1 << 20


@contextlib.contextmanager
def replaced_on_success(target: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path next to ``target``, and rename it to ``target`` if the body succeeds.

    Until then, ``target`` keeps its content; if the body fails, the temporary file is removed. Old
    ones that killed runs have left in the folder are removed, too.

    Args:
        target: The file.
        sync: Wait until the content is on the disk. Without it, a power failure may leave the file
            empty, which whoever reads it must notice.

    Raises:
        UsageError: The file cannot be written, or the disk is full.
    """
    clear_old_files(target.parent)
    temporary = target.parent / temporary_name()
    try:
        _create(temporary)
    except OSError as error:
        raise unwritable(target, error) from error
    try:
        yield temporary
        if sync:
            # A rename may reach the disk before the content does.
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        # The body may also read other files, whose errors are not about this one.
        if error.errno in _FULL or error.filename2 == str(target):
            raise unwritable(target, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def unwritable(target: Path, error: OSError) -> UsageError:
    """Return the error for a file or folder that the system did not let us write."""
    return UsageError(
        f"'{target}' cannot be written: {error.strerror or error}.",
        hint="Make room on the disk, or choose another folder."
        if error.errno in _FULL
        else "Choose another folder.",
    )


def require_writable_target(target: Path) -> None:
    """Check, before any heavy work, that a file of this name can be written.

    Raises:
        UsageError: Its folder is missing or not writable, or the name is impossible or that of
            something else than a file.
    """
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as error:
        raise UsageError(
            f"'{target}' cannot be written: {error.strerror}.", hint="Choose another name."
        ) from error
    if stat.S_ISDIR(mode):
        raise UsageError(f"'{target}' is a folder.", hint="Give the name of a file.")
    if not stat.S_ISREG(mode):
        raise UsageError(f"'{target}' is a device or a pipe.", hint="Give the name of a file.")
    require_writable_folder(target.parent)


def require_new_target(target: Path) -> None:
    """Check that a file would not replace another.

    Raises:
        UsageError: There is a file of this name.
    """
    if os.path.lexists(target):
        raise UsageError(
            f"'{target}' exists already.",
            hint="Add --force (in Python: force=True) to replace it, or choose another name.",
        )


def require_writable_folder(folder: Path) -> None:
    """Check, before any heavy work, that files can be written to a folder.

    Raises:
        UsageError: The folder is missing or not writable.
    """
    if not folder.is_dir():
        raise UsageError(
            f"The folder '{folder}' does not exist.",
            hint=f"Run: mkdir -p {shlex.quote(str(folder))}",
        )
    probe = folder / temporary_name()
    try:
        # Permissions do not say it: the disk may be read-only, or the folder one of the kernel's.
        _create(probe)
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"The folder '{folder}' is not writable: {error.strerror or error}.",
            hint="Choose another folder.",
        ) from error


def open_input(path: Path) -> io.BufferedReader:
    """Open a file for reading; a pipe or a device, which may have no end, is refused.

    Raises:
        OSError: It cannot be opened, or is no regular file.
        ValueError: The name is impossible.
    """
    if stat.S_ISREG(os.stat(path).st_mode):
        # Without waiting for the other end of a pipe that has taken the file's place since.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        stream = os.fdopen(descriptor, "rb")
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return stream
        stream.close()
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def read_input(path: Path, limit: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: It cannot be read, or is no regular file.
        ValueError: It has more bytes than the limit, or the name is impossible.
    """
    with open_input(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        require(size, limit, "bytes")
        content = stream.read(max(size, _LEAST_READ) + 1)
    require(len(content), limit, "bytes or more")
    return content


def _create(path: Path) -> None:
    # Not tempfile, whose files are private: a result is as readable as any other new file.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file's content, in hexadecimal."""
    # Here, because it loads OpenSSL, and few need it.
    import hashlib

    digest = hashlib.sha256()
    with open_input(path) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
