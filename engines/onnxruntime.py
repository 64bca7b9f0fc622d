"""ONNX Runtime, on CPUs and through CUDA."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Protocol

from numpy.typing import NDArray

from hot_sdk.engines.arrays import check_inputs
from hot_sdk.engines.cache import cache_entry, cpu_identity, new_entry
from hot_sdk.engines.closing import Closing
from hot_sdk.engines.interface import (
    ANY_SIZE,
    Session,
    SessionOptions,
    TensorSpec,
    precision_of,
)
from hot_sdk.engines.onnx_file import OnnxFile, check_onnx
from hot_sdk.engines.onnxruntime_cuda import (
    CUDA_PROVIDER,
    cuda_error,
    cuda_index,
    cuda_provider,
    require_cuda_build,
)
from hot_sdk.errors import EngineError, MissingDependencyError

_CPU_PROVIDER = "CPUExecutionProvider"

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
}

# ONNX Runtime also prints what it raises, at level 3; level 4 leaves it to the exception.
_LOG_FATAL_ONLY = 4

_logger = logging.getLogger(__name__)


class _VendorSession(Protocol):
    """What is used of ``onnxruntime.InferenceSession``, which has no types of its own."""

    def run(self, names: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]: ...

    def get_inputs(self) -> list[_VendorTensor]: ...

    def get_outputs(self) -> list[_VendorTensor]: ...

    def get_modelmeta(self) -> _VendorMetadata: ...

    def get_providers(self) -> list[str]: ...

    def get_provider_options(self) -> dict[str, dict[str, str]]: ...


class _VendorTensor(Protocol):
    name: str
    shape: list[int | str | None]
    type: str


class _VendorMetadata(Protocol):
    custom_metadata_map: dict[str, str]


class OnnxRuntimeSession(Closing):
    """A session of ONNX Runtime; see ``hot_sdk.engines.Session``."""

    engine = "onnxruntime"

    def __init__(
        self, session: _VendorSession, *, version: str, device: str, load_seconds: float
    ) -> None:
        self._session: _VendorSession | None = session
        self.engine_version = version
        self.device = device
        self.load_seconds = load_seconds
        self.inputs = _specs(session.get_inputs())
        self.outputs = _specs(session.get_outputs())
        self.metadata: Mapping[str, str] = MappingProxyType(_metadata(session))
        self.precision = precision_of(self.metadata, self.inputs)

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the model once; see ``hot_sdk.engines.Session.run``."""
        # Held here so that a close in another thread does not free it under this run.
        session = self._session
        if session is None:
            raise EngineError("The session is closed.", hint="Open the model again to run it.")
        feeds = check_inputs(arrays, self.inputs)
        names = [spec.name for spec in self.outputs]
        try:
            values = session.run(names, feeds)
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own.
            raise EngineError(
                f"ONNX Runtime {self.engine_version} failed on {self.device}: {_text(error)}",
                hint="Check that the model file matches its inputs, and that memory is left.",
            ) from error
        return dict(zip(names, values, strict=True))

    def close(self) -> None:
        """Release the model."""
        self._session = None


def open_onnxruntime(model: Path | bytes, options: SessionOptions) -> Session:
    """Load an ONNX file in ONNX Runtime.

    The cache holds the optimised graph. It pays only where optimising is slow, as in graphs with
    much to fold: a transformer of 34 million parameters, with 20 ms of optimising in it, opens in
    0.27 s without the cache and in 0.45 s with it, for all its weights are hashed to recognise it
    (two cores of an AMD EPYC, ONNX Runtime 1.32).

    Args:
        model: The file, or its bytes.
        options: How to open it.

    Raises:
        MissingDependencyError: ONNX Runtime cannot be imported.
        EngineError: The file or the device is refused.
    """
    ort = _import_onnxruntime()
    start = time.perf_counter()
    file = check_onnx(model)
    if options.device != "cpu":
        require_cuda_build(ort)
    if options.cache_dir is None:
        session = _create(ort, file, options)
    else:
        session = _create_cached(ort, file, options, options.cache_dir)
    return OnnxRuntimeSession(
        session,
        version=ort.__version__,
        device=_device_in_use(session, options),
        load_seconds=time.perf_counter() - start,
    )


def _import_onnxruntime() -> ModuleType:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingDependencyError(
            f"The engine 'onnxruntime' needs the package 'onnxruntime', which cannot be imported"
            f" ({error}).",
            hint="Run: pip install onnxruntime",
        ) from error


def _create_cached(
    ort: ModuleType, file: OnnxFile, options: SessionOptions, folder: Path
) -> _VendorSession:
    entry = cache_entry(
        folder,
        file.name,
        ".onnx",
        {
            "model": file.digest(),
            "engine": f"onnxruntime {ort.__version__}",
            "optimisation": options.graph_optimisation,
            "device": options.device.partition(":")[0],
            # Level 'all' may lay tensors out for this CPU's vector width.
            "cpu": cpu_identity(),
        },
    )
    if entry.is_file():
        try:
            session = _create(ort, check_onnx(entry), options, optimised=True)
        except EngineError as error:
            _logger.warning("Rebuilding the cached graph '%s': %s", entry, error.message)
        else:
            _logger.debug("Loaded the cached graph '%s'", entry)
            return session
    with new_entry(entry) as temporary:
        try:
            session = _create(ort, file, options, save_to=temporary)
        except EngineError as error:
            # Tells a model that is refused, which raises again, from a graph that cannot be saved.
            session = _create(ort, file, options)
            _logger.warning("Could not cache the optimised graph: %s", error.message)
            temporary.unlink(missing_ok=True)
    _logger.debug("Cached the optimised graph as '%s'", entry)
    return session


def _create(
    ort: ModuleType,
    file: OnnxFile,
    options: SessionOptions,
    *,
    optimised: bool = False,
    save_to: Path | None = None,
) -> _VendorSession:
    """Create ONNX Runtime's own session, on the device asked for or not at all."""
    settings = ort.SessionOptions()
    settings.log_severity_level = _LOG_FATAL_ONLY
    settings.intra_op_num_threads = options.threads or 0
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    level = _LEVELS["none" if optimised else options.graph_optimisation]
    settings.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    # Without it the format follows from the content, which would admit files that were not checked.
    settings.add_session_config_entry("session.load_model_format", "ONNX")
    if save_to is not None:
        settings.optimized_model_filepath = str(save_to)
    on_cpu = options.device == "cpu"
    if not on_cpu:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    providers = [_CPU_PROVIDER if on_cpu else cuda_provider(ort, options.device)]
    content = file.content if isinstance(file.content, bytes) else str(file.content)
    try:
        session: _VendorSession = ort.InferenceSession(
            content, settings, providers=providers, enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own.
        if not on_cpu:
            raise cuda_error(ort, options.device, _text(error)) from error
        raise EngineError(
            f"ONNX Runtime {ort.__version__} refuses the model '{file.name}': {_text(error)}",
            hint="Export it again for this version, or install a newer ONNX Runtime.",
        ) from error
    used = session.get_providers()
    if not on_cpu and CUDA_PROVIDER not in used:
        raise cuda_error(ort, options.device, f"it would run on {', '.join(used)} instead.")
    return session


def _device_in_use(session: _VendorSession, options: SessionOptions) -> str:
    if options.device == "cpu":
        return "cpu"
    used = session.get_provider_options()[CUDA_PROVIDER]
    return f"cuda:{used.get('device_id', cuda_index(options.device))}"


def _metadata(session: _VendorSession) -> dict[str, str]:
    try:
        return dict(session.get_modelmeta().custom_metadata_map)
    except UnicodeDecodeError as error:
        raise EngineError(
            f"The model file's metadata is not text ({error}).", hint="Export the model again."
        ) from error


def _specs(values: Sequence[_VendorTensor]) -> tuple[TensorSpec, ...]:
    specs = []
    for value in values:
        if value.type not in _DTYPES:
            raise EngineError(
                f"The model's '{value.name}' is of type {value.type}; expected a dense tensor of"
                " numbers.",
                hint="Export the model with tensors of float16, float32 or integers.",
            )
        shape = tuple(ANY_SIZE if size is None else size for size in value.shape)
        specs.append(TensorSpec(value.name, shape, _DTYPES[value.type]))
    return tuple(specs)


def _text(error: Exception) -> str:
    """The vendor's message as one sentence in one line, without its own prefix."""
    line = " ".join(str(error).split())
    _, separator, rest = line.partition("[ONNXRuntimeError] : ")
    text = rest.split(" : ", 2)[-1] if separator else line
    return text if text.endswith(".") else f"{text}."
