"""The machine's ceilings, measured next to the models, in the model's own engine.

Three: the model's largest matrix multiplication; each of the model's multiplications by itself, in
the shape that it has there, summed up; and a memory copy. A thin network cannot reach the first,
since its multiplications are too small for it; the second says what its shapes allow.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from hot_sdk.benchmarks.speed.messages import WorkerTask
from hot_sdk.benchmarks.speed.profilers.onnxruntime import Product
from hot_sdk.benchmarks.speed.worker.products import forms_of, product_model
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.errors import HotSDKError

PRODUCT, SHAPES, COPY = "product", "shapes", "copy"
"""Names of the ceilings. There is one ``product`` for each form that its engine runs, named
``product FORM``."""

_COPIED_BYTES = 64 << 20
"""Larger than any cache of an edge device."""

_TRIALS = 3
"""Runs of each form of a multiplication, of which the fastest form is kept."""

Run = Callable[[], float]
"""Runs a multiplication; returns the seconds of one copy of it."""


@dataclass
class OpenedProduct:
    """A multiplication in the form that its engine runs fastest.

    Attributes:
        product: The multiplication.
        form: One of ``products.FORMS``.
        run: Runs it.
        seconds: Times of one copy of it, as measured so far.
    """

    product: Product
    form: str
    run: Run
    seconds: list[float] = field(default_factory=list)


@dataclass
class Ceilings:
    """Ceilings that are ready to be measured.

    Attributes:
        runs: What can be measured, by name, as in ``MeasuredModel.runs``.
        work: Operations of a multiplication and of all of them, and bytes that a copy reads and
            writes.
        problems: Why one cannot be measured, by name.
        shapes: The multiplications that are timed one by one.
    """

    runs: dict[str, Callable[[], tuple[float, float]]] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    shapes: list[OpenedProduct] = field(default_factory=list)


def open_ceilings(task: WorkerTask, precision: str, products: Sequence[Product]) -> Ceilings:
    """Open what the device can do at most.

    Args:
        task: The configuration, with the engine, device and threads to use.
        precision: Precision of its model.
        products: The model's multiplications; none if its graph was not read.
    """
    opened = Ceilings()
    if products:
        _open_largest(opened, task, precision, max(products, key=_size))
        _open_shapes(opened, task, precision, products)
    if task.device == "cpu":
        _open_copy(opened, task.threads)
    else:
        opened.problems[COPY] = f"main memory is not what {task.device} reads"
    return opened


def _size(product: Product) -> tuple[int, bool]:
    """Return operations of one matrix, and whether it is int8: of equal ones, the faster."""
    return product.rows * product.inner * product.columns, product.quantized


def _open_largest(opened: Ceilings, task: WorkerTask, precision: str, product: Product) -> None:
    for form in forms_of(product, precision):
        name = f"{PRODUCT} {form}"
        try:
            run = _open_product(task, product, form)
        except HotSDKError as error:
            opened.problems[name] = error.message
        else:
            opened.runs[name] = _reported(run)
            opened.work[name] = float(product.flops)


def _open_shapes(
    opened: Ceilings, task: WorkerTask, precision: str, products: Sequence[Product]
) -> None:
    found = []
    for product in products:
        fastest = _fastest(task, product, precision)
        if isinstance(fastest, str):
            opened.problems[SHAPES] = f"{product}: {fastest}"
            return
        found.append(fastest)

    def run_all() -> float:
        total = 0.0
        for one in found:
            one.run()  # The others have filled the caches since the last time.
            one.seconds.append(one.run())
            total += one.product.count * one.seconds[-1]
        return total

    opened.shapes = found
    opened.runs[SHAPES] = _reported(run_all)
    opened.work[SHAPES] = float(sum(one.flops * one.count for one in products))


def _fastest(task: WorkerTask, product: Product, precision: str) -> OpenedProduct | str:
    """Return a multiplication in its fastest form by trial, or why there is none."""
    best: tuple[float, OpenedProduct] | None = None
    problem = ""
    for form in forms_of(product, precision):
        try:
            run = _open_product(task, product, form)
        except HotSDKError as error:
            problem = problem or error.message
            continue
        taken = min(run() for _ in range(_TRIALS))
        if best is None or taken < best[0]:
            best = taken, OpenedProduct(product, form, run)
    return problem if best is None else best[1]


def _open_product(task: WorkerTask, product: Product, form: str) -> Run:
    model = product_model(product, form, expand=task.device != "cpu")
    options = SessionOptions(device=task.device, threads=task.threads)
    session = open_session(model.content, options, engine=task.engine)
    session.run(model.arrays)

    def run() -> float:
        start = time.perf_counter()
        session.run(model.arrays)
        return (time.perf_counter() - start) / model.copies

    return run


def _open_copy(opened: Ceilings, threads: int | None) -> None:
    count = threads or len(os.sched_getaffinity(0))
    source = np.ones(_COPIED_BYTES // 8)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, count), np.array_split(source, count), strict=True))
    pool = ThreadPoolExecutor(count)

    def copy() -> float:
        start = time.perf_counter()
        # NumPy releases the interpreter while it copies, so that threads copy at once.
        for copying in [pool.submit(np.copyto, *part) for part in parts]:
            copying.result()
        return time.perf_counter() - start

    copy()
    opened.runs[COPY] = _reported(copy)
    opened.work[COPY] = 2.0 * _COPIED_BYTES


def _reported(run: Run) -> Callable[[], tuple[float, float]]:
    """Return a run that reports its time as those of models do."""
    return lambda: (run(), float("nan"))


def times_of(opened: Ceilings) -> list[dict[str, object]]:
    """Return each timed multiplication with its form and its median, for a message."""
    return [
        {
            "product": dataclasses.asdict(one.product),
            "form": one.form,
            "ms": 1e3 * float(np.median(one.seconds)),
        }
        for one in opened.shapes
        if one.seconds
    ]
