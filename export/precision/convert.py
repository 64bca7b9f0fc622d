"""From the float32 graph to the precision that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from hot_sdk.errors import UsageError
from hot_sdk.export.enums import Precision
from hot_sdk.export.models import ModelSpec, family
from hot_sdk.export.precision.calibration import CalibrationData
from hot_sdk.export.precision.float16 import to_float16
from hot_sdk.export.precision.int8 import products_apart, quantize, quantise_dynamically
from hot_sdk.export.precision.rules import Product, weighted_products


@dataclass(frozen=True, eq=False)
class Converted:
    """A graph in another precision.

    Attributes:
        model: The graph.
        exact: The same in float32, with the same names of products.
        products: Those that are quantized; empty where none is.
    """

    model: onnx.ModelProto
    exact: onnx.ModelProto
    products: tuple[Product, ...] = ()


def convert(
    model: onnx.ModelProto,
    spec: ModelSpec,
    precision: Precision,
    calibration: CalibrationData | None = None,
    *,
    keep_float: Sequence[str] = (),
) -> Converted:
    """Write a precision into a copy of a graph.

    Args:
        model: Of :func:`hot_sdk.export.graph.trace.trace`.
        spec: Its network.
        precision: Other than fp32.
        calibration: For int8.
        keep_float: Patterns of modules or blocks whose products are not quantized.

    Raises:
        UsageError: Nothing is left to quantize.
        GraphCheckError: A weight is beyond what float16 holds.
    """
    entry = family(spec.family)
    if precision is Precision.FP16:
        return Converted(to_float16(model, entry), model)
    products = weighted_products(model.graph, entry, keep_float=keep_float)
    if not products:
        raise UsageError(
            f"No product of {entry.title} is left to quantize.",
            hint="Give fewer blocks to --keep-float, or --precision fp32.",
        )
    names = {product.node for product in products}
    dynamic = precision is Precision.INT8_DYNAMIC
    exact = products_apart(model, names, for_good=not dynamic)
    if dynamic:
        return Converted(quantise_dynamically(exact, names), exact, tuple(products))
    assert calibration is not None
    size = exact.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    made = quantize(exact, names, calibration.batches(size))
    return Converted(made, exact, tuple(products))
