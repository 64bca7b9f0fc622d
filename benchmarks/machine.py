"""What a measurement ran on: hardware and software, and the conditions at one moment."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hot_sdk.host.facts import (
    cpu_field,
    cpu_governors,
    memory_table,
    overcurrent_counts,
    query_nvidia_smi,
)
from hot_sdk.host.jetson import check_gpu_clock, check_power_mode, installed_jetpack, jetson_model
from hot_sdk.host.machine import Machine, this_machine
from hot_sdk.version import __version__

BUSY = 0.5
"""CPUs that other programs keep busy; from this number on, times are unreliable."""

_CPUS = "/sys/devices/system/cpu/cpu[0-9]*"
_INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve")
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
_WATCHED_S = 0.5
_TICKS_PER_S = 100.0
"""Of the times in /proc, on every Linux of today."""

_GPU_IDLE = 0x1
"""The bit of NVIDIA's reasons for lower clocks that says the GPU had nothing to do."""


@dataclass(frozen=True)
class Package:
    """An installed Python distribution."""

    name: str
    version: str


@dataclass(frozen=True)
class MachineStamp:
    """A machine and its software; None if it does not report a value.

    Attributes:
        cpu: Model of the CPU.
        instructions: Vector instruction sets that matter to matrix multiplications.
        processors: CPUs that this process may run on.
        cpu_mhz: The highest known clock, in MHz.
        memory_mib: Memory, in MiB.
        board: Name in the device tree, as on a Jetson.
        l4t: Version of Jetson Linux.
        jetpack: The JetPack that it belongs to.
        gpus: Name of each NVIDIA GPU.
        driver: Version of NVIDIA's driver.
        system: Kernel and architecture.
        python: Version of Python.
        sdk: Version of this SDK.
        packages: Packages that engines run on.
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
        """The hardware: what has to be the same for two records to be comparable."""
        return (self.cpu, self.instructions, self.processors, self.board, self.gpus)

    @property
    def hardware(self) -> str:
        """The hardware in one line."""
        cpu = (f"{self.cpu}, {self.processors} CPUs", *self.instructions, *self.gpus)
        return ", ".join(cpu if self.board is None else (self.board, *cpu))

    @property
    def software(self) -> str:
        """The software in one line."""
        parts = [f"hot-sdk {self.sdk}", f"Python {self.python}", self.system]
        if self.l4t is not None:
            parts.append(f"L4T {self.l4t}")
        if self.driver is not None:
            parts.append(f"driver {self.driver}")
        return ", ".join([*parts, *(f"{one.name} {one.version}" for one in self.packages)])


def stamp_machine(machine: Machine, packages: Sequence[str] = _PACKAGES) -> MachineStamp:
    """Read what does not change while a measurement runs.

    Args:
        machine: The machine.
        packages: Distributions whose versions are read, if they are installed.
    """
    flags = (cpu_field(machine, "flags") or cpu_field(machine, "Features") or "").split()
    memory = memory_table(machine).get("MemTotal")
    jetpack = installed_jetpack(machine)
    gpus, _ = query_nvidia_smi(machine, "name", "driver_version")
    return MachineStamp(
        cpu=cpu_field(machine, "model name") or platform.processor() or "unknown",
        instructions=tuple(name for name in _INSTRUCTIONS if name in flags),
        processors=machine.processors,
        cpu_mhz=_highest_mhz(machine),
        memory_mib=None if memory is None else memory >> 20,
        board=jetson_model(machine),
        l4t=None if jetpack is None else jetpack.l4t,
        jetpack=None if jetpack is None else jetpack.version,
        gpus=tuple(name for name, _ in gpus),
        driver=gpus[0][1] if gpus else None,
        system=f"{platform.system()} {platform.release()} {machine.interpreter.architecture}",
        python=".".join(map(str, machine.interpreter.version)),
        sdk=__version__,
        packages=tuple(
            Package(name, machine.distributions[name])
            for name in packages
            if name in machine.distributions
        ),
    )


def describe_machine(*packages: str) -> str:
    """Return hardware and load, then software with the versions of packages, in two lines."""
    machine = this_machine()
    stamp, busy = stamp_machine(machine, packages), busy_cpus(machine)
    load = "load unknown" if busy is None else f"{busy:.2f} CPUs busy before the start"
    return f"{stamp.hardware}, {load}\n{stamp.software}"


def _highest_mhz(machine: Machine) -> float | None:
    files = machine.matching(f"{_CPUS}/cpufreq/cpuinfo_max_freq")
    kilohertz = [value for file in files if (value := machine.number(file)) is not None]
    if kilohertz:
        return max(kilohertz) / 1e3
    try:
        return float(cpu_field(machine, "cpu MHz") or "")
    except ValueError:
        return None


@dataclass(frozen=True)
class Temperature:
    """A temperature.

    Attributes:
        zone: Place of the sensor.
        celsius: Degrees Celsius.
    """

    zone: str
    celsius: float


@dataclass(frozen=True)
class Conditions:
    """How a machine is at one moment; empty or None if it does not report a value.

    Attributes:
        governors: Governors of the CPUs' clocks.
        cpu_mhz: Clock of each CPU now.
        gpu_clocks: What bounds the GPU's clock, as ``hot-doctor`` reports it.
        power_mode: Power mode of a Jetson.
        temperatures: Temperature of each zone.
        throttled: How often the machine has throttled itself since it started; None if it does not
            count.
        throttling: An NVIDIA card reports that it is slowed down now; None without an answer.
        load: CPUs that were busy while this process slept for half a second.
    """

    governors: tuple[str, ...]
    cpu_mhz: tuple[float, ...]
    gpu_clocks: tuple[str, ...]
    power_mode: str | None
    temperatures: tuple[Temperature, ...]
    throttled: int | None
    throttling: bool | None
    load: float | None


def read_conditions(machine: Machine) -> Conditions:
    """Read how a machine is now."""
    clocks = map(machine.number, machine.matching(f"{_CPUS}/cpufreq/scaling_cur_freq"))
    mode = check_power_mode(machine)
    temperatures, gpu_clocks, throttling = _nvidia(machine)
    return Conditions(
        governors=cpu_governors(machine),
        cpu_mhz=tuple(clock / 1e3 for clock in clocks if clock is not None),
        gpu_clocks=(*(found.detail for found in check_gpu_clock(machine)), *gpu_clocks),
        power_mode=None if mode is None else mode.detail,
        temperatures=(*_zones(machine), *temperatures),
        throttled=_throttle_events(machine),
        throttling=throttling,
        load=busy_cpus(machine),
    )


def busy_cpus(machine: Machine) -> float | None:
    """Return how many CPUs are busy while this process sleeps for half a second.

    What the system calls its load is an average over the last minute, and so counts an export or
    another run that has just ended.

    Returns:
        The mean number; None if the system does not report it.
    """
    before = _cpu_ticks(machine)
    time.sleep(_WATCHED_S)
    after = _cpu_ticks(machine)
    if before is None or after is None or after[1] <= before[1]:
        return None
    return after[2] * (after[0] - before[0]) / (after[1] - before[1])


def _cpu_ticks(machine: Machine) -> tuple[int, int, int] | None:
    """Return ticks that all CPUs worked, that they worked or idled, and the number of CPUs."""
    lines = (machine.text("/proc/stat") or "").splitlines()
    fields = [line.split() for line in lines if line.startswith("cpu")]
    # user, nice, system, idle, iowait, irq, softirq, steal; a guest's are among the user's.
    if len(fields) < 2 or len(fields[0]) < 9 or not all(text.isdecimal() for text in fields[0][1:]):
        return None
    ticks = [int(text) for text in fields[0][1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks), len(fields) - 1


def busy_cpu_seconds(machine: Machine) -> float | None:
    """Return how long all CPUs together have worked since the machine started, seconds.

    None if the system does not report it.
    """
    ticks = _cpu_ticks(machine)
    return None if ticks is None else ticks[0] / _TICKS_PER_S


def process_cpu_seconds(machine: Machine, pid: int) -> float | None:
    """Return how long a process's threads have worked, seconds; None if it is not there."""
    # Its name may hold spaces and brackets.
    fields = (machine.text(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    if len(fields) < 13 or not (fields[11].isdecimal() and fields[12].isdecimal()):
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def throttled_between(before: Conditions, after: Conditions) -> bool | None:
    """Return whether the machine throttled itself meanwhile; None if it does not report it."""
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


def _throttle_events(machine: Machine) -> int | None:
    """Return throttling of a Jetson for lack of current, and of Intel CPUs for heat."""
    files = machine.matching(f"{_CPUS}/thermal_throttle/*_throttle_count")
    counts = [count for file in files if (count := machine.number(file)) is not None]
    counts += overcurrent_counts(machine)
    return sum(counts) if counts else None


def _nvidia(machine: Machine) -> tuple[tuple[Temperature, ...], tuple[str, ...], bool | None]:
    fields = ("temperature.gpu", "clocks.sm", "clocks_throttle_reasons.active")
    rows, _ = query_nvidia_smi(machine, *fields)
    temperatures, clocks = [], []
    throttling: bool | None = None
    for number, (celsius, megahertz, reasons) in enumerate(rows):
        if celsius.isdecimal():
            temperatures.append(Temperature(f"gpu {number}", float(celsius)))
        if megahertz.isdecimal():
            clocks.append(f"gpu {number}: {megahertz} MHz now")
        try:
            active = int(reasons, 16) & ~_GPU_IDLE
        except ValueError:
            continue
        throttling = bool(throttling) or active != 0
    return tuple(temperatures), tuple(clocks), throttling
