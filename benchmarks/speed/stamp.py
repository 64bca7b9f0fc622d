"""What a measurement ran on: hardware and software that do not change while it runs."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from hot_sdk.doctor.jetpack import installed_jetpack, jetson_model
from hot_sdk.doctor.machine import Machine
from hot_sdk.version import __version__

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
_QUERY = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
_SECONDS = 20.0


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
    gpus, driver = _nvidia(machine)
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


def _nvidia(machine: Machine) -> tuple[tuple[str, ...], str | None]:
    outcome = machine.run(_QUERY, _SECONDS)
    rows = [line.split(", ") for line in outcome.out.splitlines() if line.strip()]
    if outcome.status != 0 or not rows or any(len(row) != 2 for row in rows):
        return (), None
    return tuple(name for name, _ in rows), rows[0][1]
