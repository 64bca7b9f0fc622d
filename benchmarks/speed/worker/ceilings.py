"""The machine's ceilings, measured next to the models: a matrix multiplication and a memory copy.

The matrix multiplication is an ONNX model, so that it runs in the engine whose ceiling it is. It is
written without the package ``onnx``, which robots do not have: the format is that of protocol
buffers, and the field numbers are those of onnx.proto.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from hot_sdk.benchmarks.speed.messages import WorkerTask
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.errors import HotSDKError

PRODUCT, COPY = CEILINGS = ("product", "copy")
"""Names of the ceilings, as records hold them: the matrix multiplication, and the memory copy."""

INPUT = "a"
OUTPUT = "product"

_COPIED_BYTES = 64 << 20
"""Larger than any cache of an edge device."""

_IR_VERSION = 8
_OPSET = 17
_TYPES = {"float32": 1, "float16": 10}
_VARINT, _BYTES = 0, 2


@dataclass
class Ceilings:
    """Ceilings that are ready to be measured.

    Attributes:
        runs: What can be measured, by name, as in ``MeasuredModel.runs``.
        work: Operations of a multiplication, and bytes that a copy reads and writes.
        problems: Why one cannot be measured, by name.
    """

    runs: dict[str, Callable[[], tuple[float, float]]] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def open_ceilings(task: WorkerTask, precision: str, shape: Sequence[int] | None) -> Ceilings:
    """Open what the device can do at most.

    Args:
        task: The configuration, with the engine, device and threads to use.
        precision: Precision of its model; the multiplication is in float16 for ``fp16``, and else
            in float32.
        shape: Rows, length of the sums and columns of the multiplication; None for none.
    """
    opened = Ceilings()
    if task.device != "cpu":
        moved = f"not measured on {task.device}: moving the arrays to it would count"
        opened.problems = dict.fromkeys(CEILINGS, moved)
        return opened
    if shape is not None:
        try:
            _open_product(opened, task, precision, shape)
        except HotSDKError as error:
            opened.problems[PRODUCT] = error.message
    _open_copy(opened, task.threads)
    return opened


def _open_product(opened: Ceilings, task: WorkerTask, precision: str, shape: Sequence[int]) -> None:
    rows, inner, columns = shape
    dtype = "float16" if precision == "fp16" else "float32"
    options = SessionOptions(device=task.device, threads=task.threads)
    session = open_session(matmul_model(rows, inner, columns, dtype), options, engine=task.engine)
    array = np.random.default_rng(1).standard_normal((rows, inner)).astype(dtype)
    if precision not in ("fp32", "fp16"):
        opened.problems[PRODUCT] = f"the product is in {dtype}, not in {precision}"
    opened.runs[PRODUCT] = _timed(lambda: session.run({INPUT: array}))
    opened.work[PRODUCT] = 2.0 * rows * inner * columns


def _open_copy(opened: Ceilings, threads: int | None) -> None:
    count = threads or len(os.sched_getaffinity(0))
    source = np.ones(_COPIED_BYTES // 8)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, count), np.array_split(source, count), strict=True))
    pool = ThreadPoolExecutor(count)

    def copy() -> None:
        # NumPy releases the interpreter while it copies, so that threads copy at once.
        for copying in [pool.submit(np.copyto, *part) for part in parts]:
            copying.result()

    opened.runs[COPY] = _timed(copy)
    opened.work[COPY] = 2.0 * _COPIED_BYTES


def _timed(run: Callable[[], object]) -> Callable[[], tuple[float, float]]:
    """Run once untimed, and return a run that reports its time."""
    run()

    def timed() -> tuple[float, float]:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start, float("nan")

    return timed


def matmul_model(rows: int, inner: int, columns: int, dtype: str) -> bytes:
    """Return an ONNX model that multiplies (rows, inner) by a constant (inner, columns).

    Args:
        rows: Rows of the input.
        inner: Length of the sums.
        columns: Columns of the constant.
        dtype: ``float32`` or ``float16``.
    """
    random = np.random.default_rng(0)
    weights = random.standard_normal((inner, columns)).astype(dtype)
    kind = _TYPES[dtype]
    tensor = (
        b"".join(_number(1, size) for size in weights.shape)
        + _number(2, kind)
        + _text(8, "b")
        + _message(9, weights.tobytes())
    )
    node = _text(1, INPUT) + _text(1, "b") + _text(2, OUTPUT) + _text(3, "mm") + _text(4, "MatMul")
    graph = (
        _message(1, node)
        + _text(2, "product")
        + _message(5, tensor)
        + _message(11, _value(INPUT, kind, (rows, inner)))
        + _message(12, _value(OUTPUT, kind, (rows, columns)))
    )
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, opset)


def _value(name: str, kind: int, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_message(1, _number(1, size)) for size in shape)
    tensor_type = _number(1, kind) + _message(2, dims)
    return _text(1, name) + _message(2, _message(1, tensor_type))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
