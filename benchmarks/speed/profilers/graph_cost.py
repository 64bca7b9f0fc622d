"""What one run of an exported file costs, node by node: operations, bytes moved, kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hot_sdk.benchmarks.speed.profilers.onnxruntime import NodeRun, Trace, trace_runs
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.manifest import KEYPOINTS

PRODUCTS = ("MatMul", "Gemm", "Conv", "MatMulInteger")

_FREE = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Constant", "Shape", "Dropout")
"""Operators that move nothing and start no kernel."""


@dataclass(frozen=True)
class Kernel:
    """A piece of work.

    Attributes:
        flops: Operations of its matrix products.
        bytes: What it reads and writes.
    """

    flops: int
    bytes: int


@dataclass(frozen=True)
class GraphCost:
    """What one run costs.

    Attributes:
        windows: Windows in the run.
        flops: Operations of all matrix products.
        weight_bytes: Constants that are read.
        io_bytes: Input and output.
        largest_product: Rows, length of the sums and columns of the matrix product with the most
            operations; None without one.
        kernels: Of the graph as an engine would run it, each chain of element-wise operators
            counted as one with what comes before it.
    """

    windows: int
    flops: int
    weight_bytes: int
    io_bytes: int
    largest_product: tuple[int, int, int] | None
    kernels: tuple[Kernel, ...]


def cost_of_file(model: Path) -> GraphCost:
    """Cost of one run of a file; a symbolic batch is 1.

    The file is run once in ONNX Runtime, as it is written, to learn its shapes.

    Raises:
        EngineError: ONNX Runtime refuses it.
    """
    with open_session(model, SessionOptions(graph_optimization="none")) as session:
        spec = session.inputs[0]
    shape = tuple(size if isinstance(size, int) else 1 for size in spec.shape)
    window = np.zeros(shape, dtype=spec.dtype)
    trace = trace_runs(model, {KEYPOINTS: window}, runs=1, as_written=True)
    return cost_of_trace(trace, windows=shape[0], input_bytes=window.nbytes)


def cost_of_trace(trace: Trace, *, windows: int, input_bytes: int) -> GraphCost:
    """Cost of one traced run.

    Args:
        trace: Of one run, the graph not optimized and no weight packed.
        windows: Windows in it.
        input_bytes: Of the model's input.
    """
    nodes = [node for node in trace.nodes if node.operator not in _FREE]
    products = [(node, *shape) for node in nodes if (shape := product_shape(node)) is not None]
    largest = max(products, key=lambda one: math.prod(one[1:]), default=None)
    weights = sum(_weight_bytes(node) for node in nodes)
    output = trace.nodes[-1].outputs
    return GraphCost(
        windows=windows,
        flops=sum(flops_of(node) for node in nodes),
        weight_bytes=weights,
        io_bytes=input_bytes + sum(tensor.bytes for tensor in output),
        largest_product=None if largest is None else largest[1:],
        kernels=_kernels(nodes),
    )


def flops_of(node: NodeRun) -> int:
    """Operations of a node, 0 where it is no matrix product."""
    shape = product_shape(node)
    if shape is None:
        return 0
    return 2 * math.prod(node.outputs[0].shape) * shape[1]


def product_shape(node: NodeRun) -> tuple[int, int, int] | None:
    """Rows, length of the sums and columns; of a batch of products, those of one of them."""
    if node.operator not in PRODUCTS or len(node.inputs) < 2 or not node.outputs:
        return None
    first, second, output = node.inputs[0].shape, node.inputs[1].shape, node.outputs[0].shape
    columns = output[-1] if output else 1
    if node.operator == "Conv":
        inner = math.prod(second[1:])
        return math.prod(output) // max(1, output[1]), inner, output[1]
    if len(second) == 2:
        # A constant on the right: all rows of the left go through one product.
        inner = math.prod(second) // max(1, columns)
        return math.prod(output) // max(1, columns), inner, columns
    return output[-2], first[-1], columns


def _weight_bytes(node: NodeRun) -> int:
    if node.operator not in PRODUCTS:
        return 0
    return sum(tensor.bytes for tensor in node.inputs[1:] if len(tensor.shape) <= 2)


_ELEMENT_WISE = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Sqrt",
    "Exp",
    "Erf",
    "Gelu",
    "Clip",
    "Max",
    "Min",
    "Neg",
    "Where",
    "Cast",
    "Sigmoid",
    "Tanh",
    "Relu",
    "Greater",
    "Less",
    "Equal",
    "And",
    "Or",
    "Not",
    "Reciprocal",
    "Transpose",
)


def _kernels(nodes: list[NodeRun]) -> tuple[Kernel, ...]:
    """Nodes as kernels; an element-wise node joins the one before it and adds no traffic."""
    kernels: list[Kernel] = []
    for node in nodes:
        if node.operator in _ELEMENT_WISE and kernels:
            continue
        moved = sum(tensor.bytes for tensor in (*node.inputs, *node.outputs))
        kernels.append(Kernel(flops_of(node), moved))
    return tuple(kernels)
