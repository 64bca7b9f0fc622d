"""The machine's ceilings, measured next to the models, in the model's own engine.

Three: the model's largest matrix multiplication; each of the model's multiplications by itself, in
the shape that it has there, summed up; and a memory copy. A thin network cannot reach the first,
since its multiplications are too small for it; the second says what its shapes allow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from hot_sdk.benchmarks.speed.messages import WorkerTask
from hot_sdk.benchmarks.speed.profilers.onnxruntime import Product
from hot_sdk.benchmarks.speed.worker.products import (
    ProductModel,
    bytes_of,
    forms_of,
    product_model,
    products_model,
)
from hot_sdk.engines import Session, SessionOptions, open_session
from hot_sdk.errors import HotSDKError

PRODUCT, SHAPES, COPY = "product", "shapes", "copy"
"""Names of the ceilings. There is one ``product`` for each form that its engine runs, named
``product FORM``."""

_COPIED_BYTES = 64 << 20
"""Larger than any cache of an edge device."""

_TRIALS = 5
"""Timed runs of each form of a multiplication, of which the fastest form is kept."""

_MOST_BYTES = 2 << 30

Run = Callable[[], float]
"""Runs multiplications; returns the seconds."""


@dataclass(frozen=True)
class FastestForm:
    """A multiplication in the form that its engine runs fastest.

    Attributes:
        product: The multiplication.
        form: One of ``products.FORMS``.
        ms: Milliseconds of one of it by itself; median of the trial.
    """

    product: Product
    form: str
    ms: float


@dataclass
class Ceilings:
    """Ceilings that are ready to be measured.

    Attributes:
        runs: What can be measured, by name, as in ``MeasuredModel.runs``.
        work: Operations of a multiplication and of all of them, and bytes that a copy reads and
            writes.
        problems: Why one cannot be measured, by name.
        shapes: The multiplications, each in its fastest form.
    """

    runs: dict[str, Callable[[], tuple[float, float]]] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    shapes: list[FastestForm] = field(default_factory=list)


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
        model = product_model(product, form, expand=task.device != "cpu")
        try:
            run = _open_model(task, model)
        except HotSDKError as error:
            opened.problems[name] = error.message
        else:
            opened.runs[name] = _reported(run)
            opened.work[name] = float(product.flops * model.copies[0])


def _open_shapes(
    opened: Ceilings, task: WorkerTask, precision: str, products: Sequence[Product]
) -> None:
    """Open all multiplications as one model, which computes one after the other and nothing else.

    One, since the threads of a session go on for a while after its run, and would disturb another.
    """
    try:
        found = [_fastest(task, product, precision) for product in products]
        wanted = [(one.product, one.form, one.product.count) for one in found]
        needed = bytes_of(wanted)
        if needed > _MOST_BYTES:
            opened.problems[SHAPES] = (
                f"their factors would take {needed >> 20} MiB, of at most {_MOST_BYTES >> 20}"
            )
            return
        run = _open_model(task, products_model(wanted, expand=task.device != "cpu"))
    except HotSDKError as error:
        opened.problems[SHAPES] = error.message
        return
    opened.shapes = found
    opened.runs[SHAPES] = _reported(run)
    opened.work[SHAPES] = float(sum(one.flops * one.count for one in products))


def _fastest(task: WorkerTask, product: Product, precision: str) -> FastestForm:
    """Return a multiplication in its fastest form, by trial.

    Raises:
        HotSDKError: The engine runs it in no form.
    """
    found = []
    problem: HotSDKError | None = None
    for form in forms_of(product, precision):
        model = product_model(product, form, expand=task.device != "cpu")
        try:
            with _session(task, model) as session:
                run = _timed(session, model)
                run()
                taken = float(np.median([run() for _ in range(_TRIALS)])) / model.copies[0]
        except HotSDKError as error:
            problem = problem or error
        else:
            found.append(FastestForm(product, form, 1e3 * taken))
    if not found:
        assert problem is not None
        raise problem
    return min(found, key=lambda one: one.ms)


def _session(task: WorkerTask, model: ProductModel) -> Session:
    options = SessionOptions(device=task.device, threads=task.threads)
    return open_session(model.content, options, engine=task.engine)


def _open_model(task: WorkerTask, model: ProductModel) -> Run:
    """Open a model for as long as the process lasts, and run it once."""
    run = _timed(_session(task, model), model)
    run()
    return run


def _timed(session: Session, model: ProductModel) -> Run:
    def run() -> float:
        start = time.perf_counter()
        session.run(model.arrays)
        return time.perf_counter() - start

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
