"""What a precision is worth on this machine: two graphs timed in turn, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from hot_sdk.engines import Session, open_session
from hot_sdk.graph_io import KEYPOINTS

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
