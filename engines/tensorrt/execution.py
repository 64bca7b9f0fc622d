"""Run a loaded plan with its memory and its stream, as one CUDA graph if the batch is fixed."""

from __future__ import annotations

import contextlib
import logging
from math import prod
from types import ModuleType
from typing import Any

import numpy as np

from hot_sdk.engines.cuda.buffers import CudaBuffer
from hot_sdk.engines.cuda.device import CudaDevice
from hot_sdk.engines.cuda.driver import CudaCallError
from hot_sdk.engines.session import Arrays, format_shape
from hot_sdk.engines.tensorrt.bindings import (
    ICudaEngine,
    IExecutionContext,
    Runtime,
    create,
)
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

# Share of the largest number by which two runs may differ; kernels may add up in any order.
_SAME = 1e-2

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
        graph: Handle of the CUDA graph of one run; None without one.
        layers: What it reports about its layers.
        largest_batch: Most items of an open batch; None if the batch is fixed.
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
        self._batch: int | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._buffers: dict[str, CudaBuffer] = {}
        self._stream: Any = None
        self._engine: ICudaEngine | None = None
        self._context: IExecutionContext | None = None
        self.graph: int | None = None
        self._runtime: Runtime | None = create("runtime", lambda: trt.Runtime(log), trt, log)
        try:
            self._load(trt, plan)
            self._allocate()
            if self.largest_batch is None:
                self._capture()
            else:
                _logger.info("No CUDA graph: the batch is open, and a graph has fixed shapes.")
        except BaseException:
            self.free()
            raise

    def require_open(self) -> None:
        """Refuse to run what was freed.

        Raises:
            EngineError: It was.
        """
        if self._context is None:
            raise EngineError("The session is closed.", hint="Open the model again to run it.")

    def run(self, feeds: Arrays, *, use_graph: bool = True) -> Arrays:
        """Run once, on checked arrays, as a CUDA graph if there is one.

        Raises:
            EngineError: The batch is larger than the plan was built for, or TensorRT failed.
        """
        if self.largest_batch is not None:
            self._set_batch(self._batch_of(feeds))
        for spec in self._inputs:
            self._buffers[spec.name].view(self._shapes[spec.name])[...] = feeds[spec.name]
        if self.graph is not None and use_graph:
            self.device.calls.launch(self.graph, self._stream.handle)
        else:
            self._enqueue()
        self._stream.synchronize()
        return {
            spec.name: self._buffers[spec.name].view(self._shapes[spec.name]).copy()
            for spec in self._outputs
        }

    def free(self) -> None:
        """Free everything, users before what they use; freeing twice is allowed."""
        graph, self.graph = self.graph, None
        with contextlib.suppress(CudaCallError, self.device.cuda.Error):
            # A run that Ctrl-C cut short may still be under way.
            if self._stream is not None:
                self._stream.synchronize()
            if graph is not None:
                self.device.calls.destroy_graph(graph)
        self._context = None
        self._engine = None
        self._runtime = None
        buffers, self._buffers = self._buffers, {}
        for buffer in buffers.values():
            buffer.free()
        self._stream = None

    def _load(self, trt: ModuleType, plan: bytes) -> None:
        assert self._runtime is not None
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise self._refused("load the plan")
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
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._refused("create an execution context")

    def _allocate(self) -> None:
        assert self._context is not None
        self._stream = self.device.cuda.Stream(_NON_BLOCKING)
        self._set_batch(self.largest_batch)
        for spec in (*self._inputs, *self._outputs):
            buffer = CudaBuffer(
                self.device, prod(self._shapes[spec.name]), spec.dtype, mapped=self.zero_copy
            )
            self._buffers[spec.name] = buffer
            if not self._context.set_tensor_address(spec.name, buffer.address):
                raise self._refused(f"use the memory of '{spec.name}'")

    def _enqueue(self) -> None:
        assert self._context is not None
        for spec in self._inputs:
            self._buffers[spec.name].upload(prod(self._shapes[spec.name]), self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise self._refused("run the model")
        for spec in self._outputs:
            self._buffers[spec.name].download(prod(self._shapes[spec.name]), self._stream)

    def _capture(self) -> None:
        """Record a run as a CUDA graph, which a later run starts with one call.

        A graph may be empty or miss a part without an error, if TensorRT enqueues work elsewhere
        than in the stream. So it is launched once and compared with a plain run.
        """
        # TensorRT sets itself up in the first run after shapes or addresses change, and what it
        # does then must not be recorded.
        feeds = self._sample()
        expected = self.run(feeds)
        # Leaves other outputs on the device, which a graph without its kernels would return.
        self.run({name: np.zeros_like(array) for name, array in feeds.items()})
        try:
            self.graph = self.device.calls.capture(self._stream.handle, self._enqueue)
        except (CudaCallError, self.device.cuda.Error, EngineError) as error:
            _logger.warning("No CUDA graph, so every run starts its kernels one by one: %s", error)
            return
        for spec in self._outputs:
            self._buffers[spec.name].view(self._shapes[spec.name]).view(np.uint8)[...] = 0xFF
        if _same(self.run(feeds), expected):
            _logger.info("Captured a CUDA graph of one run.")
            return
        graph, self.graph = self.graph, None
        self.device.calls.destroy_graph(graph)
        _logger.warning(
            "No CUDA graph, so every run starts its kernels one by one: the graph that was"
            " captured computes something else than a plain run"
        )

    def _sample(self) -> Arrays:
        """Return small numbers for every input, the same each time."""
        random = np.random.default_rng(0)
        return {
            spec.name: random.uniform(-1.0, 1.0, self._shapes[spec.name]).astype(spec.dtype)
            for spec in self._inputs
        }

    def _batch_of(self, feeds: Arrays) -> int:
        size = next(
            feeds[spec.name].shape[0]
            for spec in self._inputs
            if spec.shape and isinstance(spec.shape[0], str)
        )
        if not 1 <= size <= (self.largest_batch or 0):
            raise EngineError(
                f"The batch is {size}; this plan was built for 1 to {self.largest_batch}.",
                hint="Run it in parts, open it with a larger largest_batch, or export the model"
                " with a fixed batch of that size.",
            )
        return int(size)

    def _set_batch(self, batch: int | None) -> None:
        """Set all shapes for a batch; None if they are fixed."""
        if self._shapes and batch == self._batch:
            return
        assert self._context is not None
        self._batch = None
        for spec in self._inputs:
            shape = tuple(batch if isinstance(size, str) else size for size in spec.shape)
            sizes = tuple(int(size) for size in shape if size is not None)
            if batch is not None and not self._context.set_input_shape(spec.name, sizes):
                raise self._refused(f"accept '{spec.name}' of shape {format_shape(sizes)}")
            self._shapes[spec.name] = sizes
        for spec in self._outputs:
            found = tuple(int(size) for size in self._context.get_tensor_shape(spec.name))
            if any(size < 0 for size in found):
                raise EngineError(
                    f"The shape of the output '{spec.name}' depends on the data.",
                    hint="Export the model with static shapes.",
                )
            self._shapes[spec.name] = found
        self._batch = batch

    def _refused(self, what: str) -> EngineError:
        return EngineError(
            f"TensorRT failed to {what} on {self.device.name}: {self._log.last_errors()}.",
            hint="Free GPU memory by ending other programs, or delete the cached plan to have it"
            " built again.",
        )


def _same(found: Arrays, expected: Arrays) -> bool:
    """Return whether two runs on the same arrays agree, up to sums in another order."""
    floats = [name for name, array in expected.items() if array.dtype.kind == "f"]
    if not floats:
        return all(np.array_equal(found[name], expected[name]) for name in expected)
    for name in floats:
        size = float(np.abs(expected[name][np.isfinite(expected[name])]).max(initial=0.0))
        if not np.allclose(
            found[name], expected[name], rtol=0.0, atol=_SAME * size, equal_nan=True
        ):
            return False
    return True


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
