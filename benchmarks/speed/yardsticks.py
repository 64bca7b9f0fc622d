"""The machine's own ceilings, measured beside the models: a matrix product and a memory copy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from hot_sdk.benchmarks.speed.assignment import Assignment
from hot_sdk.benchmarks.speed.onnx_bytes import INPUT, matrix_product
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.errors import HotSDKError

PRODUCT = "product"
COPY = "copy"

_COPIED_BYTES = 64 << 20
"""Larger than any cache of an edge device."""

_DTYPES = {"fp16": "float16"}


@dataclass
class Yardsticks:
    """What can be measured.

    Attributes:
        runs: By name, as of ``Subject.runs``.
        work: Operations of a product, and bytes that a copy reads and writes.
        problems: By name, why one cannot be measured.
    """

    runs: dict[str, Callable[[], tuple[float, float]]] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def open_yardsticks(
    assignment: Assignment, precision: str, shape: tuple[int, int, int] | list[int] | None
) -> Yardsticks:
    """Open what the device can do at most.

    Args:
        assignment: The configuration that it is a ceiling of; engine, device and threads are its.
        precision: Of its model; the product is in float16 for ``fp16`` and else in float32.
        shape: Rows, length of the sums and columns of the product; None for no product.
    """
    opened = Yardsticks()
    if assignment.device != "cpu":
        moved = f"not measured on {assignment.device}: moving the arrays to it would count"
        opened.problems.update({PRODUCT: moved, COPY: moved})
        return opened
    if shape is not None:
        try:
            _open_product(opened, assignment, precision, shape)
        except HotSDKError as error:
            opened.problems[PRODUCT] = error.message
    _open_copy(opened, assignment.threads)
    return opened


def _open_product(
    opened: Yardsticks,
    assignment: Assignment,
    precision: str,
    shape: tuple[int, int, int] | list[int],
) -> None:
    rows, inner, columns = shape
    dtype = _DTYPES.get(precision, "float32")
    options = SessionOptions(device=assignment.device, threads=assignment.threads)
    engine = assignment.engine
    session = open_session(matrix_product(rows, inner, columns, dtype), options, engine=engine)
    array = np.random.default_rng(1).standard_normal((rows, inner)).astype(dtype)

    def run() -> tuple[float, float]:
        start = time.perf_counter()
        session.run({INPUT: array})
        return time.perf_counter() - start, float("nan")

    run()
    if precision not in ("fp32", "fp16"):
        opened.problems[PRODUCT] = f"the product is in {dtype}, not in {precision}"
    opened.runs[PRODUCT] = run
    opened.work[PRODUCT] = 2.0 * rows * inner * columns


def _open_copy(opened: Yardsticks, threads: int | None) -> None:

    count = threads or len(os.sched_getaffinity(0))
    source = np.ones(_COPIED_BYTES // 8)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, count), np.array_split(source, count), strict=True))
    pool = ThreadPoolExecutor(count)

    def run() -> tuple[float, float]:
        start = time.perf_counter()
        # NumPy lets go of the interpreter while it copies, so that threads copy at once.
        for copying in [pool.submit(np.copyto, *part) for part in parts]:
            copying.result()
        return time.perf_counter() - start, float("nan")

    run()
    opened.runs[COPY] = run
    opened.work[COPY] = 2.0 * _COPIED_BYTES
