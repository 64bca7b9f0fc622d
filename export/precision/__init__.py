"""Reduce the precision of an exported graph, and measure what that costs and gains.

The precision is written into the graph, as casts or as quantizing nodes that every engine reads.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import onnx
from torch import nn

from hot_sdk.engines import Session, open_session
from hot_sdk.engines.session import Arrays
from hot_sdk.export.enums import Precision
from hot_sdk.export.graph.check import require_clean
from hot_sdk.export.models import ModelSpec
from hot_sdk.export.options import ExportRequest, chosen_normalization
from hot_sdk.export.precision.calibration import CalibrationData, calibration_windows
from hot_sdk.export.precision.convert import convert
from hot_sdk.export.precision.half_sums import with_half_sums
from hot_sdk.export.precision.rules import before_selection
from hot_sdk.export.precision.sensitivity import (
    BlockSensitivity,
    Speed,
    measure_sensitivity,
    measure_speed,
)
from hot_sdk.export.precision.step_calibration import StepCalibration, step_calibration
from hot_sdk.export.steps import Steps
from hot_sdk.export.verification.clips import Window, stacked
from hot_sdk.export.verification.compare import Tolerances, WindowResult, compare, require_parity
from hot_sdk.export.verification.neighbors import neighbors_exposed
from hot_sdk.export.verification.step_runs import step_feeds
from hot_sdk.manifest import POSES, Quantization

# Limits of the mean joint error, as a share of a pose's size. A conversion that broke something is
# far beyond them; whether a smaller error is too large only the user can decide, who is shown it.
_LIMITS = {
    Precision.FP16: 0.02,
    Precision.INT8: 0.25,
    Precision.INT8_DYNAMIC: 0.25,
    Precision.INT8_FP16: 0.25,
}
# The same of the largest difference of the spread, as a share of the largest spread.
_SPREAD_LIMITS = {
    Precision.FP16: 0.1,
    Precision.INT8: 0.5,
    Precision.INT8_DYNAMIC: 0.5,
    Precision.INT8_FP16: 0.5,
}
# Takes about twice the time of the graph itself.
_EMULATED_WINDOWS = 3


@dataclass(frozen=True, eq=False)
class ReducedPrecision:
    """A graph in a reduced precision, verified.

    Attributes:
        model: The graph.
        exposed: The same with every choice among its outputs; see
            :mod:`hot_sdk.export.verification.neighbors`.
        results: How far its poses are from PyTorch's in float32.
        half_sums: The same of some windows if every float16 value is rounded and matrix
            multiplications add up in float16, as a GPU may; empty without float16.
        tolerances: The limits that they are within.
        speed: Its time compared with the float32 graph's, on this machine; None if not timed.
        quantization: What was quantized; None in float16.
        sensitivity: The effect of each block, if requested.
        choosing: The quantized blocks that come before the frames are selected, and so change which
            are.
    """

    model: onnx.ModelProto
    exposed: bytes
    results: tuple[WindowResult, ...]
    half_sums: tuple[WindowResult, ...]
    tolerances: Tolerances
    speed: Speed | None
    quantization: Quantization | None
    sensitivity: tuple[BlockSensitivity, ...]
    choosing: tuple[str, ...] = ()


def reduce_precision(
    model: onnx.ModelProto,
    spec: ModelSpec,
    request: ExportRequest,
    reference: nn.Module,
    windows: list[Window],
    steps: Steps,
) -> ReducedPrecision:
    """Convert, check, verify and time a graph.

    Args:
        model: In float32, verified.
        spec: Its network.
        request: Names the precision.
        reference: The PyTorch model.
        windows: The windows to verify with.
        steps: Receives the steps.

    Raises:
        UsageError: Nothing is left to quantize.
        KeypointsError: A calibration file is broken.
        GraphCheckError: The converted graph holds what the target engines cannot run.
        VerificationError: The converted graph computes other poses.
    """
    precision = Precision(request.precision)
    calibration: CalibrationData | StepCalibration | None = None
    if precision.calibrated:
        steps.begin("Reading the calibration clips")
        normalization = chosen_normalization(request)
        if spec.live is not None:
            calibration = step_calibration(model, spec, request.calibration, normalization)
        else:
            calibration = calibration_windows(spec, request.calibration, normalization)
        steps.begin(f"Calibrating and converting to {precision.value}")
    else:
        steps.begin(f"Converting to {precision.value}")
    converted = convert(
        model, spec, precision, calibration, keep_float=request.keep_float, count=steps.count
    )
    if precision is not Precision.INT8_DYNAMIC:
        require_clean(converted.model, dynamic_batch=request.batch is None)
    steps.begin(f"Verifying the {precision.value} graph")
    with neighbors_exposed(converted.model, reference) as exposed:
        content = exposed.SerializeToString()
    with open_session(content) as session:
        results = compare(reference, session, spec, windows, count=steps.count)
        inputs = _one_input(session, spec, windows[:1] * (request.batch or 1))
        outputs = session.run(inputs)
    size = float(np.sqrt(np.square(outputs[POSES]).mean()) * 3**0.5)
    limit = _LIMITS[precision] * size
    # Of all frames: a live network's run says it of one, and some are far less certain than others.
    largest_spread = max(result.largest_spread or 0.0 for result in results)
    tolerances = Tolerances(
        max_difference=np.inf,
        mean_joint_error=limit,
        frames_shared=0.0,
        spread_difference=_SPREAD_LIMITS[precision] * largest_spread,
    )
    require_parity(results, tolerances)
    half_sums: list[WindowResult] = []
    if precision in (Precision.FP16, Precision.INT8_FP16):
        steps.begin("Verifying it with float16 rounded and summed as on a GPU")
        emulated = with_half_sums(onnx.load_from_string(content))
        with open_session(emulated.SerializeToString()) as session:
            few = windows[: 1 if spec.live is not None else _EMULATED_WINDOWS]
            half_sums = compare(reference, session, spec, few, count=steps.count)
        require_parity(half_sums, tolerances)
    speed = None
    if request.timing:
        steps.begin("Timing it against float32")
        speed = measure_speed(model, converted.model, inputs, count=steps.count)
    quantization = None
    if precision.quantized:
        quantization = Quantization(
            matmuls=len(converted.matmuls),
            windows=0 if calibration is None else len(calibration.windows),
            source=None if calibration is None else calibration.source,
        )
    first = before_selection(converted.exact.graph)
    chosen_by = [name for name in converted.matmuls if name in first]
    sensitivity: list[BlockSensitivity] = []
    if request.sensitivity:
        assert calibration is not None
        sensitivity = measure_sensitivity(converted, calibration, steps)
    return ReducedPrecision(
        model=converted.model,
        exposed=content,
        results=tuple(results),
        half_sums=tuple(half_sums),
        tolerances=tolerances,
        speed=speed,
        quantization=quantization,
        sensitivity=tuple(sensitivity),
        choosing=tuple(dict.fromkeys(converted.matmuls[name] for name in chosen_by)),
    )


def _one_input(session: Session, spec: ModelSpec, windows: list[Window]) -> Arrays:
    """Return an input of as many windows; a live network's with all slots of its memory filled."""
    if spec.live is None:
        return stacked(windows, spec.size.conditions)
    last = spec.live.memory.span + spec.live.lookahead
    feeds, _ = next(itertools.islice(step_feeds(session.run, spec, windows), last, None))
    return {name: values.copy() for name, values in feeds.items()}
