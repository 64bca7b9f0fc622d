"""Find the checkpoint that a path means, without reading it."""

from __future__ import annotations

import re
from pathlib import Path

from hot_sdk.errors import CheckpointError

SUFFIXES = (".pth", ".pt", ".bin", ".pth.tr", ".tar", ".ckpt", ".safetensors")
"""Ends of the names under which published and common training scripts save checkpoints."""

_LISTED = 5
_PART = re.compile(r"-\d+-of-\d+\.")
"""What the names of files have that hold one part of the weights each."""


def find_checkpoint(path: Path) -> Path:
    """Return the path itself, or the one checkpoint in a folder.

    The authors' programs take folders, too: HoT's (Li et al., CVPR 2024) the first file by name, so
    that a second file changes silently which weights are measured. Here a folder has to hold one.

    Hidden files do not count, such as those that macOS puts next to each file of an archive.

    Raises:
        CheckpointError: The folder holds no checkpoint, or several; or the weights are in parts.
    """
    found = [path]
    if path.is_dir():
        found = sorted(
            each
            for each in path.iterdir()
            if each.name.lower().endswith(SUFFIXES)
            and not each.name.startswith(".")
            and each.is_file()
        )
    part = next((each for each in found if _PART.search(each.name)), None)
    if part is not None:
        raise CheckpointError(
            f"'{part}' is one part of weights that lie in several files.",
            hint="Load them all and save model.state_dict() in one file.",
        )
    if len(found) == 1:
        return found[0]
    if not found:
        raise CheckpointError(
            f"'{path}' is a directory, and none of its files ends with {', '.join(SUFFIXES)}.",
            hint="Give the file of the checkpoint.",
        )
    names = ", ".join(each.name for each in found[:_LISTED])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise CheckpointError(
        f"'{path}' is a directory with {len(found)} checkpoints: {names}{more}.",
        hint=f"Give one of them, as in: --checkpoint '{found[0]}'",
    )
