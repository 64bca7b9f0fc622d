"""What the SDK uses of TensorRT's Python binding, as types.

The classes are the binding's, with the members that are used and the names of their arguments, so
that mypy refuses any other; a test holds them against the bindings of several releases.

What TensorRT says while it works, passed on to ``logging`` and kept for error messages.

Which releases of TensorRT the SDK can use, and what differs between them.

Little does: from 10 on every release has strongly typed networks, whose precision is that of the
file, and 11 has no others; the flags and calibrators that 11 lacks are not used. 8.6 keeps no
precision but by flags, and is refused.
"""

from __future__ import annotations

import importlib
import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from hot_sdk.errors import EngineError, MissingDependencyError


class Builder(Protocol):
    """Makes networks, their settings and plans."""

    def create_network(self, flags: int) -> INetworkDefinition: ...
    def create_builder_config(self) -> IBuilderConfig: ...
    def create_optimization_profile(self) -> IOptimizationProfile: ...
    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None: ...


class INetworkDefinition(Protocol):
    """A graph, before it is compiled; only handed on."""


class IOptimizationProfile(Protocol):
    """The sizes that an open dimension may have."""

    def set_shape(
        self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]
    ) -> None: ...


class ITimingCache(Protocol):
    """What an earlier build has measured."""

    def serialize(self) -> IHostMemory: ...


class IBuilderConfig(Protocol):
    """How to compile."""

    builder_optimization_level: int
    profiling_verbosity: Any
    progress_monitor: Any

    def clear_flag(self, flag: Any) -> None: ...
    def set_flag(self, flag: Any) -> None: ...
    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None: ...
    def add_optimization_profile(self, profile: IOptimizationProfile) -> int: ...
    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None: ...
    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool: ...
    def get_timing_cache(self) -> ITimingCache | None: ...


class IHostMemory(Protocol):
    """Bytes, through the buffer protocol."""

    nbytes: int


class ParserError(Protocol):
    """One thing that the parser could not read."""

    def desc(self) -> str: ...
    def node_name(self) -> str: ...
    def node_operator(self) -> str: ...


class OnnxParser(Protocol):
    """Reads an ONNX file into a network."""

    num_errors: int

    def parse(self, model: bytes, path: str | None = None) -> bool: ...
    def get_error(self, index: int) -> ParserError: ...


class Runtime(Protocol):
    """Loads plans."""

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None: ...


class EngineInspector(Protocol):
    """Tells what became of a graph."""

    def get_engine_information(self, format: Any) -> str: ...


class ICudaEngine(Protocol):
    """A plan that is loaded."""

    num_io_tensors: int

    def get_tensor_name(self, index: int) -> str: ...
    def get_tensor_mode(self, name: str) -> Any: ...
    def get_tensor_dtype(self, name: str) -> Any: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def create_engine_inspector(self) -> EngineInspector: ...
    def create_execution_context(self) -> IExecutionContext | None: ...


class IExecutionContext(Protocol):
    """A plan with the memory of one run."""

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def set_tensor_address(self, name: str, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...


_LONGEST = 600
_SECONDS_BETWEEN_STEPS = 5.0

_logger = logging.getLogger("hot_sdk.engines.tensorrt")


def create_log(trt: ModuleType) -> Any:
    """A logger for TensorRT's objects, which must live as long as they do.

    Its ``last_errors()`` gives, in one line, what was said at error level since the last call;
    ``interrupted`` whether Ctrl-C came meanwhile.
    """
    grave = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)
    # Errors come back in the exception; what TensorRT calls information is said for every layer.
    levels = {trt.ILogger.Severity.WARNING: logging.INFO}

    class Log(trt.ILogger):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []
            self.interrupted = False

        def log(self, severity: Any, msg: str) -> None:
            # An exception must not cross TensorRT's own code, so it is noted and raised later.
            try:
                text = " ".join(msg.split())
                if severity in grave:
                    self._errors.append(text)
                _logger.log(levels.get(severity, logging.DEBUG), "TensorRT: %s", text)
            except KeyboardInterrupt:
                self.interrupted = True

        def last_errors(self) -> str:
            errors, self._errors = self._errors, []
            return " ".join(errors)[:_LONGEST] or "it does not say why"

    return Log()


def create_monitor(trt: ModuleType) -> Any:
    """A progress monitor, which logs each phase and, every few seconds, how far it is.

    Ctrl-C ends the build; ``interrupted`` says so.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupted = False
            self._start = self._said = time.monotonic()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            if not parent_phase:
                self._say(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                if time.monotonic() - self._said >= _SECONDS_BETWEEN_STEPS:
                    self._say(f"{phase_name}, {step + 1} of {self._steps.get(phase_name, '?')}")
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def _say(self, text: str) -> None:
            self._said = time.monotonic()
            _logger.info("Building: %s (%.0f s so far)", text, self._said - self._start)

    return Monitor()


OLDEST = 10

_JETSON_RELEASE = Path("/etc/nv_tegra_release")


def import_tensorrt() -> ModuleType:
    """Import TensorRT, of a release that the SDK can use.

    Raises:
        MissingDependencyError: It cannot be imported.
        EngineError: It is too old.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        said = " ".join(str(error).split())
        raise MissingDependencyError(
            f"The engine 'tensorrt' needs TensorRT, which cannot be imported ({said}).",
            hint=_how_to_install(),
        ) from error
    require_supported(str(trt.__version__))
    return trt


def require_supported(version: str) -> None:
    """Refuse a release that has no strongly typed networks, or not all that they need.

    Raises:
        EngineError: It is older than ``OLDEST``.
    """
    match = re.match(r"\d+", version)
    if match is None or int(match[0]) < OLDEST:
        raise EngineError(
            f"TensorRT {version} is too old; the engine 'tensorrt' needs {OLDEST} or newer, which"
            " keep the precision that the model file states.",
            hint="On a Jetson, install JetPack 6.1 or newer (6.0 brings TensorRT 8.6); until then"
            " compile the file there with trtexec --onnx=FILE after hot-export --opset 17, or use"
            " the engine 'onnxruntime'.",
        )


def _how_to_install() -> str:
    if _JETSON_RELEASE.is_file():
        return (
            "Run: sudo apt install python3-libnvinfer, and use the system's Python, or a virtual"
            " environment made with --system-site-packages."
        )
    return "Run: pip install tensorrt"
