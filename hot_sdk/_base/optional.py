"""Import optional packages, with an error that says how to install them.

No index has hot-sdk: it comes from a clone or a wheel, and so do the commands here.
"""

from __future__ import annotations

from types import ModuleType

from hot_sdk._base.quiet_imports import import_quietly
from hot_sdk.errors import MissingDependencyError

NEWER = "Install a newer version of the SDK, from an updated clone or a newer wheel."
OPENCV_WHEELS = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
)
"""All of them install the one folder 'cv2', so removing one removes what the others need."""

AGAIN = "Install the SDK again: pip install --force-reinstall --no-deps CLONE_OR_WHEEL"

INSTALL_PYCUDA = (
    "export PATH=/usr/local/cuda/bin:$PATH CUDA_ROOT=/usr/local/cuda && pip install pycuda"
)
"""Commands that install PyCUDA. It is published as source only, and finds nvcc and cuda.h by these
two variables. Not the SDK's extra: it would install onnxruntime over an onnxruntime-gpu."""

_DRIVER_OF_CUDA_13 = 580


def install_tensorrt(driver: str | None) -> str:
    """Return the command that installs TensorRT on a PC.

    Args:
        driver: Release of NVIDIA's driver, such as ``550.163.01``; None if unknown.
    """
    return f"pip install tensorrt{'-cu12' if _is_before_cuda_13(driver) else ''}"


def onnxruntime_gpu(driver: str | None) -> str:
    """Return the ONNX Runtime for NVIDIA's GPUs of PCs, with its libraries, quoted for a shell.

    Args:
        driver: Release of NVIDIA's driver, such as ``550.163.01``; None if unknown.
    """
    # 1.26 is the last for CUDA 12.
    return f'"onnxruntime-gpu[cuda,cudnn]{"<1.27" if _is_before_cuda_13(driver) else ""}"'


def _is_before_cuda_13(driver: str | None) -> bool:
    """Return whether a driver does not run what is built for CUDA 13, as most packages now are."""
    major = (driver or "").partition(".")[0]
    return major.isdecimal() and int(major) < _DRIVER_OF_CUDA_13


def install_command(extra: str) -> str:
    """Return the command that adds an extra to the SDK that runs.

    From a clone as from a wheel: pip finds the installed SDK, and asks indexes only for what the
    extra needs.
    """
    return f'pip install "hot-sdk[{extra}]"'


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, without its telemetry.

    Args:
        module: Dotted name to import.
        extra: The extra of hot-sdk that installs it.
        purpose: The feature that needs it, as the subject of a sentence.

    Raises:
        MissingDependencyError: The package, or one that it depends on, cannot be imported.
    """
    try:
        return import_quietly(module)
    except (ImportError, OSError) as error:  # OSError: a shared library does not load.
        reason = " ".join(str(error).split())
        raise MissingDependencyError(
            f"{purpose} needs the package '{module}', which cannot be imported ({reason}).",
            hint=f"Run: {install_command(extra)}",
        ) from error


def is_whole_opencv(cv2: ModuleType) -> bool:
    """Return False if a wheel of OpenCV was removed that shared its folder with another."""
    return all(hasattr(cv2, name) for name in ("__version__", "VideoCapture", "resize"))


def opencv_repair(problem: str = "") -> str:
    """Return how to repair an installed OpenCV.

    Args:
        problem: What its import says; empty if it succeeds.
    """
    remove = f"pip uninstall -y {' '.join(OPENCV_WHEELS)}"
    if ".so" in problem and "shared object" in problem:
        return (
            "Install the system's library that is missing (libGL.so.1: apt-get install libgl1), or"
            f" the wheel that needs none: {remove}; pip install opencv-contrib-python-headless"
        )
    return f"Run: {remove}; pip install --force-reinstall opencv-contrib-python"
