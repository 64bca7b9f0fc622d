"""Jetsons: which JetPack a board has and what that brings; power mode, GPU clocks, throttling."""

from __future__ import annotations

import importlib.resources
import json
import re
from dataclasses import dataclass
from typing import Any

from hot_sdk._base.jetson_files import BOARD_FILE, MEMORY_NODE, RELEASE_FILE
from hot_sdk.host import Finding, one_line
from hot_sdk.host.facts import overcurrent_counts
from hot_sdk.host.machine import Machine

INSTALL_JETPACK = "sudo apt install nvidia-jetpack python3-libnvinfer"
"""Command that installs CUDA, cuDNN and TensorRT with its Python binding; the flashed system alone
has none of them."""

_SECONDS = 10.0
_OLDEST_SERIES = 6
_RELEASE = re.compile(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*(\d+)(?:\.(\d+))?")
_GPU_CLOCK = re.compile(r"gpu|ga10b|gb10b|gv11b|gp10b")
_MODE = re.compile(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.M)


@dataclass(frozen=True)
class JetPack:
    """A JetPack release; None for what the SDK's table does not list.

    Attributes:
        l4t: Version of Jetson Linux, such as ``36.4.3``.
        version: Version of JetPack, such as ``6.2``.
        python: Python version of its Ubuntu, for which its packages are built.
        cuda: Version of CUDA.
        tensorrt: Version of TensorRT.
        onnxruntime: Part of the Jetson AI Lab package index that has onnxruntime-gpu for it.
        numpy_1: Whether that onnxruntime-gpu is built for NumPy 1, and fails with a newer one.
        memory_capped: Whether its kernel refuses memory that is free, for CVE-2025-33177.
    """

    l4t: str
    version: str | None
    python: str | None
    cuda: str | None
    tensorrt: str | None
    onnxruntime: str | None
    numpy_1: bool
    memory_capped: bool

    @property
    def onnxruntime_gpu(self) -> str:
        """How to install an onnxruntime-gpu whose kernels run on this Jetson."""
        # The wheels of PyPI for aarch64 (1.29 to 1.31.1) hold code for compute capability 8.9,
        # 9.0, 12.0 and 12.1 only, and neither Orin (8.7) nor Thor (11.0) runs that.
        if self.onnxruntime is None:
            return (
                "Build onnxruntime-gpu on this Jetson, or flash JetPack 6.2; PyPI's has no kernels"
                " for Jetson GPUs."
            )
        numpy = (
            ', and NumPy 1, for which it is built: pip install "numpy<2"' if self.numpy_1 else ""
        )
        return (
            f"Install onnxruntime-gpu from the Jetson AI Lab package index, '{self.onnxruntime}'"
            f"{numpy}; PyPI's has no kernels for Jetson GPUs."
        )


def is_jetson(machine: Machine) -> bool:
    """Return whether the machine is a Jetson, or a container on one with access to its GPU."""
    return (
        machine.at(RELEASE_FILE).is_file()
        or "Jetson" in (jetson_model(machine) or "")
        or machine.at(MEMORY_NODE).exists()
    )


def jetson_model(machine: Machine) -> str | None:
    """Return the name of the board, from its device tree; None on machines without one."""
    return machine.text(BOARD_FILE)


def installed_jetpack(machine: Machine) -> JetPack | None:
    """Return the JetPack of this machine; None if the release file is absent or unreadable."""
    match = _RELEASE.search(machine.text(RELEASE_FILE) or "")
    if match is None:
        return None
    l4t = f"{match[1]}.{match[2]}.{match[3] or 0}"
    table = _table()
    version = table["releases"].get(l4t)
    return JetPack(
        l4t=l4t,
        version=version,
        numpy_1=_series(version) in table["numpy_1"],
        memory_capped=l4t in table["memory_capped"],
        **_contents(table["contents"], version),
    )


def _series(version: str | None) -> str:
    """Return the series of a version: 6.2 for 6.2.1."""
    return ".".join((version or "").split(".")[:2])


def _contents(contents: dict[str, dict[str, str | None]], version: str | None) -> dict[str, Any]:
    """Return what a version brings: its entry, or else that of its series (6.2 for 6.2.1)."""
    series = _series(version)
    unknown = dict.fromkeys(("python", "cuda", "tensorrt", "onnxruntime"))
    return contents.get(version or "") or contents.get(series) or unknown


def _table() -> dict[str, Any]:
    file = importlib.resources.files("hot_sdk.host") / "data" / "jetpack.json"
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return table


def check_jetpack(machine: Machine) -> Finding | None:
    """Check L4T, the JetPack that it belongs to, and the packages that match."""
    if not is_jetson(machine):
        return None
    jetpack = installed_jetpack(machine)
    if jetpack is None:
        return Finding(
            "jetpack",
            "wrong",
            f"{RELEASE_FILE} is absent or not in the form '# R36 (release), REVISION: 4.3, …'",
            f"In a container, start it with --volume {RELEASE_FILE}:{RELEASE_FILE}:ro; else flash"
            " JetPack 6.2 or newer.",
        )
    if jetpack.version is None:
        return Finding(
            "jetpack",
            "info",
            f"L4T {jetpack.l4t}, which this version of the SDK does not know",
            "Look for a newer SDK; check that the GPU packages are those of this JetPack.",
        )
    parts = [f"JetPack {jetpack.version} (L4T {jetpack.l4t})"]
    for what, version in (("CUDA", jetpack.cuda), ("TensorRT", jetpack.tensorrt)):
        if version is not None:
            parts.append(f"{what} {version}")
    parts.append(f"Python {jetpack.python}")
    if int(jetpack.version.partition(".")[0]) < _OLDEST_SERIES:
        fix = "Flash JetPack 6.2 or newer: this one's GPU packages are for an older Python."
        return Finding("jetpack", "wrong", ", ".join(parts), fix)
    if jetpack.onnxruntime is not None:
        parts.append(f"onnxruntime-gpu from the Jetson AI Lab index, '{jetpack.onnxruntime}'")
    else:
        parts.append("no onnxruntime-gpu is known for it")
    fix = ""
    if jetpack.tensorrt is not None and jetpack.tensorrt.startswith("8."):
        fix = "Flash JetPack 6.2, or export models for this TensorRT with: hot-export --opset 17"
    if jetpack.memory_capped:
        parts.append("whose kernel refuses some memory that is free")
        fix = (
            "If the GPU runs out of memory that is free (NvMapMemAlloc error 12): update to Jetson"
            " Linux 36.5 or newer, and 38.2 to 38.4; until then, restart before large builds."
        )
    return Finding("jetpack", "ok", ", ".join(parts), fix)


def check_power_mode(machine: Machine) -> Finding | None:
    """Check the power mode, which caps the clocks."""
    if not is_jetson(machine):
        return None
    modes = dict(_MODE.findall(machine.text("/etc/nvpmodel.conf") or ""))
    result = machine.run(("nvpmodel", "-q"), _SECONDS)
    match = re.search(r"NV Power Mode:\s*(\S+)\s+(\d+)", result.stdout)
    if match is not None:
        name, mode = match[1], match[2]
    else:
        status = re.search(r"pmode:0*(\d+)", machine.text("/var/lib/nvpmodel/status") or "")
        if status is None:
            reason = one_line(result.stderr) or "no reason given"
            return Finding("power mode", "info", f"unknown: nvpmodel: {reason}", "sudo nvpmodel -q")
        mode = status[1]
        name = modes.get(mode, "unnamed")
    others = ", ".join(f"{number} {other}" for number, other in modes.items() if number != mode)
    detail = one_line(f"{name} (mode {mode})" + (f"; others: {others}" if others else ""))
    if name.startswith("MAXN"):
        return Finding("power mode", "ok", detail)
    fix = "For full speed: sudo nvpmodel -m ID of a MAXN mode"
    return Finding("power mode", "info", detail, fix)


def check_gpu_clock(machine: Machine) -> tuple[Finding, ...]:
    """Check whether the GPU's clock is capped, and whether it follows the load."""
    if not is_jetson(machine):
        return ()
    findings = []
    for folder in machine.matching("/sys/class/devfreq/*"):
        low, high = machine.number(folder / "min_freq"), machine.number(folder / "max_freq")
        if not _GPU_CLOCK.search(folder.name) or low is None or high is None:
            continue
        steps = (machine.text(folder / "available_frequencies") or "").split()
        largest = max((int(step) for step in steps if step.isdecimal()), default=high)
        detail = f"{_mhz(low)} to {_mhz(high)} MHz"
        fixes = []
        if high < largest:
            detail += f", capped by the power mode (the hardware has {_mhz(largest)})"
            fixes.append("sudo nvpmodel -m ID of a larger mode")
        if low < high:
            detail += ", follows the load"
            fixes.append("sudo jetson_clocks")
        fix = f"For steady latency: {', then '.join(fixes)}" if fixes else ""
        name = f"gpu clock {folder.name}"
        findings.append(Finding(name, "info" if fixes else "ok", detail, fix))
    return tuple(findings)


def check_throttling(machine: Machine) -> Finding | None:
    """Check whether the board has slowed itself down for lack of current since it started."""
    counts = overcurrent_counts(machine)
    if not counts or not is_jetson(machine):
        return None
    if sum(counts) == 0:
        return Finding("throttling", "ok", "never for lack of current since the start")
    return Finding(
        "throttling",
        "wrong",
        f"{sum(counts)} times for lack of current since the start",
        "Use a stronger power supply or a smaller power mode: sudo nvpmodel -m ID",
    )


def _mhz(hertz: int) -> str:
    return f"{hertz / 1e6:.0f}"
