"""Convert a graph to float16 by explicit casts, except what has to stay float32.

Every tensor has the type of the node that makes it, and a cast stands only where a reader needs the
other type. So a value that one float32 node hands to another is never rounded in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.graph.view import attribute, view_graph
from hot_sdk.export.models.families import Family
from hot_sdk.export.precision.rules import MOVING, NodeRule, float32_nodes

_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_LARGEST = float(np.finfo(np.float16).max)
_SUFFIX: dict[int, str] = {_FLOAT: "float32", _HALF: "float16"}


def to_float16(
    model: onnx.ModelProto,
    family: Family,
    *,
    quantized: Collection[str] = (),
    rules: Iterable[NodeRule] | None = None,
) -> onnx.ModelProto:
    """Return a copy in float16, except what has to stay float32; so do inputs and outputs.

    Args:
        model: In float32, or in int8 and float32.
        family: The family, whose exceptions apply.
        quantized: Names of the nodes that multiply in int8. They read and return float32 with their
            scales: ONNX has scales in float16 only from opset 19 on.
        rules: See :func:`hot_sdk.export.precision.rules.float32_nodes`.

    Raises:
        GraphCheckError: A weight is beyond the range of float16.
    """
    kept = float32_nodes(model, family, quantized=quantized, rules=rules)
    _require_in_range(model.graph, kept)
    converted = _Conversion(model, kept).run()
    require_unrounded(converted.graph, kept)
    onnx.checker.check_model(converted, full_check=False)
    return converted


class _Conversion:
    """One conversion.

    Args:
        model: In float32; not changed.
        kept: Names of the nodes that stay float32.
    """

    def __init__(self, model: onnx.ModelProto, kept: Collection[str]) -> None:
        self._model, self._kept = model, kept
        view = view_graph(model)
        floats = {name for name, tensor in view.tensors.items() if tensor.dtype == _FLOAT}
        self._constants = {
            tensor.name: tensor for tensor in model.graph.initializer if tensor.name in floats
        }
        self._type = dict.fromkeys(floats, _FLOAT)
        for node in model.graph.node:
            for name in node.output:
                if name in floats and node.name not in kept:
                    self._type[name] = _HALF
        self._outputs = {output.name for output in model.graph.output} & floats
        self._cast: set[tuple[str, int]] = set()
        self._read = {
            (name, self._wanted(node)) for node in model.graph.node for name in node.input
        }

    def run(self) -> onnx.ModelProto:
        """Return the converted copy."""
        nodes: list[onnx.NodeProto] = []
        for original in self._model.graph.node:
            node = onnx.NodeProto.FromString(original.SerializeToString())
            wanted = self._wanted(node)
            for position, name in enumerate(node.input):
                if name in self._constants:
                    node.input[position] = self._constant(name, wanted)
                elif name in self._type:
                    nodes.extend(self._casts(name, wanted))
                    node.input[position] = self._name(name, wanted)
            for position, name in enumerate(node.output):
                if name in self._type:
                    node.output[position] = self._name(name, self._type[name])
            if wanted == _HALF:
                _narrow_attributes(node)
            nodes.append(node)
        for name in sorted(self._outputs):
            nodes.extend(self._casts(name, _FLOAT))
        converted = onnx.ModelProto()
        converted.CopyFrom(self._model)
        graph = converted.graph
        del graph.value_info[:], graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend(self._initializers())
        return converted

    def _wanted(self, node: onnx.NodeProto) -> int:
        return _FLOAT if node.name in self._kept else _HALF

    def _name(self, name: str, dtype: int) -> str:
        """Return the name of a tensor in a type: its own in that of its maker, or of an output."""
        own = _FLOAT if name in self._outputs else self._type[name]
        return name if dtype == own else f"{name}.{_SUFFIX[dtype]}"

    def _casts(self, name: str, dtype: int) -> Iterator[onnx.NodeProto]:
        if dtype == self._type[name] or (name, dtype) in self._cast:
            return
        self._cast.add((name, dtype))
        source, target = self._name(name, self._type[name]), self._name(name, dtype)
        label = f"{name}/to_{_SUFFIX[dtype]}"
        yield helper.make_node("Cast", [source], [target], label, to=dtype)

    def _constant(self, name: str, dtype: int) -> str:
        both = (name, _FLOAT) in self._read and (name, _HALF) in self._read
        return f"{name}.{_SUFFIX[_HALF]}" if both and dtype == _HALF else name

    def _initializers(self) -> Iterator[TensorProto]:
        for tensor in self._model.graph.initializer:
            if tensor.name not in self._constants or (tensor.name, _FLOAT) in self._read:
                yield tensor
            if tensor.name in self._constants and (tensor.name, _HALF) in self._read:
                yield _narrowed(tensor, self._constant(tensor.name, _HALF))


def _narrowed(tensor: TensorProto, name: str) -> TensorProto:
    values: TensorProto = numpy_helper.from_array(
        numpy_helper.to_array(tensor).astype(np.float16), name
    )
    return values


def _narrow_attributes(node: onnx.NodeProto) -> None:
    for item in node.attribute:
        if node.op_type == "Cast" and item.name == "to" and item.i == _FLOAT:
            item.i = _HALF
        elif item.type == onnx.AttributeProto.TENSOR and item.t.data_type == _FLOAT:
            item.t.CopyFrom(_narrowed(item.t, item.t.name))


def require_unrounded(graph: onnx.GraphProto, kept: Collection[str]) -> None:
    """Raise if a float32 node or an output receives, rounded to float16, what another computed.

    Args:
        graph: The converted graph.
        kept: Names of the nodes that stay float32.

    Raises:
        GraphCheckError: Names the nodes.
    """
    makers = {output: node for node in graph.node for output in node.output}
    rounded: dict[str, str] = {}
    for node in graph.node:
        if node.op_type != "Cast" and node.op_type not in MOVING:
            continue
        source = next((rounded[name] for name in node.input if name in rounded), "")
        if not source and node.op_type == "Cast" and attribute(node, "to", 0) == _HALF:
            source = _computed_in_float32(node.input[0], makers, kept)
        if source:
            rounded.update(dict.fromkeys(node.output, source))
    readers = [
        (f"{node.op_type} '{node.name}'", list(node.input))
        for node in graph.node
        if node.name in kept
    ]
    readers.append(("An output", [output.name for output in graph.output]))
    for reader, names in readers:
        for name in names:
            if name in rounded:
                raise GraphCheckError(
                    f"{reader} receives what '{rounded[name]}' computed, rounded to float16.",
                    hint="Export with --precision fp32, and report it.",
                )


def _computed_in_float32(
    name: str, makers: Mapping[str, onnx.NodeProto], kept: Collection[str]
) -> str:
    """Return the float32 node, constant or input whose values a tensor holds; else nothing."""
    node = makers.get(name)
    if node is None:
        return name
    if node.name in kept:
        return node.name
    if node.op_type != "Cast" and node.op_type not in MOVING:
        return ""
    found = (_computed_in_float32(each, makers, kept) for each in node.input[:1])
    return next(filter(None, found), "")


def _require_in_range(graph: onnx.GraphProto, kept: Collection[str]) -> None:
    used = {name for node in graph.node if node.name not in kept for name in node.input}
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name not in used:
            continue
        largest = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
        if not largest <= _LARGEST:
            raise GraphCheckError(
                f"The weight '{tensor.name}' holds {largest:.4g}; float16 ends at {_LARGEST:g}.",
                hint="Export with --precision fp32.",
            )
