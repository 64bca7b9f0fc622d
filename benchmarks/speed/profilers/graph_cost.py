"""Compute what one run of an exported file costs: operations, bytes moved, kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hot_sdk.benchmarks.speed.profilers.onnxruntime import NodeRun, trace_runs
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.manifest import KEYPOINTS

PRODUCTS = ("MatMul", "Gemm", "Conv", "MatMulInteger")
"""Operators that are matrix multiplications."""

_FREE = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Constant", "Shape", "Dropout")
"""Operators that move nothing and start no kernel."""

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


@dataclass(frozen=True)
class Kernel:
    """A piece of work that an engine launches.

    Attributes:
        flops: Operations of its matrix multiplications.
        bytes: What it reads and writes.
    """

    flops: int
    bytes: int


@dataclass(frozen=True)
class GraphCost:
    """What one run costs.

    Attributes:
        windows: Windows in the run.
        flops: Operations of all matrix multiplications.
        weight_bytes: Size of the constants that are read.
        io_bytes: Size of input and output.
        largest_product: Rows, length of the sums and columns of the matrix multiplication with the
            most operations; None without one.
        kernels: Kernels of the graph as an engine would run it, each chain of element-wise
            operators counted as one with what comes before it.
    """

    windows: int
    flops: int
    weight_bytes: int
    io_bytes: int
    largest_product: tuple[int, int, int] | None
    kernels: tuple[Kernel, ...]


def cost_of_file(model: Path) -> GraphCost:
    """Return the cost of one run of a file; a symbolic batch is 1.

    The file is run once in ONNX Runtime, as it is written, to learn its shapes.

    Raises:
        EngineError: ONNX Runtime refuses it.
    """
    with open_session(model, SessionOptions(graph_optimization="none")) as session:
        spec = session.inputs[0]
    shape = tuple(size if isinstance(size, int) else 1 for size in spec.shape)
    window = np.zeros(shape, dtype=spec.dtype)
    trace = trace_runs(model, {KEYPOINTS: window}, runs=1, as_written=True)
    nodes = [node for node in trace.nodes if node.operator not in _FREE]
    products = [product for node in nodes if (product := _product_shape(node)) is not None]
    output = trace.nodes[-1].outputs
    return GraphCost(
        windows=shape[0],
        flops=sum(map(_flops, nodes)),
        weight_bytes=sum(map(_weight_bytes, nodes)),
        io_bytes=window.nbytes + sum(tensor.bytes for tensor in output),
        largest_product=max(products, key=math.prod, default=None),
        kernels=_kernels(nodes),
    )


def _flops(node: NodeRun) -> int:
    """Return the operations of a node, 0 unless it is a matrix multiplication."""
    shape = _product_shape(node)
    if shape is None:
        return 0
    return 2 * math.prod(node.outputs[0].shape) * shape[1]


def _product_shape(node: NodeRun) -> tuple[int, int, int] | None:
    """Return rows, length of the sums and columns; of a batch, those of one multiplication."""
    if node.operator not in PRODUCTS or len(node.inputs) < 2 or not node.outputs:
        return None
    first, second, output = node.inputs[0].shape, node.inputs[1].shape, node.outputs[0].shape
    columns = output[-1] if output else 1
    if node.operator == "Conv":
        inner = math.prod(second[1:])
        return math.prod(output) // max(1, output[1]), inner, output[1]
    if len(second) == 2:
        # A constant on the right: all rows of the left go through one multiplication.
        inner = math.prod(second) // max(1, columns)
        return math.prod(output) // max(1, columns), inner, columns
    return output[-2], first[-1], columns


def _weight_bytes(node: NodeRun) -> int:
    if node.operator not in PRODUCTS:
        return 0
    return sum(tensor.bytes for tensor in node.inputs[1:] if len(tensor.shape) <= 2)


def _kernels(nodes: list[NodeRun]) -> tuple[Kernel, ...]:
    """Return the kernels; an element-wise node joins the one before it and adds no traffic."""
    kernels: list[Kernel] = []
    for node in nodes:
        if node.operator in _ELEMENT_WISE and kernels:
            continue
        moved = sum(tensor.bytes for tensor in (*node.inputs, *node.outputs))
        kernels.append(Kernel(_flops(node), moved))
    return tuple(kernels)
