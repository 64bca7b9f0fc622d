"""Power and memory of NVIDIA GPUs through NVML, the library of their driver.

It is called with ctypes, so that no package is needed. On Jetson boards NVML reports no power.
"""

from __future__ import annotations

import ctypes
from typing import Any

from hot_sdk.benchmarks.power.source import UnavailableError

LIBRARY = "libnvidia-ml.so.1"

_MOST_PROCESSES = 256
_UNKNOWN = 2**64 - 1
"""Memory of a process that the driver does not report, as in containers."""


class _ProcessInfo(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("usedGpuMemory", ctypes.c_ulonglong),
        ("gpuInstanceId", ctypes.c_uint),
        ("computeInstanceId", ctypes.c_uint),
    )


class NvmlPower:
    """Energy of one GPU if it counts it, as GPUs since Volta do, otherwise its power.

    Args:
        index: Index of the GPU.
        library: Name or path of NVML.

    Raises:
        UnavailableError: The library or the GPU is missing, or reports neither.
    """

    name = "nvml"

    def __init__(self, index: int = 0, library: str = LIBRARY) -> None:
        self._nvml = Nvml(index, library)
        self.rail = f"card {index}"
        try:
            self._nvml.joules()
            self.counts_energy = True
        except UnavailableError:
            self.counts_energy = False
            self.read()

    def read(self) -> float:
        """Return joules until now, or watts now."""
        return self._nvml.joules() if self.counts_energy else self._nvml.watts()

    def close(self) -> None:
        """Release NVML."""
        self._nvml.close()


class Nvml:
    """NVML, opened for one GPU; arguments and errors as of ``NvmlPower``."""

    def __init__(self, index: int = 0, library: str = LIBRARY) -> None:
        try:
            self._library: Any = ctypes.CDLL(library)
        except OSError as error:
            raise UnavailableError(f"{library} cannot be loaded ({error})") from error
        self._call("nvmlInit_v2")
        self._card = ctypes.c_void_p()
        try:
            self._call(
                "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(self._card)
            )
        except UnavailableError:
            self.close()
            raise

    def watts(self) -> float:
        """Return the power now."""
        milliwatts = ctypes.c_uint()
        self._call("nvmlDeviceGetPowerUsage", self._card, ctypes.byref(milliwatts))
        return milliwatts.value / 1e3

    def joules(self) -> float:
        """Return the energy since the driver was loaded."""
        millijoules = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._card, ctypes.byref(millijoules))
        return millijoules.value / 1e3

    def memory_of(self, pid: int) -> int | None:
        """Return a process's bytes on the GPU; None if it has none, or NVML does not report it."""
        count = ctypes.c_uint(_MOST_PROCESSES)
        processes = (_ProcessInfo * _MOST_PROCESSES)()
        self._call(
            "nvmlDeviceGetComputeRunningProcesses_v3",
            self._card,
            ctypes.byref(count),
            ctypes.byref(processes),
        )
        for process in processes[: count.value]:
            if process.pid == pid and process.usedGpuMemory != _UNKNOWN:
                return int(process.usedGpuMemory)
        return None

    def close(self) -> None:
        """Release NVML."""
        self._library.nvmlShutdown()

    def _call(self, function: str, *arguments: object) -> None:
        try:
            status = getattr(self._library, function)(*arguments)
        except AttributeError as error:
            raise UnavailableError(f"this driver's NVML has no {function}") from error
        if status != 0:
            raise UnavailableError(f"{function} failed with {status}")
