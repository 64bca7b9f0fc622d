"""Fake machines: trees of files, and the answers of their programs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from hot_sdk.doctor.diagnosis import diagnose
from hot_sdk.host.machine import Interpreter, Machine, ProgramResult

GIB = 1 << 30
ABSENT = ProgramResult(None, "", "No such file or directory")

ORIN_DEVICES = ("dev/nvhost-gpu", "dev/nvmap")


def answers(values, stderr=""):
    """What a probe in a child process prints."""
    return ProgramResult(0, f"noise\n{json.dumps(values)}\n", stderr)


def absent(package):
    return answers({"error": f"ModuleNotFoundError: No module named '{package}'"})


def programs(**outcomes):
    """A runner: probes by name ('provider_X' for one with an argument), programs by theirs."""

    def run(command, _seconds):
        if command[1:2] == ["-c"]:
            key = "_".join(command[3:])
            return outcomes.get(key, absent(key))
        return outcomes.get(command[0].replace("-", "_"), ABSENT)

    return run


def faked(
    files=None,
    *,
    distributions=None,
    environment=None,
    python=(3, 10, 12),
    prefix="/usr",
    base_prefix="/usr",
    architecture="x86_64",
    processors=8,
    free_disk=20 * GIB,
    requirements=(),
    run=None,
):
    """A machine whose ``/`` is the folder ``root`` in the working directory, emptied before."""
    root = Path.cwd() / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, content in (files or {}).items():
        file = root / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return Machine(
        root=root,
        environment=environment or {"HOME": "/home/robot"},
        distributions=distributions or {},
        requirements=tuple(requirements),
        interpreter=Interpreter(sys.executable, python, prefix, base_prefix, architecture),
        processors=processors,
        run=run or programs(),
        free_disk=lambda _folder: free_disk,
    )


def jetson(release, files=None, *, model="NVIDIA Jetson Orin Nano Developer Kit", **options):
    major, _, revision = release.partition(".")
    tree = {
        "etc/nv_tegra_release": f"# R{major} (release), REVISION: {revision}, GCID: 38968081, "
        "BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: x\n",
        "proc/device-tree/model": f"{model}\0",
        "proc/meminfo": "MemTotal:        7802580 kB\nMemAvailable:    5242880 kB\n",
        **dict.fromkeys(ORIN_DEVICES, ""),
        **(files or {}),
    }
    return faked(tree, architecture="aarch64", **options)


def found(machine, *checks):
    """Findings by name."""
    findings = diagnose(machine, checks)
    by_name = {finding.name: finding for finding in findings}
    assert len(by_name) == len(findings)
    return by_name


def only(machine, check):
    (finding,) = diagnose(machine, [check])
    return finding
