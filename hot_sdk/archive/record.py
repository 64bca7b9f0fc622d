"""What was done with an input, in a small file beside its results.

The record is written last. A result is therefore whole where its record says so, and an input is
done where the record names the same content, model and options.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from hot_sdk import typed_json
from hot_sdk.files import replaced_on_success, sha256_of

SCHEMA = 1

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One input that was lifted.

    Attributes:
        schema: Version of this record.
        input: Its path in the archive.
        input_sha256: Digest of its content.
        model_sha256: Digest of the model's file.
        options: All that the results depend on besides, as JSON.
        files: Names of the results, which lie beside the record.
        sdk: Version of the SDK that lifted it.
    """

    schema: int
    input: str
    input_sha256: str
    model_sha256: str
    options: str
    files: tuple[str, ...]
    sdk: str

    def covers(self, wanted: Record, folder: Path) -> bool:
        """Whether what ``wanted`` asks for is done, and its results still lie in the folder."""
        asked = (wanted.input_sha256, wanted.model_sha256, wanted.options)
        done = (self.input_sha256, self.model_sha256, self.options)
        return asked == done and all((folder / name).is_file() for name in self.files)


def record_path(folder: Path, name: str) -> Path:
    """Where the record of an input of this name lies."""
    return folder / f"{name}.done.json"


def read_record(path: Path) -> Record | None:
    """Read a record; None where there is none, or none that this version can read."""
    try:
        text = path.read_text(encoding="utf-8")
        record = typed_json.build(Record, typed_json.parse_object(text))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _LOG.warning("'%s' cannot be read, so its input is lifted again: %s", path, error)
        return None
    # A name from a file that anybody may have written must not lead elsewhere.
    if record.schema != SCHEMA or any(Path(name).name != name for name in record.files):
        return None
    return record


def write_record(path: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    with replaced_on_success(path) as temporary:
        temporary.write_text(typed_json.to_json(record), encoding="utf-8")


def content_sha256(path: Path) -> str:
    """Digest of a file, or of a folder's files with their names."""
    if not path.is_dir():
        return sha256_of(path)
    total = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file():
            total.update(f"{file.name}\0{sha256_of(file)}\n".encode())
    return total.hexdigest()
