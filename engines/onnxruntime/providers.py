"""Which execution provider of ONNX Runtime runs a model, and how it is asked to.

NVIDIA's GPUs in ONNX Runtime: what a build lacks, and why a session does not open on them.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import io
import logging
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from hot_sdk.engines.session import SessionOptions
from hot_sdk.errors import EngineError, UsageError

CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"
TENSORRT_RTX_PROVIDER = "NvTensorRTRTXExecutionProvider"

_LIBRARIES = {
    CUDA_PROVIDER: "cuda",
    TENSORRT_PROVIDER: "tensorrt",
    TENSORRT_RTX_PROVIDER: "nv_tensorrt_rtx",
}
_TENSORRT_LIBRARIES = ("libnvinfer", "libnvonnxparser", "libtensorrt")
_JETSON_RELEASE = Path("/etc/nv_tegra_release")
_CPU_PACKAGE, _GPU_PACKAGE = "onnxruntime", "onnxruntime-gpu"
_UNPLACED = "assigned to the default CPU EP"

_logger = logging.getLogger(__name__)


def require_cuda_build(ort: ModuleType) -> None:
    """Refuse an ONNX Runtime that was built without CUDA.

    Raises:
        EngineError: It was, with the package that has it.
    """
    built_with = ort.get_available_providers()
    if CUDA_PROVIDER not in built_with:
        raise EngineError(
            f"CUDA was asked for, but the installed ONNX Runtime {ort.__version__} has only"
            f" {', '.join(built_with)}.{_both_installed()}",
            hint=_package_hint(),
        )


def cuda_index(device: str) -> str:
    """Index of the GPU that ``cuda`` or ``cuda:N`` names."""
    return device.partition(":")[2] or "0"


def load_cuda_libraries(ort: ModuleType) -> None:
    """Load CUDA's libraries from pip packages, where they came so."""
    # Since 1.21; prints about libraries that it does not find, of which not all are needed.
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            preload()
        _logger.debug("Loading CUDA's libraries: %s", said.getvalue().strip() or "done")


def cuda_error(
    ort: ModuleType, device: str, said: str, provider: str = CUDA_PROVIDER
) -> EngineError:
    """The error for a session that could not be created on a GPU.

    Args:
        ort: The onnxruntime module.
        device: The device that was asked for.
        said: What ONNX Runtime said.
        provider: One that runs on NVIDIA's GPUs.
    """
    missing = _load_failure(ort, provider)
    asked = f"ONNX Runtime {ort.__version__} cannot run the model on {device}:"
    if missing is None:
        hint = "Check with nvidia-smi that the driver sees this GPU, or use device='cpu'."
        if _UNPLACED in said:
            hint = (
                "Either the driver offers no usable GPU (check with nvidia-smi), or the graph has"
                " operators that CUDA lacks: export it with static shapes, or use device='cpu'."
            )
        return EngineError(f"{asked} {said}{_both_installed()}", hint=hint)
    if "libcuda.so" in missing:
        hint = "Install NVIDIA's driver; in a container, start it with access to the GPU."
    elif missing.startswith(_TENSORRT_LIBRARIES):
        hint = "Install the TensorRT that this library's name ends with, or use CUDA alone."
    elif _is_jetson():
        hint = _package_hint()
    else:
        hint = (
            f'Run: pip install "{_GPU_PACKAGE}[cuda,cudnn]", or install the CUDA and cuDNN that'
            " this build needs."
        )
    return EngineError(
        f"{asked} its {provider} fails to load ({missing}).{_both_installed()}", hint=hint
    )


def _load_failure(ort: ModuleType, provider: str) -> str | None:
    """What the dynamic loader says of a provider; None where it loads.

    ONNX Runtime only prints this. To be called after it tried, when loading again is harmless.
    """
    folder = Path(str(ort.__file__)).parent / "capi"
    try:
        for library in ("shared", _LIBRARIES[provider]):
            name = f"libonnxruntime_providers_{library}.so"
            if (folder / name).is_file():
                ctypes.CDLL(str(folder / name))
    except OSError as error:
        return str(error)
    return None


def _both_installed() -> str:
    installed = []
    for package in (_CPU_PACKAGE, _GPU_PACKAGE):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed.append(f"{package} {importlib.metadata.version(package)}")
    if len(installed) < 2:
        return ""
    return f" Both {' and '.join(installed)} are installed, and overwrite each other's files."


def _is_jetson() -> bool:
    return _JETSON_RELEASE.is_file()


def _package_hint() -> str:
    if _is_jetson():
        return (
            f"Run: pip uninstall {_CPU_PACKAGE}; then install the {_GPU_PACKAGE} wheel that was"
            " built for this JetPack (PyPI's has no kernels for Jetson GPUs)."
        )
    if platform.machine() in ("x86_64", "AMD64"):
        # The two packages share a folder, so removing one takes files from the other.
        return (
            f"Run: pip uninstall {_CPU_PACKAGE} {_GPU_PACKAGE}; pip install"
            f' "{_GPU_PACKAGE}[cuda,cudnn]"'
        )
    return f"Install an {_GPU_PACKAGE} wheel that was built for this machine's GPU."


CPU_PROVIDER = "CPUExecutionProvider"

_OF_DEVICE = {"cpu": CPU_PROVIDER, "cuda": CUDA_PROVIDER}
_OF_NVIDIA = (CUDA_PROVIDER, TENSORRT_PROVIDER, TENSORRT_RTX_PROVIDER)
# Neither has an option that turns TensorFloat-32 off; TensorRT itself reads this variable.
_TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"


@dataclass(frozen=True)
class Provider:
    """An execution provider that was chosen.

    Attributes:
        name: By ONNX Runtime's own name.
        device: What a session on it says that its device is: ``cpu``, ``cuda:N``, or the provider's
            name where the provider itself chooses between devices.
        graphs: Whether it may be asked to capture a CUDA graph, and by which option.
        options: The other options.
        engine_cache: Options that name the folder for what it builds; empty where it builds nothing
            that it keeps.
    """

    name: str
    device: str
    graphs: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    engine_cache: tuple[str, ...] = ()

    @property
    def on_cpu(self) -> bool:
        """Whether it is the CPU's own."""
        return self.name == CPU_PROVIDER

    @property
    def on_nvidia(self) -> bool:
        """Whether it runs on NVIDIA's GPUs."""
        return self.name in _OF_NVIDIA


def choose_provider(ort: ModuleType, options: SessionOptions) -> Provider:
    """The provider that the options ask for.

    Raises:
        UsageError: The provider and the device contradict each other.
        EngineError: This ONNX Runtime lacks the provider, or has none for the device; or the
            provider may compute float32 in a narrower type, which was not asked for.
    """
    kind = options.device.partition(":")[0]
    name = options.provider or _OF_DEVICE.get(kind)
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
    _check_device(name, options.device)
    if name == CPU_PROVIDER:
        return Provider(name, "cpu")
    if name not in _OF_NVIDIA:
        _require_fast_math(name, options)
        return Provider(name, name)
    load_cuda_libraries(ort)
    return _nvidia(name, options)


def _check_device(name: str, device: str) -> None:
    on_cuda = device.startswith("cuda")
    if name in _OF_NVIDIA and not on_cuda:
        raise UsageError(
            f"The provider '{name}' runs on NVIDIA's GPUs, and the device is '{device}'.",
            hint="Use device='cuda', or another provider.",
        )
    # Other providers choose between the devices that they know, and take no word of ours on it.
    if name not in _OF_NVIDIA and device != "cpu":
        raise UsageError(
            f"The provider '{name}' does not run on '{device}'.",
            hint="Leave the device out; a provider that knows several chooses one itself.",
        )


def _nvidia(name: str, options: SessionOptions) -> Provider:
    index = cuda_index(options.device)
    device = f"cuda:{index}"
    if name == CUDA_PROVIDER:
        # TensorFloat-32 keeps 10 of float32's 23 fraction bits, and is on unless refused.
        tf32 = "1" if options.fast_math else "0"
        return Provider(name, device, "enable_cuda_graph", {"device_id": index, "use_tf32": tf32})
    if os.environ.get(_TF32_VARIABLE) != "0":
        _require_fast_math(name, options, f", or set the environment's {_TF32_VARIABLE} to 0")
    if name == TENSORRT_PROVIDER:
        return Provider(
            name,
            device,
            "trt_cuda_graph_enable",
            {
                "device_id": index,
                "trt_engine_cache_enable": "1" if options.cache_dir else "0",
                "trt_timing_cache_enable": "1" if options.cache_dir else "0",
            },
            ("trt_engine_cache_path", "trt_timing_cache_path"),
        )
    return Provider(
        name, device, "enable_cuda_graph", {"device_id": index}, ("nv_runtime_cache_path",)
    )


def _require_fast_math(name: str, options: SessionOptions, otherwise: str = "") -> None:
    if not options.fast_math:
        raise EngineError(
            f"The provider '{name}' may compute in a narrower type what the file states to be"
            " float32, and was not allowed to.",
            hint=f"Allow it with fast_math=True{otherwise}, and compare the poses.",
        )
