"""One run of a plan: a context with fixed shapes and memory, and the CUDA graph of it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from hot_sdk.engines.cuda.buffers import CudaBuffer
from hot_sdk.engines.cuda.device import CudaDevice
from hot_sdk.engines.cuda.driver import CudaCallError
from hot_sdk.engines.cuda.graph_check import same_outputs
from hot_sdk.engines.session import Arrays, TensorSpec, format_shape
from hot_sdk.engines.tensorrt.bindings import ICudaEngine, IExecutionContext
from hot_sdk.errors import EngineError

_logger = logging.getLogger("hot_sdk.engines.tensorrt")


class BoundRun:
    """A context of a plan with the memory of its inputs and outputs, for one thread at a time.

    To be created, used and freed with the device's context pushed. NVIDIA's guide has one context
    for each CUDA graph: to change a context's shapes or addresses leaves its graph undefined.

    Args:
        engine: The plan.
        device: The device that it runs on.
        log: TensorRT's logger.
        stream: Where runs are enqueued.
        inputs: The plan's inputs.
        outputs: Its outputs.
        batch: Items of a run, or the most of them; None if all shapes are fixed.
        zero_copy: Whether the device works on the host's arrays.
        held: Addresses of the inputs that are in memory of others.

    Raises:
        EngineError: TensorRT fails.

    Attributes:
        graph: Handle of the CUDA graph; None without one.
        addresses: Addresses of all inputs and outputs on the device.
    """

    def __init__(
        self,
        engine: ICudaEngine,
        device: CudaDevice,
        log: Any,  # noqa: ANN401
        stream: Any,  # noqa: ANN401
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        batch: int | None,
        zero_copy: bool,
        held: Mapping[str, int],
    ) -> None:
        self._device, self._log, self._stream = device, log, stream
        self._inputs, self._outputs = inputs, outputs
        self._fed = tuple(spec for spec in inputs if spec.name not in held)
        self._batch: int | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._buffers: dict[str, CudaBuffer] = {}
        self.graph: int | None = None
        self._context: IExecutionContext | None = engine.create_execution_context()
        if self._context is None:
            raise self._refused("create an execution context")
        try:
            self.set_batch(batch)
            for spec in (*self._fed, *outputs):
                size = prod(self._shapes[spec.name])
                self._buffers[spec.name] = CudaBuffer(device, size, spec.dtype, mapped=zero_copy)
            fed = {name: buffer.address for name, buffer in self._buffers.items()}
            self.addresses: dict[str, int] = {**fed, **held}
            for name, address in self.addresses.items():
                if not self._context.set_tensor_address(name, address):
                    raise self._refused(f"use the memory of '{name}'")
        except BaseException:
            self.free()
            raise

    def run(self, feeds: Arrays, *, use_graph: bool = True) -> Arrays:
        """Run once, on checked arrays, as a CUDA graph if there is one.

        Returns:
            Views of the outputs, which the next run overwrites.

        Raises:
            EngineError: TensorRT failed.
        """
        for spec in self._fed:
            self._buffers[spec.name].view(self._shapes[spec.name])[...] = feeds[spec.name]
        if self.graph is not None and use_graph:
            self._device.calls.launch(self.graph, self._stream.handle)
        else:
            self._enqueue()
        self._stream.synchronize()
        return self._found()

    def set_batch(self, batch: int | None) -> None:
        """Set all shapes for a batch; None if they are fixed.

        Raises:
            EngineError: TensorRT refuses them.
        """
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

    def capture(self) -> None:
        """Record a run as a CUDA graph, which a later run starts with one call.

        A graph may be empty or miss a part without an error, if TensorRT enqueues work elsewhere
        than in the stream. So it is launched once and compared with a plain run.
        """
        # TensorRT sets itself up in the first run after shapes or addresses change, and what it
        # does then must not be recorded.
        feeds = self._sample()
        expected = {name: array.copy() for name, array in self.run(feeds).items()}
        # Leaves other outputs on the device, which a graph without its kernels would return.
        self.run({name: np.zeros_like(array) for name, array in feeds.items()})
        try:
            self.graph = self._device.calls.capture(self._stream.handle, self._enqueue)
        except (CudaCallError, self._device.cuda.Error, EngineError) as error:
            _logger.warning("No CUDA graph, so every run starts its kernels one by one: %s", error)
            return
        for array in self._found().values():
            array.view(np.uint8)[...] = 0xFF
        if same_outputs(self.run(feeds), expected):
            _logger.info("Captured a CUDA graph of one run.")
            return
        graph, self.graph = self.graph, None
        self._device.calls.destroy_graph(graph)
        _logger.warning(
            "No CUDA graph, so every run starts its kernels one by one: the graph that was"
            " captured computes something else than a plain run"
        )

    def free(self) -> None:
        """Free everything, users before what they use; freeing twice is allowed."""
        graph, self.graph = self.graph, None
        stream, self._stream = self._stream, None
        with contextlib.suppress(CudaCallError, self._device.cuda.Error):
            # A run that Ctrl-C cut short may still be under way.
            if stream is not None:
                stream.synchronize()
            if graph is not None:
                self._device.calls.destroy_graph(graph)
        self._context = None
        buffers, self._buffers = self._buffers, {}
        for buffer in buffers.values():
            buffer.free()

    def _enqueue(self) -> None:
        assert self._context is not None
        for spec in self._fed:
            self._buffers[spec.name].upload(prod(self._shapes[spec.name]), self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise self._refused("run the model")
        for spec in self._outputs:
            self._buffers[spec.name].download(prod(self._shapes[spec.name]), self._stream)

    def _found(self) -> Arrays:
        return {
            spec.name: self._buffers[spec.name].view(self._shapes[spec.name])
            for spec in self._outputs
        }

    def _sample(self) -> Arrays:
        """Return small numbers for every input that is fed, the same each time."""
        random = np.random.default_rng(0)
        return {
            spec.name: random.uniform(-1.0, 1.0, self._shapes[spec.name]).astype(spec.dtype)
            for spec in self._fed
        }

    def _refused(self, what: str) -> EngineError:
        return refused(what, self._device, self._log)


def refused(what: str, device: CudaDevice, log: Any) -> EngineError:  # noqa: ANN401
    """Return the error for what TensorRT failed to do."""
    return EngineError(
        f"TensorRT failed to {what} on {device.name}: {log.last_errors()}.",
        hint="Free GPU memory by ending other programs, or delete the cached plan to have it"
        " built again.",
    )
