"""TensorRT on NVIDIA's GPUs, with PyCUDA for memory and streams.

The engine is built from the ONNX file on the device that runs it, since a plan of another GPU or
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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hot_sdk._base.closing import Closing
from hot_sdk.engines.cuda.device import CudaDevice, open_device
from hot_sdk.engines.onnx_file import Signature, check_onnx, read_signature
from hot_sdk.engines.session import Session, SessionOptions, check_inputs, precision_of
from hot_sdk.engines.tensorrt.bindings import create_log, import_tensorrt
from hot_sdk.engines.tensorrt.execution import TensorRTExecution, precision_mismatch
from hot_sdk.engines.tensorrt.plan import build_settings, get_plan
from hot_sdk.errors import EngineError, UsageError

_PURPOSE = "The engine 'tensorrt'"

_logger = logging.getLogger(__name__)


class TensorRTSession(Closing):
    """A session of TensorRT; see ``hot_sdk.engines.Session``.

    Attributes:
        cuda_graph: Whether a run is one CUDA graph; where it is not, the log says why.
        zero_copy: Whether the GPU works on the host's arrays, as where they share one memory.
        plan: The plan in the cache; None without one.
        layer_types: How many tensors between the engine's layers are of each type, as TensorRT
            tells; empty where it does not.
        largest_batch: Most items in one run; None where the model's batch is fixed.
    """

    engine = "tensorrt"

    def __init__(
        self,
        opened: _Opened,
        signature: Signature,
        *,
        version: str,
        plan: Path | None,
        load_seconds: float,
    ) -> None:
        self._lock = threading.Lock()
        self._opened: _Opened | None = opened
        # Also when it is forgotten, and before the interpreter takes CUDA's modules away.
        self._close = weakref.finalize(self, opened.close)
        self.engine_version = version
        self.device = opened.device.name
        self.load_seconds = load_seconds
        self.inputs = signature.inputs
        self.outputs = signature.outputs
        self.metadata = signature.metadata
        self.precision = precision_of(self.metadata, self.inputs)
        self.cuda_graph = opened.execution.graph is not None
        self.zero_copy = opened.device.shares_memory
        self.plan = plan
        self.layer_types = dict(opened.execution.layer_types)
        self.largest_batch = opened.execution.largest_batch

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the model once; see ``hot_sdk.engines.Session.run``."""
        if self._opened is None:
            raise _closed()
        feeds = check_inputs(arrays, self.inputs)
        with self._lock:
            opened = self._opened
            if opened is None:
                raise _closed()
            with opened.device.pushed("running the model"):
                return opened.execution.run(feeds)

    def close(self) -> None:
        """Free the engine and its memory, after a run that another thread is in."""
        with self._lock:
            self._opened = None
            self._close()


@dataclass(frozen=True)
class _Opened:
    """What a session holds, and frees."""

    execution: TensorRTExecution
    device: CudaDevice
    process: int

    def close(self) -> None:
        # A forked process has copies of the parent's handles, which are not its own to free.
        if os.getpid() != self.process:
            return
        try:
            with self.device.pushed("closing the session"):
                self.execution.free()
        except EngineError as error:
            _logger.warning("The session was not closed in order: %s", error)
        self.device.release()


def open_tensorrt(model: Path | bytes, options: SessionOptions) -> Session:
    """Build an ONNX file's engine, or take it from the cache, and load it.

    Args:
        model: The file, or its bytes.
        options: How to open it. The device must be ``cuda`` or ``cuda:N``; ``fast_math`` allows
            TensorFloat-32. The cache holds plans, and what their builds measured; without one,
            every session builds its engine, which takes minutes on a Jetson.

    Raises:
        MissingDependencyError: TensorRT or PyCUDA cannot be imported.
        UsageError: An option has no meaning here.
        EngineError: The file or the device is refused, or the release of TensorRT.
    """
    trt = import_tensorrt()
    index = _gpu_index(options)
    start = time.perf_counter()
    file = check_onnx(model)
    signature = read_signature(file)
    settings = build_settings(options, signature)
    # Before any object of TensorRT: without a device, some of its releases crash.
    device = open_device(index, purpose=_PURPOSE)
    try:
        with device.pushed("opening the session"), _nothing_left_in_frames():
            log = create_log(trt)
            content, plan = get_plan(trt, log, file, signature, settings, device, options.cache_dir)
            execution = TensorRTExecution(
                trt, log, device, content, signature, settings.largest_batch
            )
    except BaseException:
        device.release()
        raise
    declared = precision_of(signature.metadata, signature.inputs)
    problem = precision_mismatch(declared, execution.layer_types)
    if problem is not None:
        _logger.warning("'%s': %s", file.name, problem)
    return TensorRTSession(
        _Opened(execution, device, os.getpid()),
        signature,
        version=str(trt.__version__),
        plan=plan,
        load_seconds=time.perf_counter() - start,
    )


def require_tensorrt(device: str) -> None:
    """Check that an engine can be built here, before anything long begins.

    Raises:
        MissingDependencyError: TensorRT or PyCUDA cannot be imported.
        EngineError: TensorRT is too old, or there is no such device.
    """
    import_tensorrt()
    index = _gpu_index(SessionOptions(device=device))
    open_device(index, purpose=_PURPOSE).release()


@contextlib.contextmanager
def _nothing_left_in_frames() -> Iterator[None]:
    """Let go of what functions hold that end by an error, while the context is still there."""
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


def _gpu_index(options: SessionOptions) -> int:
    kind, _, index = options.device.partition(":")
    if kind != "cuda":
        raise EngineError(
            f"TensorRT runs on NVIDIA's GPUs only; {options.device!r} was asked for.",
            hint="Use device='cuda:0', or another engine.",
        )
    if options.provider is not None:
        raise UsageError(
            f"The engine 'tensorrt' has no provider {options.provider!r}.",
            hint="Leave the provider out; it is one of the engine 'onnxruntime'.",
        )
    return int(index or 0)


def _closed() -> EngineError:
    return EngineError("The session is closed.", hint="Open the model again to run it.")
