"""Check what there is to run on: memory, CPUs, their clocks, and disk."""

from __future__ import annotations

from pathlib import Path

from hot_sdk.host import Finding
from hot_sdk.host.facts import cpu_governors, cpu_limit, memory_limit, memory_table
from hot_sdk.host.jetson import is_jetson
from hot_sdk.host.machine import Machine

_MIB = 1 << 20
# A published network of 34 million parameters needs 140 MB in float32 and as much again while it
# is loaded; what an engine builds from its model file doubles it on disk, too.
_LEAST_MEMORY = 512 * _MIB
_LEAST_DISK = 512 * _MIB


def check_memory(machine: Machine) -> Finding:
    """Check the memory that is left for a model, in the machine and in the container."""
    table = memory_table(machine)
    total, free = table.get("MemTotal"), table.get("MemAvailable")
    if total is None or free is None:
        return Finding("memory", "info", "not reported by /proc/meminfo")
    shared = " (shared by CPU and GPU)" if is_jetson(machine) else ""
    detail = f"{_shown(free)} of {_shown(total)} free{shared}"
    fix = (
        "End other programs; on a Jetson without a screen: sudo systemctl isolate multi-user.target"
    )
    limit = memory_limit(machine)
    if limit is not None and limit.total < total:
        most, left = _shown(limit.total), _shown(limit.left)
        detail += f"; this container may use {most}, of which {left} are left"
        if limit.left < free:
            free, fix = limit.left, "Start the container with more memory (docker run --memory)."
    if free < _LEAST_MEMORY:
        return Finding("memory", "wrong", detail, fix)
    return Finding("memory", "ok", detail)


def check_swap(machine: Machine) -> Finding:
    """Report swap, on disk or compressed in memory."""
    lines = (machine.text("/proc/swaps") or "").splitlines()[1:]
    areas = [area for line in lines if len(area := line.split()) >= 4]
    if not areas:
        return Finding("swap", "info", "none")
    kinds = {"zram" if "zram" in area[0] else "disk" for area in areas}
    size = sum(int(area[2]) for area in areas if area[2].isdecimal()) * 1024
    # Compressed memory is memory: the GPU cannot use it, and it adds nothing that was not there.
    on = " and ".join(sorted(kinds)).replace("zram", "zram (compressed, in memory)")
    return Finding("swap", "info", f"{_shown(size)} on {on}")


def check_cpus(machine: Machine) -> Finding:
    """Check the CPUs, and the share of them that a container may use."""
    quota = cpu_limit(machine)
    if quota is None or quota >= machine.processors:
        return Finding("cpus", "ok", f"{machine.processors}")
    # Engines start a thread for each CPU that they see, and all are stopped when the quota is up.
    return Finding(
        "cpus",
        "info",
        f"{machine.processors} seen, but a quota of {quota:g}",
        f"Open sessions with threads={max(1, int(quota))}, or latency comes in jumps.",
    )


def check_governor(machine: Machine) -> Finding:
    """Check whether the CPUs' clocks follow the load."""
    governors = cpu_governors(machine)
    if not governors:
        detail = "not reported by the kernel (common in virtual machines)"
        return Finding("cpu clock", "info", detail)
    if governors == ("performance",):
        return Finding("cpu clock", "ok", "governor performance")
    tool = "jetson_clocks" if is_jetson(machine) else "cpupower frequency-set -g performance"
    return Finding(
        "cpu clock",
        "info",
        f"governor {', '.join(governors)}; clocks follow the load, and latency with them",
        f"For steady latency: sudo {tool}",
    )


def check_disk(machine: Machine) -> Finding:
    """Check the space for what engines build from models, in the user's cache folder."""
    home = machine.environment.get("HOME", "/root")
    cache = machine.environment.get("XDG_CACHE_HOME") or f"{home}/.cache"
    folder = machine.at(cache)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    free = machine.free_disk(folder)
    detail = f"{_shown(free)} free for a cache in {Path(cache)}"
    if free < _LEAST_DISK:
        return Finding("disk", "wrong", detail, "Free some space, or set XDG_CACHE_HOME.")
    return Finding("disk", "ok", detail)


def _shown(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
