"""What engines build from a model, kept on disk for the next session.

The name of an entry holds a hash of everything that it depends on, so an entry is either right or
never found; nothing is ever updated in place.

A ``CachedFile`` is an entry with a JSON record next to it. Plans and optimized graphs are kept so:
their runtimes trust them, so one is only returned if its record, which is written last, matches its
key and the digest of its content. The file itself stays raw, as other tools read it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.files import read_input, sha256_of
from hot_sdk._base.leftovers import temporary_folder
from hot_sdk._base.records import MAX_TEXT, parse_object
from hot_sdk.errors import EngineError

MODEL = "model"
"""The field of a ``CachedFile`` that holds the digest of the model file."""

_CPU_FIELDS = ("model name", "flags", "Features", "CPU implementer", "CPU part")
_HEX_DIGITS = 16
_LONGEST_STEM = 100
_SCHEMA = 1
# A folder of more records than this is not searched for the nearest one; it is only for a message.
_MOST_RECORDS = 1000

_logger = logging.getLogger(__name__)


def cache_entry(folder: Path, stem: str, suffix: str, depends_on: Mapping[str, str]) -> Path:
    """Return the path of an entry, ``<stem>.<16 hexadecimal digits><suffix>``; it may not exist.

    Args:
        folder: The cache folder.
        stem: Readable part of the name.
        suffix: File extension, with its dot.
        depends_on: Everything that the entry's content depends on, by name.
    """
    text = json.dumps(dict(depends_on), sort_keys=True)
    key = _digest(text.encode())[:_HEX_DIGITS]
    return folder / f"{stem[:_LONGEST_STEM]}.{key}{suffix}"


def cpu_identity() -> str:
    """Return a hash of the CPU's model and instruction sets, which generated code may depend on."""
    facts = {platform.machine(), platform.processor()}
    # Only Linux has this file; elsewhere the two facts above have to do.
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in _CPU_FIELDS:
                facts.add(f"{name.strip()}:{value.strip()}")
    return _digest("\n".join(sorted(facts)).encode())


@contextlib.contextmanager
def new_entry(entry: Path) -> Iterator[Path]:
    """Write an entry so that no other process and no power cut ever leaves half of it.

    Args:
        entry: Where it will be, from ``cache_entry``.

    Yields:
        The path to write to. What is there when the block ends without an error becomes the entry.

    Raises:
        EngineError: The folder cannot be created or written; raised before the block runs, unless
            the disk fails later.
    """
    with contextlib.ExitStack() as stack:
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            building = stack.enter_context(temporary_folder(".building", entry.parent))
        except OSError as error:
            raise unwritable(entry.parent, error) from error
        temporary = building / entry.name
        yield temporary
        if temporary.is_file():
            try:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(entry)
            except OSError as error:
                raise unwritable(entry.parent, error) from error


def unwritable(folder: Path, error: OSError) -> EngineError:
    """Return the error for a cache folder that cannot be written."""
    return EngineError(
        f"The cache folder '{folder}' cannot be written: {error.strerror or error}.",
        hint="Name a folder with room that this user may write to, or leave the cache out.",
    )


@dataclass(frozen=True)
class CachedFile:
    """An entry with a record of its content; it may not exist yet.

    Attributes:
        path: Where it is, from ``cache_entry`` with the same fields.
        name: Name of what it is made from, for users.
        fields: Everything that its content depends on, by name.
    """

    path: Path
    name: str
    fields: Mapping[str, str]

    @property
    def record(self) -> Path:
        """The JSON file next to it with its key and the digest of its content."""
        return self.path.with_name(f"{self.path.name}.json")

    def read(self) -> bytes | None:
        """Return its content; None if it is absent or does not match its record."""
        record = _read_record(self.record)
        if record is None or not self.path.is_file():
            return None
        if record.fields != dict(self.fields):
            _logger.warning("'%s' was made for something else, and is made again.", self.path)
            return None
        try:
            content = self.path.read_bytes()
        except OSError as error:
            _logger.warning("'%s' cannot be read (%s), and is made again.", self.path, error)
            return None
        if _digest(content) != record.sha256:
            _logger.warning("'%s' is not what was written, and is made again.", self.path)
            return None
        return content

    def write(self, content: bytes) -> None:
        """Write it and then its record.

        Raises:
            EngineError: The folder cannot be written.
        """
        with self.writing() as temporary:
            _write_bytes(temporary, content)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """Write it by other means, and then its record.

        Yields:
            The path to write to, as ``new_entry`` does; without a file there nothing is recorded.

        Raises:
            EngineError: The folder cannot be written.
        """
        digest = None
        with new_entry(self.path) as temporary:
            yield temporary
            if temporary.is_file():
                digest = sha256_of(temporary)
        if digest is None:
            return
        # Between the two renames an old record does not match the new content.
        record = {
            "schema": _SCHEMA,
            "name": self.name,
            "sha256": digest,
            "fields": dict(self.fields),
        }
        with new_entry(self.record) as temporary:
            _write_bytes(temporary, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes and threads from making the same file meanwhile.

        Raises:
            EngineError: The folder cannot be written.
        """
        path = self.path.with_name(f"{self.path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("a")
        except OSError as error:
            raise unwritable(path.parent, error) from error
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _logger.info("Waiting for another process that is making '%s'.", self.path)
                fcntl.flock(stream, fcntl.LOCK_EX)
            except OSError as error:  # Some network file systems have no locks.
                raise unwritable(path.parent, error) from error
            yield

    def why_missing(self) -> str:
        """Return why it has to be made: the fields that differ in the nearest file of its model."""
        nearest: tuple[int, str] | None = None
        for path in sorted(self.path.parent.glob(f"*{self.path.suffix}.json"))[:_MOST_RECORDS]:
            record = _read_record(path)
            if record is None or path == self.record:
                continue
            if record.fields.get(MODEL) != self.fields[MODEL] and record.name != self.name:
                continue
            differing = [
                f"{name} was {record.fields.get(name, 'not recorded')!r} and is {value!r}"
                for name, value in self.fields.items()
                if record.fields.get(name) != value
            ]
            if differing and (nearest is None or len(differing) < nearest[0]):
                text = f"the nearest, '{path.name}', differs: {'; '.join(differing)}"
                nearest = (len(differing), text)
        return "the cache has nothing of this model" if nearest is None else nearest[1]


@dataclass(frozen=True)
class _Record:
    name: str
    sha256: str
    fields: dict[str, str]


def _read_record(path: Path) -> _Record | None:
    """Return a record; None if it is absent or broken, which is the same to its readers."""
    try:
        data = parse_object(read_input(path, MAX_TEXT).decode())
    except (OSError, ValueError):
        return None
    fields = data.get("fields")
    if data.get("schema") != _SCHEMA or not isinstance(fields, dict):
        return None
    texts = {str(name): str(value) for name, value in fields.items()}
    return _Record(str(data.get("name")), str(data.get("sha256")), texts)


def _write_bytes(temporary: Path, content: bytes) -> None:
    try:
        temporary.write_bytes(content)
    except OSError as error:
        raise unwritable(temporary.parent.parent, error) from error


def _digest(content: bytes) -> str:
    # Here, because it loads OpenSSL, and sessions without a cache need none.
    import hashlib

    return hashlib.sha256(content).hexdigest()
