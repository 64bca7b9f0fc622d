"""Energy of Intel and AMD processors: the counters of RAPL, as the kernel shows them in files.

The kernel lists both makers' under ``intel-rapl``. Only root may read them on most systems.
"""

from __future__ import annotations

from pathlib import Path

from hot_sdk.benchmarks.power.source import UnavailableError
from hot_sdk.host.machine import Machine

NAME = "rapl"

_COUNTED = ("package", "dram")
"""Domains that do not lie within one another."""


class RaplPower:
    """Energy of all processor packages and, where it is counted, their memory.

    Args:
        machine: Where to look.

    Raises:
        UnavailableError: There are no counters, or they may not be read.
    """

    name = NAME
    counts_energy = True

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._domains: list[Path] = []
        names = []
        for file in machine.matching("/sys/class/powercap/intel-rapl:*/name"):
            name = machine.text(file) or ""
            if name.startswith(_COUNTED):
                self._domains.append(file.parent)
                names.append(name)
        if not self._domains:
            raise UnavailableError("there are no counters in /sys/class/powercap/intel-rapl:*")
        self.rail = " + ".join(names)
        self._last = [self._counter(domain) for domain in self._domains]
        self._joules = 0.0

    def read(self) -> float:
        """Joules since this was opened; the counters may have run over once since the last call."""
        for place, domain in enumerate(self._domains):
            now = self._counter(domain)
            grown = now - self._last[place]
            if grown < 0:
                grown += self._machine.number(domain / "max_energy_range_uj") or 0
            self._joules += max(0, grown) / 1e6
            self._last[place] = now
        return self._joules

    def close(self) -> None:
        """Nothing is held."""

    def _counter(self, domain: Path) -> int:
        value = self._machine.number(domain / "energy_uj")
        if value is None:
            raise UnavailableError(f"'{domain / 'energy_uj'}' may not be read; run as root")
        return value
