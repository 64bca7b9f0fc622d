"""Compute a float16 graph as a GPU may: every float16 value rounded, sums of products in float16.

ONNX Runtime has hardly any float16 kernels for CPUs. It computes neighboring float16 nodes in
float32 and rounds nothing between them, so that what it verifies is better than what a device
computes. Here each float16 node computes in float32, and casts that no engine drops round its
result; a matrix multiplication adds up 16 products at a time and rounds its sum after each step, as
Tensor Cores do that add up in float16.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hot_sdk.export.graph.view import GraphView, TensorInfo, attribute, view_graph
from hot_sdk.export.precision.rules import MOVING

_HALF, _FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT
_AT_A_TIME = 16


def with_half_sums(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph in float32 whose values are those of a float16 graph on a device.

    Args:
        model: With float16 nodes; not changed.
    """
    view = view_graph(model)
    emulated = onnx.ModelProto()
    emulated.CopyFrom(model)
    graph = emulated.graph
    del graph.value_info[:], graph.node[:], graph.initializer[:]
    graph.initializer.extend(_widened(tensor) for tensor in model.graph.initializer)
    builder = _Builder(view)
    for node in model.graph.node:
        graph.node.extend(builder.emulated(node))
    graph.initializer.extend(builder.constants)
    return emulated


class _Builder:
    """Turns nodes into those that emulate them."""

    def __init__(self, view: GraphView) -> None:
        self._view = view
        self._tensors: Mapping[str, TensorInfo] = view.tensors
        self._numbers = itertools.count()
        self.constants: list[TensorProto] = []

    def emulated(self, original: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield the nodes in place of one."""
        node = onnx.NodeProto.FromString(original.SerializeToString())
        if node.op_type == "Cast" and attribute(node, "to", 0) == _HALF:
            yield from self._rounded(node.input[0], node.output[0])
        elif not any(map(self._is_half, node.output)):
            yield node
        elif node.op_type == "MatMul":
            yield from self._sums(node.input[0], node.input[1], node.output[0])
        elif node.op_type == "Gemm" and _is_plain(node):
            product = self._name("product") if len(node.input) > 2 else node.output[0]
            yield from self._sums(node.input[0], node.input[1], product)
            if len(node.input) > 2:
                total = self._name("total")
                yield helper.make_node("Add", [product, node.input[2]], [total])
                yield from self._rounded(total, node.output[0])
        else:
            yield from self._computed(node)

    def _computed(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        for item in node.attribute:
            if item.type == onnx.AttributeProto.TENSOR:
                item.t.CopyFrom(_widened(item.t))
        # What only moves values has nothing to round.
        exact = node.op_type in MOVING or node.op_type == "Constant"
        outputs = [name for name in node.output if self._is_half(name) and not exact]
        names = {name: self._name("exact") for name in outputs}
        for position, name in enumerate(node.output):
            node.output[position] = names.get(name, name)
        yield node
        for name in outputs:
            yield from self._rounded(names[name], name)

    def _rounded(self, source: str, target: str) -> Iterator[onnx.NodeProto]:
        half = self._name("half")
        yield helper.make_node("Cast", [source], [half], to=_HALF)
        yield helper.make_node("Cast", [half], [target], to=_FLOAT)

    def _sums(self, left: str, right: str, target: str) -> Iterator[onnx.NodeProto]:
        """Multiply matrices, some columns and rows at a time."""
        shapes = self._tensors[left].shape, self._tensors[right].shape
        length = None if shapes[0] is None else shapes[0][-1]
        if length is None or length <= _AT_A_TIME or shapes[1] is None or len(shapes[1]) < 2:
            exact = self._name("exact")
            yield helper.make_node("MatMul", [left, right], [exact])
            yield from self._rounded(exact, target)
            return
        count = -(-length // _AT_A_TIME)
        sizes = [_AT_A_TIME] * (count - 1) + [length - _AT_A_TIME * (count - 1)]
        split = self._name("sizes")
        self.constants.append(numpy_helper.from_array(np.array(sizes, np.int64), split))
        columns = [self._name("columns") for _ in sizes]
        rows = [self._name("rows") for _ in sizes]
        yield helper.make_node("Split", [left, split], columns, axis=-1)
        yield helper.make_node("Split", [right, split], rows, axis=len(shapes[1]) - 2)
        total = ""
        for place, parts in enumerate(zip(columns, rows, strict=True)):
            product = self._name("product")
            yield helper.make_node("MatMul", list(parts), [product])
            if total:
                product, added = self._name("sum"), product
                yield helper.make_node("Add", [total, added], [product])
            total = target if place == count - 1 else self._name("total")
            yield from self._rounded(product, total)

    def _is_half(self, name: str) -> bool:
        return name in self._tensors and self._tensors[name].dtype == _HALF

    def _name(self, kind: str) -> str:
        return f"half_sums.{kind}.{next(self._numbers)}"


def _is_plain(node: onnx.NodeProto) -> bool:
    """Return True if a Gemm is the product of its first two inputs, plus the third."""
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    found = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {**plain, **found} == plain


def _widened(tensor: TensorProto) -> TensorProto:
    """Return a float16 tensor in float32, and any other as it is."""
    if tensor.data_type != _HALF:
        return tensor
    widened: TensorProto = numpy_helper.from_array(
        numpy_helper.to_array(tensor).astype(np.float32), tensor.name
    )
    return widened
