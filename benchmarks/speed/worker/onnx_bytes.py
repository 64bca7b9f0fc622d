"""Write small ONNX models without the package ``onnx``, which robots do not have.

The format is that of protocol buffers, and the field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT, UINT8, INT8, INT64, FLOAT16 = 1, 2, 3, 7, 10
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
        b"".join(_message(1, node) for node in nodes)
        + _text(2, "products")
        + b"".join(_message(5, _tensor(name, array)) for name, array in constants.items())
        + b"".join(_message(11, _value(name, *about)) for name, about in inputs.items())
        + b"".join(_message(12, _value(name, *about)) for name, about in outputs.items())
    )
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, opset)


def write_node(operator: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    """Return a node of one output, which also names it."""
    return (
        b"".join(_text(1, name) for name in inputs)
        + _text(2, output)
        + _text(3, f"{output}/{operator}")
        + _text(4, operator)
        + b"".join(
            _message(5, _text(1, name) + _number(3, value) + _number(20, _INT_ATTRIBUTE))
            for name, value in attributes.items()
        )
    )


def _tensor(name: str, array: NDArray[Any]) -> bytes:
    return (
        b"".join(_number(1, size) for size in array.shape)
        + _number(2, _TYPES[array.dtype.name])
        + _text(8, name)
        + _message(9, np.ascontiguousarray(array).tobytes())
    )


def _value(name: str, kind: int, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_message(1, _number(1, size)) for size in shape)
    tensor_type = _number(1, kind) + _message(2, dims)
    return _text(1, name) + _message(2, _message(1, tensor_type))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
