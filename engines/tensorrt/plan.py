"""From an ONNX file to a plan, on the device that will run it.

The plan of a file: from the cache where it is there, built where it is not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

from hot_sdk.engines.cache import MODEL, CachedFile, cached_file
from hot_sdk.engines.cuda.device import CudaDevice
from hot_sdk.engines.onnx_file import OnnxFile, Signature
from hot_sdk.engines.session import (
    ANY_SIZE,
    OPTIMIZATION_LEVELS,
    SessionOptions,
    TensorSpec,
    precision_of,
)
from hot_sdk.engines.tensorrt.bindings import (
    Builder,
    IBuilderConfig,
    INetworkDefinition,
    OnnxParser,
    create_monitor,
)
from hot_sdk.errors import EngineError

# Engines of an open batch hold memory for its largest size, so that follows the size of an item:
# 8 windows of 243 frames, 256 single frames.
_MOST_NUMBERS = 1 << 17
_LEAST_LARGEST, _MOST_LARGEST = 8, 256
_MOST_ERRORS = 3
# The rest is left for the engine's weights, for the session's buffers and, where CPU and GPU share
# one memory, for this program.
_WORKSPACE_SHARE = 0.5


@dataclass(frozen=True)
class BuildSettings:
    """What shapes a plan, beside the file, the device and TensorRT's release.

    Attributes:
        level: TensorRT's optimization level, 0 to 3; 3 is its default.
        tf32: Whether float32 products may be computed in TensorFloat-32.
        largest_batch: Most items in one run of an open batch; None where the batch is fixed.
    """

    level: int
    tf32: bool
    largest_batch: int | None

    def fields(self) -> dict[str, str]:
        """The settings as text, for a key."""
        return {
            "optimization level": str(self.level),
            "TF32": "allowed" if self.tf32 else "refused",
            "largest batch": str(self.largest_batch or "fixed"),
        }


def build_settings(options: SessionOptions, signature: Signature) -> BuildSettings:
    """The settings of a build.

    Raises:
        EngineError: A dimension other than the batch is open.
    """
    return BuildSettings(
        level=OPTIMIZATION_LEVELS.index(options.graph_optimization),
        tf32=options.fast_math,
        largest_batch=_largest_batch(signature.inputs),
    )


def build_plan(
    trt: ModuleType,
    log: Any,  # noqa: ANN401
    file: OnnxFile,
    signature: Signature,
    settings: BuildSettings,
    *,
    free_memory: int,
    timings: bytes,
) -> tuple[bytes, bytes]:
    """Compile a file; with the device's context pushed.

    Args:
        trt: The module ``tensorrt``.
        log: Its logger; see ``create_log``.
        file: The file.
        signature: What it says of itself.
        settings: How to compile.
        free_memory: Bytes that are free on the device.
        timings: What earlier builds on this device measured; empty where there are none.

    Returns:
        The plan, and the measurements with those of this build.

    Raises:
        EngineError: TensorRT cannot read the file or compile it.
    """
    builder: Builder = trt.Builder(log)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser: OnnxParser = trt.OnnxParser(network, log)
    _parse(trt, parser, file)
    config = builder.create_builder_config()
    config.builder_optimization_level = settings.level
    # Without it the plan does not tell the types that its layers compute in.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    workspace = int(free_memory * _WORKSPACE_SHARE)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    if settings.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if settings.largest_batch is not None:
        _open_batch(builder, config, signature.inputs, settings.largest_batch)
    _use_timings(config, timings)
    monitor = create_monitor(trt)
    config.progress_monitor = monitor
    plan = _build(builder, network, config)
    if monitor.interrupted or log.interrupted:
        raise KeyboardInterrupt
    if plan is None:
        raise EngineError(
            f"TensorRT {trt.__version__} cannot build an engine of '{file.name}':"
            f" {log.last_errors()}.",
            hint=f"It had {workspace >> 20} MiB of workspace: end other programs if it lacked"
            " memory; else export the model again for this release, or use 'onnxruntime'.",
        )
    learnt = config.get_timing_cache()
    return plan, b"" if learnt is None else bytes(memoryview(learnt.serialize()))  # type: ignore[arg-type]


def _build(builder: Builder, network: INetworkDefinition, config: IBuilderConfig) -> bytes | None:
    plan = builder.build_serialized_network(network, config)
    return None if plan is None else bytes(memoryview(plan))  # type: ignore[arg-type]


def _parse(trt: ModuleType, parser: OnnxParser, file: OnnxFile) -> None:
    if isinstance(file.content, bytes):
        parsed = parser.parse(file.content)
    else:
        # The path is where external weights are looked for.
        parsed = parser.parse(file.content.read_bytes(), path=str(file.content))
    if parsed:
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    told = [
        f"{error.node_operator() or 'the graph'} '{error.node_name()}': {error.desc()}"
        for error in errors[:_MOST_ERRORS]
    ]
    raise EngineError(
        f"TensorRT {trt.__version__} cannot read '{file.name}': {'; '.join(told)}.",
        hint="Export the model with hot-export, which keeps to the operators of TensorRT 10.3.",
    )


def _largest_batch(inputs: tuple[TensorSpec, ...]) -> int | None:
    """The most items of an open batch; None where every shape is fixed."""
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
) -> None:
    profile = builder.create_optimization_profile()
    for spec in inputs:
        if not spec.shape or isinstance(spec.shape[0], int):
            continue
        item = tuple(int(size) for size in spec.shape[1:])
        # Tuned for a single item: a robot lifts one window at a time.
        profile.set_shape(spec.name, (1, *item), (1, *item), (largest, *item))
    config.add_optimization_profile(profile)


def _use_timings(config: IBuilderConfig, timings: bytes) -> None:
    cache = config.create_timing_cache(timings)
    # What another driver or device measured is refused, and then measured here.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        empty = config.create_timing_cache(b"")
        if empty is not None:
            config.set_timing_cache(empty, ignore_mismatch=False)


_DIGITS = 12

_logger = logging.getLogger("hot_sdk.engines.tensorrt")


def get_plan(
    trt: ModuleType,
    log: Any,  # noqa: ANN401
    file: OnnxFile,
    signature: Signature,
    settings: BuildSettings,
    device: CudaDevice,
    folder: Path | None,
) -> tuple[bytes, Path | None]:
    """Take a plan from the cache, or build it; with the device's context pushed.

    Args:
        trt: The module ``tensorrt``.
        log: Its logger; see ``create_log``.
        file: The file.
        signature: What it says of itself.
        settings: How to compile.
        device: Where.
        folder: The cache; None to build in any case.

    Returns:
        The plan, and the file that holds it.

    Raises:
        EngineError: TensorRT refuses the file, or the folder cannot be written.
    """

    def build(timings: bytes) -> tuple[bytes, bytes]:
        _logger.info("Building an engine of '%s' on %s", file.name, device.model)
        start = time.perf_counter()
        made = build_plan(
            trt,
            log,
            file,
            signature,
            settings,
            free_memory=device.free_memory(),
            timings=timings,
        )
        _logger.info("Built it in %.0f s", time.perf_counter() - start)
        return made

    if folder is None:
        return build(b"")[0], None
    platform = _platform(trt, device)
    entry = _entry(folder, file, signature, settings, platform)
    with entry.locked():
        content = entry.read()
        if content is not None:
            _logger.info("Loaded the engine '%s'", entry.path)
            return content, entry.path
        _logger.info("Not in the cache: %s", entry.why_missing())
        stem = f"timings.{_short(platform)}"
        timings = cached_file(folder, stem, ".timings", platform, name="timings")
        content, learnt = build(timings.read() or b"")
        entry.write(content)
    if learnt:
        with timings.locked():
            timings.write(learnt)
    return content, entry.path


def _platform(trt: ModuleType, device: CudaDevice) -> dict[str, str]:
    return {
        "TensorRT": str(trt.__version__),
        "compute capability": device.capability,
        "GPU": device.model,
        "driver": device.driver,
    }


def _entry(
    folder: Path,
    file: OnnxFile,
    signature: Signature,
    settings: BuildSettings,
    platform: Mapping[str, str],
) -> CachedFile:
    digest = file.digest()
    fields = {
        MODEL: digest,
        **platform,
        "precision": precision_of(signature.metadata, signature.inputs),
        "shapes": "; ".join(str(spec) for spec in (*signature.inputs, *signature.outputs)),
        **settings.fields(),
    }
    stem = f"{digest[:_DIGITS]}.{_short(platform)}"
    return cached_file(folder, stem, ".engine", fields, name=file.name)


def _short(platform: Mapping[str, str]) -> str:
    capability = platform["compute capability"].replace(".", "")
    return f"sm{capability}.trt{platform['TensorRT']}"
