"""The plan of a file: from the cache where it is there, built where it is not."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hot_sdk.engines.cuda_device import CudaDevice
from hot_sdk.engines.interface import precision_of
from hot_sdk.engines.onnx_file import OnnxFile
from hot_sdk.engines.onnx_signature import Signature
from hot_sdk.engines.plan_cache import MODEL, CachedFile, cached_file
from hot_sdk.engines.tensorrt_build import BuildSettings, build_plan

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
