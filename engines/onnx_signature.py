"""What an ONNX file says of itself, for engines whose libraries do not tell it."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hot_sdk.engines.interface import ANY_SIZE, TensorSpec
from hot_sdk.engines.onnx_file import OnnxFile
from hot_sdk.engines.protobuf import Buffer, read_fields
from hot_sdk.errors import EngineError

# Numbers of fields in onnx.proto.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME = 8
_KEY, _VALUE = 1, 2
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2
_SHAPE_DIMENSION = 1
_DIMENSION_SIZE, _DIMENSION_NAME = 1, 2

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


@dataclass(frozen=True)
class Signature:
    """Inputs, outputs and metadata of an ONNX file.

    Attributes:
        inputs: In the order of the file, without those that are weights.
        outputs: In the order of the file.
        metadata: Its ``metadata_props``; read-only.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]


def read_signature(file: OnnxFile) -> Signature:
    """Read the signature of a file that ``check_onnx`` has passed.

    Raises:
        EngineError: The file is malformed, an input or output is no dense tensor of numbers, or its
            metadata is not text.
    """
    try:
        if isinstance(file.content, bytes):
            return _signature(file.content)
        with (
            file.content.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            return _signature(mapped)
    except UnicodeDecodeError as error:
        raise EngineError(
            f"The model '{file.name}' has names or metadata that are not text ({error}).",
            hint="Export the model again.",
        ) from error
    except (ValueError, OSError) as error:
        raise EngineError(
            f"The model '{_shown(file)}' cannot be read: {error}.", hint="Export the model again."
        ) from error


def _signature(buffer: Buffer) -> Signature:
    metadata: dict[str, str] = {}
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    weights: set[str] = set()
    for number, begin, end, value in read_fields(buffer, 0, len(buffer)):
        if number == _MODEL_METADATA and value is None:
            entry = {
                key: buffer[first:last].decode()
                for key, first, last, _ in read_fields(buffer, begin, end)
            }
            metadata[entry.get(_KEY, "")] = entry.get(_VALUE, "")
        elif number == _MODEL_GRAPH and value is None:
            for part, first, last, _ in read_fields(buffer, begin, end):
                if part == _GRAPH_INPUT:
                    inputs.append(_spec(buffer, first, last))
                elif part == _GRAPH_OUTPUT:
                    outputs.append(_spec(buffer, first, last))
                elif part == _GRAPH_INITIALIZER:
                    weights.add(_text(buffer, first, last, _TENSOR_NAME))
    return Signature(
        tuple(spec for spec in inputs if spec.name not in weights),
        tuple(outputs),
        MappingProxyType(metadata),
    )


def _spec(buffer: Buffer, start: int, stop: int) -> TensorSpec:
    name = _text(buffer, start, stop, _VALUE_NAME)
    shape: list[int | str] = []
    element = 0
    for begin, end in _parts(buffer, start, stop, _VALUE_TYPE, _TYPE_TENSOR):
        for number, first, last, value in read_fields(buffer, begin, end):
            if number == _TENSOR_ELEMENT and value is not None:
                element = value
            elif number == _TENSOR_SHAPE and value is None:
                shape = [
                    _dimension(buffer, *part)
                    for part in _parts(buffer, first, last, _SHAPE_DIMENSION)
                ]
    if element not in _DTYPES:
        raise ValueError(f"its '{name}' is not a dense tensor of numbers (ONNX type {element})")
    return TensorSpec(name, tuple(shape), _DTYPES[element])


def _dimension(buffer: Buffer, start: int, stop: int) -> int | str:
    size: int | str = ANY_SIZE
    for number, begin, end, value in read_fields(buffer, start, stop):
        if number == _DIMENSION_SIZE and value is not None:
            size = value
        elif number == _DIMENSION_NAME and value is None:
            size = buffer[begin:end].decode() or ANY_SIZE
    return size


def _parts(buffer: Buffer, start: int, stop: int, *path: int) -> list[tuple[int, int]]:
    """Extents of the messages that a path of field numbers leads to."""
    extents = [(start, stop)]
    for wanted in path:
        extents = [
            (begin, end)
            for first, last in extents
            for number, begin, end, value in read_fields(buffer, first, last)
            if number == wanted and value is None
        ]
    return extents


def _text(buffer: Buffer, start: int, stop: int, field: int) -> str:
    extents = _parts(buffer, start, stop, field)
    return buffer[slice(*extents[-1])].decode() if extents else ""


def _shown(file: OnnxFile) -> str:
    return str(file.content) if isinstance(file.content, Path) else file.name
