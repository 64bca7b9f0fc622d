"""Matrix multiplications of a model as models of their own, to be timed in the model's engine.

What a multiplication can be at most depends on the form in which the engine gets it: in float32; in
float16; with int8 factors between quantizing nodes, as static int8 files hold it; or as a
multiplication of integers, as dynamic int8 files do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.speed.profilers.onnxruntime import Product
from hot_sdk.engines.onnx_bytes import (
    FLOAT,
    FLOAT16,
    INT8,
    UINT8,
    write_model,
    write_node,
)

FORMS = FP32, FP16, INT8_STATIC, INT8_DYNAMIC = ("fp32", "fp16", "int8", "int8-dynamic")
"""Forms of a multiplication, named as the precisions of files that hold it so."""

OUTPUT = "first_values"
"""The output of each multiplication, with its place in the model: the first value of each copy, so
that no result has to leave the engine."""

_MOST_COPIES = 8
_MOST_BYTES = 64 << 20
_TYPES = {FP32: FLOAT, FP16: FLOAT16, INT8_STATIC: FLOAT, INT8_DYNAMIC: UINT8}
_DTYPES = {FP32: "float32", FP16: "float16", INT8_STATIC: "float32", INT8_DYNAMIC: "uint8"}


@dataclass(frozen=True, eq=False)
class ProductModel:
    """Multiplications as a model.

    Attributes:
        content: The ONNX file.
        arrays: Its inputs.
        copies: How often it computes each of them in one run, each time with other factors.
    """

    content: bytes
    arrays: dict[str, NDArray[Any]]
    copies: tuple[int, ...]


def forms_of(product: Product, precision: str) -> tuple[str, ...]:
    """Return the forms in which an engine might compute a multiplication of a file.

    The file's own is among them; the others bound what it could be: an engine may compute float16
    in float32, and static int8 as dynamic.

    Args:
        product: The multiplication.
        precision: Precision of the file.
    """
    if product.quantized:
        return (FP32, INT8_STATIC, INT8_DYNAMIC)
    return (FP32, FP16) if "fp16" in precision else (FP32,)


def product_model(product: Product, form: str, *, expand: bool = False) -> ProductModel:
    """Return a model of one multiplication, a few times.

    A few, since a run of a thin one would mostly be the overhead of the call.

    Args:
        product: The multiplication.
        form: One of ``FORMS``.
        expand: As for ``products_model``.
    """
    return products_model([(product, form, _few(product))], expand=expand)


def products_model(
    wanted: Sequence[tuple[Product, str, int]], *, expand: bool = False
) -> ProductModel:
    """Return a model that computes multiplications and nothing else.

    Each copy has other factors, since an engine computes the same thing once.

    Args:
        wanted: Multiplications, the form of each, one of ``FORMS``, and its copies.
        expand: Make the left factors inside the graph, of their first rows, for devices to which
            moving the whole would count.
    """
    graph = _Graph(expand=expand)
    for place, (product, form, copies) in enumerate(wanted):
        graph.add(place, product, form, copies)
    content = write_model(graph.nodes, graph.constants, graph.inputs, graph.outputs)
    return ProductModel(content, graph.arrays, tuple(copies for _, _, copies in wanted))


def bytes_of(wanted: Sequence[tuple[Product, str, int]]) -> int:
    """Return about how much memory the factors of ``products_model`` take, in float32."""
    total = 0
    for product, _, copies in wanted:
        lefts, rights = _pools(product, copies)
        left, right = math.prod(product.left_shape), math.prod(product.right_shape)
        total += 4 * (lefts * left + rights * right)
    return total


def _few(product: Product) -> int:
    each = 4 * math.prod(product.right_shape)
    return max(1, min(product.count, _MOST_COPIES, _MOST_BYTES // max(1, each)))


def _pools(product: Product, copies: int) -> tuple[int, int]:
    """Return how many left and right factors give so many different pairs."""
    if product.constant:
        return 1, copies
    lefts = math.ceil(math.sqrt(copies))
    return lefts, math.ceil(copies / lefts)


@dataclass(eq=False)
class _Graph:
    """A graph that grows by one multiplication after the other."""

    expand: bool
    nodes: list[bytes] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    inputs: dict[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    outputs: dict[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)

    def add(self, place: int, product: Product, form: str, copies: int) -> None:
        """Add a multiplication."""
        random = np.random.default_rng(place)
        pools = _pools(product, copies)
        lefts = [self._left(random, product, form, f"{place}_{one}") for one in range(pools[0])]
        rights = [self._right(random, product, form, f"{place}_{one}") for one in range(pools[1])]
        rank = 2 if product.constant else 3
        self.constants |= {
            f"from_{rank}": np.zeros(rank, np.int64),
            f"to_{rank}": np.ones(rank, np.int64),
        }
        firsts = []
        for copy in range(copies):
            left, right = lefts[copy // pools[1]], rights[copy % pools[1]]
            result = self._multiply(form, left, right, f"{place}_{copy}", product.columns)
            firsts.append(f"first_{place}_{copy}")
            self._node("Slice", [result, f"from_{rank}", f"to_{rank}"], firsts[-1])
        self._node("Concat", firsts, f"{OUTPUT}_{place}", axis=0)
        kind = FLOAT16 if form == FP16 else FLOAT
        self.outputs[f"{OUTPUT}_{place}"] = (kind, (copies, *[1] * (rank - 1)))

    def _left(self, random: np.random.Generator, product: Product, form: str, label: str) -> str:
        shape = product.left_shape[1:] if product.constant else product.left_shape
        given = (*[1] * (len(shape) - 1), shape[-1]) if self.expand else shape
        name = f"left_{label}"
        self.arrays[name] = _values(random, given, _DTYPES[form])
        self.inputs[name] = (_TYPES[form], given)
        if not self.expand:
            return name
        self.constants[f"shape_{label}"] = np.array(shape, np.int64)
        self._node("Expand", [name, f"shape_{label}"], f"expanded_{label}")
        return f"expanded_{label}"

    def _right(self, random: np.random.Generator, product: Product, form: str, label: str) -> str:
        shape = product.right_shape[1:] if product.constant else product.right_shape
        name = f"right_{label}"
        dtype = "int8" if form in (INT8_STATIC, INT8_DYNAMIC) else _DTYPES[form]
        matrix = _values(random, shape, dtype)
        if product.constant:
            self.constants[name] = matrix
        else:
            self.arrays[name] = matrix
            self.inputs[name] = (INT8 if dtype == "int8" else _TYPES[form], shape)
        return name

    def _multiply(self, form: str, left: str, right: str, label: str, columns: int) -> str:
        """Add one multiplication; return the name of its result."""
        result = f"product_{label}"
        if form in (FP32, FP16):
            self._node("MatMul", [left, right], result)
            return result
        scales, zeros, zero = f"scales_{label}", f"zeros_{label}", f"zero_{label}"
        self.constants[scales] = np.full(columns, 0.01, np.float32)
        if form == INT8_DYNAMIC:
            self.constants |= {zeros: np.array(0, np.int8), zero: np.array(128, np.uint8)}
            self._node("MatMulInteger", [left, right, zero, zeros], f"sums_{label}")
            self._node("Cast", [f"sums_{label}"], f"floats_{label}", to=FLOAT)
            self._node("Mul", [f"floats_{label}", scales], result)
            return result
        # Each with a scale of its own: ONNX Runtime joins nodes that compute the same, and computes
        # multiplications that share a quantized factor in float32.
        number, scale = len(self.constants), f"scale_{label}"
        self.constants |= {
            zeros: np.zeros(columns, np.int8),
            zero: np.array(0, np.int8),
            scale: np.array(0.05 * (1.0 + 1e-4 * number), np.float32),
        }
        self._node("QuantizeLinear", [left, scale, zero], f"quantized_{label}")
        self._node("DequantizeLinear", [f"quantized_{label}", scale, zero], f"dequantized_{label}")
        self._node("DequantizeLinear", [right, scales, zeros], f"matrix_{label}", axis=1)
        self._node("MatMul", [f"dequantized_{label}", f"matrix_{label}"], result)
        return result

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: int) -> None:
        self.nodes.append(write_node(operator, inputs, output, name=None, domain="", **attributes))


def _values(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    if dtype.startswith("float"):
        return random.standard_normal(shape, np.float32).astype(dtype)
    if dtype == "uint8":
        return random.integers(0, 255, shape, dtype=np.uint8, endpoint=True)
    # Half of the range: on CPUs without VNNI, sums of two products of larger ones saturate.
    return random.integers(-63, 63, shape, dtype=np.int8, endpoint=True)
