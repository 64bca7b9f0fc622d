"""NVIDIA's GPUs in ONNX Runtime: what a build lacks, and why a session does not open on them."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import io
import logging
import platform
from pathlib import Path
from types import ModuleType

from hot_sdk.errors import EngineError

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
