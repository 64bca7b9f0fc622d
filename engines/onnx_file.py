"""An ONNX file, checked before an engine opens it, without the onnx package.

Engines resolve the paths of external weights themselves, and not all releases keep them inside the
model's folder: ONNX Runtime 1.17 follows '../' and symbolic links, later ones read weights from
memory addresses written in the file. So every path in the file is found and checked here.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hot_sdk.engines.protobuf import Buffer, read_fields
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.files import sha256_of

# Protocol buffers, and with them the engines' parsers, end at 2 GiB.
_MOST_BYTES = 2**31 - 1
# A graph of 500 nodes has about 20 000 fields; the limits bound the time that a hostile file takes.
_MOST_FIELDS = 4_000_000
_DEEPEST = 64

# The messages of onnx.proto that lead to a tensor's external data: {message: {field: message}}.
_SCHEMA: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
    "Entry": {},
}
_GRAPH_FIELD = 7
_KEY_FIELD, _VALUE_FIELD = 1, 2
_HINT = (
    "It may be a partial download, a Git LFS pointer or another format; export it or copy it again."
)


@dataclass(frozen=True)
class OnnxFile:
    """A model that is safe to hand to an engine.

    Attributes:
        content: Its path, or its bytes where it came as bytes.
        name: Short name for messages and file names.
        external: The files that hold its external weights, sorted.
    """

    content: Path | bytes
    name: str
    external: tuple[Path, ...] = ()

    @contextlib.contextmanager
    def opened(self) -> Iterator[Buffer]:
        """Its content, for as long as this lasts.

        Raises:
            EngineError: The file cannot be read.
        """
        if isinstance(self.content, bytes):
            yield self.content
            return
        try:
            with (
                self.content.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            ):
                yield mapped
        except OSError as error:
            raise _unreadable(self.content, error) from error

    def digest(self) -> str:
        """SHA-256 of the model and of its external weights, in hexadecimal.

        Raises:
            EngineError: A file cannot be read.
        """
        total = hashlib.sha256()
        if isinstance(self.content, bytes):
            total.update(hashlib.sha256(self.content).digest())
        else:
            total.update(_file_digest(self.content))
        for path in self.external:
            total.update(path.name.encode() + b"\0" + _file_digest(path))
        return total.hexdigest()


def check_onnx(model: Path | bytes) -> OnnxFile:
    """Check that a model is a complete ONNX file whose weights lie in its own folder.

    Args:
        model: The file, or its bytes; bytes have no folder, and so no external weights.

    Raises:
        UsageError: It is neither a path nor bytes.
        EngineError: It is absent, unreadable, incomplete, larger than 2 GiB or not ONNX, or it
            names weights that are absent or outside of its folder.
    """
    if isinstance(model, bytes):
        _external_locations(model, "model")
        return OnnxFile(model, "model", _external_files(model, None, "model"))
    if not isinstance(model, Path):
        raise UsageError(
            f"The model is a {type(model).__name__}; expected a pathlib.Path or bytes.",
            hint="Wrap a file name in pathlib.Path.",
        )
    try:
        if not model.is_file():
            raise EngineError(
                f"There is no model file at '{model}'.", hint="Check the path, or export the model."
            )
        with model.open("rb") as file:
            if not model.stat().st_size:
                raise EngineError(f"The model file '{model}' is empty.", hint=_HINT)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return OnnxFile(model, model.stem, _external_files(mapped, model, f"'{model}'"))
    except OSError as error:
        raise _unreadable(model, error) from error


def _external_files(buffer: Buffer, path: Path | None, name: str) -> tuple[Path, ...]:
    return tuple(
        sorted({_inside(location, path, name) for location in _external_locations(buffer, name)})
    )


def _inside(location: bytes, model: Path | None, name: str) -> Path:
    """The file that a location of external weights stands for."""
    shown = location.decode(errors="replace")
    if model is None:
        raise EngineError(
            f"The model's weights are in another file, '{shown}', which bytes cannot refer to.",
            hint="Pass the model's path, or export it into one file.",
        )
    # A model reached through a symbolic link has its weights beside the link or beside its target.
    folders = {model.parent.resolve(), model.resolve().parent}
    try:
        target = (model.parent / location.decode()).resolve()
    except (ValueError, OSError, RuntimeError):
        target = None
    if target is None or not any(target.is_relative_to(folder) for folder in folders):
        raise EngineError(
            f"The model {name} names weights outside of its own folder: '{shown}'.",
            hint="Do not run it unless you trust its origin; then export it into one file.",
        )
    if not target.is_file():
        raise EngineError(
            f"The model {name} keeps its weights in '{shown}', which is not there.",
            hint="Copy that file beside the model, or export the model into one file.",
        )
    return target


def _external_locations(buffer: Buffer, name: str) -> set[bytes]:
    """Every location of external data in the file, wherever in the graph it stands."""
    if len(buffer) > _MOST_BYTES:
        raise EngineError(
            f"The model {name} is larger than 2 GiB, the limit of its format.",
            hint="Export it with external weights.",
        )
    locations: set[bytes] = set()
    open_messages = [("Model", 0, len(buffer), 0)]
    fields = 0
    has_graph = False
    try:
        while open_messages:
            kind, start, stop, depth = open_messages.pop()
            entry: dict[int, set[bytes]] = {_KEY_FIELD: set(), _VALUE_FIELD: set()}
            for number, begin, end, value in read_fields(buffer, start, stop):
                fields += 1
                if fields > _MOST_FIELDS or depth > _DEEPEST:
                    raise ValueError("it has too many parts")
                if value is not None:
                    continue
                has_graph = has_graph or (kind == "Model" and number == _GRAPH_FIELD)
                if kind == "Entry":
                    entry.setdefault(number, set()).add(buffer[begin:end])
                elif number in _SCHEMA[kind]:
                    open_messages.append((_SCHEMA[kind][number], begin, end, depth + 1))
            if b"location" in entry[_KEY_FIELD]:
                locations |= entry[_VALUE_FIELD] or {b""}
        if not has_graph:
            raise ValueError("it has no graph")
    except ValueError as error:
        raise EngineError(
            f"The model {name} is not a complete ONNX file: {error}.", hint=_HINT
        ) from error
    return locations


def _file_digest(path: Path) -> bytes:
    try:
        return bytes.fromhex(sha256_of(path))
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> EngineError:
    return EngineError(
        f"The model file '{path}' cannot be read: {error.strerror or error}.",
        hint="Check its permissions and the disk.",
    )
