"""Facts about a machine: CPUs, memory, the limits of control groups, and NVIDIA's cards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from hot_sdk.host.machine import Machine, ProgramResult

_SECONDS = 20.0
# Version 1 of control groups writes "no limit" as the largest number of pages that it can count.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class MemoryLimit:
    """A limit of memory other than that of the hardware.

    Attributes:
        total: What may be used, in bytes.
        left: What of it is not used yet, in bytes.
    """

    total: int
    left: int


def cpu_field(machine: Machine, name: str) -> str | None:
    """Return the first value of a field of ``/proc/cpuinfo``; None if it is absent or empty."""
    for line in (machine.text("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name and value.strip():
            return value.strip()
    return None


def cpu_governors(machine: Machine) -> tuple[str, ...]:
    """Return the governors of the CPUs' clocks, sorted; empty if the kernel reports none."""
    files = machine.matching("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return tuple(sorted({text for file in files if (text := machine.text(file))}))


def memory_table(machine: Machine) -> dict[str, int]:
    """Return the sizes in ``/proc/meminfo``, such as ``MemTotal``, in bytes."""
    table = {}
    for line in (machine.text("/proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[0].isdecimal() and words[1] == "kB":
            table[name] = int(words[0]) * 1024
    return table


def overcurrent_counts(machine: Machine) -> list[int]:
    """Return how often a Jetson slowed itself down for lack of current, by each of its counters."""
    files = machine.matching("/sys/class/hwmon/*/oc*_event_cnt")
    return [count for file in files if (count := machine.number(file)) is not None]


def query_nvidia_smi(machine: Machine, *fields: str) -> tuple[list[list[str]], ProgramResult]:
    """Query fields of each NVIDIA card by ``nvidia-smi``, without their units.

    Returns:
        A row for each card, empty if it failed or answered in another form; and how it ended.
    """
    query = ("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
    result = machine.run(query, _SECONDS)
    rows = [line.split(", ") for line in result.stdout.splitlines() if line.strip()]
    if result.status != 0 or any(len(row) != len(fields) for row in rows):
        rows = []
    return rows, result


def memory_limit(machine: Machine) -> MemoryLimit | None:
    """Return the control group's limit that leaves the least memory; None without a limit."""
    limits = []
    for controller, largest, used, cache in (
        (None, "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in _group_folders(machine, controller):
            limit = machine.number(f"{folder}/{largest}")
            if limit is None or limit >= _NO_LIMIT:
                continue
            taken = machine.number(f"{folder}/{used}") or 0
            # The kernel gives this cache up before it refuses memory.
            lines = (machine.text(f"{folder}/memory.stat") or "").splitlines()
            freeable = sum(int(line.split()[1]) for line in lines if line.startswith(f"{cache} "))
            limits.append(MemoryLimit(limit, max(0, limit - max(0, taken - freeable))))
    return min(limits, key=lambda limit: limit.left, default=None)


def cpu_limit(machine: Machine) -> float | None:
    """Return the smallest quota of the control groups, in CPUs; None without a quota."""
    limits = []
    for folder in _group_folders(machine, None):
        quota, _, period = (machine.text(f"{folder}/cpu.max") or "").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            limits.append(int(quota) / int(period))
    for folder in _group_folders(machine, "cpu"):
        time = machine.number(f"{folder}/cpu.cfs_quota_us")
        every = machine.number(f"{folder}/cpu.cfs_period_us")
        if time is not None and every is not None and time > 0 and every > 0:
            limits.append(time / every)
    return min(limits, default=None)


def _group_folders(machine: Machine, controller: str | None) -> Iterator[str]:
    """Yield the folders of this process's control group and its parents, the outermost last.

    A container may see its own group at the root of the mount while its path is that of the host;
    then only the root exists, which is the right one.

    Args:
        machine: The machine.
        controller: A controller of version 1, or None for the one tree of version 2.
    """
    mount = f"/sys/fs/cgroup/{controller}" if controller else "/sys/fs/cgroup"
    path = PurePosixPath("/")
    for line in (machine.text("/proc/self/cgroup") or "").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers == "" if controller is None else controller in controllers.split(","):
            path = PurePosixPath(group if group.startswith("/") else "/")
    if ".." in path.parts:  # The group lies outside of what this container sees.
        path = PurePosixPath("/")
    for folder in (path, *path.parents):
        yield f"{mount}{folder}".rstrip("/")
