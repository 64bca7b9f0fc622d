"""Index an ONNX graph for its checks: nodes of all subgraphs, constants, and inferred types.

Types and shapes are always inferred here, never taken from what the exporter noted in the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)
from onnx.shape_inference import InferenceError, infer_shapes

from hot_sdk.step_graph import KEYS, VALUES

_CACHE = re.compile("|".join(name.format(r"\d{1,3}") for name in (KEYS, VALUES)))
# Larger constants are weights: inference needs their type and shape, and must not copy their data.
_WEIGHT_ELEMENTS = 1024
# The largest constant whose values a check reads; zero points per channel are the largest of them.
_READABLE_ELEMENTS = 1 << 16


@dataclass(frozen=True)
class TensorInfo:
    """The inferred type and shape of a tensor.

    Attributes:
        dtype: Element type, ``TensorProto.DataType``; UNDEFINED if unknown.
        shape: Lengths, None for one that is not a number; None if even the rank is unknown.
    """

    dtype: int
    shape: tuple[int | None, ...] | None

    @property
    def dynamic_axes(self) -> int:
        """The number of axes without a fixed length."""
        return sum(length is None for length in self.shape or ())


UNKNOWN = TensorInfo(TensorProto.UNDEFINED, None)


@dataclass(frozen=True)
class GraphView:
    """An indexed model.

    Attributes:
        model: The model itself; not changed.
        nodes: Nodes of the outermost graph.
        nested: Nodes of all subgraphs.
        constants: Initializers and outputs of Constant nodes, of all subgraphs, by name.
        tensors: Inputs, initializers and node outputs of the outermost graph.
        inference_error: Why types do not match, if they do not.
    """

    model: ModelProto
    nodes: tuple[NodeProto, ...]
    nested: tuple[NodeProto, ...]
    constants: Mapping[str, TensorProto]
    tensors: Mapping[str, TensorInfo]
    inference_error: str | None

    def tensor(self, name: str) -> TensorInfo:
        """Return a tensor's type and shape; ``UNKNOWN`` if it has none."""
        return self.tensors.get(name, UNKNOWN)

    def values(self, node: NodeProto, position: int) -> np.ndarray | None:
        """Return a small constant input, flat; None if it is absent, computed or large."""
        tensor = self.constants.get(input_name(node, position))
        if tensor is None or is_external(tensor) or math.prod(tensor.dims) > _READABLE_ELEMENTS:
            return None
        return numpy_helper.to_array(tensor).ravel()


def view_graph(model: ModelProto) -> GraphView:
    """Index a model and infer its types, without copying its weights."""
    outermost, *bodies = _graphs(model.graph)
    nodes = tuple(outermost.node)
    nested = tuple(node for body in bodies for node in body.node)
    constants = {
        tensor.name: tensor for graph in (outermost, *bodies) for tensor in graph.initializer
    }
    for node in (*nodes, *nested):
        if (tensor := _constant_value(node)) is not None:
            constants[node.output[0]] = tensor
    tensors, error = _infer(model)
    return GraphView(model, nodes, nested, constants, tensors, error)


def input_name(node: NodeProto, position: int) -> str:
    """Return the name of an input; empty if an optional input is left out."""
    return node.input[position] if position < len(node.input) else ""


def attribute(node: NodeProto, name: str, default: int | str) -> object:
    """Return an attribute's value as a Python object (text as bytes), or its default."""
    for item in node.attribute:
        if item.name == name:
            value: object = helper.get_attribute_value(item)
            return value
    return default


def caches(model: ModelProto) -> list[str]:
    """Return the names of the inputs that hold keys and values of earlier frames."""
    return [value.name for value in model.graph.input if _CACHE.fullmatch(value.name)]


def is_external(tensor: TensorProto) -> bool:
    """Return True if a tensor's data lies in another file."""
    return tensor.data_location == TensorProto.EXTERNAL


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Iterate over the graphs in a node's attributes: branches and loop bodies."""
    for item in node.attribute:
        if item.HasField("g"):
            yield item.g
        yield from item.graphs


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for body in subgraphs(node):
            yield from _graphs(body)


def _constant_value(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant" or not node.output:
        return None
    for item in node.attribute:
        if item.name == "value":
            tensor: TensorProto = item.t
            return tensor
        if item.name in ("value_int", "value_ints"):
            return numpy_helper.from_array(np.asarray(helper.get_attribute_value(item), np.int64))
        if item.name in ("value_float", "value_floats"):
            return numpy_helper.from_array(np.asarray(helper.get_attribute_value(item), np.float32))
    return None


def _infer(model: ModelProto) -> tuple[dict[str, TensorInfo], str | None]:
    skeleton = _without_weights(model)
    error = None
    try:
        inferred = infer_shapes(skeleton, check_type=True, strict_mode=True, data_prop=True)
    except InferenceError as failure:
        error = " ".join(str(failure).split())
        inferred = _infer_leniently(skeleton)
    graph = inferred.graph
    tensors = {info.name: _tensor_info(info) for info in (*graph.value_info, *graph.output)}
    tensors |= {info.name: _tensor_info(info) for info in model.graph.input}
    for tensor in model.graph.initializer:
        tensors[tensor.name] = TensorInfo(tensor.data_type, tuple(tensor.dims))
    for node in model.graph.node:
        if (weight := _weight(node)) is not None:
            tensors[node.output[0]] = TensorInfo(weight.data_type, tuple(weight.dims))
    return tensors, error


def _infer_leniently(skeleton: ModelProto) -> ModelProto:
    try:
        return infer_shapes(skeleton, check_type=False, strict_mode=False, data_prop=True)
    except InferenceError:
        # A node of a domain that the model does not import stops even the lenient inference.
        return skeleton


def _without_weights(model: ModelProto) -> ModelProto:
    """Return the graph with weights as inputs, so that inference serializes a few kilobytes."""
    graph = GraphProto(name=model.graph.name)
    graph.input.extend(model.graph.input)
    declared = {info.name for info in model.graph.input}
    for tensor in model.graph.initializer:
        if not _is_weight(tensor):
            graph.initializer.append(tensor)
        elif tensor.name not in declared:
            graph.input.append(_declaration(tensor.name, tensor))
    for node in model.graph.node:
        if (weight := _weight(node)) is None:
            graph.node.append(node)
        else:
            graph.input.append(_declaration(node.output[0], weight))
    # A declared output shape would hide that the shape cannot be inferred.
    graph.output.extend(ValueInfoProto(name=info.name) for info in model.graph.output)
    return ModelProto(
        ir_version=max(model.ir_version, 4), opset_import=model.opset_import, graph=graph
    )


def _weight(node: NodeProto) -> TensorProto | None:
    value = _constant_value(node)
    return value if value is not None and _is_weight(value) else None


def _is_weight(tensor: TensorProto) -> bool:
    return is_external(tensor) or math.prod(tensor.dims) > _WEIGHT_ELEMENTS


def _declaration(name: str, tensor: TensorProto) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims))


def _tensor_info(info: ValueInfoProto) -> TensorInfo:
    if not info.type.HasField("tensor_type"):
        return UNKNOWN
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return TensorInfo(tensor.elem_type, None)
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return TensorInfo(tensor.elem_type, shape)
