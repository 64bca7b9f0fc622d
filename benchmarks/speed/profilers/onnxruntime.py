"""Trace a model with ONNX Runtime's profiler: the time of each node, and what the graph costs.

ONNX Runtime is installed with the SDK on every machine, the package ``onnx`` is not; so the
profiler also serves to learn the shapes inside a graph, and from them its operations, the bytes it
moves and its kernels.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.leftovers import temporary_folder
from hot_sdk._base.quiet_imports import import_quietly
from hot_sdk.benchmarks.speed.profilers.quantized_products import quantized_products
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.onnx_file import check_onnx
from hot_sdk.engines.onnxruntime.integer_products import exact_sums, with_integer_products
from hot_sdk.errors import EngineError
from hot_sdk.manifest import KEYPOINTS

_SUFFIX = "_kernel_time"
_PROVIDER = "CPUExecutionProvider"
# Narrow numbers count as float32, which a CPU makes of most of them; a bound scales all alike.
_BYTES = {"double": 8, "int64": 8, "bool": 1}
_FLOAT32_BYTES = 4

PRODUCTS = ("MatMul", "Gemm", "Conv", "MatMulInteger")
"""Operators that are matrix multiplications."""

_FREE = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Constant", "Shape", "Dropout")
"""Operators that move nothing and start no kernel."""

_ELEMENT_WISE = frozenset(
    {"Add", "And", "Cast", "Clip", "Div", "Equal", "Erf", "Exp", "Gelu", "Greater"}
    | {"Less", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "QuantizeLinear"}
    | {"Reciprocal", "Relu", "Sigmoid", "Sqrt", "Sub", "Tanh", "Transpose", "Where"}
)

_DEQUANTIZED = "DequantizeLinear"
"""Operator that engines make a part of what reads its result."""


@dataclass(frozen=True)
class Operand:
    """An input or output of a node, as it was in a run.

    Attributes:
        shape: Its shape.
        bytes: Its size; that of narrow numbers in float32.
    """

    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class NodeRun:
    """One run of one node.

    Attributes:
        name: Name of the node.
        operator: What it computes.
        taken_us: Microseconds that it took.
        inputs: Its inputs, weights included unless they were packed.
        outputs: Its outputs.
    """

    name: str
    operator: str
    taken_us: float
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]


@dataclass(frozen=True)
class Trace:
    """What the profiler reported.

    Attributes:
        nodes: Every run of every node, in order.
        run_us: Microseconds of each whole run of the model.
    """

    nodes: tuple[NodeRun, ...]
    run_us: tuple[float, ...]


@dataclass(frozen=True)
class Kernel:
    """A piece of work that an engine launches.

    Attributes:
        flops: Operations of its matrix multiplications.
        bytes: What it reads and writes, in float32.
    """

    flops: int
    bytes: int


@dataclass(frozen=True)
class Product:
    """A matrix multiplication that a graph holds, perhaps several times.

    Attributes:
        batch: Matrices that one node multiplies.
        rows: Rows of each left factor.
        inner: Length of the sums.
        columns: Columns of each right factor.
        constant: The right factor is one constant matrix for all rows; the batch is then 1.
        quantized: Both factors are int8.
        count: Nodes that compute it.
    """

    batch: int
    rows: int
    inner: int
    columns: int
    constant: bool
    quantized: bool
    count: int

    @property
    def flops(self) -> int:
        """Operations of one node."""
        return 2 * self.batch * self.rows * self.inner * self.columns

    @property
    def left_shape(self) -> tuple[int, int, int]:
        """Shape of the left factors."""
        return self.batch, self.rows, self.inner

    @property
    def right_shape(self) -> tuple[int, int, int]:
        """Shape of the right factors, if they are no constant."""
        return self.batch, self.inner, self.columns

    def __str__(self) -> str:
        batch = "" if self.batch == 1 else f"{self.batch} of "
        return f"{batch}{self.rows} x {self.inner} x {self.columns}"


@dataclass(frozen=True)
class GraphCost:
    """What one run costs.

    Attributes:
        windows: Windows in the run.
        flops: Operations of all matrix multiplications.
        weight_bytes: Size of the constants that its multiplications read, in float32.
        io_bytes: Size of input and output.
        largest_product: Rows, length of the sums and columns of the matrix multiplication with the
            most operations; None without one.
        kernels: Kernels of the graph as an engine would run it, each chain of element-wise
            operators counted as one with what comes before it.
        products: Its matrix multiplications, equal ones joined, those with most operations first.
    """

    windows: int
    flops: int
    weight_bytes: int
    io_bytes: int
    largest_product: tuple[int, int, int] | None
    kernels: tuple[Kernel, ...]
    products: tuple[Product, ...]


def trace_runs(
    model: Path,
    arrays: Mapping[str, NDArray[Any]],
    *,
    runs: int,
    warm_up: int = 0,
    threads: int | None = None,
    as_written: bool = False,
) -> Trace:
    """Run a model under ONNX Runtime's profiler.

    Args:
        model: The file.
        arrays: Its inputs, by name.
        runs: Number of profiled runs.
        warm_up: Runs before them.
        threads: CPU threads; None leaves it to ONNX Runtime.
        as_written: Do not optimize the graph or pack weights, so that every node shows.

    Raises:
        EngineError: ONNX Runtime refuses the model, or writes no profile.
    """
    ort = import_quietly("onnxruntime")
    file = check_onnx(model)
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = threads or 0
    settings.enable_profiling = True
    # As the engine has them: other kernels are timed without.
    for name, value in exact_sums(ort, file).items():
        settings.add_session_config_entry(name, value)
    if as_written:
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.add_session_config_entry("session.disable_prepacking", "1")
    else:
        file = with_integer_products(file)
    content = file.content if isinstance(file.content, bytes) else str(file.content)
    with temporary_folder("hot-benchmark") as folder:
        settings.profile_file_prefix = str(folder / "profile")
        try:
            session = ort.InferenceSession(
                content, settings, providers=[_PROVIDER], enable_fallback=0
            )
            for _ in range(warm_up + runs):
                session.run(None, dict(arrays))
            written = Path(session.end_profiling())
        except Exception as error:  # ONNX Runtime's exceptions have no common base class.
            raise EngineError(
                f"ONNX Runtime cannot profile '{file.name}': {' '.join(str(error).split())}",
                hint="Remove --profile.",
            ) from error
        events = json.loads(written.read_text(encoding="utf-8"))
    return _read(events, warm_up)


def _read(events: list[dict[str, Any]], warm_up: int) -> Trace:
    whole = sorted(
        (event for event in events if event.get("name") == "model_run"), key=lambda one: one["ts"]
    )[warm_up:]
    first = whole[0]["ts"] if whole else 0
    nodes = [
        event
        for event in events
        if event.get("cat") == "Node"
        and event["name"].endswith(_SUFFIX)
        and event["ts"] >= first
        and "op_name" in event["args"]
    ]
    return Trace(
        tuple(_node(event) for event in sorted(nodes, key=lambda one: one["ts"])),
        tuple(float(event["dur"]) for event in whole),
    )


def _node(event: dict[str, Any]) -> NodeRun:
    about = event["args"]
    return NodeRun(
        name=event["name"].removesuffix(_SUFFIX),
        operator=about["op_name"],
        taken_us=float(event["dur"]),
        inputs=_operands(about.get("input_type_shape", [])),
        outputs=_operands(about.get("output_type_shape", [])),
    )


def _operands(listed: list[dict[str, list[int]]]) -> tuple[Operand, ...]:
    found = []
    for entry in listed:
        for kind, shape in entry.items():
            size = int(np.prod(shape, dtype=np.int64)) * _BYTES.get(kind, _FLOAT32_BYTES)
            found.append(Operand(tuple(shape), size))
    return tuple(found)


def cost_of_file(model: Path) -> GraphCost:
    """Return the cost of one run of a file; a symbolic batch is 1.

    The file is run once in ONNX Runtime, as it is written, to learn its shapes.

    Raises:
        EngineError: ONNX Runtime refuses it.
    """
    with open_session(model, SessionOptions(graph_optimization="none")) as session:
        inputs = session.inputs
    arrays = {
        spec.name: np.zeros(
            [size if isinstance(size, int) else 1 for size in spec.shape], spec.dtype
        )
        for spec in inputs
    }
    trace = trace_runs(model, arrays, runs=1, as_written=True)
    nodes = [node for node in trace.nodes if node.operator not in (*_FREE, _DEQUANTIZED)]
    shapes = [shape for node in nodes if (shape := _product_shape(node)) is not None]
    output = trace.nodes[-1].outputs
    return GraphCost(
        windows=len(arrays[KEYPOINTS]),
        flops=sum(map(_flops, nodes)),
        weight_bytes=sum(map(_weight_bytes, nodes)),
        io_bytes=sum(array.nbytes for array in arrays.values()) + sum(one.bytes for one in output),
        largest_product=max(shapes, key=math.prod, default=None),
        kernels=_kernels(nodes),
        products=_products(nodes, quantized_products(check_onnx(model))),
    )


def _products(nodes: list[NodeRun], quantized: frozenset[str]) -> tuple[Product, ...]:
    """Return the distinct multiplications, counted."""
    counts: Counter[tuple[int, int, int, int, bool, bool]] = Counter()
    for node in nodes:
        shape = _product_shape(node)
        if shape is None:
            continue
        constant = node.operator == "Conv" or len(node.inputs[1].shape) == 2
        batch = 1 if constant else math.prod(node.outputs[0].shape[:-2])
        integers = node.operator == "MatMulInteger" or node.name in quantized
        key = (batch, *shape, constant, integers)
        counts[key] += 1
    found = [Product(*key, count=count) for key, count in counts.items()]
    return tuple(sorted(found, key=lambda one: -one.flops * one.count))


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
