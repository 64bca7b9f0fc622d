"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hot_sdk.errors import UsageError


@contextlib.contextmanager
def replaced_on_success(target: Path) -> Iterator[Path]:
    """Give a temporary name beside ``target``; rename it to ``target`` if the body succeeds.

    Whatever ``target`` held before stays until then, and the temporary file goes if the body fails.
    """
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; a result is as readable as any other new file.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable_target(target: Path) -> None:
    """Check, before any heavy work, that a file of this name can be made.

    Raises:
        UsageError: Its folder is missing or not writable, or a folder has that name.
    """
    folder = target.parent
    if target.is_dir():
        raise UsageError(f"'{target}' is a folder.", hint="Give the name of a file.")
    if not folder.is_dir():
        raise UsageError(f"The folder '{folder}' does not exist.", hint=f"Run: mkdir -p '{folder}'")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder '{folder}' is not writable.", hint="Choose another folder.")


def sha256_of(path: Path) -> str:
    """Digest of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
