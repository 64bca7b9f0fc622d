"""Temporary files and folders of runs that were killed: the next run in the same place clears them.

Only what is surely ours is removed, and only if it is a day old: a file by its name, which nothing
else writes, a folder by the mark in it. Whether its process still runs is not asked, as it may run
on another machine that shares the folder. Links are never followed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_OLD_S = 24 * 3600.0
# OpenCV needs a video's suffix.
_FILE = re.compile(r"\.hot-sdk-[0-9a-f]{16}\.(tmp|mp4)")
_MARK = ".hot-sdk-temporary"

# Folders that this process has cleared: a batch writes thousands of files to one.
_cleared: set[str] = set()


def temporary_name() -> str:
    """Return a name for a temporary file that a later run recognizes."""
    return f".hot-sdk-{os.urandom(8).hex()}.tmp"


@contextlib.contextmanager
def temporary_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """Make a temporary folder that a later run recognizes, and remove it in the end.

    Args:
        name: What begins the folder's name, such as that of the program.
        parent: Where to make it; None for the system's folder of temporary files.

    Raises:
        OSError: It cannot be made.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    _clear_folders(parent, name)
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=parent) as made:
        folder = Path(made)
        (folder / _MARK).touch()
        yield folder


def keep_folder(folder: Path) -> None:
    """Say that a temporary folder is still in use, before it is a day old; errors are ignored."""
    with contextlib.suppress(OSError):
        os.utime(folder / _MARK)


def clear_old_files(folder: Path) -> None:
    """Remove old temporary files of ours from a folder, once in a process; errors are ignored."""
    key = os.path.abspath(folder)
    if key in _cleared:
        return
    _cleared.add(key)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _FILE.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    if _is_old(entry.stat(follow_symlinks=False), stat.S_IFREG):
                        os.unlink(entry.path)


def _clear_folders(parent: Path, name: str) -> None:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if not entry.name.startswith(f"{name}-"):
                continue
            with contextlib.suppress(OSError):
                mark = os.stat(os.path.join(entry.path, _MARK), follow_symlinks=False)
                found = entry.stat(follow_symlinks=False)
                if _is_old(found, stat.S_IFDIR) and _is_old(mark, stat.S_IFREG):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _is_old(found: os.stat_result, kind: int) -> bool:
    """Return True for what is of a kind, of this user, and unchanged for a day."""
    age = time.time() - found.st_mtime
    return stat.S_IFMT(found.st_mode) == kind and found.st_uid == os.geteuid() and age > _OLD_S
