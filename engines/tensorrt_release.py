"""Which releases of TensorRT the SDK can use, and what differs between them.

Little does: from 10 on every release has strongly typed networks, whose precision is that of the
file, and 11 has no others; the flags and calibrators that 11 lacks are not used. 8.6 keeps no
precision but by flags, and is refused.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

from hot_sdk.errors import EngineError, MissingDependencyError

OLDEST = 10

_JETSON_RELEASE = Path("/etc/nv_tegra_release")


def import_tensorrt() -> ModuleType:
    """Import TensorRT, of a release that the SDK can use.

    Raises:
        MissingDependencyError: It cannot be imported.
        EngineError: It is too old.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        said = " ".join(str(error).split())
        raise MissingDependencyError(
            f"The engine 'tensorrt' needs TensorRT, which cannot be imported ({said}).",
            hint=_how_to_install(),
        ) from error
    require_supported(str(trt.__version__))
    return trt


def require_supported(version: str) -> None:
    """Refuse a release that has no strongly typed networks, or not all that they need.

    Raises:
        EngineError: It is older than ``OLDEST``.
    """
    match = re.match(r"\d+", version)
    if match is None or int(match[0]) < OLDEST:
        raise EngineError(
            f"TensorRT {version} is too old; the engine 'tensorrt' needs {OLDEST} or newer, which"
            " keep the precision that the model file states.",
            hint="On a Jetson, install JetPack 6.1 or newer (6.0 brings TensorRT 8.6); until then"
            " compile the file there with trtexec --onnx=FILE after hot-export --opset 17, or use"
            " the engine 'onnxruntime'.",
        )


def _how_to_install() -> str:
    if _JETSON_RELEASE.is_file():
        return (
            "Run: sudo apt install python3-libnvinfer, and use the system's Python, or a virtual"
            " environment made with --system-site-packages."
        )
    return "Run: pip install tensorrt"
