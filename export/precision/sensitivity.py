"""Measure what a precision gains in time, and what quantizing each block costs in accuracy.

Times are of this machine's CPU: two graphs run in turn, in one process.
"""

from __future__ import annotations

import functools
import statistics
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from hot_sdk._base.timing import interleaved_times
from hot_sdk.engines import open_session
from hot_sdk.engines.session import Arrays
from hot_sdk.export.precision.calibration import CalibrationData
from hot_sdk.export.precision.convert import Converted
from hot_sdk.export.precision.int8 import dequantize_except
from hot_sdk.export.precision.step_calibration import StepCalibration
from hot_sdk.export.steps import Count, Steps, uncounted
from hot_sdk.manifest import POSES

_FEWEST_RUNS, _MOST_RUNS, _SECONDS = 5, 50, 4.0
_FEWEST_CALLS = 2 * _FEWEST_RUNS  # One that is not timed before each.
_WINDOWS = 12


@dataclass(frozen=True)
class Speed:
    """Milliseconds of a run, medians.

    Attributes:
        engine: Engine and version.
        before_ms: Time of the float32 graph.
        after_ms: Time of the converted graph.
        runs: Number of runs of each, in turn.
    """

    engine: str
    before_ms: float
    after_ms: float
    runs: int

    @property
    def ratio(self) -> float:
        """How many times as fast the converted graph is."""
        return self.before_ms / self.after_ms


def measure_speed(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    arrays: Arrays,
    *,
    count: Count = uncounted,
) -> Speed:
    """Time two graphs in the default engine, on the CPU.

    Args:
        before: In float32.
        after: In another precision.
        arrays: One input.
        count: Called with the runs of the second graph, and how many there are at least.
    """
    done = 0
    with (
        open_session(before.SerializeToString()) as first,
        open_session(after.SerializeToString()) as second,
    ):

        def run_second() -> None:
            nonlocal done
            second.run(arrays)
            done += 1
            count(min(done, _FEWEST_CALLS), _FEWEST_CALLS)

        before_ms, after_ms = interleaved_times(
            [functools.partial(first.run, arrays), run_second],
            _MOST_RUNS,
            least=_FEWEST_RUNS,
            limit_s=_SECONDS,
        )
        engine = f"{first.engine} {first.engine_version}"
    medians = statistics.median(before_ms), statistics.median(after_ms)
    return Speed(engine, *medians, len(before_ms))


@dataclass(frozen=True)
class BlockSensitivity:
    """The effect of one block in int8, with all others in float32.

    Attributes:
        block: Its name.
        matmuls: Number of its matrix multiplications that are quantized.
        error: Mean distance of a joint from the float32 graph's, in the model's unit.
        gained_ms: Milliseconds that a run is shorter; negative if it is longer.
    """

    block: str
    matmuls: int
    error: float
    gained_ms: float


def measure_sensitivity(
    converted: Converted, calibration: CalibrationData | StepCalibration, steps: Steps
) -> list[BlockSensitivity]:
    """Quantize one block after the other, and compare each with float32.

    Args:
        converted: The graphs in int8 and in float32.
        calibration: Its windows are run, up to twelve of them.
        steps: Receives the steps.
    """
    size = converted.exact.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    batches = calibration.batches(size)
    chosen = np.linspace(0, len(batches) - 1, min(len(batches), max(1, _WINDOWS // size)))
    inputs = [batches[int(number)] for number in chosen.round()]
    exact = _poses(converted.exact, inputs)
    blocks: dict[str, list[str]] = {}
    for node, block in converted.matmuls.items():
        blocks.setdefault(block, []).append(node)
    found: list[BlockSensitivity] = []
    steps.begin("Quantizing one block at a time")
    for block, nodes in blocks.items():
        steps.count(len(found), len(blocks))
        alone = dequantize_except(converted.model, converted.exact, nodes)
        error = np.linalg.norm(_poses(alone, inputs) - exact, axis=-1).mean()
        speed = measure_speed(converted.exact, alone, inputs[0])
        gained = speed.before_ms - speed.after_ms
        found.append(BlockSensitivity(block, len(nodes), float(error), gained))
    return found


def _poses(model: onnx.ModelProto, batches: list[Arrays]) -> NDArray[np.float32]:
    with open_session(model.SerializeToString()) as session:
        return np.concatenate([session.run(batch)[POSES] for batch in batches])
