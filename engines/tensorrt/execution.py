"""A plan that is loaded: its own run, and runs on memory that stays on the device."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from hot_sdk.engines.caches import CacheSpec
from hot_sdk.engines.cuda.caches import CacheMemory
from hot_sdk.engines.cuda.device import CudaDevice
from hot_sdk.engines.session import Arrays
from hot_sdk.engines.tensorrt.bindings import ICudaEngine, Runtime, create
from hot_sdk.engines.tensorrt.bound_run import BoundRun, refused
from hot_sdk.engines.tensorrt.plan import PlanSpec
from hot_sdk.engines.tensorrt.precision import read_layers
from hot_sdk.errors import EngineError

# CU_STREAM_NON_BLOCKING: what other libraries do in CUDA's default stream does not hold this up.
_NON_BLOCKING = 1

# TensorRT's names of the types that NumPy also has.
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
}

# Whether it is an input, its type, its shape.
_Description = tuple[bool, str, tuple[int | str, ...]]

_logger = logging.getLogger("hot_sdk.engines.tensorrt")


class TensorRTExecution:
    """A plan that is loaded and ready to run; not safe for threads by itself.

    To be created, used and freed with the device's context pushed.

    Raises:
        EngineError: TensorRT refuses the plan, or it was not built from ``spec``.

    Attributes:
        device: The device that it runs on.
        zero_copy: Whether the device works on the host's arrays; by default if they share memory.
        layers: What it reports about its layers.
        largest_batch: Most items of an open batch; None if the batch is fixed.
        unused: What nobody uses any more, for the next call to free. A finalizer puts it there: it
            may be called in any thread, with any lock held.
    """

    def __init__(
        self,
        trt: ModuleType,
        log: Any,  # noqa: ANN401
        device: CudaDevice,
        plan: bytes,
        spec: PlanSpec,
        *,
        zero_copy: bool | None = None,
    ) -> None:
        self.device = device
        self.zero_copy = device.shares_memory if zero_copy is None else zero_copy
        self._log = log
        self._inputs = spec.signature.inputs
        self._outputs = spec.signature.outputs
        self.largest_batch = spec.largest_batch
        self.unused: deque[BoundRun | CacheMemory] = deque()
        self._parts: list[BoundRun | CacheMemory] = []
        self._main: BoundRun | None = None
        self._stream: Any = None
        self._engine: ICudaEngine | None = None
        self._runtime: Runtime | None = create("runtime", lambda: trt.Runtime(log), trt, log)
        try:
            self._load(trt, plan)
            self._stream = device.cuda.Stream(_NON_BLOCKING)
            if self.largest_batch is None:
                self._main = self.bind(None, {})
            else:
                _logger.info("No CUDA graph: the batch is open, and a graph has fixed shapes.")
        except BaseException:
            self.free()
            raise

    @property
    def graph(self) -> int | None:
        """Handle of the CUDA graph of a run; None without one."""
        return None if self._main is None else self._main.graph

    def require_open(self) -> None:
        """Refuse to run what was freed.

        Raises:
            EngineError: It was.
        """
        if self._engine is None:
            raise EngineError("The session is closed.", hint="Open the model again to run it.")

    def run(self, feeds: Arrays, *, use_graph: bool = True) -> Arrays:
        """Run once, on checked arrays, as a CUDA graph if there is one.

        Raises:
            EngineError: The batch is larger than the plan was built for, or TensorRT failed.
        """
        if self.largest_batch is not None:
            size = self._batch_of(feeds)
            # Only now: whoever runs on caches needs no memory for the largest batch.
            if self._main is None:
                self._main = self._bound(self.largest_batch, {})
            self._main.set_batch(size)
        assert self._main is not None
        found = self._main.run(feeds, use_graph=use_graph)
        return {name: array.copy() for name, array in found.items()}

    def allocate(self, specs: Sequence[CacheSpec], rows: int) -> CacheMemory:
        """Return caches on the device, filled with zeros."""
        made = CacheMemory(self.device, specs, rows, self._stream)
        self._parts.append(made)
        return made

    def bind(self, batch: int | None, held: Mapping[str, int]) -> BoundRun:
        """Return a run of fixed shapes, as a CUDA graph if possible.

        Args:
            batch: Items of an open batch; None if it is fixed.
            held: Addresses of the inputs that are in caches.

        Raises:
            EngineError: The batch is larger than the plan was built for, or TensorRT failed.
        """
        if batch is not None:
            self._require_batch(batch)
        made = self._bound(batch, held)
        try:
            made.capture()
        except BaseException:
            self.unused.append(made)
            raise
        return made

    def free_unused(self) -> None:
        """Free what nobody uses any more."""
        while self.unused:
            part = self.unused.popleft()
            self._parts.remove(part)
            part.free()

    def free(self) -> None:
        """Free everything, users before what they use; freeing twice is allowed."""
        parts, self._parts = self._parts, []
        self.unused.clear()
        self._main = None
        # Runs first: they work on the caches that were made before them.
        for part in reversed(parts):
            part.free()
        self._engine = None
        self._runtime = None
        self._stream = None

    def _load(self, trt: ModuleType, plan: bytes) -> None:
        assert self._runtime is not None
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise refused("load the plan", self.device, self._log)
        names = map(self._engine.get_tensor_name, range(self._engine.num_io_tensors))
        found = {name: _describe(trt, self._engine, name) for name in names}
        expected = {
            spec.name: (is_input, spec.dtype, spec.shape)
            for specs, is_input in ((self._inputs, True), (self._outputs, False))
            for spec in specs
        }
        same = found.keys() == expected.keys()
        if not same or not all(_fits(found[name], expected[name]) for name in found):
            raise EngineError(
                f"The plan's inputs and outputs are {found}, the file's {expected}.",
                hint="Export the model again with hot-export, whose shapes and types stay.",
            )
        self.layers = read_layers(trt, self._engine)

    def _bound(self, batch: int | None, held: Mapping[str, int]) -> BoundRun:
        assert self._engine is not None
        made = BoundRun(
            self._engine,
            self.device,
            self._log,
            self._stream,
            self._inputs,
            self._outputs,
            batch=batch,
            zero_copy=self.zero_copy,
            held=held,
        )
        self._parts.append(made)
        return made

    def _batch_of(self, feeds: Arrays) -> int:
        size = next(
            feeds[spec.name].shape[0]
            for spec in self._inputs
            if spec.shape and isinstance(spec.shape[0], str)
        )
        self._require_batch(size)
        return int(size)

    def _require_batch(self, size: int) -> None:
        if not 1 <= size <= (self.largest_batch or 0):
            raise EngineError(
                f"The batch is {size}; this plan was built for 1 to {self.largest_batch}.",
                hint="Run it in parts, open it with a larger largest_batch, or export the model"
                " with a fixed batch of that size.",
            )


def _describe(trt: ModuleType, engine: ICudaEngine, name: str) -> _Description:
    return (
        engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
        _DTYPES.get(engine.get_tensor_dtype(name).name, "another type"),
        tuple(int(size) for size in engine.get_tensor_shape(name)),
    )


def _fits(found: _Description, expected: _Description) -> bool:
    """Return whether a tensor of a plan is that of the file, which may leave sizes open."""
    shapes = found[2], expected[2]
    return (
        found[:2] == expected[:2]
        and len(shapes[0]) == len(shapes[1])
        and all(isinstance(b, str) or a == b for a, b in zip(*shapes, strict=True))
    )
