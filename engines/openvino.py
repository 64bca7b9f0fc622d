"""OpenVINO: Intel's CPUs, GPUs and NPUs, and other makers' CPUs."""

from __future__ import annotations

import hashlib
import io
import logging
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hot_sdk._base.optional import require
from hot_sdk.engines.cache import cache_entry, cpu_identity, new_entry
from hot_sdk.engines.onnx_file import OnnxFile, check_onnx, read_signature
from hot_sdk.engines.registry import Engine
from hot_sdk.engines.session import (
    ANY_SIZE,
    Arrays,
    Session,
    SessionOptions,
    TensorSpec,
    as_sentence,
)
from hot_sdk.errors import EngineError

if TYPE_CHECKING:
    import openvino

_DIGEST_BYTES = 32
# Names of instruction sets that sum products of int8 in 32 bits at once.
_EXACT_INT8 = frozenset({"avx_vnni", "avx512_vnni", "avx_vnni_int8", "amx_int8"})

_logger = logging.getLogger(__name__)


class OpenVINOSession(Session):
    """A session of OpenVINO; see ``hot_sdk.engines.Session``.

    Threads take turns: for the latency of one window, OpenVINO gives all its threads to one run,
    and concurrent runs would only share them.
    """

    def _run(self, handle: openvino.InferRequest, feeds: Arrays) -> Arrays:
        try:
            with self._lock:
                handle.infer(feeds, share_inputs=True, share_outputs=True)
                return {
                    spec.name: np.array(handle.get_tensor(spec.name).data) for spec in self.outputs
                }
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO {self.engine_version} failed on {self.device}: {_text(error)}",
                hint="Check that the model file matches its inputs, and that memory is left.",
            ) from error


def open_openvino(model: Path | bytes, options: SessionOptions) -> Session:
    """Load an ONNX file in OpenVINO.

    It computes in float32 unless ``fast_math`` allows the device's fastest type (bfloat16 on CPUs
    that have it, float16 on GPUs), and is tuned for the latency of one window. The cache holds the
    compiled model.

    Raises:
        MissingDependencyError: OpenVINO cannot be imported.
        EngineError: The file or the device is refused.
    """
    ov = import_openvino()
    start = time.perf_counter()
    if options.provider is not None:
        raise EngineError(
            f"OpenVINO has no execution provider '{options.provider}': providers are ONNX"
            " Runtime's.",
            hint="Leave the provider out, or use engine='onnxruntime'.",
        )
    file = check_onnx(model)
    signature = read_signature(file)
    if any(spec.dtype == "float64" for spec in (*signature.inputs, *signature.outputs)):
        raise EngineError(
            f"The model '{file.name}' has float64 inputs or outputs, which OpenVINO computes in a"
            " narrower type.",
            hint="Export the model in float32, or use engine='onnxruntime'.",
        )
    core = ov.Core()
    version = ov.__version__.partition("-")[0]
    device = name_device(core, options.device, version)
    try:
        compiled = _compiled(core, file, device, options, version)
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO {version} refuses the model '{file.name}' on {options.device}:"
            f" {_text(error)}",
            hint="Export it again for this version, or use engine='onnxruntime'.",
        ) from error
    return OpenVINOSession(
        compiled.create_infer_request(),
        engine="openvino",
        version=version,
        device=_device_in_use(compiled),
        inputs=signature.inputs,
        outputs=tuple(_with_settled_sizes(spec, compiled) for spec in signature.outputs),
        metadata=signature.metadata,
        load_seconds=time.perf_counter() - start,
    )


ENGINE = Engine(open_openvino, packages=("openvino",))


def import_openvino() -> Any:  # noqa: ANN401
    """Import OpenVINO.

    Raises:
        MissingDependencyError: It cannot be imported.
    """
    return require("openvino", extra="openvino", purpose="The engine 'openvino'")


def name_device(core: openvino.Core, device: str, version: str) -> str:
    """Return OpenVINO's name of a device.

    Raises:
        EngineError: OpenVINO does not run on it, or it does not exist.
    """
    kind, _, index = device.partition(":")
    if kind == "cuda":
        raise EngineError(
            "OpenVINO does not run on NVIDIA's GPUs.",
            hint="Use engine='onnxruntime' for CUDA, or device='gpu' for Intel's GPUs.",
        )
    name = f"{kind.upper()}.{index}" if index else kind.upper()
    available = list(core.available_devices)
    # OpenVINO leaves the number out if there is one device of a kind.
    known = {*available, *(each.partition(".")[0] for each in available)}
    if name.removesuffix(".0") not in known and name not in known:
        raise EngineError(
            f"There is no device '{device}' for OpenVINO {version}; it sees"
            f" {', '.join(available) or 'none'}.",
            hint="Install Intel's driver for it, and in a container give access to /dev/dri or"
            " /dev/accel; or use device='cpu'.",
        )
    return name if name in known else name.removesuffix(".0")


def compile_settings(device: str, options: SessionOptions) -> dict[str, str | int]:
    """Return the properties that a model is compiled with on a device of OpenVINO's name."""
    settings: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"}
    if not options.fast_math:
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    if device == "CPU":
        # Pinned threads of two programs share the first cores, while the others stand idle.
        settings["ENABLE_CPU_PINNING"] = "NO"
        settings["INFERENCE_NUM_THREADS"] = options.threads or 0
        if not sums_int8_exactly():
            # Quantized layers are computed in float32 instead.
            settings["LP_TRANSFORMS_MODE"] = "NO"
    return settings


def sums_int8_exactly() -> bool:
    """Return False if this CPU's fast sums of int8 products may overflow: x86 without VNNI.

    Where its instruction sets are not known, they are taken to be absent.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(errors="replace") if cpuinfo.is_file() else ""
    return not _EXACT_INT8.isdisjoint(text.split())


def _compiled(
    core: openvino.Core, file: OnnxFile, device: str, options: SessionOptions, version: str
) -> openvino.CompiledModel:
    settings = compile_settings(device, options)
    if options.cache_dir is None:
        return core.compile_model(_read(core, file), device, settings)
    depends_on = {
        "model": file.digest(),
        "engine": f"openvino {version}",
        "device": device,
        # What OpenVINO's compiled models depend on, such as a GPU's driver.
        **{
            name: str(core.get_property(device, name))
            for name in core.get_property(device, "CACHING_PROPERTIES")
        },
        "settings": repr(sorted(settings.items())),
        "cpu": cpu_identity(),
    }
    entry = cache_entry(options.cache_dir, file.name, ".openvino", depends_on)
    if entry.is_file():
        try:
            compiled = core.import_model(io.BytesIO(_content(entry)), device, settings)
        except (OSError, ValueError, RuntimeError) as error:
            _logger.warning("Rebuilding the cached model '%s': %s", entry, _text(error))
        else:
            _logger.debug("Loaded the cached model '%s'", entry)
            return compiled
    with new_entry(entry) as temporary:
        compiled = core.compile_model(_read(core, file), device, settings)
        try:
            stream = io.BytesIO()
            compiled.export_model(stream)
            exported = stream.getvalue()
            temporary.write_bytes(hashlib.sha256(exported).digest() + exported)
        except (OSError, RuntimeError) as error:
            # A full disk costs the cache and not the session; some devices export nothing.
            _logger.warning("Could not cache the compiled model: %s", _text(error))
            temporary.unlink(missing_ok=True)
        else:
            _logger.debug("Cached the compiled model as '%s'", entry)
    return compiled


def _content(entry: Path) -> bytes:
    """Return what an entry holds after its digest; raises ValueError if they do not match."""
    content = entry.read_bytes()
    exported = content[_DIGEST_BYTES:]
    if hashlib.sha256(exported).digest() != content[:_DIGEST_BYTES]:
        raise ValueError("it is damaged")
    return exported


def _read(core: openvino.Core, file: OnnxFile) -> openvino.Model:
    if isinstance(file.content, bytes):
        return core.read_model(file.content)
    return core.read_model(str(file.content))


def _with_settled_sizes(spec: TensorSpec, compiled: openvino.CompiledModel) -> TensorSpec:
    """Return an output with the sizes that its file leaves open and the graph determines."""
    found = compiled.output(spec.name).partial_shape
    shape = tuple(
        each.get_length() if size == ANY_SIZE and each.is_static else size
        for size, each in zip(spec.shape, found, strict=True)
    )
    return replace(spec, shape=shape)


def _device_in_use(compiled: openvino.CompiledModel) -> str:
    (name,) = compiled.get_property("EXECUTION_DEVICES")
    kind, _, index = str(name).lower().partition(".")
    return f"gpu:{index or 0}" if kind == "gpu" else kind


def _text(error: Exception) -> str:
    """Return the vendor's message as one sentence, without positions in its source code."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("Exception from ", "Check "))]
    return as_sentence(" ".join(kept or lines))
