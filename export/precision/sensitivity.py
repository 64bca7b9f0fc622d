"""What quantizing each block costs in accuracy, and gains in time, measured one block at a time.

What a precision is worth on this machine: two graphs timed in turn, in one process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from hot_sdk.engines import Session, open_session
from hot_sdk.export.precision.calibration import CalibrationData
from hot_sdk.export.precision.convert import Converted
from hot_sdk.export.precision.int8 import with_some
from hot_sdk.manifest import KEYPOINTS, POSES

_FEWEST, _MOST = 5, 50
_SECONDS = 4.0


@dataclass(frozen=True)
class Speed:
    """Milliseconds of a run, medians.

    Attributes:
        engine: Engine and version.
        before_ms: Of the float32 graph.
        after_ms: Of the converted graph.
        runs: Of each, in turn.
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
    before: onnx.ModelProto, after: onnx.ModelProto, keypoints: NDArray[np.float32]
) -> Speed:
    """Time two graphs in the default engine, on the CPU.

    Args:
        before: In float32.
        after: In another precision.
        keypoints: One input.
    """
    with (
        open_session(before.SerializeToString()) as first,
        open_session(after.SerializeToString()) as second,
    ):
        engine = f"{first.engine} {first.engine_version}"
        runs = [_runner(session, keypoints) for session in (first, second)]
        taken: list[list[float]] = [[], []]
        start = time.perf_counter()
        while len(taken[0]) < _FEWEST or (
            len(taken[0]) < _MOST and time.perf_counter() - start < _SECONDS
        ):
            for run, times in zip(runs, taken, strict=True):
                # Does not count: threads of the session before still look out for work.
                run()
                times.append(run())
    before_ms, after_ms = (float(np.median(times)) * 1e3 for times in taken)
    return Speed(engine, before_ms, after_ms, len(taken[0]))


def _runner(session: Session, keypoints: NDArray[np.float32]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        session.run({KEYPOINTS: keypoints})
        return time.perf_counter() - start

    return run


_WINDOWS = 12


@dataclass(frozen=True)
class BlockSensitivity:
    """One block quantized, and all others in float32.

    Attributes:
        block: Its name.
        products: How many of its products are quantized.
        error: Mean distance of a joint from the float32 graph's, in the model's unit.
        gained_ms: Milliseconds that a run is shorter; negative where it is longer.
    """

    block: str
    products: int
    error: float
    gained_ms: float


def measure_sensitivity(
    converted: Converted, calibration: CalibrationData, progress: Callable[[str], None]
) -> list[BlockSensitivity]:
    """Quantise one block after the other, and measure each against float32.

    Args:
        converted: To int8.
        calibration: Whose windows are run, up to twelve of them.
        progress: Is told each block.
    """
    size = converted.exact.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    batches = calibration.batches(size)
    chosen = np.linspace(0, len(batches) - 1, min(len(batches), max(1, _WINDOWS // size)))
    tried = [batches[int(number)] for number in chosen.round()]
    exact = _poses(converted.exact, tried)
    blocks: dict[str, list[str]] = {}
    for product in converted.products:
        blocks.setdefault(product.block, []).append(product.node)
    found = []
    for number, (block, products) in enumerate(blocks.items(), start=1):
        progress(f"Quantising {block} alone, {number} of {len(blocks)}")
        alone = with_some(converted.model, converted.exact, products)
        error = np.linalg.norm(_poses(alone, tried) - exact, axis=-1).mean()
        speed = measure_speed(converted.exact, alone, tried[0])
        gained = speed.before_ms - speed.after_ms
        found.append(BlockSensitivity(block, len(products), float(error), gained))
    return found


def _poses(model: onnx.ModelProto, batches: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    with open_session(model.SerializeToString()) as session:
        return np.concatenate([session.run({KEYPOINTS: batch})[POSES] for batch in batches])
