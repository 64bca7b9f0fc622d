"""Power and memory of NVIDIA cards through NVML, the library of their driver.

It is called with ctypes, so that no package is needed. Jetson boards have no power figures there.
"""

from __future__ import annotations

import ctypes
from typing import Any

from hot_sdk.benchmarks.power.source import UnavailableError

NAME = "nvml"
LIBRARY = "libnvidia-ml.so.1"

_OK = 0
_MOST_PROCESSES = 256


class _ProcessInfo(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("usedGpuMemory", ctypes.c_ulonglong),
        ("gpuInstanceId", ctypes.c_uint),
        ("computeInstanceId", ctypes.c_uint),
    )


class Nvml:
    """NVML, opened for one card.

    Args:
        index: Which card.
        library: Name or path of the library.

    Raises:
        UnavailableError: The library or the card is not there.
    """

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
        """Power now."""
        milliwatts = ctypes.c_uint()
        self._call("nvmlDeviceGetPowerUsage", self._card, ctypes.byref(milliwatts))
        return milliwatts.value / 1e3

    def joules(self) -> float:
        """Energy since the driver was loaded; cards since Volta count it."""
        millijoules = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._card, ctypes.byref(millijoules))
        return millijoules.value / 1e3

    def memory_of(self, pid: int) -> int | None:
        """Bytes that a process has on the card; None where it has none, or NVML does not say."""
        count = ctypes.c_uint(_MOST_PROCESSES)
        processes = (_ProcessInfo * _MOST_PROCESSES)()
        self._call(
            "nvmlDeviceGetComputeRunningProcesses_v3",
            self._card,
            ctypes.byref(count),
            ctypes.byref(processes),
        )
        for process in processes[: count.value]:
            # All ones stand for a figure that the driver does not give, as in containers.
            if process.pid == pid and process.usedGpuMemory != 2**64 - 1:
                return int(process.usedGpuMemory)
        return None

    def close(self) -> None:
        """Let go of NVML."""
        self._library.nvmlShutdown()

    def _call(self, function: str, *arguments: object) -> None:
        try:
            status = getattr(self._library, function)(*arguments)
        except AttributeError as error:
            raise UnavailableError(f"this driver's NVML has no {function}") from error
        if status != _OK:
            raise UnavailableError(f"{function} failed with {status}")


class NvmlPower:
    """Power of one card: its counter of energy where it has one, else its power.

    Args:
        index: Which card.
        library: Name or path of NVML.

    Raises:
        UnavailableError: The card tells neither.
    """

    name = NAME

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
        """Joules until now, or watts now."""
        return self._nvml.joules() if self.counts_energy else self._nvml.watts()

    def close(self) -> None:
        """Let go of NVML."""
        self._nvml.close()
