"""What an ONNX file says of itself: its inputs, its outputs and its metadata.

Not every engine keeps them: OpenVINO drops the metadata and the names of sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hot_sdk.engines.interface import ANY_SIZE, TensorSpec
from hot_sdk.engines.onnx_file import OnnxFile
from hot_sdk.engines.protobuf import Buffer, Field, read_fields
from hot_sdk.errors import EngineError

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
