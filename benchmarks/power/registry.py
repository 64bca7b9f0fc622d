"""Which source of power a machine has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.power.hwmon import HwmonPower
from hot_sdk.benchmarks.power.jtop import JtopPower
from hot_sdk.benchmarks.power.nvml import NvmlPower
from hot_sdk.benchmarks.power.rapl import RaplPower
from hot_sdk.benchmarks.power.source import PowerSource, UnavailableError
from hot_sdk.benchmarks.power.tegrastats import TegrastatsPower
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
"""What ``--power`` may be."""


def check_source(name: str) -> None:
    """Check a name.

    Raises:
        UsageError: It is unknown.
    """
    if name not in SOURCES:
        raise UsageError(f"Unknown source of power '{name}'.", hint=closest(name, SOURCES))


def open_source(name: str, machine: Machine, device: str) -> tuple[PowerSource | None, str]:
    """Open a source.

    ``auto`` takes a board's own monitors on a Jetson, the card's counters where a model runs on an
    NVIDIA card, and else the processor's.

    Args:
        name: One of ``SOURCES``.
        machine: Where to look.
        device: The device that models run on.

    Returns:
        The source, or None and why the machine cannot tell.

    Raises:
        EngineError: A source was asked for by name, and is not there.
    """
    check_source(name)
    if name == OFF:
        return None, "it was not asked for"
    index = int(device.partition(":")[2] or 0)
    if name != AUTO:
        try:
            return _OPENERS[name](machine, index), ""
        except UnavailableError as error:
            raise EngineError(
                f"Power cannot be read by {name}: {error}.",
                hint="Give --power auto, or --power off.",
            ) from error
    problems = []
    for candidate in _candidates(machine, device):
        try:
            return _OPENERS[candidate](machine, index), ""
        except UnavailableError as error:
            problems.append(f"{candidate}: {error}")
    return None, "; ".join(problems)


def _candidates(machine: Machine, device: str) -> tuple[str, ...]:
    if is_jetson(machine):
        return ("ina3221", "tegrastats", "jtop")
    return ("nvml",) if device.startswith("cuda") else ("rapl",)
