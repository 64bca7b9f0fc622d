"""Choose the execution provider of ONNX Runtime that runs a model, and set its options.

For NVIDIA's GPUs, also explain what a build lacks, and why a session does not open on them.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from hot_sdk._base.optional import onnxruntime_gpu
from hot_sdk.engines.cuda.device import driver_release, on_jetson
from hot_sdk.engines.session import SessionOptions
from hot_sdk.errors import EngineError, UsageError

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"
TENSORRT_RTX_PROVIDER = "NvTensorRTRTXExecutionProvider"

_DEVICE_PROVIDERS = {"cpu": CPU_PROVIDER, "cuda": CUDA_PROVIDER}
# The part of a library's name that names the provider in it.
_NVIDIA_PROVIDERS = {
    CUDA_PROVIDER: "cuda",
    TENSORRT_PROVIDER: "tensorrt",
    TENSORRT_RTX_PROVIDER: "nv_tensorrt_rtx",
}
# Neither TensorRT provider has an option that turns TensorFloat-32 off; TensorRT itself reads this.
_TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"
_TENSORRT_LIBRARIES = ("libnvinfer", "libnvonnxparser", "libtensorrt")
_CPU_PACKAGE, _GPU_PACKAGE = "onnxruntime", "onnxruntime-gpu"
_UNPLACED = "assigned to the default CPU EP"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Provider:
    """An execution provider that was chosen.

    Attributes:
        name: ONNX Runtime's name of it.
        device: The device of a session on it: ``cpu``, ``cuda:N``, or the provider's name if the
            provider itself chooses between devices.
        graphs: The option that captures a CUDA graph; None if it has none.
        options: The other options.
        engine_cache: Options that name the folder for what it builds; empty if it keeps nothing.
    """

    name: str
    device: str
    graphs: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    engine_cache: tuple[str, ...] = ()

    @property
    def on_cpu(self) -> bool:
        """Whether it is the CPU's default provider."""
        return self.name == CPU_PROVIDER

    @property
    def on_nvidia(self) -> bool:
        """Whether it runs on NVIDIA's GPUs."""
        return self.name in _NVIDIA_PROVIDERS


def choose_provider(ort: ModuleType, options: SessionOptions) -> Provider:
    """Return the provider that the options request.

    Raises:
        UsageError: The provider and the device contradict each other.
        EngineError: This ONNX Runtime lacks the provider, or has none for the device; or the
            provider may compute float32 in a narrower type, which was not allowed.
    """
    kind = options.device.partition(":")[0]
    name = options.provider or _DEVICE_PROVIDERS.get(kind)
    if name is None:
        raise EngineError(
            f"ONNX Runtime has no provider of its own for the device '{options.device}'.",
            hint="Use engine='openvino', which runs on Intel's GPUs and NPUs, or name a provider.",
        )
    if name == CUDA_PROVIDER:
        require_cuda_build(ort)
    available = ort.get_available_providers()
    if name not in available:
        raise EngineError(
            f"The installed ONNX Runtime {ort.__version__} has no provider '{name}'.",
            hint=f"It has: {', '.join(available)}.",
        )
    if name in _NVIDIA_PROVIDERS and kind != "cuda":
        raise UsageError(
            f"The provider '{name}' runs on NVIDIA's GPUs, and the device is '{options.device}'.",
            hint="Use device='cuda', or another provider.",
        )
    # Other providers choose between the devices that they know, and accept no choice of ours.
    if name not in _NVIDIA_PROVIDERS and kind != "cpu":
        raise UsageError(
            f"The provider '{name}' does not run on '{options.device}'.",
            hint="Leave the device out; a provider that knows several chooses one itself.",
        )
    if name == CPU_PROVIDER:
        return Provider(name, "cpu")
    if name not in _NVIDIA_PROVIDERS:
        _require_fast_math(name, options)
        return Provider(name, name)
    _load_cuda_libraries(ort)
    return _nvidia_provider(name, options)


def require_cuda_build(ort: ModuleType) -> None:
    """Refuse an ONNX Runtime that was built without CUDA.

    Raises:
        EngineError: It was built without; the hint names the package that has it.
    """
    built_with = ort.get_available_providers()
    if CUDA_PROVIDER not in built_with:
        raise EngineError(
            f"CUDA was requested, but the installed ONNX Runtime {ort.__version__} has only"
            f" {', '.join(built_with)}.{_both_installed()}",
            hint=_package_hint(),
        )


def cuda_index(device: str) -> str:
    """Return the index of the GPU that ``cuda`` or ``cuda:N`` names."""
    return device.partition(":")[2] or "0"


def cuda_error(
    ort: ModuleType, device: str, reason: str, provider: str = CUDA_PROVIDER
) -> EngineError:
    """Return the error for a session on a GPU that ONNX Runtime refused for a reason."""
    missing = _load_failure(ort, provider)
    refused = f"ONNX Runtime {ort.__version__} cannot run the model on {device}:"
    if missing is None:
        hint = "Check with nvidia-smi that the driver sees this GPU, or use device='cpu'."
        if _UNPLACED in reason:
            hint = (
                "Either the driver offers no usable GPU (check with nvidia-smi), or the graph has"
                " operators that CUDA lacks: export it with static shapes, or use device='cpu'."
            )
        return EngineError(f"{refused} {reason}{_both_installed()}", hint=hint)
    if "libcuda.so" in missing:
        hint = "Install NVIDIA's driver; in a container, start it with access to the GPU."
    elif missing.startswith(_TENSORRT_LIBRARIES):
        hint = "Install the TensorRT that this library's name ends with, or use CUDA alone."
    elif on_jetson():
        hint = _package_hint()
    else:
        hint = (
            f"Run: pip install {onnxruntime_gpu(driver_release())}, or install the CUDA and cuDNN"
            " that this build needs."
        )
    return EngineError(
        f"{refused} its {provider} fails to load ({missing}).{_both_installed()}", hint=hint
    )


def _nvidia_provider(name: str, options: SessionOptions) -> Provider:
    index = cuda_index(options.device)
    device = f"cuda:{index}"
    if name == CUDA_PROVIDER:
        # TensorFloat-32 keeps 10 of float32's 23 fraction bits, and is on unless refused.
        tf32 = "1" if options.fast_math else "0"
        return Provider(name, device, "enable_cuda_graph", {"device_id": index, "use_tf32": tf32})
    if os.environ.get(_TF32_VARIABLE) != "0":
        _require_fast_math(name, options, f", or set the environment's {_TF32_VARIABLE} to 0")
    if name == TENSORRT_PROVIDER:
        cached = "1" if options.cache_dir else "0"
        return Provider(
            name,
            device,
            "trt_cuda_graph_enable",
            {
                "device_id": index,
                "trt_engine_cache_enable": cached,
                "trt_timing_cache_enable": cached,
            },
            ("trt_engine_cache_path", "trt_timing_cache_path"),
        )
    return Provider(
        name, device, "enable_cuda_graph", {"device_id": index}, ("nv_runtime_cache_path",)
    )


def _require_fast_math(name: str, options: SessionOptions, otherwise: str = "") -> None:
    if not options.fast_math:
        raise EngineError(
            f"The provider '{name}' may compute in a narrower type what the file declares to be"
            " float32, and was not allowed to.",
            hint=f"Allow it with fast_math=True{otherwise}, and compare the poses.",
        )


def _load_cuda_libraries(ort: ModuleType) -> None:
    """Load CUDA's libraries from pip packages, if they came so."""
    # Since 1.21; prints about libraries that it does not find, of which not all are needed.
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            preload()
        _logger.debug("Loading CUDA's libraries: %s", printed.getvalue().strip() or "done")


def _load_failure(ort: ModuleType, provider: str) -> str | None:
    """Return the dynamic loader's error for a provider; None if it loads.

    ONNX Runtime only prints this. To be called after it tried, when loading again is harmless.
    """
    folder = Path(str(ort.__file__)).parent / "capi"
    try:
        for library in ("shared", _NVIDIA_PROVIDERS[provider]):
            name = f"libonnxruntime_providers_{library}.so"
            if (folder / name).is_file():
                ctypes.CDLL(str(folder / name))
    except OSError as error:
        return str(error)
    return None


def _both_installed() -> str:
    # Here, because it costs a tenth of importing the engine, and is for messages alone.
    import importlib.metadata

    installed = []
    for package in (_CPU_PACKAGE, _GPU_PACKAGE):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed.append(f"{package} {importlib.metadata.version(package)}")
    if len(installed) < 2:
        return ""
    return f" Both {' and '.join(installed)} are installed, and overwrite each other's files."


def _package_hint() -> str:
    if on_jetson():
        return (
            f"Run: pip uninstall {_CPU_PACKAGE}; then install the {_GPU_PACKAGE} wheel that was"
            " built for this JetPack (PyPI's has no kernels for Jetson GPUs)."
        )
    if platform.machine() in ("x86_64", "AMD64"):
        # The two packages share a folder, so removing one removes files of the other.
        return (
            f"Run: pip uninstall {_CPU_PACKAGE} {_GPU_PACKAGE}; pip install"
            f" {onnxruntime_gpu(driver_release())}"
        )
    return f"Install an {_GPU_PACKAGE} wheel that was built for this machine's GPU."
