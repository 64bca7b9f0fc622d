"""Power of a Jetson from its INA3221 and INA238 monitors, as the kernel shows them in files.

The INA3221 of Orin boards gives volts and amperes of three rails, the INA238 of Thor power as well.
Paths and units are those that jetson-stats reads (``/sys/bus/i2c/drivers/ina3221``), and those of
the kernel's hwmon interface: millivolts, milliamperes, microwatts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hot_sdk.benchmarks.power.source import UnavailableError
from hot_sdk.host.machine import Machine

NAME = "ina3221"

_DRIVERS = ("ina3221", "ina238")
_WHOLE_BOARD = "VDD_IN"
"""The rail that feeds everything, where a board has it."""

# Not rails: the chip's own sum, and channels that nothing is connected to.
_NO_RAIL = re.compile(r"sum of shunt voltages|^NC$", re.I)


@dataclass(frozen=True)
class Rail:
    """One rail.

    Attributes:
        label: The board's name of it.
        power: File of microwatts; None where volts and amperes are to be multiplied.
        voltage: File of millivolts.
        current: File of milliamperes.
    """

    label: str
    power: Path | None
    voltage: Path
    current: Path


def find_rails(machine: Machine) -> list[Rail]:
    """Every rail with a name, of all monitors."""
    rails: list[Rail] = []
    for driver in _DRIVERS:
        for folder in machine.matching(f"/sys/bus/i2c/drivers/{driver}/*/hwmon/hwmon*"):
            rails += _rails_of(machine, folder)
    return rails


def _rails_of(machine: Machine, folder: Path) -> list[Rail]:
    rails = []
    for voltage in sorted(folder.glob("in[1-9]*_input")):
        number = voltage.name[len("in") : -len("_input")]
        label = machine.text(folder / f"in{number}_label") or machine.text(
            folder / f"curr{number}_label"
        )
        current = folder / f"curr{number}_input"
        if label is None and (folder / f"power{number}_input").is_file():
            label = machine.text(folder / "label") or folder.parent.parent.name
        if not label or _NO_RAIL.search(label) or not current.is_file():
            continue
        power = folder / f"power{number}_input"
        rails.append(Rail(label, power if power.is_file() else None, voltage, current))
    return rails


class HwmonPower:
    """The board's power.

    It is that of ``VDD_IN`` where the board has it, as Orin Nano and NX have, and else the sum of
    all rails.

    Args:
        machine: Where to look.

    Raises:
        UnavailableError: There is no such monitor.
    """

    name = NAME
    counts_energy = False

    def __init__(self, machine: Machine) -> None:
        rails = find_rails(machine)
        if not rails:
            raise UnavailableError("there is no INA3221 or INA238 in /sys/bus/i2c/drivers")
        whole = [rail for rail in rails if rail.label == _WHOLE_BOARD]
        self._machine = machine
        self._rails = whole or rails
        self.rail = " + ".join(rail.label for rail in self._rails)

    def read(self) -> float:
        """Watts now."""
        return sum(self._watts(rail) for rail in self._rails)

    def close(self) -> None:
        """Nothing is held."""

    def _watts(self, rail: Rail) -> float:
        if rail.power is not None:
            return self._number(rail.power) / 1e6
        return self._number(rail.voltage) * self._number(rail.current) / 1e6

    def _number(self, file: Path) -> int:
        value = self._machine.number(file)
        if value is None:
            raise UnavailableError(f"'{file}' cannot be read")
        return value
