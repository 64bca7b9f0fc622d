"""TensorRT's Python binding: the members that are used, log, progress, and supported releases.

The protocols are the binding's classes with the members that are used and the names of their
arguments, so that mypy refuses any other; a test compares them with the bindings of several
releases.

Little differs between releases: from 10 on each has strongly typed networks, whose precision is
that of the file, and 11 has no others; the flags and calibrators that 11 lacks are not used. 8.6
keeps no precision except by flags, and is refused.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol, TypeVar

from hot_sdk._base.optional import install_tensorrt
from hot_sdk._base.quiet_imports import import_quietly
from hot_sdk.engines.cuda.device import driver_release, on_jetson
from hot_sdk.errors import EngineError, MissingDependencyError

OLDEST = 10
"""The oldest major version of TensorRT that is supported."""

_LONGEST = 600
_SECONDS_BETWEEN_STEPS = 5.0

_Object = TypeVar("_Object")

_logger = logging.getLogger("hot_sdk.engines.tensorrt")


class Builder(Protocol):
    """Creates networks, their configurations and plans."""

    def create_network(self, flags: int) -> INetworkDefinition: ...
    def create_builder_config(self) -> IBuilderConfig: ...
    def create_optimization_profile(self) -> IOptimizationProfile: ...
    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None: ...


class INetworkDefinition(Protocol):
    """A graph, before it is compiled; only passed on."""


class IOptimizationProfile(Protocol):
    """The sizes that an open dimension may have."""

    def set_shape(
        self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]
    ) -> None: ...


class ITimingCache(Protocol):
    """What earlier builds measured."""

    def serialize(self) -> IHostMemory: ...


class IBuilderConfig(Protocol):
    """Options of a build."""

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
    """Reports how a graph was compiled."""

    def get_engine_information(self, format: Any) -> str | None: ...


class ICudaEngine(Protocol):
    """A plan that is loaded."""

    num_io_tensors: int

    def get_tensor_name(self, index: int) -> str: ...
    def get_tensor_mode(self, name: str) -> Any: ...
    def get_tensor_dtype(self, name: str) -> Any: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def create_engine_inspector(self) -> EngineInspector | None: ...
    def create_execution_context(self) -> IExecutionContext | None: ...


class IExecutionContext(Protocol):
    """A plan with the memory of one run."""

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def set_tensor_address(self, name: str, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...


def create_log(trt: ModuleType) -> Any:
    """Return a logger for TensorRT's objects, which must live as long as they do.

    It passes messages on to ``logging``. Its ``last_errors()`` returns the errors since the last
    call in one line.
    """
    grave = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)
    # Errors come back in the exception; what TensorRT calls information is logged for every layer.
    levels = {trt.ILogger.Severity.WARNING: logging.INFO}

    class Log(trt.ILogger):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            text = " ".join(msg.split())
            if severity in grave:
                self._errors.append(text)
            _logger.log(levels.get(severity, logging.DEBUG), "TensorRT: %s", text)

        def last_errors(self) -> str:
            errors, self._errors = self._errors, []
            return " ".join(errors)[:_LONGEST] or "it gives no reason"

    return Log()


def create_monitor(trt: ModuleType, stop: Callable[[], bool]) -> Any:
    """Return a progress monitor, which logs each phase and, every few seconds, its progress.

    The build ends at the first step at which ``stop()`` is true. An exception would not end it: the
    binding swallows what its callbacks raise.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._start = self._logged = time.monotonic()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            if not parent_phase:
                self._report(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if time.monotonic() - self._logged >= _SECONDS_BETWEEN_STEPS:
                self._report(f"{phase_name}, {step + 1} of {self._steps.get(phase_name, '?')}")
            return not stop()

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def _report(self, text: str) -> None:
            self._logged = time.monotonic()
            _logger.info("Building: %s (%.0f s so far)", text, self._logged - self._start)

    return Monitor()


def create(
    what: str,
    make: Callable[[], _Object | None],
    trt: ModuleType,
    log: Any,
) -> _Object:
    """Return an object of TensorRT, which gives none if a library or the driver does not fit.

    Args:
        what: The object, for the message.
        make: Makes it.
        trt: The binding.
        log: Its logger.

    Raises:
        EngineError: There is none.
    """
    try:
        made = make()
    except TypeError as error:  # How the binding reports a constructor that gives no object.
        log.log(trt.ILogger.Severity.ERROR, str(error))
        made = None
    if made is None:
        raise EngineError(
            f"TensorRT {trt.__version__} creates no {what}: {log.last_errors()}.",
            hint="Run hot-doctor: the driver may be older than this TensorRT needs, a library of"
            " TensorRT may be missing, or memory is short.",
        )
    return made


def import_tensorrt() -> ModuleType:
    """Import TensorRT, if its release is supported.

    Raises:
        MissingDependencyError: It cannot be imported.
        EngineError: It is too old.
    """
    try:
        trt = import_quietly("tensorrt")
        version = str(trt.__version__)
    except (ImportError, OSError, AttributeError) as error:
        # AttributeError: a folder that happens to be named tensorrt is imported in its place.
        reason = " ".join(str(error).split())
        raise MissingDependencyError(
            f"The engine 'tensorrt' needs TensorRT, which cannot be imported ({reason}).",
            hint=_how_to_install(),
        ) from error
    require_supported(version)
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
            " keep the precision that the model file declares.",
            hint="On a Jetson, install JetPack 6.1 or newer (6.0 brings TensorRT 8.6); until then"
            " compile the file there with trtexec --onnx=FILE after hot-export --opset 17, or use"
            " the engine 'onnxruntime'.",
        )


def _how_to_install() -> str:
    if on_jetson():
        return (
            "Run: sudo apt install python3-libnvinfer, and use the system's Python, or a virtual"
            " environment made with --system-site-packages."
        )
    return f"Run: {install_tensorrt(driver_release())}"
