"""Write ONNX models and parts of them without the package ``onnx``, which robots do not have.

The format is that of protocol buffers, and the field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT, UINT8, INT8, INT32, INT64, FLOAT16 = 1, 2, 3, 6, 7, 10
"""Types of tensors."""

_TYPES = {"float32": FLOAT, "uint8": UINT8, "int8": INT8, "int64": INT64, "float16": FLOAT16}
_IR_VERSION = 8
_OPSET = 17
_INT_ATTRIBUTE = 2
_VARINT, _BYTES = 0, 2


def write_model(
    nodes: Sequence[bytes],
    constants: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, tuple[int, tuple[int, ...]]],
    outputs: Mapping[str, tuple[int, tuple[int, ...]]],
) -> bytes:
    """Return a model.

    Args:
        nodes: What ``write_node`` returned, in order.
        constants: Constants by name.
        inputs: Type and shape of each input, by name.
        outputs: The same of the outputs.
    """
    graph = (
        b"".join(message(1, node) for node in nodes)
        + _text(2, "products")
        + b"".join(message(5, write_tensor(name, array)) for name, array in constants.items())
        + b"".join(message(11, _value(name, *about)) for name, about in inputs.items())
        + b"".join(message(12, _value(name, *about)) for name, about in outputs.items())
    )
    return _number(1, _IR_VERSION) + message(7, graph) + message(8, write_opset("", _OPSET))


def write_node(
    operator: str,
    inputs: Sequence[str],
    output: str,
    *,
    name: str | None = None,
    domain: str = "",
    **attributes: int,
) -> bytes:
    """Return a node of one output, which also names it if no name is given."""
    return (
        b"".join(_text(1, each) for each in inputs)
        + _text(2, output)
        + _text(3, f"{output}/{operator}" if name is None else name)
        + _text(4, operator)
        + b"".join(
            message(5, _text(1, key) + _number(3, value) + _number(20, _INT_ATTRIBUTE))
            for key, value in attributes.items()
        )
        + (_text(7, domain) if domain else b"")
    )


def write_opset(domain: str, version: int) -> bytes:
    """Return the version of a domain's operators."""
    return _text(1, domain) + _number(2, version)


def write_tensor(name: str, array: NDArray[Any]) -> bytes:
    """Return a constant."""
    return (
        b"".join(_number(1, size) for size in array.shape)
        + _number(2, _TYPES[array.dtype.name])
        + _text(8, name)
        + message(9, np.ascontiguousarray(array).tobytes())
    )


def _value(name: str, kind: int, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(message(1, _number(1, size)) for size in shape)
    tensor_type = _number(1, kind) + message(2, dims)
    return _text(1, name) + message(2, message(1, tensor_type))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return message(field, value.encode())


def message(field: int, content: bytes) -> bytes:
    """Return a field that holds a message, text or bytes."""
    return begin_message(field, len(content)) + content


def begin_message(field: int, length: int) -> bytes:
    """Return what precedes the content of a field that holds so many bytes."""
    return _varint(field << 3 | _BYTES) + _varint(length)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
