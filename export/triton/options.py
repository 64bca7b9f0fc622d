"""Options of a Triton model repository, checked before anything heavy is imported."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hot_sdk._base.files import require_writable_folder
from hot_sdk.errors import UsageError
from hot_sdk.export.triton.config import MARK

BACKENDS = ("onnxruntime", "tensorrt")
DEVICES = ("cpu", "gpu")
CONFIG = "config.pbtxt"
MODEL = "1/model.onnx"
_MOST_INSTANCES = 1024


@dataclass(frozen=True)
class TritonOptions:
    """A model repository for Triton Inference Server, in addition to the exported file.

    Attributes:
        folder: The repository; created if only its parent exists.
        instances: Copies of the network that run at a time; on a GPU, on each of the server's.
        device: ``cpu`` or ``gpu``; if None, the GPU with TensorRT, else the CPU.
        backend: ``onnxruntime``, or ``tensorrt``: ONNX Runtime with TensorRT in it, whose plan the
            server builds when it loads the model.

    Raises:
        UsageError: A value is unknown or out of range, or TensorRT was requested on a CPU.
    """

    folder: Path
    instances: int = 1
    device: str | None = None
    backend: str = "onnxruntime"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("backend", self.backend, BACKENDS),
            ("device", self.device, (None, *DEVICES)),
        ):
            if value not in known:
                names = ", ".join(name for name in known if name is not None)
                raise UsageError(f"Unknown {what} '{value}'.", hint=f"Use one of: {names}.")
        if not 1 <= self.instances <= _MOST_INSTANCES:
            raise UsageError(
                f"instances is {self.instances}.",
                hint=f"Give a number from 1 to {_MOST_INSTANCES}.",
            )
        if self.backend == "tensorrt" and self.device == "cpu":
            raise UsageError(
                "TensorRT runs on NVIDIA GPUs, but the CPU was requested.",
                hint="Use the device 'gpu', or the backend 'onnxruntime'.",
            )

    @property
    def gpu(self) -> bool:
        """Whether the network runs on a GPU."""
        return self.device == "gpu" or self.backend == "tensorrt"


class ModelNames(NamedTuple):
    """Names of the repository's models, which are those of their folders.

    Attributes:
        network: The exported file, which takes normalized keypoints.
        normalizer: The step from pixels to normalized keypoints.
        ensemble: Both, one after the other.
    """

    network: str
    normalizer: str
    ensemble: str


def model_names(file: Path) -> ModelNames:
    """Return names after an exported file's, without characters that a URL cannot hold."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", file.stem)
    return ModelNames(plain, f"{plain}_normalize", f"{plain}_pixels")


def check_folder(options: TritonOptions) -> None:
    """Check, before any heavy work, that the repository can be written.

    Raises:
        UsageError: It is not a folder, it or its parent is not writable, or the parent is missing.
    """
    folder = options.folder
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'{folder}' is not a folder.", hint="Give a folder with --triton.")
    require_writable_folder(folder if folder.is_dir() else folder.parent)


def check_models(options: TritonOptions, file: Path) -> None:
    """Check that this file's models would not replace anyone else's folders.

    Raises:
        UsageError: A folder has a model's name and holds files that hot-export did not write.
    """
    for name in model_names(file):
        folder = options.folder / name
        if os.path.lexists(folder) and not _replaceable(folder):
            raise UsageError(
                f"'{folder}' holds files that hot-export did not write.",
                hint="Move it away, or choose another folder or --output.",
            )


def _replaceable(folder: Path) -> bool:
    """Return True if a folder is empty, or holds only what hot-export wrote."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    if not found:
        return True
    if CONFIG not in found or found - {CONFIG, MODEL, str(Path(MODEL).parent)}:
        return False
    with (folder / CONFIG).open("rb") as stream:
        return stream.read(len(MARK)) == MARK.encode()
