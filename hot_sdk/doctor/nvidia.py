"""NVIDIA GPUs: hardware, driver, and what hides them."""

from __future__ import annotations

import re

from hot_sdk.doctor.probe import ask_child
from hot_sdk.host.finding import Finding, one_line
from hot_sdk.host.jetson import is_jetson, jetson_model
from hot_sdk.host.machine import Machine, Outcome

_QUERY = (
    "nvidia-smi",
    "--query-gpu=index,name,driver_version,memory.total,memory.free",
    "--format=csv,noheader,nounits",
)
_SECONDS = 20.0
_DRIVER_FILE = "/proc/driver/nvidia/version"
_NVIDIA_VENDOR = "0x10de"
_DISPLAY_CLASS = "0x03"
# Of the integrated GPU, as JetPack 5, 6 and 7 name them.
_JETSON_NODES = ("/dev/nvhost-gpu", "/dev/nvgpu", "/dev/nvidia0")
_START_CONTAINER = "start it with access to the GPU (docker run --gpus all, or --runtime nvidia)"


def has_nvidia_gpu(machine: Machine) -> bool:
    """Whether an NVIDIA GPU can be seen, whether or not it works."""
    return bool(
        is_jetson(machine)
        or machine.at(_DRIVER_FILE).is_file()
        or machine.matching("/dev/nvidia[0-9]*")
        or _cards_on_the_bus(machine)
    )


def check_gpus(machine: Machine) -> tuple[Finding, ...]:
    """Each GPU with its driver and memory, or why there is none."""
    if is_jetson(machine):
        return (_jetson_gpu(machine),)
    outcome = machine.run(_QUERY, _SECONDS)
    rows = [line.split(", ") for line in outcome.out.splitlines() if line.strip()]
    if outcome.status == 0 and rows and all(len(row) == 5 for row in rows):
        return tuple(
            Finding(
                f"gpu {index}",
                "ok",
                one_line(f"{name}, driver {driver}, {free} of {total} MiB free"),
            )
            for index, name, driver, total, free in rows
        )
    return (_no_gpu(machine, outcome),)


def check_visible_devices(machine: Machine) -> tuple[Finding, ...]:
    """An environment variable may hide GPUs that are otherwise in order."""
    value = machine.environment.get("CUDA_VISIBLE_DEVICES")
    if value is None or not has_nvidia_gpu(machine):
        return ()
    if value.strip() in ("", "-1"):
        return (
            Finding(
                "CUDA_VISIBLE_DEVICES",
                "wrong",
                f"it is '{one_line(value)}', which hides every GPU from CUDA",
                "unset CUDA_VISIBLE_DEVICES",
            ),
        )
    return (
        Finding(
            "CUDA_VISIBLE_DEVICES",
            "info",
            f"it is '{one_line(value)}'; CUDA sees these GPUs only, and counts them from 0",
        ),
    )


def check_pycuda(machine: Machine) -> tuple[Finding, ...]:
    """PyCUDA, which the TensorRT engine may use for memory and streams."""
    if not has_nvidia_gpu(machine) and "pycuda" not in machine.distributions:
        return (Finding("pycuda", "missing", "not installed, and there is no NVIDIA GPU"),)
    answer = ask_child(machine, "pycuda")
    if not answer.problem:
        devices = ", ".join(answer.values["devices"])
        return (
            Finding(
                "pycuda",
                "ok" if devices else "wrong",
                f"{answer.values['version']}, sees {one_line(devices) or 'no GPU'}",
                "" if devices else "See the finding on the GPU.",
            ),
        )
    if answer.not_installed:
        # It is only published as source, and looks for nvcc and cuda.h by these two variables.
        return (
            Finding(
                "pycuda",
                "missing",
                "not installed",
                "export PATH=/usr/local/cuda/bin:$PATH CUDA_ROOT=/usr/local/cuda &&"
                ' pip install "hot-sdk[tensorrt]"',
            ),
        )
    if "libcuda.so" in answer.problem and not has_nvidia_gpu(machine):
        return (Finding("pycuda", "missing", f"installed, but there is no GPU: {answer.problem}"),)
    fix = "pip install --force-reinstall --no-cache-dir --no-deps pycuda"
    if "libcuda.so" in answer.problem:
        fix = f"Install NVIDIA's driver; in a container, {_START_CONTAINER}."
    return (Finding("pycuda", "wrong", f"installed, but fails: {answer.problem}", fix),)


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


def _no_gpu(machine: Machine, outcome: Outcome) -> Finding:
    said = one_line(outcome.out + " " + outcome.said)
    loaded = _loaded_driver(machine)
    if outcome.status is not None:
        fix = "Reinstall NVIDIA's driver for this kernel, and restart."
        if "mismatch" in said:
            fix = "Restart: the driver was updated while its older part was still loaded."
        elif "No devices were found" in said:
            fix = f"In a container, {_START_CONTAINER}; else look into dmesg for errors of NVRM."
        return Finding("gpu", "wrong", f"nvidia-smi fails: {said or 'without a word'}", fix)
    if loaded is not None or machine.matching("/dev/nvidia[0-9]*"):
        return Finding(
            "gpu",
            "wrong",
            f"the kernel has NVIDIA's driver {loaded or ''} loaded, but nvidia-smi gives no answer"
            f" ({said})".replace("  ", " "),
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


def _loaded_driver(machine: Machine) -> str | None:
    text = machine.text(_DRIVER_FILE)
    if text is None:
        return None
    match = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", text)
    return match[1] if match else ""


def _cards_on_the_bus(machine: Machine) -> int:
    return sum(
        machine.text(vendor) == _NVIDIA_VENDOR
        and (machine.text(vendor.with_name("class")) or "").startswith(_DISPLAY_CLASS)
        for vendor in machine.matching("/sys/bus/pci/devices/*/vendor")
    )
