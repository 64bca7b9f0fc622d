"""Check NVIDIA GPUs: hardware, driver, what hides them, and PyCUDA."""

from __future__ import annotations

import re

from hot_sdk._base.optional import INSTALL_PYCUDA
from hot_sdk.doctor.probe import ask_child
from hot_sdk.host import Finding, one_line
from hot_sdk.host.facts import query_nvidia_smi
from hot_sdk.host.jetson import is_jetson, jetson_model
from hot_sdk.host.machine import Machine, ProgramResult

_DRIVER_FILE = "/proc/driver/nvidia/version"
_NVIDIA_VENDOR = "0x10de"
_DISPLAY_CLASS = "0x03"
# Of the integrated GPU, as JetPack 5, 6 and 7 name them.
_JETSON_NODES = ("/dev/nvhost-gpu", "/dev/nvgpu", "/dev/nvidia0")
# Its own dependencies stay as they are: a newer NumPy breaks the onnxruntime-gpu of JetPack 6.
_REBUILD_PYCUDA = INSTALL_PYCUDA.replace(
    "pip install", "pip install --force-reinstall --no-cache-dir --no-deps"
)
_START_CONTAINER = "start it with access to the GPU (docker run --gpus all, or --runtime nvidia)"


def has_nvidia_gpu(machine: Machine) -> bool:
    """Return whether an NVIDIA GPU can be seen, whether or not it works."""
    return bool(
        is_jetson(machine)
        or machine.at(_DRIVER_FILE).is_file()
        or machine.matching("/dev/nvidia[0-9]*")
        or _cards_on_the_bus(machine)
    )


def check_gpus(machine: Machine) -> Finding | list[Finding]:
    """Check each GPU with its driver and memory, or why there is none."""
    if is_jetson(machine):
        return _jetson_gpu(machine)
    fields = ("index", "name", "driver_version", "memory.total", "memory.free")
    cards, result = query_nvidia_smi(machine, *fields)
    if not cards:
        return _no_gpu(machine, result)
    return [
        Finding(
            f"gpu {index}", "ok", one_line(f"{name}, driver {driver}, {free} of {total} MiB free")
        )
        for index, name, driver, total, free in cards
    ]


def check_visible_devices(machine: Machine) -> Finding | None:
    """Check the environment variable that may hide GPUs that are otherwise in order."""
    name = "CUDA_VISIBLE_DEVICES"
    value = machine.environment.get(name)
    if value is None or not has_nvidia_gpu(machine):
        return None
    if value.strip() in ("", "-1"):
        detail = f"it is '{one_line(value)}', which hides every GPU from CUDA"
        return Finding(name, "wrong", detail, f"unset {name}")
    detail = f"it is '{one_line(value)}'; CUDA sees these GPUs only, and counts them from 0"
    return Finding(name, "info", detail)


def check_pycuda(machine: Machine) -> Finding:
    """Check PyCUDA, which the TensorRT engine needs for memory and streams."""
    if not has_nvidia_gpu(machine) and "pycuda" not in machine.distributions:
        return Finding("pycuda", "missing", "not installed, and there is no NVIDIA GPU")
    answer = ask_child(machine, "pycuda")
    if not answer.problem:
        version, devices = answer.values["version"], one_line(", ".join(answer.values["devices"]))
        if devices:
            return Finding("pycuda", "ok", f"{version}, sees {devices}")
        return Finding("pycuda", "wrong", f"{version}, sees no GPU", gpu_fix(machine))
    if answer.not_installed:
        return Finding("pycuda", "missing", "not installed", INSTALL_PYCUDA)
    if "libcuda.so" in answer.problem and not has_nvidia_gpu(machine):
        return Finding("pycuda", "missing", f"installed, but there is no GPU: {answer.problem}")
    return Finding(
        "pycuda",
        "wrong",
        f"installed, but fails: {answer.problem}",
        _pycuda_fix(machine, answer.problem),
    )


def _pycuda_fix(machine: Machine, problem: str) -> str:
    """Return how to repair a PyCUDA that is installed, by what it says."""
    if "libcuda.so" in problem:
        return driver_fix(machine)
    if "cuInit failed" in problem:
        return gpu_fix(machine)
    if re.search(r"No module named '(?!pycuda\b)", problem):
        # Installed as it is; pip adds what it needs.
        return INSTALL_PYCUDA
    if re.search(r"undefined symbol: cu[A-Z]", problem):
        return (
            "It was built with a CUDA toolkit that is newer than the driver. Update the driver, or"
            f" let /usr/local/cuda be a toolkit that the driver runs, then: {_REBUILD_PYCUDA}"
        )
    return _REBUILD_PYCUDA


def driver_fix(machine: Machine) -> str:
    """Return what to do if the driver's library is not found."""
    if is_jetson(machine):
        return (
            "In a container, start it with --runtime nvidia; on the board itself:"
            " sudo apt install --reinstall nvidia-l4t-cuda"
        )
    return f"Install NVIDIA's driver; in a container, {_START_CONTAINER}."


def gpu_fix(machine: Machine) -> str:
    """Return what to do if a library sees no GPU: the fix of the GPU's own finding, if it has one.

    A GPU that nvidia-smi shows may still be hidden from CUDA.
    """
    gpus = check_gpus(machine)
    found = [check_visible_devices(machine), *([gpus] if isinstance(gpus, Finding) else gpus)]
    fixes = [finding.fix for finding in found if finding is not None and finding.fix]
    return fixes[0] if fixes else f"Restart the machine; in a container, {_START_CONTAINER}."


def driver_version(machine: Machine) -> str | None:
    """Return the release of NVIDIA's driver on a PC; None if it is not loaded."""
    version = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", machine.text(_DRIVER_FILE) or "")
    return None if version is None else version[1]


def _jetson_gpu(machine: Machine) -> Finding:
    board = one_line(jetson_model(machine) or "an unnamed Jetson")
    if not any(machine.at(node).exists() for node in _JETSON_NODES):
        return Finding(
            "gpu 0",
            "wrong",
            f"{board}, but none of its device files is there ({', '.join(_JETSON_NODES)})",
            "In a container, start it with --runtime nvidia; on the board itself, reinstall the"
            " package nvidia-l4t-core with apt.",
        )
    return Finding("gpu 0", "ok", f"integrated GPU of {board}, memory shared with the CPU")


def _no_gpu(machine: Machine, result: ProgramResult) -> Finding:
    printed = one_line(result.stdout + " " + result.stderr)
    if result.status is not None:
        fix = "Reinstall NVIDIA's driver for this kernel, and restart."
        if "mismatch" in printed:
            fix = "Restart: the driver was updated while its older part was still loaded."
        elif "No devices were found" in printed:
            fix = f"In a container, {_START_CONTAINER}; else look into dmesg for errors of NVRM."
        return Finding("gpu", "wrong", f"nvidia-smi fails: {printed or 'without a reason'}", fix)
    driver = machine.text(_DRIVER_FILE)
    if driver is not None or machine.matching("/dev/nvidia[0-9]*"):
        version = driver_version(machine)
        loaded = f"driver {version} loaded" if version else "driver loaded"
        return Finding(
            "gpu",
            "wrong",
            f"the kernel has NVIDIA's {loaded}, but nvidia-smi gives no answer ({printed})",
            f"Install the programs of the same driver version; in a container, {_START_CONTAINER}.",
        )
    if cards := _cards_on_the_bus(machine):
        return Finding(
            "gpu",
            "missing",
            f"{cards} NVIDIA card{'s' * (cards > 1)} on the bus, but no driver",
            f"Install NVIDIA's driver; in a container, {_START_CONTAINER}.",
        )
    return Finding("gpu", "missing", "no NVIDIA GPU")


def _cards_on_the_bus(machine: Machine) -> int:
    return sum(
        machine.text(vendor) == _NVIDIA_VENDOR
        and (machine.text(vendor.with_name("class")) or "").startswith(_DISPLAY_CLASS)
        for vendor in machine.matching("/sys/bus/pci/devices/*/vendor")
    )
