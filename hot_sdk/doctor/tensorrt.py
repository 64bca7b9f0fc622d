"""Check TensorRT, from pip or from the system, and perhaps hidden from a virtual environment."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from hot_sdk._base.optional import install_tensorrt
from hot_sdk.doctor.nvidia import driver_version, gpu_fix, has_nvidia_gpu
from hot_sdk.doctor.probe import Answer, ask_child
from hot_sdk.errors import EngineError
from hot_sdk.host import Finding, one_line
from hot_sdk.host.jetson import INSTALL_JETPACK, installed_jetpack, is_jetson
from hot_sdk.host.machine import Machine

_SYSTEM_COPIES = (
    "/usr/lib/python3*/dist-packages/tensorrt",
    "/usr/local/lib/python3*/dist-packages/tensorrt",
)
_PIP_PACKAGES = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")
_OF_THE_SYSTEM = re.compile(r"/usr/lib/python3[\d.]*/dist-packages/")


def check_tensorrt(machine: Machine) -> Finding:
    """Check whether TensorRT can be imported and can build a plan, and if not, why."""
    answer = ask_child(machine, "tensorrt")
    if not answer.problem:
        return _imported_tensorrt(machine, answer)
    if not answer.not_installed:
        return _broken_tensorrt(machine, answer)
    copies = [path for pattern in _SYSTEM_COPIES for path in machine.matching(pattern)]
    if copies:
        folders = [f"/{copy.relative_to(machine.root)}" for copy in copies]
        return Finding("tensorrt", "wrong", *_hidden_tensorrt(machine, folders))
    if is_jetson(machine):
        return Finding("tensorrt", "missing", "not installed", INSTALL_JETPACK)
    if not has_nvidia_gpu(machine):
        return Finding("tensorrt", "missing", "not installed, and there is no NVIDIA GPU")
    return Finding(
        "tensorrt", "missing", "not installed", install_tensorrt(driver_version(machine))
    )


def _imported_tensorrt(machine: Machine, answer: Answer) -> Finding:
    # Imports numpy; hot-doctor has to start if that is broken.
    from hot_sdk.engines.tensorrt.bindings import require_supported

    version, problem = answer.values["version"], answer.values["problem"]
    detail = one_line(f"{version}, {answer.values['file']}")
    jetpack = installed_jetpack(machine)
    brought = jetpack.tensorrt if jetpack else None
    other = brought is not None and not f"{version}.".startswith(f"{brought}.")
    # Packages of the system have metadata, too, and may be upgraded.
    from_apt = _OF_THE_SYSTEM.match(answer.values["file"]) is not None
    if other and from_apt:
        detail += f"; apt installed it, and this JetPack brought {brought}"
    elif other:
        detail += f"; it comes from pip and hides {brought}, which this JetPack brings"
        return Finding("tensorrt", "wrong", detail, _uninstall(machine))
    try:
        require_supported(version)
    except EngineError as error:
        return Finding("tensorrt", "wrong", f"{detail}; {error.message}", error.hint)
    if not problem:
        return Finding("tensorrt", "ok", detail)
    detail = one_line(f"{detail}; {problem}")
    if from_apt:
        return Finding("tensorrt", "wrong", detail, gpu_fix(machine))
    if is_jetson(machine):
        fix = f"It comes from pip, whose builds may not fit Jetsons: {_uninstall(machine)}"
        return Finding("tensorrt", "wrong", detail, f"{fix}; then: {INSTALL_JETPACK}")
    return Finding("tensorrt", "wrong", detail, _older_package(machine) or gpu_fix(machine))


def _uninstall(machine: Machine) -> str:
    return f"pip uninstall -y {' '.join(_pip_packages(machine) or _PIP_PACKAGES[:1])}"


def _broken_tensorrt(machine: Machine, answer: Answer) -> Finding:
    pip = _pip_packages(machine)
    if is_jetson(machine) and pip and _pip_copies(machine):
        fix = f"pip uninstall -y {' '.join(pip)}, and use the one that JetPack brings."
    elif is_jetson(machine):
        fix = "sudo apt install --reinstall python3-libnvinfer"
    elif pip:
        fix = f"pip install --force-reinstall {' '.join(pip)}"
    else:
        fix = "Reinstall TensorRT."
    return Finding("tensorrt", "wrong", f"it cannot be imported: {answer.problem}", fix)


def _hidden_tensorrt(machine: Machine, folders: list[str]) -> tuple[str, str]:
    """Return why the system's copies are not imported, and what to do about it."""
    python = machine.interpreter
    # 'python3' without a minor version is that of the distribution's default Python.
    series = {match[1] for folder in folders if (match := re.search(r"python(3\.\d+)/", folder))}
    where = f"it is in {folders[0]}"
    if series and python.series not in series:
        wanted = sorted(series)[0]
        detail = f"{where}, for Python {wanted}, and this is {python.series}"
        return detail, f"/usr/bin/python{wanted} -m venv --system-site-packages FOLDER"
    new_environment = f"/usr/bin/python{python.series} -m venv --system-site-packages FOLDER"
    if not python.in_virtual_environment:
        detail = f"{where}, which {python.executable} does not search"
        return detail, f"Use the system's Python: {new_environment}"
    file = f"{python.prefix}/pyvenv.cfg"
    closed = r"^include-system-site-packages\s*=\s*false\b"
    if re.search(closed, machine.text(file) or "", re.M | re.I) is None:
        detail = f"{where}, which the virtual environment of {python.base_prefix} does not search"
        return detail, f"Make it from the system's Python: {new_environment}"
    fix = new_environment
    if python.base_prefix == "/usr":
        fix = f"sed -i 's/^\\(include-system-site-packages\\) *=.*/\\1 = true/' {shlex.quote(file)}"
    return f"{where}, hidden from the virtual environment {python.prefix}", fix


def _pip_packages(machine: Machine) -> list[str]:
    return [name for name in _PIP_PACKAGES if name in machine.distributions]


def _pip_copies(machine: Machine) -> list[Path]:
    """Return the folders of TensorRT that pip installed, in any place where it does."""
    home = machine.environment.get("HOME", "/root")
    places = (
        f"{machine.interpreter.prefix}/lib/python3*/site-packages",
        f"{home}/.local/lib/python3*/site-packages",
        "/usr/local/lib/python3*/dist-packages",
    )
    return [path for place in places for path in machine.matching(f"{place}/tensorrt*")]


def _older_package(machine: Machine) -> str:
    """Return how to replace a TensorRT for CUDA 13 under an older driver; empty if it is not."""
    install = install_tensorrt(driver_version(machine))
    newer = [name for name in _pip_packages(machine) if not name.startswith("tensorrt-cu12")]
    if is_jetson(machine) or not newer or not install.endswith("cu12"):
        return ""
    return f"pip uninstall -y {' '.join(newer)} && {install}"
