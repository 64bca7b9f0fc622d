"""What quantising each block costs in accuracy, and gains in time, measured one block at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from hot_sdk.engines import open_session
from hot_sdk.export.precision.calibration import CalibrationData
from hot_sdk.export.precision.conversion import Converted
from hot_sdk.export.precision.cost import measure_speed
from hot_sdk.export.precision.integers import with_some
from hot_sdk.graph_io import KEYPOINTS, POSES

_WINDOWS = 12


@dataclass(frozen=True)
class BlockSensitivity:
    """One block quantised, and all others in float32.

    Attributes:
        block: Its name.
        products: How many of its products are quantised.
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
