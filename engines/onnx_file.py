"""An ONNX file, checked before an engine opens it, without the onnx package.

Engines resolve the paths of external weights themselves, and not all releases keep them inside the
model's folder: ONNX Runtime 1.17 follows '../' and symbolic links, later ones read weights from
memory addresses written in the file. So every path in the file is found and checked here.

The wire format of protocol buffers, as far as reading an ONNX file's structure needs it.

What an ONNX file says of itself: its inputs, its outputs and its metadata.

Not every engine keeps them: OpenVINO drops the metadata and the names of sizes.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from hot_sdk._base.files import sha256_of
from hot_sdk.engines.session import ANY_SIZE, TensorSpec
from hot_sdk.errors import EngineError, UsageError

Buffer = bytes | mmap.mmap

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Its number in the message's definition.
        begin: Where its bytes begin, of a text, some bytes or a message.
        end: Where they end.
        value: Of a number; None for everything else. A floating-point number, which nothing here
            needs, is 0.
    """

    number: int
    begin: int
    end: int
    value: int | None


def read_fields(buffer: Buffer, start: int, stop: int) -> Iterator[Field]:
    """The fields of the message between two positions, in their order.

    Raises:
        ValueError: It is no message, or an incomplete one; says where.
    """
    position = start
    while position < stop:
        tag, position = _varint(buffer, position, stop)
        wire = tag & 7
        if not tag >> 3:
            raise ValueError(f"byte {position} does not begin a field")
        if wire == _BYTES:
            length, position = _varint(buffer, position, stop)
            end = position + length
            if end > stop:
                raise ValueError(f"it ends {end - stop} bytes early")
            yield Field(tag >> 3, position, end, None)
            position = end
            continue
        value = 0
        if wire == _VARINT:
            value, position = _varint(buffer, position, stop)
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"byte {position} does not begin a field")
        if position > stop:
            raise ValueError(f"it ends {position - stop} bytes early")
        yield Field(tag >> 3, position, position, value)


def _varint(buffer: Buffer, position: int, stop: int) -> tuple[int, int]:
    """The number written at a position, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= stop:
            raise ValueError("it ends in the middle of a number")
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"byte {position} does not end a number")


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


# Numbers of fields in onnx.proto, by message.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME = 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_TYPE, _TENSOR_SHAPE = 1, 2
_SHAPE_DIMENSION = 1
_DIMENSION_SIZE, _DIMENSION_NAME = 1, 2
_KEY, _VALUE = 1, 2

_DTYPES = {
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
_LARGEST_SIZE = 2**63 - 1


@dataclass(frozen=True)
class Signature:
    """Of a model file.

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


def read_signature(file: OnnxFile) -> Signature:
    """Read it off a file that was checked.

    Raises:
        EngineError: The file changed since, holds text that is none, or an input or output that is
            no dense tensor of numbers with a known number of dimensions.
    """
    try:
        with file.opened() as buffer:
            return _signature(buffer)
    except (ValueError, StopIteration) as error:  # A text that is no text is a ValueError, too.
        raise EngineError(
            f"The inputs, outputs or metadata of the model '{file.name}' cannot be read: {error}.",
            hint="Export the model again.",
        ) from error


def _signature(buffer: Buffer) -> Signature:
    metadata: dict[str, str] = {}
    graph = Field(_MODEL_GRAPH, 0, 0, None)
    for field in read_fields(buffer, 0, len(buffer)):
        if field.number == _MODEL_METADATA:
            entry = dict(_texts(buffer, field))
            metadata[entry.get(_KEY, "")] = entry.get(_VALUE, "")
        elif field.number == _MODEL_GRAPH:
            graph = field
    valued: set[str] = set()
    inputs, outputs = [], []
    for field in read_fields(buffer, graph.begin, graph.end):
        if field.number == _GRAPH_INITIALIZER:
            valued.add(_name(buffer, field, _TENSOR_NAME))
        elif field.number == _GRAPH_INPUT:
            inputs.append(field)
        elif field.number == _GRAPH_OUTPUT:
            outputs.append(_value(buffer, field))
    named = [(field, _name(buffer, field, _VALUE_NAME)) for field in inputs]
    return Signature(
        tuple(_value(buffer, field) for field, name in named if name not in valued),
        tuple(outputs),
        MappingProxyType(metadata),
    )


def _texts(buffer: Buffer, message: Field) -> Iterator[tuple[int, str]]:
    for field in read_fields(buffer, message.begin, message.end):
        if field.value is None:
            yield field.number, buffer[field.begin : field.end].decode()


def _name(buffer: Buffer, message: Field, number: int) -> str:
    for field in read_fields(buffer, message.begin, message.end):
        if field.number == number:
            return buffer[field.begin : field.end].decode()
    return ""


def _value(buffer: Buffer, message: Field) -> TensorSpec:
    name = _name(buffer, message, _VALUE_NAME)
    tensor = _only(buffer, _only(buffer, message, _VALUE_TYPE), _TYPE_TENSOR)
    kind, shape = 0, None
    if tensor is not None:
        for field in read_fields(buffer, tensor.begin, tensor.end):
            if field.number == _TENSOR_TYPE:
                kind = field.value or 0
            elif field.number == _TENSOR_SHAPE:
                shape = field
    if kind not in _DTYPES:
        raise ValueError(f"'{name}' is not a dense tensor of numbers")
    if shape is None:
        raise ValueError(f"'{name}' has no shape")
    sizes = tuple(
        _size(buffer, field)
        for field in read_fields(buffer, shape.begin, shape.end)
        if field.number == _SHAPE_DIMENSION
    )
    return TensorSpec(name, sizes, _DTYPES[kind])


def _only(buffer: Buffer, message: Field | None, number: int) -> Field | None:
    if message is None:
        return None
    fields = read_fields(buffer, message.begin, message.end)
    return next((field for field in fields if field.number == number), None)


def _size(buffer: Buffer, dimension: Field) -> int | str:
    for field in read_fields(buffer, dimension.begin, dimension.end):
        if field.number == _DIMENSION_SIZE and field.value is not None:
            return field.value if field.value <= _LARGEST_SIZE else ANY_SIZE
        if field.number == _DIMENSION_NAME:
            return buffer[field.begin : field.end].decode() or ANY_SIZE
    return ANY_SIZE
