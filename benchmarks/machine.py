"""What a measurement ran on, for the head of every report."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

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
