"""Limits that a container or a service manager sets, of both versions of control groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from hot_sdk.doctor.machine import Machine

# Version 1 writes "no limit" as the largest number of pages that it can count.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class MemoryLimit:
    """A limit of memory that is not that of the hardware.

    Attributes:
        total: What may be used, in bytes.
        left: What of it is not used yet, in bytes.
    """

    total: int
    left: int


def memory_limit(machine: Machine) -> MemoryLimit | None:
    """The limit that leaves the least; None where there is none."""
    limits = []
    for controller, largest, used, cache in (
        (None, "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in _folders(machine, controller):
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
    """The smallest quota that applies, in CPUs; None where there is none."""
    limits = []
    for folder in _folders(machine, None):
        quota, _, period = (machine.text(f"{folder}/cpu.max") or "").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            limits.append(int(quota) / int(period))
    for folder in _folders(machine, "cpu"):
        time = machine.number(f"{folder}/cpu.cfs_quota_us")
        every = machine.number(f"{folder}/cpu.cfs_period_us")
        if time is not None and every is not None and time > 0 and every > 0:
            limits.append(time / every)
    return min(limits, default=None)


def _folders(machine: Machine, controller: str | None) -> Iterator[str]:
    """Folders of this process's group and those around it, the outermost last.

    A container may see its own group at the root of the mount while its path is that of the host;
    then only the root exists, which is the right one.

    Args:
        machine: Where to look.
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
