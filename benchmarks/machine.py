"""What a measurement ran on, for the head of every report.

How a machine is at one moment: clocks, governor, power mode, temperatures, throttling, load.

What a measurement ran on: hardware and software that do not change while it runs.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from hot_sdk.host.jetson import check_gpu_clock, check_power_mode, installed_jetpack, jetson_model
from hot_sdk.host.machine import Machine
from hot_sdk.version import __version__

_QUERY = (
    "nvidia-smi",
    "--query-gpu=temperature.gpu,clocks.sm,clocks_throttle_reasons.active",
    "--format=csv,noheader,nounits",
)
_SECONDS = 20.0
_WATCHED_S = 0.5
BUSY = 0.5
"""CPUs that others work on; from so many on, times tell little."""
_IDLE = 0x1
"""The bit of NVIDIA's reasons for lower clocks that says the GPU had nothing to do."""


@dataclass(frozen=True)
class Temperature:
    """A temperature.

    Attributes:
        zone: Where.
        celsius: How hot.
    """

    zone: str
    celsius: float


@dataclass(frozen=True)
class Conditions:
    """How a machine is at one moment; empty or None where it does not say.

    Attributes:
        governors: Of the CPUs' clocks.
        cpu_mhz: Clock of each CPU now.
        gpu_clocks: What bounds the GPU's clock, as ``hot-doctor`` says it.
        power_mode: Of a Jetson.
        temperatures: Of each zone.
        throttled: Times that the machine has slowed itself down since it started; None where it
            does not count them, as is the next.
        throttling: An NVIDIA card says that it is slowed down now.
        load: CPUs that worked on something while this process slept for half a second.
    """

    governors: tuple[str, ...]
    cpu_mhz: tuple[float, ...]
    gpu_clocks: tuple[str, ...]
    power_mode: str | None
    temperatures: tuple[Temperature, ...]
    throttled: int | None
    throttling: bool | None
    load: float | None


def conditions_of(machine: Machine) -> Conditions:
    """Look at a machine."""
    cpus = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq"
    governors = [machine.text(file) for file in machine.matching(f"{cpus}/scaling_governor")]
    clocks = [machine.number(file) for file in machine.matching(f"{cpus}/scaling_cur_freq")]
    mode = next(iter(check_power_mode(machine)), None)
    temperatures, gpu_clocks, throttling = _nvidia(machine)
    return Conditions(
        governors=tuple(sorted({text for text in governors if text})),
        cpu_mhz=tuple(clock / 1e3 for clock in clocks if clock is not None),
        gpu_clocks=(*(found.detail for found in check_gpu_clock(machine)), *gpu_clocks),
        power_mode=None if mode is None else mode.detail,
        temperatures=(*_zones(machine), *temperatures),
        throttled=_events(machine),
        throttling=throttling,
        load=busy_cpus(machine),
    )


def busy_cpus(machine: Machine) -> float | None:
    """CPUs that work on something while this process sleeps for half a second.

    What the system calls its load is of the last minute, and so counts an export or another run
    that has just ended.

    Returns:
        Their mean number; None where the system does not say.
    """
    before = _cpu_ticks(machine)
    time.sleep(_WATCHED_S)
    after = _cpu_ticks(machine)
    if before is None or after is None or after[1] <= before[1]:
        return None
    return after[2] * (after[0] - before[0]) / (after[1] - before[1])


def _cpu_ticks(machine: Machine) -> tuple[int, int, int] | None:
    """Ticks that all CPUs worked, that they worked or idled, and the number of CPUs."""
    lines = (machine.text("/proc/stat") or "").splitlines()
    fields = [line.split() for line in lines if line.startswith("cpu")]
    # user, nice, system, idle, iowait, irq, softirq, steal; a guest's are among the user's.
    if len(fields) < 2 or len(fields[0]) < 9 or not all(text.isdecimal() for text in fields[0][1:]):
        return None
    ticks = [int(text) for text in fields[0][1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks), len(fields) - 1


def throttled_between(before: Conditions, after: Conditions) -> bool | None:
    """Whether the machine slowed itself down meanwhile; None where it does not say."""
    if before.throttling or after.throttling:
        return True
    if before.throttled is None or after.throttled is None:
        return after.throttling
    return after.throttled > before.throttled


def _zones(machine: Machine) -> tuple[Temperature, ...]:
    found = []
    for folder in machine.matching("/sys/class/thermal/thermal_zone[0-9]*"):
        value = machine.number(folder / "temp")
        if value is not None:
            name = machine.text(folder / "type") or folder.name
            found.append(Temperature(name, value / 1e3))
    return tuple(found)


def _events(machine: Machine) -> int | None:
    """Throttling of a Jetson for want of current, and of Intel CPUs for heat."""
    files = machine.matching("/sys/class/hwmon/*/oc*_event_cnt") + machine.matching(
        "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"
    )
    counts = [count for file in files if (count := machine.number(file)) is not None]
    return sum(counts) if counts else None


def _nvidia(machine: Machine) -> tuple[tuple[Temperature, ...], tuple[str, ...], bool | None]:
    outcome = machine.run(_QUERY, _SECONDS)
    rows = [line.split(", ") for line in outcome.out.splitlines() if line.strip()]
    if outcome.status != 0 or not rows or any(len(row) != 3 for row in rows):
        return (), (), None
    temperatures, clocks = [], []
    throttling: bool | None = None
    for number, (celsius, megahertz, reasons) in enumerate(rows):
        if celsius.isdecimal():
            temperatures.append(Temperature(f"gpu {number}", float(celsius)))
        if megahertz.isdecimal():
            clocks.append(f"gpu {number}: {megahertz} MHz now")
        try:
            active = int(reasons, 16) & ~_IDLE
        except ValueError:
            continue
        throttling = bool(throttling) or active != 0
    return tuple(temperatures), tuple(clocks), throttling


_PACKAGES = (
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "torch",
    "pycuda",
    "cuda-python",
)
_GPU_QUERY = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")


@dataclass(frozen=True)
class Package:
    """An installed Python distribution."""

    name: str
    version: str


@dataclass(frozen=True)
class MachineStamp:
    """A machine and its software; None where it does not say.

    Attributes:
        cpu: Model of the CPU.
        instructions: Vector instruction sets that matter to matrix products.
        processors: CPUs that this process may run on.
        cpu_mhz: The highest clock that is known, MHz.
        memory_mib: Memory.
        board: Name in the device tree, as of a Jetson.
        l4t: Version of Jetson Linux.
        jetpack: The JetPack that it belongs to.
        gpus: Name of each NVIDIA GPU.
        driver: Version of NVIDIA's driver.
        system: Kernel and architecture.
        python: Version of Python.
        sdk: Version of this SDK.
        packages: What engines run on.
    """

    cpu: str
    instructions: tuple[str, ...]
    processors: int
    cpu_mhz: float | None
    memory_mib: int | None
    board: str | None
    l4t: str | None
    jetpack: str | None
    gpus: tuple[str, ...]
    driver: str | None
    system: str
    python: str
    sdk: str
    packages: tuple[Package, ...]

    @property
    def identity(self) -> tuple[object, ...]:
        """What has to be the same for two records to be comparable: the hardware."""
        return (self.cpu, self.instructions, self.processors, self.board, self.gpus)


def stamp_of(machine: Machine) -> MachineStamp:
    """Look at a machine."""
    cpuinfo = machine.text("/proc/cpuinfo") or ""
    jetpack = installed_jetpack(machine)
    gpus, driver = _gpus(machine)
    return MachineStamp(
        cpu=_field(cpuinfo, "model name") or platform.processor() or "unknown",
        instructions=_instructions(cpuinfo),
        processors=machine.processors,
        cpu_mhz=_clock(machine, cpuinfo),
        memory_mib=_memory(machine),
        board=jetson_model(machine),
        l4t=None if jetpack is None else jetpack.l4t,
        jetpack=None if jetpack is None else jetpack.version,
        gpus=gpus,
        driver=driver,
        system=f"{platform.system()} {platform.release()} {machine.interpreter.architecture}",
        python=".".join(map(str, machine.interpreter.version)),
        sdk=__version__,
        packages=tuple(
            Package(name, machine.distributions[name])
            for name in _PACKAGES
            if name in machine.distributions
        ),
    )


def _field(cpuinfo: str, name: str) -> str | None:
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name and value.strip():
            return value.strip()
    return None


def _instructions(cpuinfo: str) -> tuple[str, ...]:
    flags = set((_field(cpuinfo, "flags") or _field(cpuinfo, "Features") or "").split())
    wanted = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve")
    return tuple(name for name in wanted if name in flags)


def _clock(machine: Machine, cpuinfo: str) -> float | None:
    files = machine.matching("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    kilohertz = [value for file in files if (value := machine.number(file)) is not None]
    if kilohertz:
        return max(kilohertz) / 1e3
    text = _field(cpuinfo, "cpu MHz")
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _memory(machine: Machine) -> int | None:
    for line in (machine.text("/proc/meminfo") or "").splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "MemTotal:" and words[1].isdecimal():
            return int(words[1]) // 1024
    return None


def _gpus(machine: Machine) -> tuple[tuple[str, ...], str | None]:
    outcome = machine.run(_GPU_QUERY, _SECONDS)
    rows = [line.split(", ") for line in outcome.out.splitlines() if line.strip()]
    if outcome.status != 0 or not rows or any(len(row) != 2 for row in rows):
        return (), None
    return tuple(name for name, _ in rows), rows[0][1]


_CPUINFO = Path("/proc/cpuinfo")


def describe_machine(*packages: str) -> str:
    """CPU, cores, load, Python and the versions of packages, in two lines."""
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in packages)
    return (
        f"{_cpu_name()}, {os.cpu_count()} logical cores, load {load} before the start, "
        f"{platform.system()} {platform.machine()}\n"
        f"Python {platform.python_version()}, {versions}"
    )


def _cpu_name() -> str:
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown CPU"
