"""Read what an ONNX file's graph is made of, to compare it with what the file says about itself."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from hot_sdk.engines.onnx_file import OnnxFile
from hot_sdk.engines.onnx_schema import MESSAGES
from hot_sdk.engines.protobuf import (
    Buffer,
    Field,
    Message,
    read_fields,
    read_integers,
    read_texts,
)
from hot_sdk.errors import EngineError

_FLOAT16, _INT64 = 10, 7
_LONGEST_INDEX = 256
_DEFAULT_DOMAINS = (b"", b"ai.onnx")

# Numbers of fields in onnx.proto, by message.
_NODE_OPERATOR = 4
_ATTRIBUTE_NAME, _ATTRIBUTE_INT = 1, 3
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_INT64, _TENSOR_RAW = 1, 2, 7, 9
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2


@dataclass(frozen=True)
class GraphFacts:
    """What a graph is made of, with its subgraphs and functions.

    Attributes:
        opset: Version of the standard operators; None if the file names none.
        operators: Names of the operators.
        has_float16: Whether a constant is in half precision, or something is cast to it.
        indices: Constants that are short lists of integers, such as an order of joints.
    """

    opset: int | None
    operators: frozenset[str]
    has_float16: bool
    indices: frozenset[tuple[int, ...]]


def read_graph_facts(file: OnnxFile) -> GraphFacts:
    """Read what the graph of a checked file is made of.

    Raises:
        EngineError: The file changed since it was checked.
    """
    opset: int | None = None
    operators: set[str] = set()
    indices: set[tuple[int, ...]] = set()
    has_float16 = False
    try:
        with file.opened() as buffer:
            for kind, fields in _messages(buffer):
                if kind == "Node":
                    operators.update(read_texts(buffer, fields, _NODE_OPERATOR))
                elif kind == "OperatorSet":
                    domain = [_bytes(buffer, one) for one in fields.get(_OPSET_DOMAIN, ())] or [b""]
                    if domain[-1] in _DEFAULT_DOMAINS and _OPSET_VERSION in fields:
                        opset = fields[_OPSET_VERSION][-1].value
                elif kind == "Attribute":
                    values = [one.value for one in fields.get(_ATTRIBUTE_INT, ())]
                    names = [_bytes(buffer, one) for one in fields.get(_ATTRIBUTE_NAME, ())]
                    has_float16 = has_float16 or (b"to" in names and _FLOAT16 in values)
                elif kind == "Tensor":
                    number = fields[_TENSOR_TYPE][-1].value if _TENSOR_TYPE in fields else None
                    has_float16 = has_float16 or number == _FLOAT16
                    if number == _INT64:
                        indices.update(_index(buffer, fields))
    except ValueError as error:
        raise EngineError(
            f"The graph of the model '{file.name}' cannot be read: {error}.",
            hint="Export the model again.",
        ) from error
    return GraphFacts(opset, frozenset(operators), has_float16, frozenset(indices))


def _messages(buffer: Buffer) -> Iterator[tuple[str, Message]]:
    """Yield every message of a file by its name, with its fields."""
    waiting = [("Model", 0, len(buffer))]
    while waiting:
        kind, start, stop = waiting.pop()
        parts = MESSAGES[kind]
        fields: Message = {}
        for field in read_fields(buffer, start, stop):
            fields.setdefault(field.number, []).append(field)
            part = parts.get(field.number)
            if part is not None and part.kind in MESSAGES:
                waiting.append((part.kind, field.begin, field.end))
        yield kind, fields


def _index(buffer: Buffer, tensor: Message) -> Iterator[tuple[int, ...]]:
    """Yield the values of a short list of integers."""
    dims = list(read_integers(buffer, tensor.get(_TENSOR_DIMS, ()), _LONGEST_INDEX))
    if len(dims) != 1 or not 0 < dims[0] <= _LONGEST_INDEX:
        return
    if _TENSOR_RAW in tensor:
        raw = _bytes(buffer, tensor[_TENSOR_RAW][-1])
        if len(raw) == 8 * dims[0]:
            yield struct.unpack(f"<{dims[0]}q", raw)
    elif _TENSOR_INT64 in tensor:
        yield tuple(read_integers(buffer, tensor[_TENSOR_INT64], _LONGEST_INDEX))


def _bytes(buffer: Buffer, field: Field) -> bytes:
    return bytes(buffer[field.begin : field.end])
