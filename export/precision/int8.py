"""Convert matrix multiplications to int8 by quantizing nodes.

Weights are symmetric, one scale per output channel; activations are symmetric, one scale per
tensor, from the extremes of the calibration. TensorRT reads no other kind. Without calibration,
ONNX Runtime's quantizer makes the graph.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hot_sdk._base.leftovers import temporary_folder
from hot_sdk.engines.session import Arrays
from hot_sdk.errors import GraphCheckError
from hot_sdk.export.graph.trace import without_unused
from hot_sdk.export.precision.ranges import largest_magnitudes
from hot_sdk.export.steps import Count, uncounted

_ROWS = "hot_sdk.rows"
_LARGEST = 127


def quantize(
    model: onnx.ModelProto,
    matmuls: Collection[str],
    batches: Sequence[Arrays] | None,
    *,
    count: Count = uncounted,
) -> onnx.ModelProto:
    """Return a copy whose matrix multiplications have int8 weights and int8 inputs.

    Args:
        model: In float32, with biases split off by :func:`split_gemm_bias`.
        matmuls: Names of the nodes to quantize.
        batches: Inputs of the network to calibrate with. None leaves the scales of the inputs to
            each run, by operators that ONNX Runtime and OpenVINO have, and TensorRT has not.
        count: Called with the batches that were calibrated with, and their total.

    Raises:
        GraphCheckError: An activation is not finite, or a node was left out.
    """
    if batches is None:
        made = _quantize_each_run(model, matmuls)
    else:
        read = {node.input[0] for node in model.graph.node if node.name in matmuls}
        made = _quantize(model, matmuls, largest_magnitudes(model, read, batches, count=count))
    _require_quantized(made.graph, matmuls)
    onnx.checker.check_model(made, full_check=False)
    return made


def _quantize(
    model: onnx.ModelProto, matmuls: Collection[str], largest: Mapping[str, np.float32]
) -> onnx.ModelProto:
    """Return a copy with nodes that quantize and dequantize what the matrix multiplications read.

    Args:
        model: In float32.
        matmuls: Names of the nodes.
        largest: The largest magnitude of each activation that they read.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    kept: list[onnx.NodeProto] = []
    first: list[onnx.NodeProto] = []
    added: dict[str, TensorProto] = {}
    ready: set[str] = set()

    def add(name: str, values: NDArray[Any]) -> str:
        added[name] = numpy_helper.from_array(values, name)
        return name

    def scaled(name: str, scale: NDArray[np.float32]) -> list[str]:
        zero = np.zeros(scale.shape, np.int8)
        return [add(f"{name}_scale", scale), add(f"{name}_zero_point", zero)]

    for original in model.graph.node:
        node = onnx.NodeProto.FromString(original.SerializeToString())
        kept.append(node)
        if node.name not in matmuls or node.op_type != "MatMul":
            continue
        source, weight = node.input
        if weight not in ready:
            values = numpy_helper.to_array(weights[weight])
            scale = _scale(np.abs(values).max(axis=0))
            whole = np.clip(np.rint(values / scale), -_LARGEST, _LARGEST).astype(np.int8)
            read = [add(f"{weight}_quantized", whole), *scaled(weight, scale)]
            first.append(_node("DequantizeLinear", weight, read, axis=1))
        if source not in ready:
            parameters = scaled(source, _scale(largest[source]))
            turn = _node("QuantizeLinear", source, [source, *parameters])
            back = _node("DequantizeLinear", source, [turn.output[0], *parameters])
            kept[-1:] = [turn, back, node]
        ready.update((source, weight))
        node.input[0], node.input[1] = (_result("DequantizeLinear", each) for each in node.input)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:], copy.graph.value_info[:]
    copy.graph.node.extend([*first, *kept])
    copy.graph.initializer.extend(added.values())
    return without_unused(ir.from_proto(copy))


def _scale(largest: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Return the scales of which 127 reach a magnitude; 1 for what is always 0."""
    scale = (np.asarray(largest, np.float64) / _LARGEST).astype(np.float32)
    tiny = scale < np.finfo(np.float32).tiny
    return np.where(tiny, np.float32(1.0), scale)


def _result(kind: str, name: str) -> str:
    return f"{name}_{kind}_Output"


def _node(kind: str, name: str, inputs: list[str], **attributes: int) -> onnx.NodeProto:
    node = helper.make_node(kind, inputs, [_result(kind, name)], f"{name}_{kind}")
    node.attribute.extend(helper.make_attribute(*one) for one in attributes.items())
    return node


def _quantize_each_run(model: onnx.ModelProto, matmuls: Collection[str]) -> onnx.ModelProto:
    """Return a copy whose activations are quantized with the scale of each run."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    # Declares the graph as simplified already; without it a warning asks the user to do so.
    helper.set_model_props(copy, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with temporary_folder("hot-export") as folder, _quiet():
        source, target = folder / "model.onnx", folder / "quantized.onnx"
        # As a file: ONNX Runtime 1.19 saves a model in memory twice, the second time without its
        # weights.
        onnx.save(copy, source)
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=sorted(matmuls),
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        made = onnx.load(target)
    del made.metadata_props[:]
    del made.graph.value_info[:]
    made.producer_name, made.producer_version = model.producer_name, model.producer_version
    standard = [entry for entry in made.opset_import if entry.domain in ("", "ai.onnx")]
    del made.opset_import[:]
    made.opset_import.extend(standard)
    return made


@contextmanager
def _quiet() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _require_quantized(graph: onnx.GraphProto, matmuls: Collection[str]) -> None:
    """Raise for what the quantizer left out, which it does without a word."""
    maker = {output: node.op_type for node in graph.node for output in node.output}
    left = [
        node.name
        for node in graph.node
        if node.name in matmuls
        and node.op_type == "MatMul"
        and any(maker.get(name) != "DequantizeLinear" for name in node.input)
    ]
    if left:
        raise GraphCheckError(
            f"{len(left)} matrix multiplications were not quantized, '{left[0]}' among them.",
            hint="Install another onnxruntime, or exclude them with --keep-float.",
        )


def split_gemm_bias(
    model: onnx.ModelProto, matmuls: Collection[str], *, keep_separate: bool
) -> onnx.ModelProto:
    """Return a copy in which each Gemm among the nodes is a MatMul and an Add.

    A quantized Gemm needs its bias in int32, which TensorRT does not read.

    Args:
        model: In float32.
        matmuls: Names of the nodes.
        keep_separate: Make the bias 3-D. ONNX Runtime fuses a bias of fewer axes back into the
            MatMul, before it detects that the MatMul is quantized, and then computes it in float32:
            four times slower. With activations scaled by each run it fuses them correctly.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    tensors = {tensor.name: tensor for tensor in copy.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    added: dict[str, TensorProto] = {}

    def constant(name: str, values: NDArray[Any]) -> str:
        if name not in tensors and name not in added:
            added[name] = numpy_helper.from_array(values, name)
        return name

    for node in copy.graph.node:
        if node.name not in matmuls or node.op_type != "Gemm":
            nodes.append(node)
            continue
        weight = numpy_helper.to_array(tensors[node.input[1]])
        if any(entry.name == "transB" and entry.i for entry in node.attribute):
            weight = np.ascontiguousarray(weight.T)
        factors = [node.input[0], constant(f"{node.input[1]}.matrix", weight)]
        output, columns = node.output[0], weight.shape[1]
        if len(node.input) < 3:
            nodes.append(helper.make_node("MatMul", factors, [output], node.name))
            continue
        product, summed, bias = f"{output}.product", output, node.input[2]
        if keep_separate:
            values = numpy_helper.to_array(tensors[bias]).reshape(1, 1, -1)
            summed, bias = f"{output}.sum", constant(f"{bias}.bias", values)
        nodes.append(helper.make_node("MatMul", factors, [product], node.name))
        nodes.append(helper.make_node("Add", [product, bias], [summed], f"{node.name}.bias"))
        if keep_separate:
            rows = constant(f"{_ROWS}.{columns}", np.array([-1, columns], np.int64))
            nodes.append(helper.make_node("Reshape", [summed, rows], [output], f"{node.name}.rows"))
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    copy.graph.initializer.extend(added.values())
    return without_unused(ir.from_proto(copy))


def dequantize_except(
    quantized: onnx.ModelProto, original: onnx.ModelProto, matmuls: Collection[str]
) -> onnx.ModelProto:
    """Return a copy of a quantized model in which only some nodes are quantized.

    Args:
        quantized: Returned by :func:`quantize`.
        original: The model that it was made from.
        matmuls: Names of the nodes that stay quantized.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(quantized)
    exact = {node.name: node for node in original.graph.node}
    for node in copy.graph.node:
        before = exact.get(node.name)
        if before is not None and node.op_type == "MatMul" and node.name not in matmuls:
            del node.input[:]
            node.input.extend(before.input)
    present = {tensor.name for tensor in copy.graph.initializer}
    copy.graph.initializer.extend(
        tensor for tensor in original.graph.initializer if tensor.name not in present
    )
    return without_unused(ir.from_proto(copy))
