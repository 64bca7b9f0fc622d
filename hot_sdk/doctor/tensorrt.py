"""TensorRT: from pip or from the system, hidden from a virtual environment or not."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from hot_sdk.doctor.child import Answer, ask_child
from hot_sdk.doctor.finding import Finding, one_line
from hot_sdk.doctor.jetpack import JetPack, installed_jetpack, is_jetson
from hot_sdk.doctor.machine import Machine
from hot_sdk.doctor.nvidia import has_nvidia_gpu
from hot_sdk.engines.tensorrt_release import require_supported
from hot_sdk.errors import EngineError

_SYSTEM_COPIES = (
    "/usr/lib/python3*/dist-packages/tensorrt",
    "/usr/local/lib/python3*/dist-packages/tensorrt",
)
_PIP_PACKAGES = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")


def check_tensorrt(machine: Machine) -> tuple[Finding, ...]:
    """Whether TensorRT can be imported and can build an engine, and why not."""
    answer = ask_child(machine, "tensorrt")
    jetpack = installed_jetpack(machine)
    if not answer.problem:
        return (_imported(machine, answer, jetpack),)
    if not answer.not_installed:
        return (_broken(machine, answer),)
    copies = machine.matching(_SYSTEM_COPIES[0]) + machine.matching(_SYSTEM_COPIES[1])
    if copies:
        return (_hidden(machine, copies),)
    if is_jetson(machine):
        fix = "sudo apt install nvidia-jetpack python3-libnvinfer"
        return (Finding("tensorrt", "missing", "not installed", fix),)
    if not has_nvidia_gpu(machine):
        return (Finding("tensorrt", "missing", "not installed, and there is no NVIDIA GPU"),)
    return (Finding("tensorrt", "missing", "not installed", "pip install tensorrt"),)


def _imported(machine: Machine, answer: Answer, jetpack: JetPack | None) -> Finding:
    version, file = answer.values["version"], answer.values["file"]
    detail = one_line(f"{version}, {file}")
    brought = jetpack.tensorrt if jetpack else None
    pip = [name for name in _PIP_PACKAGES if name in machine.distributions]
    if brought is not None and pip and not f"{version}.".startswith(f"{brought}."):
        return Finding(
            "tensorrt",
            "wrong",
            f"{detail}; it comes from pip and hides {brought}, which this JetPack brings",
            f"pip uninstall -y {' '.join(pip)}",
        )
    try:
        require_supported(version)
    except EngineError as error:
        return Finding("tensorrt", "wrong", f"{detail}; {error.message}", error.hint)
    if answer.values["problem"]:
        return Finding(
            "tensorrt",
            "wrong",
            one_line(f"{detail}; {answer.values['problem']}"),
            "See the finding on the GPU.",
        )
    return Finding("tensorrt", "ok", detail)


def _broken(machine: Machine, answer: Answer) -> Finding:
    pip = [name for name in _PIP_PACKAGES if name in machine.distributions]
    fix = "Reinstall TensorRT."
    if is_jetson(machine):
        fix = "sudo apt install --reinstall python3-libnvinfer"
        if pip:
            fix = f"pip uninstall -y {' '.join(pip)}, and use the one that JetPack brings."
    elif pip:
        fix = f"pip install --force-reinstall {' '.join(pip)}"
    return Finding("tensorrt", "wrong", f"it cannot be imported: {answer.problem}", fix)


def _hidden(machine: Machine, copies: list[Path]) -> Finding:
    python = machine.interpreter
    folders = [f"/{copy.relative_to(machine.root)}" for copy in copies]
    # 'python3' without a minor version is that of the distribution's default Python.
    series = {match[1] for folder in folders if (match := re.search(r"python(3\.\d+)/", folder))}
    where = f"it is in {folders[0]}"
    if series and python.series not in series:
        wanted = sorted(series)[0]
        return Finding(
            "tensorrt",
            "wrong",
            f"{where}, for Python {wanted}, and this is {python.series}",
            f"/usr/bin/python{wanted} -m venv --system-site-packages FOLDER",
        )
    again = f"/usr/bin/python{python.series} -m venv --system-site-packages FOLDER"
    if not python.in_virtual_environment:
        return Finding(
            "tensorrt",
            "wrong",
            f"{where}, which {python.executable} does not look into",
            f"Use the system's Python: {again}",
        )
    file = f"{python.prefix}/pyvenv.cfg"
    settings = machine.text(file) or ""
    closed = re.search(r"^include-system-site-packages\s*=\s*false\b", settings, re.M | re.I)
    if closed is None:
        return Finding(
            "tensorrt",
            "wrong",
            f"{where}, which the virtual environment of {python.base_prefix} does not look into",
            f"Make it from the system's Python: {again}",
        )
    fix = again
    if python.base_prefix == "/usr":
        fix = f"sed -i 's/^\\(include-system-site-packages\\) *=.*/\\1 = true/' {shlex.quote(file)}"
    return Finding(
        "tensorrt",
        "wrong",
        f"{where}, hidden from the virtual environment {python.prefix}",
        fix,
    )
