"""Lines of NVIDIA's ``tegrastats``, in the forms of JetPack 5 to 7."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hot_sdk.benchmarks.power.source import UnavailableError

NAME = "tegrastats"

_WHOLE_BOARD = "VDD_IN"
_INTERVAL_MS = 100
_PATIENCE_S = 5.0

_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d+)mW/(\d+)mW")
_TEMPERATURE = re.compile(r"\b([A-Za-z][\w-]*)@(-?\d+(?:\.\d+)?)C\b")
_RAM = re.compile(r"\bRAM (\d+)/(\d+)MB")
_CPUS = re.compile(r"\bCPU \[([^\]]*)\]")
_CPU = re.compile(r"(\d+)%@(\d+)")
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d+)%)?(?:@\[?([\d,]+)\]?)?")


@dataclass(frozen=True)
class TegraStats:
    """What one line says; None where it does not.

    Attributes:
        ram_mib: Used and total memory, MiB.
        cpus: Load in percent and clock in MHz of each CPU; None for one that is off.
        gpu_load: Percent; Thor does not say.
        gpu_mhz: Clock of each cluster of the GPU.
        celsius: Each sensor's temperature.
        milliwatts: Each rail's power now.
    """

    ram_mib: tuple[int, int] | None
    cpus: tuple[tuple[int, int] | None, ...]
    gpu_load: int | None
    gpu_mhz: tuple[int, ...]
    celsius: dict[str, float]
    milliwatts: dict[str, int]

    @property
    def watts(self) -> float | None:
        """Of the whole board: ``VDD_IN``, or else the sum of the rails."""
        if not self.milliwatts:
            return None
        whole = self.milliwatts.get(_WHOLE_BOARD, sum(self.milliwatts.values()))
        return whole / 1e3


def parse_line(line: str) -> TegraStats:
    """Read one line; what is not in it, or in no known form, is left out."""
    ram = _RAM.search(line)
    cpus = _CPUS.search(line)
    gpu = _GPU.search(line)
    return TegraStats(
        ram_mib=None if ram is None else (int(ram[1]), int(ram[2])),
        cpus=() if cpus is None else tuple(_cpu(text) for text in cpus[1].split(",")),
        gpu_load=None if gpu is None or gpu[1] is None else int(gpu[1]),
        gpu_mhz=()
        if gpu is None or gpu[2] is None
        else tuple(int(text) for text in gpu[2].split(",") if text),
        celsius={name: float(value) for name, value in _TEMPERATURE.findall(line)},
        milliwatts={name: int(now) for name, now, _ in _RAIL.findall(line)},
    )


def _cpu(text: str) -> tuple[int, int] | None:
    match = _CPU.fullmatch(text.strip())
    return None if match is None else (int(match[1]), int(match[2]))


class TegrastatsPower:
    """Power from a running ``tegrastats``.

    Args:
        start: Starts it; gives its lines and what ends it. Tests give lines of their own.

    Raises:
        UnavailableError: It is not there, or tells no power.
    """

    name = NAME
    counts_energy = False

    def __init__(
        self, start: Callable[[], tuple[Iterable[str], Callable[[], None]]] | None = None
    ) -> None:
        lines, self._end = (start or _start)()
        self._newest: TegraStats | None = None
        self._told = threading.Event()
        self._thread = threading.Thread(
            target=self._follow, args=(lines,), name="tegrastats", daemon=True
        )
        self._thread.start()
        self._told.wait(_PATIENCE_S)
        newest: TegraStats | None = self._newest_line()
        if newest is None or newest.watts is None:
            self.close()
            raise UnavailableError("tegrastats tells no power; it may have to run as root")
        rails = newest.milliwatts
        self.rail = _WHOLE_BOARD if _WHOLE_BOARD in rails else " + ".join(rails)

    def read(self) -> float:
        """Watts of the newest line."""
        newest = self._newest_line()
        if newest is None or newest.watts is None:
            raise UnavailableError("tegrastats tells no power any more")
        return newest.watts

    def close(self) -> None:
        """End the program."""
        self._end()
        self._thread.join(_PATIENCE_S)

    def _newest_line(self) -> TegraStats | None:
        return self._newest

    def _follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._newest = parse_line(line)
            self._told.set()
        self._told.set()


def _start() -> tuple[Iterable[str], Callable[[], None]]:
    try:
        process = subprocess.Popen(
            ["tegrastats", "--interval", str(_INTERVAL_MS)],
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
