"""Check an ONNX file before an engine opens it, and read its signature, without the onnx package.

Engines resolve the paths of external weights themselves, and not all releases keep them inside the
model's folder: ONNX Runtime 1.17 follows '../' and symbolic links, later ones read weights from
memory addresses written in the file. So every path in the file is found and checked here.

The signature is what the file declares: its inputs, its outputs and its metadata. Not every engine
keeps them: OpenVINO drops the metadata and the names of sizes.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hot_sdk._base.files import sha256_of
from hot_sdk.engines.onnx_schema import MESSAGES
from hot_sdk.engines.protobuf import (
    Buffer,
    Field,
    Message,
    check_field,
    read_fields,
    read_message,
    read_text,
)
from hot_sdk.engines.registry import TORCH, model_format
from hot_sdk.engines.session import ANY_SIZE, TensorSpec
from hot_sdk.errors import EngineError, UsageError

# Protocol buffers, and with them the engines' parsers, end at 2 GiB.
_MOST_BYTES = 2**31 - 1
# A graph of 500 nodes has about 20 000 fields; the limits bound the time that a hostile file takes.
_MOST_FIELDS = 2_000_000
_DEEPEST = 64
_LARGEST_SIZE = 2**63 - 1

# Numbers of fields in onnx.proto, by message.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME = 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_TYPE, _TENSOR_SHAPE = 1, 2
_SHAPE_DIMENSION = 1
_DIMENSION_SIZE, _DIMENSION_NAME = 1, 2
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
"""NumPy's names of ONNX's types of numbers, by their number in onnx.proto."""

_HINT = (
    "It may be a partial download, a Git LFS pointer or another format; export it or copy it again."
)


@dataclass(frozen=True)
class OnnxFile:
    """A model that is safe to pass to an engine.

    Attributes:
        content: Its path, or its bytes.
        name: Short name for messages and file names.
        weights: The locations of external weights in the file, each with the file that it names;
            twice if a linked model has one next to the link and one next to its target.
    """

    content: Path | bytes
    name: str
    weights: tuple[tuple[str, Path], ...] = ()

    @property
    def external(self) -> tuple[Path, ...]:
        """The files that hold its external weights, sorted."""
        return tuple(sorted({path for _, path in self.weights}))

    @contextlib.contextmanager
    def opened(self) -> Iterator[Buffer]:
        """Open its content for reading.

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
        """Return the SHA-256 of the model and of its external weights, in hexadecimal.

        Raises:
            EngineError: A file cannot be read.
        """
        # Here, because it loads OpenSSL, and only caches need a digest.
        import hashlib

        total = hashlib.sha256()
        if isinstance(self.content, bytes):
            total.update(hashlib.sha256(self.content).digest())
        else:
            total.update(_file_digest(self.content))
        digests = {path: _file_digest(path) for path in self.external}
        for location, path in self.weights:
            total.update(location.encode() + b"\0" + digests[path])
        return total.hexdigest()


@dataclass(frozen=True)
class Signature:
    """The signature of a model file.

    Attributes:
        inputs: In the order of the file, without those that have a value in it.
        outputs: In the order of the file.
        metadata: Read-only.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]

    @property
    def static(self) -> bool:
        """Whether every size is fixed."""
        return all(
            isinstance(size, int) for spec in (*self.inputs, *self.outputs) for size in spec.shape
        )


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
        return OnnxFile(model, "model", _external_files(model, None, "model"))
    if not isinstance(model, Path):
        raise UsageError(
            f"The model is a {type(model).__name__}; expected a pathlib.Path or bytes.",
            hint="Wrap a file name in pathlib.Path.",
        )
    try:
        if not model.is_file():
            raise missing_file(model)
        if not model.stat().st_size:
            raise EngineError(f"The model file '{model}' is empty.", hint=_HINT)
        if model_format(model) == TORCH:
            raise EngineError(
                f"'{model}' holds weights of PyTorch (safetensors), not an ONNX graph.",
                hint="Open it with engine='torch', or leave the engine out: the file's format"
                " decides.",
            )
    except OSError as error:
        raise _unreadable(model, error) from error
    file = OnnxFile(model, model.stem)
    with file.opened() as buffer:
        return OnnxFile(model, model.stem, _external_files(buffer, model, f"'{model}'"))


def missing_file(path: Path) -> EngineError:
    """Return the error for a model file that does not exist."""
    return EngineError(
        f"There is no model file at '{path}'.", hint="Check the path, or export the model."
    )


def read_signature(file: OnnxFile) -> Signature:
    """Read the signature of a checked file.

    Raises:
        EngineError: The file changed since, holds text that is not UTF-8, or an input or output
            that is not a dense tensor of numbers with a known number of dimensions.
    """
    try:
        with file.opened() as buffer:
            return _signature(buffer)
    except ValueError as error:
        raise EngineError(
            f"The inputs, outputs or metadata of the model '{file.name}' cannot be read: {error}.",
            hint="Export the model again.",
        ) from error


def _external_files(buffer: Buffer, path: Path | None, name: str) -> tuple[tuple[str, Path], ...]:
    """Return every location of external data in the file with the files that it names."""
    locations = sorted(_external_locations(buffer, name))
    return tuple(
        (location.decode(), file)
        for location in locations
        for file in _resolved(location, path, name)
    )


def _external_locations(buffer: Buffer, name: str) -> set[bytes]:
    """Return every location of external data in the file, anywhere in the graph."""
    if len(buffer) > _MOST_BYTES:
        raise EngineError(
            f"The model {name} is larger than 2 GiB, the limit of its format.",
            hint="Export it with external weights.",
        )
    try:
        return _read_locations(buffer)
    except ValueError as error:
        raise EngineError(
            f"The model {name} is not a complete ONNX file: {error}.", hint=_HINT
        ) from error


def _read_locations(buffer: Buffer) -> set[bytes]:
    """Read every message of a file; raises ValueError at what parsers could read differently."""
    locations: set[bytes] = set()
    open_messages = [("Model", 0, len(buffer), 0)]
    fields = 0
    has_graph = False
    while open_messages:
        kind, start, stop, depth = open_messages.pop()
        parts = MESSAGES[kind]
        entry: dict[int, bytes] = {}
        present = set()
        for field in read_fields(buffer, start, stop):
            fields += 1
            if fields > _MOST_FIELDS or depth > _DEEPEST:
                raise ValueError("it has too many parts")
            part = parts.get(field.number)
            if part is None:
                continue
            if not part.repeated:
                if part.place in present:
                    raise ValueError(f"byte {field.begin} repeats a part of its {kind}")
                present.add(part.place)
            check_field(buffer, field, part.kind, repeated=part.repeated)
            if part.kind in MESSAGES:
                open_messages.append((part.kind, field.begin, field.end, depth + 1))
            elif kind == "ExternalData":
                entry[field.number] = buffer[field.begin : field.end]
        has_graph = has_graph or (kind == "Model" and _MODEL_GRAPH in present)
        if entry.get(_ENTRY_KEY) == b"location":
            locations.add(entry.get(_ENTRY_VALUE, b""))
    if not has_graph:
        raise ValueError("it has no graph")
    return locations


def _resolved(location: bytes, model: Path | None, name: str) -> Iterable[Path]:
    """Return the files that a location of external weights names, for one engine or another."""
    shown = location.decode(errors="replace")
    if model is None:
        raise EngineError(
            f"The model's weights are in another file, '{shown}', which bytes cannot refer to.",
            hint="Pass the model's path, or export it into one file.",
        )
    # A model reached by a symbolic link has its weights next to the link or next to its target.
    folders = (model.parent.resolve(), model.resolve().parent)
    try:
        found = [(folder / location.decode()).resolve() for folder in folders]
    except (ValueError, OSError, RuntimeError):
        found = []
    if not found or not all(any(map(file.is_relative_to, folders)) for file in found):
        raise EngineError(
            f"The model {name} names weights outside of its own folder: '{shown}'.",
            hint="Do not run it unless you trust its origin; then export it into one file.",
        )
    if not found[0].is_file():
        raise EngineError(
            f"The model {name} keeps its weights in '{shown}', which is not there.",
            hint="Copy that file next to the model, or export the model into one file.",
        )
    return dict.fromkeys(file for file in found if file.is_file())


def _signature(buffer: Buffer) -> Signature:
    model = read_message(buffer, Field(0, 0, len(buffer), None))
    metadata = {}
    for entry in model.get(_MODEL_METADATA, ()):
        parts = read_message(buffer, entry)
        metadata[read_text(buffer, parts, _ENTRY_KEY)] = read_text(buffer, parts, _ENTRY_VALUE)
    graph = read_message(buffer, model[_MODEL_GRAPH][-1]) if _MODEL_GRAPH in model else {}
    valued = {
        read_text(buffer, read_message(buffer, tensor), _TENSOR_NAME)
        for tensor in graph.get(_GRAPH_INITIALIZER, ())
    }
    inputs = [read_message(buffer, value) for value in graph.get(_GRAPH_INPUT, ())]
    return Signature(
        tuple(
            _spec(buffer, value)
            for value in inputs
            if read_text(buffer, value, _VALUE_NAME) not in valued
        ),
        tuple(_spec(buffer, read_message(buffer, value)) for value in graph.get(_GRAPH_OUTPUT, ())),
        MappingProxyType(metadata),
    )


def _spec(buffer: Buffer, value: Message) -> TensorSpec:
    name = read_text(buffer, value, _VALUE_NAME)
    tensor = _child(buffer, _child(buffer, value, _VALUE_TYPE), _TYPE_TENSOR)
    kind = tensor[_TENSOR_TYPE][-1].value if _TENSOR_TYPE in tensor else None
    if kind not in DTYPES:
        raise ValueError(f"'{name}' is not a dense tensor of numbers")
    if _TENSOR_SHAPE not in tensor:
        raise ValueError(f"'{name}' has no shape")
    dimensions = _child(buffer, tensor, _TENSOR_SHAPE).get(_SHAPE_DIMENSION, ())
    sizes = tuple(_size(buffer, read_message(buffer, dimension)) for dimension in dimensions)
    return TensorSpec(name, sizes, DTYPES[kind])


def _size(buffer: Buffer, dimension: Message) -> int | str:
    if _DIMENSION_SIZE in dimension:
        size = dimension[_DIMENSION_SIZE][-1].value
        return size if size is not None and size <= _LARGEST_SIZE else ANY_SIZE
    return read_text(buffer, dimension, _DIMENSION_NAME) or ANY_SIZE


def _child(buffer: Buffer, message: Message, number: int) -> Message:
    """Return the message in a field; empty if the field is absent."""
    return read_message(buffer, message[number][-1]) if number in message else {}


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
