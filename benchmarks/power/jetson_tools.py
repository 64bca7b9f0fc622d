"""Power of a Jetson from programs that read its monitors: ``tegrastats`` and ``jtop``."""

from __future__ import annotations

import importlib
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hot_sdk.benchmarks.power.source import UnavailableError

_WHOLE_BOARD = "VDD_IN"
_TEGRASTATS_MS = 100
_JTOP_S = 0.2
_PATIENCE_S = 5.0

_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d+)mW/(\d+)mW")
_TEMPERATURE = re.compile(r"\b([A-Za-z][\w-]*)@(-?\d+(?:\.\d+)?)C\b")
_RAM = re.compile(r"\bRAM (\d+)/(\d+)MB")
_CPUS = re.compile(r"\bCPU \[([^\]]*)\]")
_CPU = re.compile(r"(\d+)%@(\d+)")
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d+)%)?(?:@\[?([\d,]+)\]?)?")


@dataclass(frozen=True)
class TegraStats:
    """The values of one line of ``tegrastats``; None or empty if the line has none.

    Attributes:
        ram_mib: Used and total memory, MiB.
        cpus: Load in percent and clock in MHz of each CPU; None for one that is off.
        gpu_load: Percent; not reported by Thor.
        gpu_mhz: Clock of each cluster of the GPU.
        celsius: Temperature of each sensor.
        milliwatts: Power of each rail now.
    """

    ram_mib: tuple[int, int] | None
    cpus: tuple[tuple[int, int] | None, ...]
    gpu_load: int | None
    gpu_mhz: tuple[int, ...]
    celsius: dict[str, float]
    milliwatts: dict[str, int]

    @property
    def watts(self) -> float | None:
        """Power of the whole board: ``VDD_IN``, or else the sum of the rails."""
        if not self.milliwatts:
            return None
        return self.milliwatts.get(_WHOLE_BOARD, sum(self.milliwatts.values())) / 1e3


def parse_tegrastats(line: str) -> TegraStats:
    """Read one line in the forms of JetPack 5 to 7; parts in another form are left out."""
    ram, cpus, gpu = _RAM.search(line), _CPUS.search(line), _GPU.search(line)
    load, clocks = (None, None) if gpu is None else gpu.groups()
    return TegraStats(
        ram_mib=None if ram is None else (int(ram[1]), int(ram[2])),
        cpus=() if cpus is None else tuple(_cpu(text) for text in cpus[1].split(",")),
        gpu_load=None if load is None else int(load),
        gpu_mhz=() if clocks is None else tuple(int(text) for text in clocks.split(",") if text),
        celsius={name: float(value) for name, value in _TEMPERATURE.findall(line)},
        milliwatts={name: int(now) for name, now, _ in _RAIL.findall(line)},
    )


def _cpu(text: str) -> tuple[int, int] | None:
    match = _CPU.fullmatch(text.strip())
    return None if match is None else (int(match[1]), int(match[2]))


class TegrastatsPower:
    """Power from a running ``tegrastats``.

    Args:
        start: Starts the program; returns its lines and a function that ends it. Tests give their
            own lines.

    Raises:
        UnavailableError: The program is missing, or reports no power.
    """

    name = "tegrastats"
    counts_energy = False

    def __init__(
        self, start: Callable[[], tuple[Iterable[str], Callable[[], None]]] | None = None
    ) -> None:
        lines, self._end = (start or _start_tegrastats)()
        self._newest: deque[TegraStats] = deque(maxlen=1)
        self._has_line = threading.Event()
        self._thread = threading.Thread(
            target=self._follow, args=(lines,), name="tegrastats", daemon=True
        )
        self._thread.start()
        self._has_line.wait(_PATIENCE_S)
        try:
            self.read()
        except UnavailableError:
            self.close()
            raise
        rails = self._newest[-1].milliwatts
        self.rail = _WHOLE_BOARD if _WHOLE_BOARD in rails else " + ".join(rails)

    def read(self) -> float:
        """Return the watts of the newest line."""
        watts = self._newest[-1].watts if self._newest else None
        if watts is None:
            raise UnavailableError("tegrastats reports no power; it may have to run as root")
        return watts

    def close(self) -> None:
        """End the program."""
        self._end()
        self._thread.join(_PATIENCE_S)

    def _follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._newest.append(parse_tegrastats(line))
            self._has_line.set()
        self._has_line.set()


def _start_tegrastats() -> tuple[Iterable[str], Callable[[], None]]:
    try:
        process = subprocess.Popen(
            ["tegrastats", "--interval", str(_TEGRASTATS_MS)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError as error:
        raise UnavailableError(f"tegrastats cannot be run: {error.strerror}") from error

    def end() -> None:
        process.terminate()
        process.wait()

    def lines() -> Iterator[str]:
        assert process.stdout is not None
        with process.stdout as stream:
            yield from stream

    return lines(), end


class JtopPower:
    """Power from ``jtop``, if a user has installed jetson-stats.

    jetson-stats is under the AGPL: it is never a dependency of this SDK, and imported only if it is
    requested or no other source is available.

    Raises:
        UnavailableError: jetson-stats is not installed, or its service is not running.
    """

    name = "jtop"
    counts_energy = False
    rail = "jtop's total"

    def __init__(self) -> None:
        try:
            module = importlib.import_module("jtop")
        except ImportError as error:
            raise UnavailableError("the package jetson-stats is not installed") from error
        try:
            jtop = module.jtop(interval=_JTOP_S)
            jtop.start()
        except Exception as error:  # Its own exceptions, whose base changed between versions.
            raise UnavailableError(f"jtop: {' '.join(str(error).split())}") from error
        self._jtop: Any = jtop
        self.read()

    def read(self) -> float:
        """Return the watts of jtop's newest sample."""
        try:
            return float(self._jtop.power["tot"]["power"]) / 1e3
        except (KeyError, TypeError, ValueError) as error:
            raise UnavailableError("jtop reports no total power") from error

    def close(self) -> None:
        """Disconnect from the service."""
        self._jtop.close()
