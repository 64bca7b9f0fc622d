"""Find the checkpoint that a path means, without reading it."""

from __future__ import annotations

from pathlib import Path

from hot_sdk.errors import CheckpointError

SUFFIXES = (".pth", ".pt", ".bin", ".pth.tr", ".tar", ".ckpt", ".safetensors")
"""Ends of the names under which published and common training scripts save checkpoints."""

_LISTED = 5


def find_checkpoint(path: Path) -> Path:
    """Return the path itself, or the one checkpoint in a folder.

    The authors' programs take folders, too: HoT's (Li et al., CVPR 2024) the first file by name, so
    that a second file changes silently which weights are measured. Here a folder has to hold one.

    Raises:
        CheckpointError: The folder holds no checkpoint, or several.
    """
    if not path.is_dir():
        return path
    found = sorted(
        each for each in path.iterdir() if each.name.lower().endswith(SUFFIXES) and each.is_file()
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
