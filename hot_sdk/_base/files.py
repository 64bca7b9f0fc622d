"""Write files atomically, check where they can be written, and hash them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from hot_sdk.errors import UsageError


@contextlib.contextmanager
def replaced_on_success(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``target``, and rename it to ``target`` if the body succeeds.

    Until then, ``target`` keeps its content; if the body fails, the temporary file is removed.
    """
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    # Not tempfile, whose files are private: a result is as readable as any other new file.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        # A rename may reach the disk before the content does, and leave an empty file.
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


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
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder '{folder}' is not writable.", hint="Choose another folder.")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
