"""Convert a float32 graph to the requested precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from hot_sdk.errors import UsageError
from hot_sdk.export.enums import Precision
from hot_sdk.export.models import ModelSpec, family
from hot_sdk.export.precision.calibration import CalibrationData
from hot_sdk.export.precision.float16 import to_float16
from hot_sdk.export.precision.int8 import quantize, split_gemm_bias
from hot_sdk.export.precision.rules import quantizable_matmuls
from hot_sdk.export.precision.step_calibration import StepCalibration
from hot_sdk.export.steps import Count, uncounted


@dataclass(frozen=True, eq=False)
class Converted:
    """A graph in another precision.

    Attributes:
        model: The graph.
        exact: The same in float32, with the same names of matrix multiplications.
        matmuls: Nodes that are quantized, and the block of each; empty if none is.
    """

    model: onnx.ModelProto
    exact: onnx.ModelProto
    matmuls: Mapping[str, str] = field(default_factory=dict)


def convert(
    model: onnx.ModelProto,
    spec: ModelSpec,
    precision: Precision,
    calibration: CalibrationData | StepCalibration | None = None,
    *,
    keep_float: Sequence[str] = (),
    count: Count = uncounted,
) -> Converted:
    """Return a copy of a graph that computes in another precision.

    Args:
        model: A graph of :func:`hot_sdk.export.graph.trace.trace`.
        spec: Its network.
        precision: Any but fp32.
        calibration: Needed for int8 and int8+fp16.
        keep_float: Patterns of modules or blocks that are not quantized.
        count: Called with the batches that were calibrated with, and their total.

    Raises:
        UsageError: Nothing is left to quantize.
        GraphCheckError: A weight is beyond the range of float16, or could not be quantized.
    """
    entry = family(spec.family)
    if precision is Precision.FP16:
        return Converted(to_float16(model, entry), model)
    matmuls = quantizable_matmuls(model.graph, entry, keep_float=keep_float)
    if not matmuls:
        raise UsageError(
            f"No matrix multiplication of {entry.title} is left to quantize.",
            hint="Give fewer blocks to --keep-float, or --precision fp32.",
        )
    batches = None
    if precision.calibrated:
        assert calibration is not None
        size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
        batches = calibration.batches(size)
    exact = split_gemm_bias(model, matmuls, keep_separate=batches is not None)
    quantized = quantize(exact, matmuls, batches, count=count)
    if precision is Precision.INT8_FP16:
        quantized = to_float16(quantized, entry, quantized=matmuls)
    return Converted(quantized, exact, matmuls)
