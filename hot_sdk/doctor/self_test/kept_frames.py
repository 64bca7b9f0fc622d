"""Make the frames that a model keeps one of its outputs, without the package onnx.

The starter model does not return them, and a board that computes poses from other frames than ONNX
Runtime does so unnoticed where neighboring frames are alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from hot_sdk.engines.onnx_file import check_onnx, read_signature
from hot_sdk.engines.protobuf import Field, read_fields

# Numbers of fields in onnx.proto, by message.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_OUTPUT = 1, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 1, 2, 4
_INT64 = 7


def with_kept_frames(content: bytes, tokens: int) -> tuple[bytes, str] | None:
    """Return a file with its kept frames as a further output, and the output's name.

    They are what a ``Gather`` picks that depends on a ``TopK``: in the order of the frames, and of
    one window.

    Args:
        content: An ONNX file.
        tokens: Frames that it keeps.

    Returns:
        The same file with one more output, an int64 (tokens,); None if it picks no frames that way,
        as with an open batch.
    """
    graph = next(field for field in _fields(content) if field.number == _MODEL_GRAPH)
    name = _picked_by(content, graph)
    known = {spec.name for spec in read_signature(check_onnx(content)).outputs}
    if name is None or name.decode() in known:
        return None
    dimension = _message(1, _number(1, tokens))
    tensor = _number(1, _INT64) + _message(2, dimension)
    output = _message(_GRAPH_OUTPUT, _message(1, name) + _message(2, _message(1, tensor)))
    # The tag of the graph, a message of the model, is one byte; what is before it stays.
    head = _message(_MODEL_GRAPH, content[graph.begin : graph.end])
    before = content[: graph.end - len(head)]
    longer = _message(_MODEL_GRAPH, content[graph.begin : graph.end] + output)
    return before + longer + content[graph.end :], name.decode()


def _picked_by(content: bytes, graph: Field) -> bytes | None:
    """Return the indices of the first Gather whose indices depend on a TopK."""
    chosen: set[bytes] = set()
    for node in _fields(content, graph):
        if node.number != _GRAPH_NODE:
            continue
        parts: dict[int, list[bytes]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _NODE_OPERATOR: [b""]}
        for field in _fields(content, node):
            if field.number in parts:
                parts[field.number].append(content[field.begin : field.end])
        inputs, operator = parts[_NODE_INPUT], parts[_NODE_OPERATOR][-1]
        if operator == b"Gather" and inputs[1] in chosen:
            return inputs[1]
        # Nodes are in the order in which they run.
        if operator == b"TopK" or not chosen.isdisjoint(inputs):
            chosen.update(parts[_NODE_OUTPUT])
    return None


def _fields(content: bytes, message: Field | None = None) -> Iterator[Field]:
    start, stop = (0, len(content)) if message is None else (message.begin, message.end)
    return read_fields(content, start, stop)


def _message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
