"""The inputs of an archive: keypoint files, OpenPose folders and videos, found by their names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from hot_sdk.errors import UsageError
from hot_sdk.infer.video_files import VIDEOS

KEYPOINT_FILES = (".json", ".npz", ".csv")
_OPENPOSE = "_keypoints.json"


def find_inputs(archive: str, output: Path) -> tuple[Path, tuple[str, ...]]:
    """Find what is to be lifted.

    Hidden files and folders are left out, links to folders are not followed, and a folder that
    holds OpenPose's files of one frame each is one input.

    Args:
        archive: A folder, or a pattern of files with ``*``, ``?``, ``[...]`` or ``**``.
        output: Folder of the results; what lies in it is no input.

    Returns:
        The folder that all lie in, and their paths from there, sorted.

    Raises:
        UsageError: There is no such folder, nothing in it can be lifted, or the results would
            lie among the inputs.
    """
    folder = Path(archive)
    is_pattern = not folder.exists() and glob.has_magic(archive)
    root = _fixed_part(folder) if is_pattern else folder
    if not root.is_dir():
        raise UsageError(f"There is no folder '{root}'.", hint="Check the path after --archive.")
    root, results = root.resolve(), output.resolve()
    if root.is_relative_to(results):
        raise UsageError(
            f"The results would lie in '{output}', which is or holds the archive.",
            hint="Give a folder of its own with --output DIR.",
        )
    found = tuple(_matching(archive) if is_pattern else _walked(root))
    if root in found:
        # The archive itself is a folder of OpenPose, and needs a name.
        root = root.parent
    names = sorted(
        {
            str(path.relative_to(root))
            for path in found
            if not path.is_relative_to(results) and not _hidden(path.relative_to(root))
        }
    )
    if not names:
        kinds = ", ".join((*KEYPOINT_FILES, *VIDEOS))
        raise UsageError(f"Nothing in '{archive}' can be lifted.", hint=f"Known are: {kinds}.")
    return root, tuple(names)


def _fixed_part(pattern: Path) -> Path:
    """The folder before the first part that holds a pattern."""
    fixed = []
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _matching(pattern: str) -> Iterator[Path]:
    for name in glob.iglob(pattern, recursive=True):
        # Not resolved itself, for a link to a file is an input under its own name.
        path = Path(name).parent.resolve() / Path(name).name
        if _is_file(path):
            yield path.parent if path.name.endswith(_OPENPOSE) else path
        elif path.is_dir() and _is_openpose(path.iterdir()):
            yield path


def _walked(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(folder)
        if _is_openpose(here / name for name in files):
            yield here
            files = [name for name in files if not name.endswith(_OPENPOSE)]
        yield from (here / name for name in files if _is_file(here / name))


def _is_file(path: Path) -> bool:
    return path.suffix.lower() in (*KEYPOINT_FILES, *VIDEOS) and path.is_file()


def _is_openpose(files: Iterator[Path]) -> bool:
    return any(path.name.endswith(_OPENPOSE) for path in files)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
