"""A matrix product as an ONNX model, written without the package ``onnx``.

On a robot there is none, and an engine's ceiling is to be measured through the same engine. The
format is that of protocol buffers; the field numbers are those of onnx.proto.
"""

from __future__ import annotations

import numpy as np

INPUT = "a"
OUTPUT = "product"

_IR_VERSION = 8
_OPSET = 17
_TYPES = {"float32": 1, "float16": 10}
_VARINT, _BYTES = 0, 2


def matrix_product(rows: int, inner: int, columns: int, dtype: str) -> bytes:
    """A model that multiplies its input (rows, inner) by a constant (inner, columns).

    Args:
        rows: Rows of the input.
        inner: Length of the sums.
        columns: Columns of the constant.
        dtype: ``float32`` or ``float16``.
    """
    random = np.random.default_rng(0)
    weights = random.standard_normal((inner, columns)).astype(dtype)
    kind = _TYPES[dtype]
    tensor = (
        b"".join(_number(1, size) for size in weights.shape)
        + _number(2, kind)
        + _text(8, "b")
        + _message(9, weights.tobytes())
    )
    node = _text(1, INPUT) + _text(1, "b") + _text(2, OUTPUT) + _text(3, "mm") + _text(4, "MatMul")
    graph = (
        _message(1, node)
        + _text(2, "product")
        + _message(5, tensor)
        + _message(11, _value(INPUT, kind, (rows, inner)))
        + _message(12, _value(OUTPUT, kind, (rows, columns)))
    )
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, opset)


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
