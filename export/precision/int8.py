"""int8 by explicit quantizing nodes, through ONNX Runtime's quantiser.

Weights are symmetric, one scale for each output channel; activations symmetric, one scale each,
taken from the extremes of the calibration. TensorRT reads no other kind.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.graph.edit import drop_dead_nodes, drop_unused_initializers
from hot_sdk.manifest import KEYPOINTS

_LAID_OUT = "hot_sdk.rows"


def quantize(
    model: onnx.ModelProto, products: Collection[str], batches: list[NDArray[np.float32]]
) -> onnx.ModelProto:
    """A copy whose products take int8 inputs and int8 weights.

    Args:
        model: In float32, with products apart from their biases; see ``products_apart``.
        products: Names of the nodes.
        batches: Inputs of the network to calibrate with.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with _quantiser(model) as (ready, target):
        quantize_static(
            ready,
            target,
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=sorted(products),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
            },
        )
        return _read(target, model, products)


def quantise_dynamically(model: onnx.ModelProto, products: Collection[str]) -> onnx.ModelProto:
    """A copy whose products take int8 weights, and inputs that each run quantises by itself.

    It needs no calibration. ONNX Runtime and OpenVINO have the operators; TensorRT has not.

    Args:
        model: In float32, with products apart from their biases; see ``products_apart``.
        products: Names of the nodes.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quantiser(model) as (ready, target):
        quantize_dynamic(
            ready,
            target,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=sorted(products),
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        return _read(target, model, products)


def products_apart(
    model: onnx.ModelProto, products: Collection[str], *, for_good: bool
) -> onnx.ModelProto:
    """A copy in which products with a bias are a product and a sum.

    A quantized product with its bias inside needs the bias in int32, which TensorRT does not read.

    Args:
        model: In float32.
        products: Names of the nodes.
        for_good: Give the bias three axes. One with fewer ONNX Runtime joins to the product again,
            before it sees that the product is quantized, and then computes it in float32: four
            times slower. Where activations are quantized as they come it joins them rightly.
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
        if node.name not in products or node.op_type != "Gemm":
            nodes.append(node)
            continue
        weight = numpy_helper.to_array(tensors[node.input[1]])
        if _is_transposed(node):
            weight = np.ascontiguousarray(weight.T)
        matrix = constant(f"{node.input[1]}.matrix", weight)
        output, columns = node.output[0], weight.shape[1]
        if len(node.input) < 3:
            nodes.append(helper.make_node("MatMul", [node.input[0], matrix], [output], node.name))
            continue
        product, summed = f"{output}.product", f"{output}.sum"
        if not for_good:
            nodes += [
                helper.make_node("MatMul", [node.input[0], matrix], [product], node.name),
                helper.make_node("Add", [product, node.input[2]], [output], f"{node.name}.bias"),
            ]
            continue
        bias = numpy_helper.to_array(tensors[node.input[2]]).reshape(1, 1, -1)
        bias_name = constant(f"{node.input[2]}.bias", bias)
        rows = constant(f"{_LAID_OUT}.{columns}", np.array([-1, columns], np.int64))
        nodes += [
            helper.make_node("MatMul", [node.input[0], matrix], [product], node.name),
            helper.make_node("Add", [product, bias_name], [summed], f"{node.name}.bias"),
            helper.make_node("Reshape", [summed, rows], [output], f"{node.name}.rows"),
        ]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    copy.graph.initializer.extend(added.values())
    drop_unused_initializers(copy.graph)
    return copy


def with_some(
    quantized: onnx.ModelProto, original: onnx.ModelProto, products: Collection[str]
) -> onnx.ModelProto:
    """A copy of a quantized model in which only some of its products are.

    Args:
        quantized: Of :func:`quantize`.
        original: What it was made from.
        products: Names of the products that stay quantized.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(quantized)
    exact = {node.name: node for node in original.graph.node}
    for node in copy.graph.node:
        before = exact.get(node.name)
        if before is not None and node.op_type == "MatMul" and node.name not in products:
            del node.input[:]
            node.input.extend(before.input)
    there = {tensor.name for tensor in copy.graph.initializer}
    copy.graph.initializer.extend(
        tensor for tensor in original.graph.initializer if tensor.name not in there
    )
    drop_dead_nodes(copy.graph)
    return copy


class _Batches:
    """What the quantiser calls a calibration data reader."""

    def __init__(self, batches: list[NDArray[np.float32]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {KEYPOINTS: batch}


@contextmanager
def _quantiser(model: onnx.ModelProto) -> Iterator[tuple[onnx.ModelProto, Path]]:
    """A copy for the quantiser, which changes it, and a file for what it makes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    # Says that the graph is simplified already; else a warning tells the user to do so.
    helper.set_model_props(copy, {"onnx.quant.pre_process": "onnxruntime.quant"})
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield copy, Path(folder) / "quantized.onnx"
    finally:
        root.setLevel(level)


def _read(target: Path, model: onnx.ModelProto, products: Collection[str]) -> onnx.ModelProto:
    made = onnx.load(target)
    _require_quantised(made.graph, products)
    del made.metadata_props[:]
    del made.graph.value_info[:]
    made.producer_name, made.producer_version = model.producer_name, model.producer_version
    standard = [entry for entry in made.opset_import if entry.domain in ("", "ai.onnx")]
    del made.opset_import[:]
    made.opset_import.extend(standard)
    onnx.checker.check_model(made, full_check=False)
    return made


def _require_quantised(graph: onnx.GraphProto, products: Collection[str]) -> None:
    """The quantiser leaves out, without a word, what it cannot quantize."""
    maker = {output: node.op_type for node in graph.node for output in node.output}
    left = [
        node.name
        for node in graph.node
        if node.name in products
        and node.op_type == "MatMul"
        and any(maker.get(name) != "DequantizeLinear" for name in node.input)
    ]
    if left:
        raise GraphCheckError(
            f"{len(left)} products were not quantized, '{left[0]}' among them.",
            hint="Install another onnxruntime, or except them with --keep-float.",
        )


def _is_transposed(node: onnx.NodeProto) -> bool:
    return any(entry.name == "transB" and entry.i for entry in node.attribute)
