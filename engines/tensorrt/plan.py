"""Get the plan of an ONNX file: from the cache, or built on the device that will run it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

from hot_sdk.engines.cache import MODEL, CachedFile, cache_entry
from hot_sdk.engines.cuda.device import CudaDevice
from hot_sdk.engines.onnx_file import OnnxFile, Signature
from hot_sdk.engines.session import (
    ANY_SIZE,
    OPTIMIZATION_LEVELS,
    SessionOptions,
    TensorSpec,
    precision_of,
    require_open_batch,
)
from hot_sdk.engines.tensorrt.bindings import (
    Builder,
    IBuilderConfig,
    OnnxParser,
    create,
    create_monitor,
)
from hot_sdk.errors import EngineError

# A plan of an open batch holds memory for its largest size, so that follows the size of an item: 15
# windows of 243 frames and 17 joints, 256 single frames.
_MOST_NUMBERS = 1 << 17
_LEAST_LARGEST, _MOST_LARGEST = 8, 256
_MOST_ERRORS = 3
# The rest is left for the plan's weights, for the session's buffers and, if CPU and GPU share one
# memory, for this program.
_WORKSPACE_SHARE = 0.5
_DIGITS = 12

_logger = logging.getLogger("hot_sdk.engines.tensorrt")


@dataclass(frozen=True)
class PlanSpec:
    """What to build a plan from, and how; the device and TensorRT's release matter as well.

    Attributes:
        file: The file.
        signature: Its signature.
        level: TensorRT's optimization level, 0 to 3; 3 is its default.
        tf32: Whether float32 matrix multiplications may be computed in TensorFloat-32.
        largest_batch: Most items in one run of an open batch; None if the batch is fixed.
    """

    file: OnnxFile
    signature: Signature
    level: int
    tf32: bool
    largest_batch: int | None

    @property
    def precision(self) -> str:
        """The precision that the file declares."""
        return precision_of(self.signature.metadata, self.signature.inputs)


def plan_spec(file: OnnxFile, signature: Signature, options: SessionOptions) -> PlanSpec:
    """Return how to build the plan of a file.

    Raises:
        EngineError: A dimension other than the batch is open.
        UsageError: ``largest_batch`` is set, and the batch is fixed.
    """
    largest = _largest_batch(signature.inputs)
    if options.largest_batch is not None:
        # Before a build that takes minutes.
        require_open_batch(signature.inputs, options.largest_batch)
        largest = options.largest_batch
    return PlanSpec(
        file,
        signature,
        level=OPTIMIZATION_LEVELS.index(options.graph_optimization),
        tf32=options.fast_math,
        largest_batch=largest,
    )


def get_plan(
    trt: ModuleType,
    log: Any,  # noqa: ANN401
    spec: PlanSpec,
    device: CudaDevice,
    folder: Path | None,
    *,
    stop: Callable[[], bool],
) -> tuple[bytes, Path | None]:
    """Read a plan from the cache folder, or build it; with the device's context pushed.

    Once ``stop()`` is true, a build ends with KeyboardInterrupt.

    Returns:
        The plan, and the file that holds it; None without a folder.

    Raises:
        EngineError: TensorRT refuses the file, or the folder cannot be written.
    """

    def build(timings: bytes) -> tuple[bytes, bytes]:
        _logger.info("Building a plan of '%s' on %s", spec.file.name, device.model)
        start = time.perf_counter()
        built = build_plan(
            trt, log, spec, free_memory=device.free_memory, timings=timings, stop=stop
        )
        _logger.info("Built it in %.0f s", time.perf_counter() - start)
        return built

    if folder is None:
        return build(b"")[0], None
    entry, timings = _cached_files(trt, spec, device, folder)
    with entry.locked():
        content = entry.read()
        if content is not None:
            _logger.info("Loaded the plan '%s'", entry.path)
            return content, entry.path
        _logger.info("Not in the cache: %s", entry.why_missing())
        content, measured = build(timings.read() or b"")
        entry.write(content)
    if measured:
        with timings.locked():
            timings.write(measured)
    return content, entry.path


def build_plan(
    trt: ModuleType,
    log: Any,  # noqa: ANN401
    spec: PlanSpec,
    *,
    free_memory: Callable[[], int],
    timings: bytes,
    stop: Callable[[], bool],
) -> tuple[bytes, bytes]:
    """Compile a file; with the device's context pushed.

    ``free_memory`` returns the bytes that are free on the device, ``timings`` are what earlier
    builds on it measured, empty without any.

    Returns:
        The plan, and the measurements with those of this build.

    Raises:
        EngineError: TensorRT cannot read the file or compile it.
        KeyboardInterrupt: ``stop()`` was true during the build.
    """
    builder: Builder = create("builder", lambda: trt.Builder(log), trt, log)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = create("network", lambda: builder.create_network(flags), trt, log)
    parser: OnnxParser = create("parser", lambda: trt.OnnxParser(network, log), trt, log)
    _parse(trt, parser, spec.file)
    config = create("configuration", builder.create_builder_config, trt, log)
    config.builder_optimization_level = spec.level
    # Without it the plan does not report the types that its layers compute in.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # Only now: the builder itself takes more than 1 GiB on some devices.
    workspace = int(free_memory() * _WORKSPACE_SHARE)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    if spec.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if spec.largest_batch is not None and not _open_batch(
        builder, config, spec.signature.inputs, spec.largest_batch
    ):
        raise EngineError(
            f"TensorRT {trt.__version__} takes no batch of 1 to {spec.largest_batch} for"
            f" '{spec.file.name}': {log.last_errors()}.",
            hint="Open it with a smaller largest_batch (--largest-batch).",
        )
    _use_timings(config, timings)
    config.progress_monitor = create_monitor(trt, stop)
    plan = builder.build_serialized_network(network, config)
    if stop():
        raise KeyboardInterrupt
    if plan is None:
        smaller = ""
        if spec.largest_batch is not None:
            smaller = (
                f", or open it with a smaller largest_batch (--largest-batch) than"
                f" {spec.largest_batch}"
            )
        raise EngineError(
            f"TensorRT {trt.__version__} cannot build a plan of '{spec.file.name}':"
            f" {log.last_errors()}.",
            hint=f"It had {workspace >> 20} MiB of workspace: end other programs if it lacked"
            f" memory{smaller}; else export the model again for this release, or use"
            " 'onnxruntime'.",
        )
    measured = config.get_timing_cache()
    return _content(plan), b"" if measured is None else _content(measured.serialize())


def _content(memory: Any) -> bytes:  # noqa: ANN401
    """Return the bytes of an IHostMemory, which has the buffer protocol."""
    return bytes(memoryview(memory))


def _parse(trt: ModuleType, parser: OnnxParser, file: OnnxFile) -> None:
    if isinstance(file.content, bytes):
        parsed = parser.parse(file.content)
    else:
        # External weights are found relative to this path.
        parsed = parser.parse(file.content.read_bytes(), path=str(file.content))
    if parsed:
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    reasons = [
        f"{error.node_operator() or 'the graph'} '{error.node_name()}': {error.desc()}"
        for error in errors[:_MOST_ERRORS]
    ]
    raise EngineError(
        f"TensorRT {trt.__version__} cannot read '{file.name}': {'; '.join(reasons)}.",
        hint="Export the model with hot-export, which keeps to the operators of TensorRT 10.3.",
    )


def _largest_batch(inputs: tuple[TensorSpec, ...]) -> int | None:
    """Return the most items of an open batch; None if every shape is fixed."""
    open_names = set()
    for spec in inputs:
        first, rest = spec.shape[:1], spec.shape[1:]
        open_names |= {size for size in first if isinstance(size, str)}
        if any(isinstance(size, str) for size in rest) or ANY_SIZE in first:
            raise EngineError(
                f"The input {spec} is open in another dimension than a named batch.",
                hint="Export it with static shapes; only --batch may be dynamic for TensorRT.",
            )
    if not open_names:
        return None
    if len(open_names) > 1:
        raise EngineError(
            f"The inputs' batches have different names: {', '.join(sorted(open_names))}.",
            hint="Export the model with one batch for all inputs.",
        )
    numbers = max(prod(int(size) for size in spec.shape[1:]) for spec in inputs)
    fits = _MOST_NUMBERS // max(numbers, 1)
    return max(_LEAST_LARGEST, min(_MOST_LARGEST, fits))


def _open_batch(
    builder: Builder, config: IBuilderConfig, inputs: tuple[TensorSpec, ...], largest: int
) -> bool:
    """Let the batch have any size up to the largest; return whether TensorRT takes that."""
    profile = builder.create_optimization_profile()
    for spec in inputs:
        if not spec.shape or isinstance(spec.shape[0], int):
            continue
        item = tuple(int(size) for size in spec.shape[1:])
        # Tuned for a single item: a robot lifts one window at a time.
        try:
            profile.set_shape(spec.name, (1, *item), (1, *item), (largest, *item))
        except RuntimeError:  # How the binding reports sizes that do not fit each other.
            return False
    return config.add_optimization_profile(profile) >= 0


def _use_timings(config: IBuilderConfig, timings: bytes) -> None:
    cache = config.create_timing_cache(timings)
    # What another driver or device measured is refused, and then measured here.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        empty = config.create_timing_cache(b"")
        if empty is not None:
            config.set_timing_cache(empty, ignore_mismatch=False)


def _cached_files(
    trt: ModuleType, spec: PlanSpec, device: CudaDevice, folder: Path
) -> tuple[CachedFile, CachedFile]:
    """Return the cached files of a plan and of the timings on its platform."""
    platform = {
        "TensorRT": str(trt.__version__),
        "compute capability": device.capability,
        "GPU": device.model,
        # Modules of a Jetson family may be alike in all else that CUDA tells.
        "board": device.board,
        "multiprocessors": str(device.multiprocessors),
        # Rounded, as the system keeps some of it for itself, and not always the same.
        "memory": f"{round(device.total_memory / (1 << 30))} GiB",
        "driver": device.driver,
    }
    digest = spec.file.digest()
    tensors = (*spec.signature.inputs, *spec.signature.outputs)
    fields = {
        MODEL: digest,
        **platform,
        "precision": spec.precision,
        "shapes": "; ".join(str(tensor) for tensor in tensors),
        "optimization level": str(spec.level),
        "TF32": "allowed" if spec.tf32 else "refused",
        "largest batch": str(spec.largest_batch or "fixed"),
    }
    short = f"sm{device.capability.replace('.', '')}.trt{trt.__version__}"
    plan = cache_entry(folder, f"{digest[:_DIGITS]}.{short}", ".plan", fields)
    timings = cache_entry(folder, f"timings.{short}", ".timings", platform)
    return CachedFile(plan, spec.file.name, fields), CachedFile(timings, "timings", platform)
