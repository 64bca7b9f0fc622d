"""The sources of power by name, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.power.jetson_tools import JtopPower, TegrastatsPower
from hot_sdk.benchmarks.power.nvml import NvmlPower
from hot_sdk.benchmarks.power.source import PowerSource, UnavailableError
from hot_sdk.benchmarks.power.sysfs import HwmonPower, RaplPower
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.host.jetson import is_jetson
from hot_sdk.host.machine import Machine

AUTO = "auto"
OFF = "off"

_OPENERS: Mapping[str, Callable[[Machine, int], PowerSource]] = {
    "ina3221": lambda machine, _: HwmonPower(machine),
    "tegrastats": lambda _machine, _: TegrastatsPower(),
    "jtop": lambda _machine, _: JtopPower(),
    "nvml": lambda _machine, index: NvmlPower(index),
    "rapl": lambda machine, _: RaplPower(machine),
}

SOURCES = (AUTO, *_OPENERS, OFF)
"""Values of ``--power``."""


def check_source(name: str) -> None:
    """Raise UsageError unless there is a source of this name."""
    if name not in SOURCES:
        raise UsageError(f"Unknown source of power '{name}'.", hint=closest(name, SOURCES))


def open_source(name: str, machine: Machine, device: str) -> tuple[PowerSource | None, str]:
    """Open a source.

    ``auto`` uses a board's own monitors on a Jetson, the GPU's counters if the model runs on an
    NVIDIA GPU, and otherwise the processor's.

    Args:
        name: One of ``SOURCES``.
        machine: The machine to read.
        device: The device that models run on.

    Returns:
        The source, or None and the reason why there is none.

    Raises:
        EngineError: A source was requested by name, and is not available.
    """
    check_source(name)
    if name == OFF:
        return None, "it was not requested"
    if name != AUTO:
        candidates: tuple[str, ...] = (name,)
    elif is_jetson(machine):
        candidates = ("ina3221", "tegrastats", "jtop")
    else:
        candidates = ("nvml",) if device.startswith("cuda") else ("rapl",)
    problems = []
    for candidate in candidates:
        try:
            return _OPENERS[candidate](machine, int(device.partition(":")[2] or 0)), ""
        except UnavailableError as error:
            problems.append(f"{candidate}: {error}")
    if name != AUTO:
        raise EngineError(
            f"Power cannot be read by {problems[0]}.", hint="Give --power auto, or --power off."
        )
    return None, "; ".join(problems)
