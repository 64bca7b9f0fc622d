"""Write quantized matrix multiplications as ONNX Runtime's own operator when a model is loaded.

A file has them as TensorRT reads them: a float32 multiplication of what quantizing nodes return,
with its bias in a node of its own. ONNX Runtime makes integer products of some: not of those whose
input others read, too, as queries, keys and values do, and always without the bias. What it makes
of them can be written directly, with the bias in it.

On x86 CPUs activations become unsigned, because fast instructions multiply unsigned by signed
numbers. The integers stay the same but for an offset, which is subtracted again.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.onnx_bytes import INT32, UINT8, write_model, write_node
from hot_sdk.engines.onnx_file import OnnxFile
from hot_sdk.engines.onnx_nodes import Nodes, read_nodes, with_nodes, written_nodes
from hot_sdk.engines.protobuf import Buffer
from hot_sdk.errors import EngineError

PRODUCTS_REVISION = "2"
"""Changes with what is written, for caches of what is made of it."""

DOMAIN = "com.microsoft"
PRODUCT = "MatMulIntegerToFloat"

_EXACT_SUMS = ("session.x64quantprecision", "1")
_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_PREFIX = "hot_sdk.integer"
_OFFSET = 128
_AXIS = {"axis"}
_X86 = ("x86_64", "AMD64")
_OF_INTEGERS = (b"QuantizeLinear", b"MatMulInteger", b"QLinear", b"QGemm")
# Pairs of such products do not fit 16 bits; rows of one and of many take different kernels.
_LARGEST, _INNER, _COLUMNS, _ROWS = (255, 127), 64, 32, (1, 48)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Product:
    """A multiplication that can be written as integers.

    Attributes:
        places: Positions of the nodes that are replaced: the multiplication, the node that adds
            the bias if there is one, and one that takes away the axes that the bias brought.
        quantize: Position of the node that quantizes the activations.
        weight: Names of the integer weights and of their scales.
        bias: Its name and values; None without one.
        output: Name of the result.
    """

    places: tuple[int, ...]
    quantize: int
    weight: Sequence[str]
    bias: tuple[str, NDArray[Any]] | None
    output: str


def exact_sums(ort: ModuleType, file: OnnxFile) -> dict[str, str]:
    """Return the session's settings that keep sums of int8 products from overflowing in 16 bits.

    They do without a word on x86 CPUs without VNNI: joints are off by millimeters to a quarter of a
    meter. On CPUs with AMX the setting makes products four times slower, and is not needed.

    Raises:
        EngineError: The file cannot be read.
    """
    with _readable(file) as buffer:
        names = (name for node in written_nodes(buffer) for name in _OF_INTEGERS if name in node)
        holds_integers = next(names, None) is not None
    return dict((_EXACT_SUMS,)) if holds_integers and sums_overflow(ort) else {}


@functools.cache
def sums_overflow(ort: ModuleType) -> bool:
    """Return whether ONNX Runtime's fast sums of int8 products overflow on this CPU.

    They do on x86 CPUs without VNNI. It is tried, because ONNX Runtime decides by the CPU which
    instructions it uses.
    """
    weight = np.full((_INNER, _COLUMNS), _LARGEST[1], np.int8)
    nodes = [write_node("MatMulInteger", [f"x{rows}", "w"], f"y{rows}") for rows in _ROWS]
    model = write_model(
        nodes,
        {"w": weight},
        {f"x{rows}": (UINT8, (rows, _INNER)) for rows in _ROWS},
        {f"y{rows}": (INT32, (rows, _COLUMNS)) for rows in _ROWS},
    )
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    arrays = {f"x{rows}": np.full((rows, _INNER), _LARGEST[0], np.uint8) for rows in _ROWS}
    exact = _INNER * _LARGEST[0] * _LARGEST[1]
    return any((sums != exact).any() for sums in session.run(None, arrays))


def with_integer_products(file: OnnxFile) -> OnnxFile:
    """Return a checked model with its quantized multiplications as integer products.

    A model without any is returned as it is, and so is one with external weights, which have to be
    next to the model's file.

    Raises:
        EngineError: The file cannot be read.
    """
    if file.weights:
        return file
    with _readable(file) as buffer:
        if not any(_DEQUANTIZE.encode() in node for node in written_nodes(buffer)):
            return file
        graph = read_nodes(buffer)
        axes = graph.axes()
        products = [
            product
            for place, node in enumerate(graph.nodes)
            if node.operator == "MatMul" and (product := _match(graph, place, axes)) is not None
        ]
        if graph.has_subgraphs or not products:
            return file
        _logger.debug("'%s' has %d integer products", file.name, len(products))
        return OnnxFile(_rewrite(graph, products), file.name)


@contextlib.contextmanager
def _readable(file: OnnxFile) -> Iterator[Buffer]:
    try:
        with file.opened() as buffer:
            yield buffer
    except ValueError as error:
        raise EngineError(
            f"The graph of the model '{file.name}' cannot be read: {error}.",
            hint="It changed since it was checked; open it again.",
        ) from error


def _match(graph: Nodes, place: int, axes: Mapping[str, int]) -> _Product | None:
    """Return the product that a multiplication can be written as; None if it is another kind."""
    node = graph.nodes[place]
    if len(node.inputs) != 2 or len(node.outputs) != 1:
        return None
    left, right = (graph.maker(name, _DEQUANTIZE) for name in node.inputs)
    if left is None or right is None:
        return None
    activations, weights = graph.nodes[left].inputs, graph.nodes[right].inputs
    if len(activations) != 3 or len(weights) != 3:
        return None
    quantize = graph.maker(activations[0], _QUANTIZE)
    if quantize is None:
        return None
    if graph.nodes[quantize].inputs[1:] != activations[1:]:
        return None
    dtype, shape = graph.constant_type(weights[0]) or (None, ())
    columns = shape[-1] if len(shape) == 2 else 0
    known = (
        columns
        and dtype is np.int8
        and _is_symmetric(graph, activations, 1)
        and _is_symmetric(graph, weights, columns)
        and graph.nodes[quantize].attributes.keys() | graph.nodes[left].attributes.keys() <= _AXIS
        and graph.nodes[right].attributes == {"axis": 1}
    )
    if not known:
        return None
    (output,) = node.outputs
    bias = _bias(graph, output, columns)
    if bias is None:
        return _Product((place,), quantize, weights[:2], None, output)
    places = [place, graph.readers[output][0]]
    added = graph.nodes[places[-1]].outputs[0]
    if axes.get(node.inputs[0]) == 2 and _is_matrix_again(graph, added, columns):
        places.append(graph.readers[added][0])
    output = graph.nodes[places[-1]].outputs[0]
    return _Product(tuple(places), quantize, weights[:2], bias, output)


def _is_symmetric(graph: Nodes, inputs: Sequence[str], scales: int) -> bool:
    """Return whether a node has a number of scales in float32, and int8 zero points of 0."""
    scale, zero = (graph.constant(name) for name in inputs[1:])
    return (
        scale is not None
        and scale.dtype == np.float32
        and scale.size == scales
        and zero is not None
        and zero.dtype == np.int8
        and not zero.any()
    )


def _bias(graph: Nodes, product: str, columns: int) -> tuple[str, NDArray[Any]] | None:
    """Return the bias that the only reader of a product adds; None if it is no such reader."""
    readers = graph.readers.get(product, ())
    if len(readers) != 1 or product in graph.interface:
        return None
    node = graph.nodes[readers[0]]
    if node.operator != "Add" or len(node.inputs) != 2 or len(node.outputs) != 1:
        return None
    if node.inputs.count(product) != 1:
        return None
    name = next(each for each in node.inputs if each != product)
    values = graph.constant(name)
    if values is None or values.dtype != np.float32 or values.shape[-1:] != (columns,):
        return None
    if values.size != columns or (values.ndim > 1 and not _is_reshaped(graph, node.outputs[0])):
        return None
    return name, values.reshape(columns)


def _is_reshaped(graph: Nodes, name: str) -> bool:
    """Return whether a value's number of axes does not matter, because all readers set another."""
    if name in graph.interface:
        return False
    for place in graph.readers.get(name, ()):
        node = graph.nodes[place]
        if node.operator != "Reshape" or len(node.inputs) != 2 or len(node.outputs) != 1:
            return False
        shape = graph.constant(node.inputs[1])
        # A size of 0 would be taken from the input.
        if shape is None or not shape.all():
            return False
    return True


def _is_matrix_again(graph: Nodes, name: str, columns: int) -> bool:
    """Return whether the only reader of a value makes a matrix of so many columns of it."""
    readers = graph.readers.get(name, ())
    if len(readers) != 1 or name in graph.interface or not _is_reshaped(graph, name):
        return False
    shape = graph.constant(graph.nodes[readers[0]].inputs[1])
    return shape is not None and shape.tolist() == [-1, columns]


def _rewrite(graph: Nodes, products: Sequence[_Product]) -> bytes:
    """Return the model with products as integers, and without the nodes that nothing reads then."""
    unsigned = platform.machine() in _X86
    zero = f"{_PREFIX}.zero_point"
    constants: dict[str, NDArray[Any]] = {
        zero: np.array(_OFFSET, np.uint8) if unsigned else np.array(0, np.int8)
    }
    added: dict[int, list[bytes]] = {}
    for product in products:
        quantize = graph.nodes[product.quantize]
        source, scale = quantize.inputs[:2]
        quantized = f"{_PREFIX}.{quantize.outputs[0]}"
        if product.quantize not in added:
            name = f"{quantize.name}.integer"
            written = write_node(_QUANTIZE, [source, scale, zero], quantized, name=name)
            added[product.quantize] = [written]
        inputs = [quantized, product.weight[0], scale, product.weight[1], zero, ""]
        if product.bias is not None:
            bias = f"{_PREFIX}.{product.bias[0]}"
            constants[bias] = product.bias[1]
            inputs.append(bias)
        place = product.places[0]
        name = graph.nodes[place].name
        added[place] = [write_node(PRODUCT, inputs, product.output, name=name, domain=DOMAIN)]
    removed = _unread(graph, {place for product in products for place in product.places})
    return with_nodes(
        graph.buffer, removed=removed, added=added, constants=constants, domains={DOMAIN: 1}
    )


def _unread(graph: Nodes, removed: set[int]) -> set[int]:
    """Return the nodes to remove, with those that quantize or dequantize only for them."""
    for place in reversed(range(len(graph.nodes))):
        node = graph.nodes[place]
        if node.operator not in (_QUANTIZE, _DEQUANTIZE):
            continue
        readers = {each for name in node.outputs for each in graph.readers.get(name, ())}
        if readers <= removed and not graph.interface.intersection(node.outputs):
            removed.add(place)
    return removed
