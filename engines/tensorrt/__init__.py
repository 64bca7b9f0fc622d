"""TensorRT on NVIDIA's GPUs, with PyCUDA for memory and streams.

The plan is built from the ONNX file on the device that runs it, since a plan of another GPU or
release does not load.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from hot_sdk.engines.caches import Caches, CacheSpec, PreparedRun
from hot_sdk.engines.cuda.caches import ALIGNMENT, aligned
from hot_sdk.engines.cuda.device import CudaDevice, open_device
from hot_sdk.engines.cuda.interrupts import ended_with_the_process, interrupts_deferred
from hot_sdk.engines.onnx_file import Signature, check_onnx, read_signature
from hot_sdk.engines.registry import Engine
from hot_sdk.engines.session import Arrays, Session, SessionOptions, check_inputs
from hot_sdk.engines.tensorrt.bindings import create_log, import_tensorrt
from hot_sdk.engines.tensorrt.caches import TensorRTCaches, TensorRTRun
from hot_sdk.engines.tensorrt.execution import TensorRTExecution
from hot_sdk.engines.tensorrt.plan import PlanSpec, get_plan, plan_spec
from hot_sdk.engines.tensorrt.precision import report_precision
from hot_sdk.errors import EngineError, UsageError

_PURPOSE = "The engine 'tensorrt'"
_LONGEST_RUN_S = 60.0

_logger = logging.getLogger(__name__)


class TensorRTSession(Session):
    """A session of TensorRT; see ``hot_sdk.engines.Session``.

    Attributes:
        cuda_graph: Whether a run is one CUDA graph; if it is not, the log says why.
        zero_copy: Whether the GPU works on the host's arrays, as it does if they share one memory.
        plan: The plan's file in the cache; None without a cache.
        layers: What the plan reports about its layers and their types.
    """

    def __init__(
        self,
        execution: TensorRTExecution,
        signature: Signature,
        *,
        version: str,
        plan: Path | None,
        load_seconds: float,
    ) -> None:
        super().__init__(
            execution,
            engine="tensorrt",
            version=version,
            device=execution.device.name,
            inputs=signature.inputs,
            outputs=signature.outputs,
            metadata=signature.metadata,
            load_seconds=load_seconds,
        )
        # Also on garbage collection, and before the interpreter unloads CUDA's modules.
        self._free = weakref.finalize(self, _free, execution, self._lock, os.getpid())
        self.cuda_graph = execution.graph is not None
        self.zero_copy = execution.zero_copy
        self.plan = plan
        self.layers = execution.layers
        self.largest_batch = execution.largest_batch

    def close(self) -> None:
        """Free the plan and its memory, after the run that another thread may be in."""
        super().close()
        self._free()

    def caches(self, specs: Sequence[CacheSpec], rows: int, batch: int | None) -> Caches:
        """Return caches on the device, if the address of each row suits TensorRT."""
        if not aligned(specs, batch):
            _logger.warning(
                "What the model remembers is uploaded in each run: the rows of %d slots are no"
                " multiples of %d bytes. An even number of frames (hot-export --memory) avoids it.",
                specs[0].slots,
                ALIGNMENT,
            )
            return super().caches(specs, rows, batch)
        with self._working("allocating memory") as execution, _frames_cleared_on_error():
            made = TensorRTCaches(self._working, execution.allocate(specs, rows))
            weakref.finalize(made, execution.unused.append, made.memory)
        return made

    def prepare(
        self, arrays: Arrays, caches: Caches | None = None, rows: slice | None = None
    ) -> PreparedRun:
        """Return what runs the model on arrays as they are at each call, and on caches."""
        if not isinstance(caches, TensorRTCaches) or rows is None:
            return super().prepare(arrays, caches, rows)
        held = caches.memory.addresses(rows.start)
        fed = self._checked(arrays, [spec for spec in self.inputs if spec.name not in held])
        items = rows.stop - rows.start
        if wrong := [name for name, array in fed.items() if len(array) != items]:
            raise EngineError(
                f"The arrays of {', '.join(wrong)} do not have {items} items, one for each row.",
                hint="Prepare a run with an item for each row of the caches.",
            )
        batch = None if self.largest_batch is None else items
        with self._working("preparing a run") as execution, _frames_cleared_on_error():
            bound = execution.bind(batch, held)
            made = TensorRTRun(self._working, bound, fed, caches, rows.start)
            weakref.finalize(made, execution.unused.append, bound)
        return made

    def run_without_graph(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run once, each kernel started by itself, to compare a CUDA graph with; see ``run``."""
        handle = self._open_handle()
        return self._run(handle, check_inputs(arrays, self.inputs), use_graph=False)

    def _run(self, handle: TensorRTExecution, feeds: Arrays, *, use_graph: bool = True) -> Arrays:
        with self._working("running the model", handle):
            return handle.run(feeds, use_graph=use_graph)

    @contextlib.contextmanager
    def _working(
        self, doing: str, handle: TensorRTExecution | None = None
    ) -> Iterator[TensorRTExecution]:
        """Give the plan to this thread, with the device's context pushed."""
        execution: TensorRTExecution = handle or self._open_handle()
        with interrupts_deferred(), self._lock:
            execution.require_open()
            with execution.device.pushed(doing):
                execution.free_unused()
                yield execution


def open_tensorrt(model: Path | bytes, options: SessionOptions) -> Session:
    """Build an ONNX file's plan, or read it from the cache, and load it.

    Args:
        model: The file, or its bytes.
        options: How to open it. The device must be ``cuda`` or ``cuda:N``; ``fast_math`` allows
            TensorFloat-32. The cache holds plans, and what their builds measured; without one,
            every session builds its plan, which takes minutes on a Jetson.

    Raises:
        MissingDependencyError: TensorRT or PyCUDA cannot be imported.
        UsageError: An option does not apply here.
        EngineError: The file or the device is refused, or the release of TensorRT.
    """
    trt = import_tensorrt()
    index = _gpu_index(options)
    start = time.perf_counter()
    file = check_onnx(model)
    signature = read_signature(file)
    spec = plan_spec(file, signature, options)
    session: TensorRTSession | None = None
    try:
        with ended_with_the_process() as ending, interrupts_deferred() as pressed:
            # Before any object of TensorRT: without a device, some of its releases crash.
            device = open_device(index, purpose=_PURPOSE)
            execution, plan = _load(
                trt, spec, device, options.cache_dir, stop=lambda: ending() or pressed()
            )
            session = TensorRTSession(
                execution,
                signature,
                version=str(trt.__version__),
                plan=plan,
                load_seconds=time.perf_counter() - start,
            )
    except BaseException:
        if session is not None:
            session.close()
        raise
    report_precision(spec.precision, execution.layers, file.name)
    return session


ENGINE = Engine(open_tensorrt, packages=("tensorrt",), on_cpu=False)


def require_tensorrt(device: str) -> None:
    """Check that a plan can be built here, before anything long begins.

    Raises:
        MissingDependencyError: TensorRT or PyCUDA cannot be imported.
        EngineError: TensorRT is too old, or there is no such device.
    """
    import_tensorrt()
    index = _gpu_index(SessionOptions(device=device))
    open_device(index, purpose=_PURPOSE).release()


def _load(
    trt: ModuleType,
    spec: PlanSpec,
    device: CudaDevice,
    folder: Path | None,
    *,
    stop: Callable[[], bool],
) -> tuple[TensorRTExecution, Path | None]:
    """Get the plan and load it; release the device if that fails."""
    try:
        with device.pushed("opening the session"), _frames_cleared_on_error():
            log = create_log(trt)
            content, plan = get_plan(trt, log, spec, device, folder, stop=stop)
            return TensorRTExecution(trt, log, device, content, spec), plan
    except BaseException:
        device.release()
        raise


def _free(execution: TensorRTExecution, lock: threading.Lock, process: int) -> None:
    """Free a session's plan and memory, after the run that another thread may be in.

    At the end of the process a daemon thread may be in one; its next run is refused.
    """
    # A forked process has copies of the parent's handles, which it must not free.
    if os.getpid() != process:
        return
    with interrupts_deferred():
        if not lock.acquire(timeout=_LONGEST_RUN_S):
            _logger.warning("A session was not closed: its run has not ended.")
            return
        try:
            with execution.device.pushed("closing the session"):
                execution.free()
        except EngineError as error:
            _logger.warning("The session was not closed in order: %s", error)
        finally:
            lock.release()
        execution.device.release()


@contextlib.contextmanager
def _frames_cleared_on_error() -> Iterator[None]:
    """Clear frame locals on error while the CUDA context is still alive."""
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


def _gpu_index(options: SessionOptions) -> int:
    kind, _, index = options.device.partition(":")
    if kind != "cuda":
        raise EngineError(
            f"TensorRT runs on NVIDIA's GPUs only; {options.device!r} was requested.",
            hint="Use device='cuda:0', or another engine.",
        )
    if options.provider is not None:
        raise UsageError(
            f"The engine 'tensorrt' has no provider {options.provider!r}.",
            hint="Leave the provider out; it is one of the engine 'onnxruntime'.",
        )
    return int(index or 0)
