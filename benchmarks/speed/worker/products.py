"""Matrix multiplications of a model as models of their own, to be timed in the model's engine.

What a multiplication can be at most depends on the form in which the engine gets it: in float32; in
float16; with int8 factors between quantizing nodes, as static int8 files hold it; or as a
multiplication of integers, as dynamic int8 files do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.speed.profilers.onnxruntime import Product
from hot_sdk.benchmarks.speed.worker.onnx_bytes import (
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
"""The output: of each copy its first value, so that no result has to leave the engine."""

_LEFT, _RIGHT = "left", "right"
_MOST_COPIES = 8
_MOST_BYTES = 64 << 20
_TYPES = {FP32: FLOAT, FP16: FLOAT16, INT8_STATIC: FLOAT, INT8_DYNAMIC: UINT8}
_DTYPES = {FP32: "float32", FP16: "float16", INT8_STATIC: "float32", INT8_DYNAMIC: "uint8"}


@dataclass(frozen=True, eq=False)
class ProductModel:
    """A multiplication as a model.

    Attributes:
        content: The ONNX file.
        arrays: Its inputs.
        copies: How often it multiplies in one run, each time by another matrix.
    """

    content: bytes
    arrays: dict[str, NDArray[Any]]
    copies: int


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
    """Return a model that multiplies a matrix, or a batch of them, by several others.

    Several, since a run of a thin multiplication would mostly be the overhead of the call; by
    others, since the same one would be computed once.

    Args:
        product: The multiplication.
        form: One of ``FORMS``.
        expand: Make the left factor inside the graph, of its first row, for devices to which
            moving the whole would count.
    """
    copies = _copies(product)
    left = (product.rows, product.inner) if product.constant else product.left_shape
    right = (product.inner, product.columns) if product.constant else product.right_shape
    random = np.random.default_rng(0)
    given = (*(1 for _ in left[:-1]), left[-1]) if expand else left
    arrays = {_LEFT: _values(random, given, _DTYPES[form])}
    inputs = {_LEFT: (_TYPES[form], given)}
    rank = len(left)
    constants: dict[str, NDArray[Any]] = {
        "from": np.zeros(rank, np.int64),
        "to": np.ones(rank, np.int64),
    }
    nodes = []
    source = _LEFT
    if expand:
        constants["left_shape"] = np.array(left, np.int64)
        nodes.append(write_node("Expand", [source, "left_shape"], "expanded"))
        source = "expanded"
    if form == INT8_DYNAMIC:
        constants["zero"] = np.array(128, np.uint8)
    for number in range(copies):
        name = f"{_RIGHT}_{number}"
        dtype = "int8" if form in (INT8_STATIC, INT8_DYNAMIC) else _DTYPES[form]
        matrix = _values(random, right, dtype)
        if product.constant:
            constants[name] = matrix
        else:
            arrays[name] = matrix
            inputs[name] = (INT8 if dtype == "int8" else _TYPES[form], right)
        nodes += _multiplication(form, source, name, number, constants, right[-1])
        ends = [f"product_{number}", "from", "to"]
        nodes.append(write_node("Slice", ends, f"first_{number}"))
    firsts = [f"first_{number}" for number in range(copies)]
    nodes.append(write_node("Concat", firsts, OUTPUT, axis=0))
    shape = (copies, *(1 for _ in range(rank - 1)))
    kind = FLOAT16 if form == FP16 else FLOAT
    content = write_model(nodes, constants, inputs, {OUTPUT: (kind, shape)})
    return ProductModel(content, arrays, copies)


def _copies(product: Product) -> int:
    each = 4 * product.inner * product.columns * (1 if product.constant else product.batch)
    return max(1, min(product.count, _MOST_COPIES, _MOST_BYTES // max(1, each)))


def _multiplication(
    form: str,
    source: str,
    matrix: str,
    number: int,
    constants: dict[str, NDArray[Any]],
    columns: int,
) -> list[bytes]:
    """Return the nodes of one multiplication; adds the constants that they read."""
    target = f"product_{number}"
    if form in (FP32, FP16):
        return [write_node("MatMul", [source, matrix], target)]
    scales, zeros = f"scales_{number}", f"zeros_{number}"
    constants[scales] = np.full(columns, 0.01, np.float32)
    if form == INT8_DYNAMIC:
        constants[zeros] = np.array(0, np.int8)
        return [
            write_node("MatMulInteger", [source, matrix, "zero", zeros], f"sums_{number}"),
            write_node("Cast", [f"sums_{number}"], f"floats_{number}", to=FLOAT),
            write_node("Mul", [f"floats_{number}", scales], target),
        ]
    constants[zeros] = np.zeros(columns, np.int8)
    # Each with a scale of its own: ONNX Runtime joins nodes that compute the same, and computes
    # multiplications that share a quantized factor in float32.
    scale, zero = f"scale_{number}", f"zero_{number}"
    constants[scale] = np.array(0.05 + 0.01 * number, np.float32)
    constants[zero] = np.array(0, np.int8)
    return [
        write_node("QuantizeLinear", [source, scale, zero], f"quantized_{number}"),
        write_node("DequantizeLinear", [f"quantized_{number}", scale, zero], f"left_{number}"),
        write_node("DequantizeLinear", [matrix, scales, zeros], f"matrix_{number}", axis=1),
        write_node("MatMul", [f"left_{number}", f"matrix_{number}"], target),
    ]


def _values(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    if dtype.startswith("float"):
        return random.standard_normal(shape, np.float32).astype(dtype)
    if dtype == "uint8":
        return random.integers(0, 255, shape, dtype=np.uint8, endpoint=True)
    # Half of the range: on CPUs without VNNI, sums of two products of larger ones saturate.
    return random.integers(-63, 63, shape, dtype=np.int8, endpoint=True)
