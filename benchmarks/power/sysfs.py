"""Power monitors and energy counters that the kernel shows as files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hot_sdk.benchmarks.power.source import UnavailableError
from hot_sdk.host.machine import Machine

_DRIVERS = ("ina3221", "ina238")
_WHOLE_BOARD = "VDD_IN"
"""The rail that feeds the whole board, on boards that have it."""

# Not rails: the chip's own sum, and channels that nothing is connected to.
_NO_RAIL = re.compile(r"sum of shunt voltages|^NC$", re.I)

_COUNTED = ("package", "dram")
"""Domains of RAPL that do not lie within one another."""


@dataclass(frozen=True)
class _Rail:
    """Files of one rail: microwatts, if it has them, millivolts and milliamperes."""

    label: str
    power: Path | None
    voltage: Path
    current: Path


class HwmonPower:
    """Power of a Jetson from its INA3221 and INA238 monitors.

    The INA3221 of Orin boards measures voltage and current of three rails, the INA238 of Thor power
    as well. Paths are those that jetson-stats reads (``/sys/bus/i2c/drivers/ina3221``), and units
    those of the kernel's hwmon interface: millivolts, milliamperes, microwatts.

    The power is that of ``VDD_IN`` if the board has it, as Orin Nano and NX do, and otherwise the
    sum of all rails.

    Raises:
        UnavailableError: There is no such monitor.
    """

    name = "ina3221"
    counts_energy = False

    def __init__(self, machine: Machine) -> None:
        rails = list(_find_rails(machine))
        if not rails:
            raise UnavailableError("there is no INA3221 or INA238 in /sys/bus/i2c/drivers")
        self._machine = machine
        self._rails = [rail for rail in rails if rail.label == _WHOLE_BOARD] or rails
        self.rail = " + ".join(rail.label for rail in self._rails)

    def read(self) -> float:
        """Return watts now."""
        return sum(self._watts(rail) for rail in self._rails)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _watts(self, rail: _Rail) -> float:
        if rail.power is not None:
            return _number(self._machine, rail.power) / 1e6
        volts = _number(self._machine, rail.voltage) / 1e3
        return volts * _number(self._machine, rail.current) / 1e3


def _find_rails(machine: Machine) -> Iterator[_Rail]:
    for driver in _DRIVERS:
        for folder in machine.matching(f"/sys/bus/i2c/drivers/{driver}/*/hwmon/hwmon*"):
            for voltage in sorted(folder.glob("in[1-9]*_input")):
                number = voltage.name[len("in") : -len("_input")]
                current, power = folder / f"curr{number}_input", folder / f"power{number}_input"
                label = machine.text(folder / f"in{number}_label") or machine.text(
                    folder / f"curr{number}_label"
                )
                if label is None and power.is_file():
                    label = machine.text(folder / "label") or folder.parent.parent.name
                if label and not _NO_RAIL.search(label) and current.is_file():
                    yield _Rail(label, power if power.is_file() else None, voltage, current)


class RaplPower:
    """Energy of Intel and AMD processors: all packages and, if it is counted, their memory.

    The kernel lists RAPL's counters of both makers under ``intel-rapl``. Only root may read them on
    most systems.

    Raises:
        UnavailableError: There are no counters, or they may not be read.
    """

    name = "rapl"
    counts_energy = True

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        files = machine.matching("/sys/class/powercap/intel-rapl:*/name")
        named = {file.parent: machine.text(file) or "" for file in files}
        domains = {path: name for path, name in named.items() if name.startswith(_COUNTED)}
        if not domains:
            raise UnavailableError("there are no counters in /sys/class/powercap/intel-rapl:*")
        self.rail = " + ".join(domains.values())
        self._last = {domain: _number(machine, domain / "energy_uj") for domain in domains}
        self._joules = 0.0

    def read(self) -> float:
        """Return joules since this was opened; counters may wrap once between two calls."""
        for domain, last in self._last.items():
            now = _number(self._machine, domain / "energy_uj")
            grown = now - last
            if grown < 0:
                grown += self._machine.number(domain / "max_energy_range_uj") or 0
            self._joules += max(0, grown) / 1e6
            self._last[domain] = now
        return self._joules

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _number(machine: Machine, file: Path) -> int:
    value = machine.number(file)
    if value is None:
        raise UnavailableError(f"'{file}' may not be read; run as root")
    return value
