"""Read the nodes and constants of an ONNX file, and write a copy with some nodes replaced."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.onnx_bytes import begin_message, message, write_opset, write_tensor
from hot_sdk.engines.protobuf import (
    Buffer,
    Field,
    Message,
    read_fields,
    read_integers,
    read_message,
    read_text,
    read_texts,
)

# Numbers of fields in onnx.proto, by message.
_MODEL_GRAPH, _MODEL_OPSET = 7, 8
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR = 1, 2, 3, 4
_NODE_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INT = 1, 3
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_VALUE_NAME, _OPSET_DOMAIN = 1, 1
_ATTRIBUTE_GRAPHS = frozenset({6, 11})
_STANDARD = ("", "ai.onnx")
_MOST_AXES = 64
_KEEPING_AXES = frozenset(
    {"Cast", "DequantizeLinear", "Erf", "Gelu", "Identity", "LayerNormalization", "QuantizeLinear"}
    | {"Relu", "Sigmoid", "Softmax", "Sqrt", "Tanh", "Transpose"}
)
_BROADCASTING = frozenset({"Add", "Div", "Mul", "Sub"})
_DTYPES: Mapping[int | None, type[np.generic]] = {1: np.float32, 3: np.int8, 7: np.int64}


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        operator: Its operator, with the domain and a colon before it if it is no standard one.
        name: Its name; may be empty.
        inputs: Names of what it reads; empty for those that are left out.
        outputs: Names of what it returns.
        attributes: Its attributes by name; None for one that is no integer.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, int | None]


@dataclass(frozen=True)
class Nodes:
    """The nodes of a model's graph, without those of subgraphs, and its constants.

    Attributes:
        buffer: The model.
        nodes: In the order of the file.
        readers: Positions of the nodes that read a value, by the value's name.
        makers: Position of the node that returns a value, by the value's name.
        interface: Names of the graph's inputs and outputs.
        has_subgraphs: Whether a node holds a graph, which may read any value.
        tensors: Where each constant is, by name.
    """

    buffer: Buffer
    nodes: Sequence[Node]
    readers: Mapping[str, Sequence[int]]
    makers: Mapping[str, int]
    interface: frozenset[str]
    has_subgraphs: bool
    tensors: Mapping[str, Field]

    def maker(self, name: str, operator: str) -> int | None:
        """Return the position of the node that returns a value; None if it is of another kind."""
        place = self.makers.get(name)
        return place if place is not None and self.nodes[place].operator == operator else None

    def axes(self) -> dict[str, int]:
        """Return the number of axes of each value of which the nodes tell it."""
        found: dict[str, int] = {}
        for node in self.nodes:
            read = [self._axes_of(name, found) for name in node.inputs]
            number: int | None = None
            if node.operator == "Reshape" and len(read) == 2:
                shape = self.constant(node.inputs[1])
                number = None if shape is None else shape.size
            elif node.operator == "Gemm":
                number = 2
            elif node.operator in _KEEPING_AXES and read:
                number = read[0]
            elif node.operator in _BROADCASTING and read and None not in read:
                number = max(each for each in read if each is not None)
            if number is not None and node.outputs:
                found[node.outputs[0]] = number
        return found

    def _axes_of(self, name: str, found: Mapping[str, int]) -> int | None:
        constant = self.constant_type(name)
        return found.get(name) if constant is None else len(constant[1])

    def constant_type(self, name: str) -> tuple[type[np.generic], tuple[int, ...]] | None:
        """Return the type and shape of a constant that :meth:`constant` returns."""
        found = self._stored(name)
        return None if found is None else found[:2]

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return a constant of float32, int8 or int64; None for anything else."""
        found = self._stored(name)
        if found is None:
            return None
        dtype, shape, raw = found
        return np.frombuffer(self.buffer[raw.begin : raw.end], dtype).reshape(shape)

    def _stored(self, name: str) -> tuple[type[np.generic], tuple[int, ...], Field] | None:
        """Return the type and shape of a constant, and where its values are."""
        if name not in self.tensors or name in self.interface:
            return None
        fields = read_message(self.buffer, self.tensors[name])
        dtype = _DTYPES.get(fields[_TENSOR_TYPE][-1].value) if _TENSOR_TYPE in fields else None
        if dtype is None or _TENSOR_RAW not in fields:
            return None
        sizes = read_integers(self.buffer, fields.get(_TENSOR_DIMS, ()), _MOST_AXES)
        shape, raw = tuple(sizes), fields[_TENSOR_RAW][-1]
        is_whole = raw.end - raw.begin == math.prod(shape) * np.dtype(dtype).itemsize
        return (dtype, shape, raw) if is_whole else None


def written_nodes(buffer: Buffer) -> Iterator[bytes]:
    """Yield each node of a checked model as it is written.

    Raises:
        ValueError: It is not a complete model.
    """
    graph = _graph(buffer)
    for field in read_fields(buffer, graph.begin, graph.end):
        if field.number == _GRAPH_NODE:
            yield buffer[field.begin : field.end]


def read_nodes(buffer: Buffer) -> Nodes:
    """Read the graph of a checked model.

    Raises:
        ValueError: It is not a complete model.
    """
    graph = _graph(buffer)
    nodes: list[Node] = []
    readers: dict[str, list[int]] = {}
    makers: dict[str, int] = {}
    tensors: dict[str, Field] = {}
    interface: set[str] = set()
    has_subgraphs = False
    for field in read_fields(buffer, graph.begin, graph.end):
        if field.number == _GRAPH_NODE:
            fields = read_message(buffer, field)
            node = _node(buffer, fields)
            for name in node.inputs:
                readers.setdefault(name, []).append(len(nodes))
            makers.update(dict.fromkeys(node.outputs, len(nodes)))
            has_subgraphs = has_subgraphs or _holds_graph(buffer, fields)
            nodes.append(node)
        elif field.number == _GRAPH_TENSOR:
            tensors[read_text(buffer, read_message(buffer, field), _TENSOR_NAME)] = field
        elif field.number in (_GRAPH_INPUT, _GRAPH_OUTPUT):
            interface.add(read_text(buffer, read_message(buffer, field), _VALUE_NAME))
    return Nodes(buffer, nodes, readers, makers, frozenset(interface), has_subgraphs, tensors)


def with_nodes(
    buffer: Buffer,
    *,
    removed: Collection[int],
    added: Mapping[int, Sequence[bytes]],
    constants: Mapping[str, NDArray[Any]],
    domains: Mapping[str, int],
) -> bytes:
    """Return a copy of a model with other nodes.

    Args:
        buffer: The model.
        removed: Positions of the nodes to leave out.
        added: Nodes to write after a node, or where it was, by its position: as
            ``onnx_bytes.write_node`` returns them.
        constants: Constants to add, by name.
        domains: Versions of further domains of operators that the new nodes are of.
    """
    graph = _graph(buffer)
    parts: list[bytes] = []
    place, copied = 0, graph.begin
    for field, start in _with_starts(buffer, graph.begin, graph.end):
        if field.number != _GRAPH_NODE:
            continue
        if place in removed or place in added:
            parts.append(buffer[copied : start if place in removed else field.end])
            parts.extend(message(_GRAPH_NODE, node) for node in added.get(place, ()))
            copied = field.end
        place += 1
    parts.append(buffer[copied : graph.end])
    parts.extend(
        message(_GRAPH_TENSOR, write_tensor(name, values)) for name, values in constants.items()
    )
    whole: list[bytes] = []
    for field, start in _with_starts(buffer, 0, len(buffer)):
        if field.number == _MODEL_GRAPH:
            # Its parts are joined once, with the rest: nearly all of a file is in it.
            whole.append(begin_message(_MODEL_GRAPH, sum(map(len, parts))))
            whole.extend(parts)
        else:
            whole.append(buffer[start : field.end])
    present = {
        read_text(buffer, read_message(buffer, field), _OPSET_DOMAIN)
        for field in read_fields(buffer, 0, len(buffer))
        if field.number == _MODEL_OPSET
    }
    whole.extend(
        message(_MODEL_OPSET, write_opset(domain, version))
        for domain, version in domains.items()
        if domain not in present
    )
    return b"".join(whole)


def _graph(buffer: Buffer) -> Field:
    for field in read_fields(buffer, 0, len(buffer)):
        if field.number == _MODEL_GRAPH:
            return field
    raise ValueError("it has no graph")


def _with_starts(buffer: Buffer, start: int, stop: int) -> Iterator[tuple[Field, int]]:
    """Yield the fields of a message, and where each begins with its number."""
    for field in read_fields(buffer, start, stop):
        yield field, start
        start = field.end


def _node(buffer: Buffer, fields: Message) -> Node:
    attributes: dict[str, int | None] = {}
    for field in fields.get(_NODE_ATTRIBUTE, ()):
        attribute = read_message(buffer, field)
        value = attribute[_ATTRIBUTE_INT][-1].value if _ATTRIBUTE_INT in attribute else None
        attributes[read_text(buffer, attribute, _ATTRIBUTE_NAME)] = value
    domain = read_text(buffer, fields, _NODE_DOMAIN)
    operator = read_text(buffer, fields, _NODE_OPERATOR)
    return Node(
        operator if domain in _STANDARD else f"{domain}:{operator}",
        read_text(buffer, fields, _NODE_NAME),
        tuple(read_texts(buffer, fields, _NODE_INPUT)),
        tuple(read_texts(buffer, fields, _NODE_OUTPUT)),
        attributes,
    )


def _holds_graph(buffer: Buffer, node: Message) -> bool:
    return any(
        not _ATTRIBUTE_GRAPHS.isdisjoint(read_message(buffer, field))
        for field in node.get(_NODE_ATTRIBUTE, ())
    )
