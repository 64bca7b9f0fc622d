"""Which Jetson Linux and JetPack a machine has, and what that JetPack brings."""

from __future__ import annotations

import importlib.resources
import json
import re
from dataclasses import dataclass
from typing import Any

from hot_sdk.doctor.machine import Machine

RELEASE_FILE = "/etc/nv_tegra_release"
_RELEASE = re.compile(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class JetPack:
    """A JetPack release; None where the SDK's table does not know.

    Attributes:
        l4t: Version of Jetson Linux, such as ``36.4.3``.
        version: Version of JetPack, such as ``6.2``.
        python: Python version of its Ubuntu, for which its packages are built.
        cuda: Version of CUDA.
        tensorrt: Version of TensorRT.
        onnxruntime: Part of the Jetson AI Lab package index that has onnxruntime-gpu for it.
    """

    l4t: str
    version: str | None
    python: str | None
    cuda: str | None
    tensorrt: str | None
    onnxruntime: str | None

    @property
    def onnxruntime_gpu(self) -> str:
        """How to get an onnxruntime-gpu whose kernels run on this Jetson."""
        # The wheels of PyPI for aarch64 (1.29 to 1.31.1) hold code for compute capability 8.9,
        # 9.0, 12.0 and 12.1 only, and neither Orin (8.7) nor Thor (11.0) runs that.
        if self.onnxruntime is None:
            return (
                "Build onnxruntime-gpu on this Jetson, or flash JetPack 6.2; PyPI's has no kernels"
                " for Jetson GPUs."
            )
        return (
            f"Install onnxruntime-gpu from the Jetson AI Lab package index, '{self.onnxruntime}';"
            " PyPI's has no kernels for Jetson GPUs."
        )


def is_jetson(machine: Machine) -> bool:
    """Whether the machine is a Jetson, or a container on one that was given its release file."""
    return machine.at(RELEASE_FILE).is_file() or "Jetson" in (jetson_model(machine) or "")


def jetson_model(machine: Machine) -> str | None:
    """Name of the board, from its device tree; None on machines without one."""
    return machine.text("/proc/device-tree/model")


def installed_jetpack(machine: Machine) -> JetPack | None:
    """The JetPack of this machine; None where the release file is absent or unreadable."""
    match = _RELEASE.search(machine.text(RELEASE_FILE) or "")
    if match is None:
        return None
    l4t = f"{match[1]}.{match[2]}.{match[3] or 0}"
    table = _table()
    version = table["releases"].get(l4t)
    return JetPack(l4t=l4t, version=version, **_contents(table["contents"], version))


def _contents(contents: dict[str, dict[str, str | None]], version: str | None) -> dict[str, Any]:
    """What a version brings: its own entry, or else that of its series (6.2 for 6.2.1)."""
    series = ".".join((version or "").split(".")[:2])
    unknown = dict.fromkeys(("python", "cuda", "tensorrt", "onnxruntime"))
    return contents.get(version or "") or contents.get(series) or unknown


def _table() -> dict[str, Any]:
    file = importlib.resources.files("hot_sdk.doctor") / "data" / "jetpack.json"
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return table
