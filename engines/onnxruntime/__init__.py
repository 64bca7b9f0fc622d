"""ONNX Runtime: on CPUs, through CUDA, and through any execution provider by its name."""

from __future__ import annotations

import logging
import platform
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from hot_sdk._base.quiet_imports import import_quietly
from hot_sdk.engines.cache import MODEL, CachedFile, cache_entry, cpu_identity, unwritable
from hot_sdk.engines.onnx_file import OnnxFile, check_onnx, read_signature
from hot_sdk.engines.onnxruntime.integer_products import (
    PRODUCTS_REVISION,
    exact_sums,
    with_integer_products,
)
from hot_sdk.engines.onnxruntime.providers import (
    CUDA_PROVIDER,
    Provider,
    choose_provider,
    cuda_error,
    cuda_index,
)
from hot_sdk.engines.onnxruntime.session import (
    BoundRunner,
    OnnxRuntimeSession,
    vendor_text,
)
from hot_sdk.engines.registry import Engine
from hot_sdk.engines.session import Session, SessionOptions
from hot_sdk.errors import EngineError, MissingDependencyError

if TYPE_CHECKING:
    import onnxruntime

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
# Levels at which ONNX Runtime itself writes operators of its own.
_FUSING = ("extended", "all")

_ARM64 = ("aarch64", "arm64")

# ONNX Runtime also prints what it raises, at level 3; level 4 leaves it to the exception.
_LOG_FATAL_ONLY = 4

_logger = logging.getLogger(__name__)


def open_onnxruntime(model: Path | bytes, options: SessionOptions) -> Session:
    """Load an ONNX file in ONNX Runtime.

    The cache holds the optimized graph. It pays only if optimizing is slow, as in graphs with much
    to fold: a transformer of 34 million parameters, with 20 ms of optimizing in it, opens in 0.27 s
    without the cache and in 0.45 s with it, because all its weights are hashed to recognize it (two
    cores of an AMD EPYC, ONNX Runtime 1.32). TensorRT's providers keep their engines there, each
    model's in a separate folder that they write themselves.

    On NVIDIA's GPUs a model of fixed sizes runs on memory that is bound once, and its kernels are
    captured in a CUDA graph; if that fails, a warning says why and it runs without.

    Raises:
        MissingDependencyError: ONNX Runtime cannot be imported.
        UsageError: The provider and the device contradict each other.
        EngineError: The file, the device or the provider is refused.
    """
    ort = _import_onnxruntime()
    start = time.perf_counter()
    file = check_onnx(model)
    provider = choose_provider(ort, options)
    if provider.engine_cache and options.cache_dir is not None:
        provider = _with_engine_cache(ort, file, provider, options.cache_dir)
    bound = None
    if provider.on_nvidia and read_signature(file).static:
        session, bound = _open_bound(ort, file, options, provider)
    else:
        session = _open(ort, file, options, provider)
    opened = OnnxRuntimeSession(
        session,
        version=ort.__version__,
        device=_device_in_use(session, provider),
        load_seconds=time.perf_counter() - start,
        bound=bound,
    )
    opened.file = file
    return opened


ENGINE = Engine(open_onnxruntime, packages=("onnxruntime", "onnxruntime-gpu"))


def _import_onnxruntime() -> ModuleType:
    try:
        return import_quietly("onnxruntime")
    except ImportError as error:
        raise MissingDependencyError(
            f"The engine 'onnxruntime' needs the package 'onnxruntime', which cannot be imported"
            f" ({error}).",
            hint="Run: pip install onnxruntime",
        ) from error


def _with_engine_cache(
    ort: ModuleType, file: OnnxFile, provider: Provider, folder: Path
) -> Provider:
    depends_on = {
        "model": file.digest(),
        "engine": f"onnxruntime {ort.__version__}",
        "provider": provider.name,
        "options": repr(sorted(provider.options.items())),
    }
    entry = cache_entry(folder, file.name, ".engines", depends_on)
    try:
        entry.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(entry, error) from error
    paths = dict.fromkeys(provider.engine_cache, str(entry))
    return replace(provider, options={**provider.options, **paths})


def _open_bound(
    ort: ModuleType, file: OnnxFile, options: SessionOptions, provider: Provider
) -> tuple[onnxruntime.InferenceSession, BoundRunner]:
    """Return a session on bound memory, with its runs captured in a CUDA graph if that works."""
    assert provider.graphs is not None
    capturing = replace(provider, options={**provider.options, provider.graphs: "1"})
    index = int(cuda_index(options.device))
    try:
        session = _open(ort, file, options, capturing)
        runner = BoundRunner(ort, session, "cuda", index)
        runner.warm_up()
        runner.captured = True
    except Exception as error:  # ONNX Runtime's exceptions share no base class.
        # Opening again distinguishes an absent device, which raises again, from a failed capture.
        session = _open(ort, file, options, provider)
        runner = BoundRunner(ort, session, "cuda", index)
        _logger.warning("'%s' runs without a CUDA graph: %s", file.name, vendor_text(error))
    return session, runner


def _open(
    ort: ModuleType, file: OnnxFile, options: SessionOptions, provider: Provider
) -> onnxruntime.InferenceSession:
    # TensorRT's providers read the graph as it is in the file, and keep what they make of it.
    if options.cache_dir is None or provider.engine_cache:
        return _create(ort, file, options, provider)
    depends_on = {
        MODEL: file.digest(),
        "engine": f"onnxruntime {ort.__version__}",
        "optimization": options.graph_optimization,
        "provider": provider.name,
        # Level 'all' may lay tensors out for this CPU's vector width.
        "cpu": cpu_identity(),
        # Of graphs that were cached earlier, some overflow in 16 bits, and others are slow.
        "int8": f"exact sums, products {PRODUCTS_REVISION}",
    }
    entry = cache_entry(options.cache_dir, file.name, ".onnx", depends_on)
    cached = CachedFile(entry, file.name, depends_on)
    content = cached.read()
    if content is not None:
        try:
            # Of the bytes that were checked, not of the file, which may change in the meantime.
            session = _create(ort, check_onnx(content), options, provider, optimized=True)
        except EngineError as error:
            _logger.warning("Rebuilding the cached graph '%s': %s", entry, error.message)
        else:
            _logger.debug("Loaded the cached graph '%s'", entry)
            return session
    session = None
    try:
        with cached.writing() as temporary:
            try:
                session = _create(ort, file, options, provider, save_to=temporary)
            except EngineError as error:
                # Creating again distinguishes a refused model, which raises again, from a failed
                # save.
                session = _create(ort, file, options, provider)
                _logger.warning("Could not cache the optimized graph: %s", error.message)
                temporary.unlink(missing_ok=True)
                return session
    except EngineError as error:
        if session is None:
            raise
        # A full disk costs the cache and not the session.
        _logger.warning("Could not cache the optimized graph: %s", error.message)
        return session
    _logger.debug("Cached the optimized graph as '%s'", entry)
    return session


def _create(
    ort: ModuleType,
    file: OnnxFile,
    options: SessionOptions,
    provider: Provider,
    *,
    optimized: bool = False,
    save_to: Path | None = None,
) -> onnxruntime.InferenceSession:
    """Create ONNX Runtime's session, on the requested provider or not at all."""
    settings = ort.SessionOptions()
    settings.log_severity_level = _LOG_FATAL_ONLY
    settings.intra_op_num_threads = options.threads or 0
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    level = _LEVELS["none" if optimized else options.graph_optimization]
    settings.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    # Without it the format follows from the content, which would admit files that were not checked.
    settings.add_session_config_entry("session.load_model_format", "ONNX")
    if save_to is not None:
        settings.optimized_model_filepath = str(save_to)
    if not provider.on_cpu:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    else:
        for name, value in exact_sums(ort, file).items():
            settings.add_session_config_entry(name, value)
        if not optimized and options.graph_optimization in _FUSING:
            file = with_integer_products(file)
    if provider.on_cpu and options.fast_math and platform.machine() in _ARM64:
        settings.add_session_config_entry("mlas.enable_gemm_fastmath_arm64_bfloat16", "1")
    content = file.content if isinstance(file.content, bytes) else str(file.content)
    try:
        session: onnxruntime.InferenceSession = ort.InferenceSession(
            content, settings, providers=[(provider.name, provider.options)], enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime's exceptions share no base class.
        if provider.on_cpu:
            raise EngineError(
                f"ONNX Runtime {ort.__version__} refuses the model '{file.name}':"
                f" {vendor_text(error)}",
                hint="Export it again for this version, or install a newer ONNX Runtime.",
            ) from error
        raise _refusal(ort, provider, vendor_text(error)) from error
    used = session.get_providers()
    if used[0] != provider.name:
        raise _refusal(ort, provider, f"it would run on {', '.join(used)} instead.")
    return session


def _refusal(ort: ModuleType, provider: Provider, reason: str) -> EngineError:
    if provider.on_nvidia:
        return cuda_error(ort, provider.device, reason, provider.name)
    return EngineError(
        f"ONNX Runtime {ort.__version__} cannot run the model on '{provider.name}': {reason}",
        hint="Use another provider: it has to run the whole graph, and nothing falls back.",
    )


def _device_in_use(session: onnxruntime.InferenceSession, provider: Provider) -> str:
    if provider.name != CUDA_PROVIDER:
        return provider.device
    used = session.get_provider_options()[CUDA_PROVIDER]
    return f"cuda:{used['device_id']}" if "device_id" in used else provider.device
