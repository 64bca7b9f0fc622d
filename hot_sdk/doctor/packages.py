"""Check Python, the SDK, its extras, and distributions that overwrite each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hot_sdk._base.optional import AGAIN, INSTALL_PYCUDA, install_command, onnxruntime_gpu
from hot_sdk.doctor.nvidia import driver_version, has_nvidia_gpu
from hot_sdk.host import Finding
from hot_sdk.host.jetson import installed_jetpack, is_jetson
from hot_sdk.host.machine import Machine, normalized_name
from hot_sdk.version import __version__

# All of them install the one folder 'onnxruntime'.
ONNXRUNTIME_BUILDS = (
    "onnxruntime",
    "onnxruntime-directml",
    "onnxruntime-gpu",
    "onnxruntime-migraphx",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
    "onnxruntime-trt-rtx",
    "ort-nightly",
    "ort-nightly-gpu",
)

_OLDEST_PYTHON = (3, 10)
# Distributions that bring the same module as the one that an extra names.
_STAND_INS = {
    "opencv-python": (
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
}
_NOT_FOR_USERS = ("dev", "docs")
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?(?P<rest>[^;]*)(;(?P<marker>.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_PYTHON = re.compile(r"python_version\s*(<|>=)\s*['\"](\d+)\.(\d+)['\"]")
_AT_LEAST = re.compile(r">=\s*([0-9][0-9.]*)")


def check_python(machine: Machine) -> Finding:
    """Check the interpreter, and on a Jetson whether its packages are built for it."""
    python = machine.interpreter
    kind = "virtual environment" if python.in_virtual_environment else "no virtual environment"
    version = ".".join(map(str, python.version))
    detail = f"{version} on {python.architecture}, {python.executable} ({kind})"
    if python.version[:2] < _OLDEST_PYTHON:
        oldest = ".".join(map(str, _OLDEST_PYTHON))
        return Finding("python", "wrong", detail, f"The SDK needs Python {oldest} or newer.")
    jetpack = installed_jetpack(machine)
    if jetpack is not None and jetpack.python not in (None, python.series):
        detail += f"; the GPU packages of JetPack {jetpack.version} are for Python {jetpack.python}"
        fix = f"Use /usr/bin/python{jetpack.python} -m venv --system-site-packages FOLDER"
        if tuple(map(int, jetpack.python.split("."))) < _OLDEST_PYTHON:
            fix = "Flash JetPack 6.2 or newer; on this one the SDK runs on the CPU only."
        return Finding("python", "wrong", detail, fix)
    return Finding("python", "ok", detail)


def check_sdk(machine: Machine) -> Finding:
    """Check that the imported SDK is the installed one."""
    installed = machine.distributions.get("hot-sdk")
    if installed is None:
        return Finding("hot-sdk", "info", f"{__version__}, run from its source, not installed")
    if installed != __version__:
        return Finding(
            "hot-sdk",
            "wrong",
            f"{__version__} is imported, but {installed} is installed",
            f"Leave folders named hot_sdk. {AGAIN}",
        )
    return Finding("hot-sdk", "ok", __version__)


def check_extras(machine: Machine) -> list[Finding]:
    """Check for each optional part of the SDK whether the packages that it needs are installed."""
    extras: dict[str, list[str]] = {}
    series = machine.interpreter.series
    unfit: dict[str, str] = {}
    for extra, name, minimum, marker in _extra_requirements(machine.requirements):
        problems = extras.setdefault(extra, [])
        installed = _installed_version(machine, name)
        if not _is_for(marker, machine.interpreter.version[:2]):
            unfit[extra] = f", but for {name}, which does not exist for Python {series}"
        elif installed is None:
            problems.append(f"{name} is not installed")
        elif _release(installed) < _release(minimum):
            problems.append(f"{name} is {installed}; at least {minimum} is needed")
    findings = []
    for extra, problems in sorted(extras.items()):
        detail = ", ".join(problems) or "all its packages are installed"
        detail += unfit.get(extra, "")
        fix = install_command(extra) if problems else ""
        if problems and extra == "tensorrt":
            # PyCUDA is built from source, which takes more than a pip command.
            fix = INSTALL_PYCUDA if has_nvidia_gpu(machine) else ""
            detail += "" if fix else "; it is for NVIDIA GPUs, and there is none"
        findings.append(Finding(f"extra {extra}", "missing" if problems else "ok", detail, fix))
    return findings


def check_onnxruntime_builds(machine: Machine) -> Finding | None:
    """Check for several distributions of ONNX Runtime, which overwrite each other's files."""
    builds = installed_builds(machine)
    if len(builds) < 2:
        return None
    shown = " and ".join(f"{name} {machine.distributions[name]}" for name in builds)
    special = [name for name in builds if name not in ("onnxruntime", "onnxruntime-gpu")]
    if "onnxruntime-gpu" in builds and has_nvidia_gpu(machine):
        keep = onnxruntime_gpu(driver_version(machine))
    else:
        # A specialized one was chosen for a reason.
        keep = special[0] if special else "onnxruntime"
    return Finding(
        "onnxruntime builds",
        "wrong",
        # The SDK's metadata requires the distribution named onnxruntime.
        f"{shown} are installed, and overwrite each other's files; which one runs is chance"
        " (upgrade hot-sdk with --no-deps, or pip brings onnxruntime back)",
        reinstall_onnxruntime(machine, keep),
    )


def installed_builds(machine: Machine) -> list[str]:
    """Return the distributions of ONNX Runtime in the environment, else the default one."""
    return [name for name in ONNXRUNTIME_BUILDS if name in machine.distributions] or ["onnxruntime"]


def reinstall_onnxruntime(machine: Machine, package: str) -> str:
    """Return how to replace all builds of ONNX Runtime by one; on a Jetson by its JetPack's."""
    # Builds share a folder, so removing one removes files of the others: all go.
    remove = f"pip uninstall -y {' '.join(installed_builds(machine))}"
    if not is_jetson(machine):
        return f"{remove} && pip install {package}"
    jetpack = installed_jetpack(machine)
    install = jetpack.onnxruntime_gpu if jetpack else "Install the one built for this JetPack."
    return f"{remove}, then: {install}"


def _is_for(marker: str, version: tuple[int, ...]) -> bool:
    """Return whether a marker's limits of the Python version hold, whatever else it requires."""
    for sign, major, minor in _PYTHON.findall(marker):
        limit = (int(major), int(minor))
        if not (version < limit if sign == "<" else version >= limit):
            return False
    return True


def _extra_requirements(requirements: tuple[str, ...]) -> Iterator[tuple[str, str, str, str]]:
    """Yield extra, distribution, oldest version and marker of each requirement of an extra."""
    for requirement in requirements:
        parts = _REQUIREMENT.fullmatch(requirement.strip())
        extra = _EXTRA.search((parts and parts["marker"]) or "")
        # The extra 'all' requires the SDK itself with other extras, which have their findings.
        if parts is None or extra is None or extra[1] in _NOT_FOR_USERS:
            continue
        name = normalized_name(parts["name"])
        if name != "hot-sdk":
            minimum = _AT_LEAST.search(parts["rest"])
            yield extra[1], name, minimum[1] if minimum else "0", parts["marker"]


def _installed_version(machine: Machine, name: str) -> str | None:
    for candidate in (name, *_STAND_INS.get(name, ())):
        if candidate in machine.distributions:
            return machine.distributions[candidate]
    return None


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with; '2.10.0+cpu' gives (2, 10)."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", version)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
