"""What engines build from a model, kept on disk for the next session.

An entry's name holds a hash of everything that it depends on, so an entry is either right or never
found; nothing is ever updated in place.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hot_sdk.errors import EngineError

_CPU_FIELDS = ("model name", "flags", "Features", "CPU implementer", "CPU part")
_HEX_DIGITS = 16
_LONGEST_STEM = 100


def cache_entry(folder: Path, stem: str, suffix: str, depends_on: Mapping[str, str]) -> Path:
    """The path of an entry, ``<stem>.<16 hexadecimal digits><suffix>``; it may not exist yet.

    Args:
        folder: The cache folder.
        stem: Readable part of the name.
        suffix: File extension, with its dot.
        depends_on: Everything that the entry's content depends on, by name.
    """
    text = json.dumps(dict(depends_on), sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]
    return folder / f"{stem[:_LONGEST_STEM]}.{key}{suffix}"


def cpu_identity() -> str:
    """Hash of the CPU's model and instruction sets, which generated code may depend on."""
    facts = {platform.machine(), platform.processor()}
    # Only Linux has this file; elsewhere the two facts above have to do.
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in _CPU_FIELDS:
                facts.add(f"{name.strip()}:{value.strip()}")
    return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()


@contextmanager
def new_entry(entry: Path) -> Iterator[Path]:
    """Write an entry so that no other process and no power cut ever leaves half of it.

    Args:
        entry: Where it will be, from ``cache_entry``.

    Yields:
        The path to write to. What is there when the block ends without an error becomes the entry.

    Raises:
        EngineError: The folder cannot be made or written; raised before the block runs, unless the
            disk fails later.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        building = tempfile.TemporaryDirectory(prefix=".building-", dir=entry.parent)
    except OSError as error:
        raise unwritable(entry.parent, error) from error
    with building:
        temporary = Path(building.name) / entry.name
        yield temporary
        if temporary.is_file():
            try:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(entry)
            except OSError as error:
                raise unwritable(entry.parent, error) from error


def unwritable(folder: Path, error: OSError) -> EngineError:
    """The error for a cache folder that refuses to be written."""
    return EngineError(
        f"The cache folder '{folder}' cannot be written: {error.strerror or error}.",
        hint="Name a folder with room that this user may write to, or leave the cache out.",
    )
