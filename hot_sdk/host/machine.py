"""The machine as the checks see it: a tree of files, an interpreter, packages, and programs.

Limits that a container or a service manager sets, of both versions of control groups.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_LOG = logging.getLogger(__name__)
_LONGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Interpreter:
    """The Python that the SDK runs in.

    Attributes:
        executable: Its path.
        version: Major, minor and micro version.
        prefix: Folder of the environment.
        base_prefix: Folder of the Python that a virtual environment was made from; the same as
            ``prefix`` outside of one.
        architecture: Name of the CPU architecture, such as ``x86_64`` or ``aarch64``.
    """

    executable: str
    version: tuple[int, int, int]
    prefix: str
    base_prefix: str
    architecture: str

    @property
    def in_virtual_environment(self) -> bool:
        """Whether packages of the base Python may be hidden."""
        return self.prefix != self.base_prefix

    @property
    def series(self) -> str:
        """Major and minor version, such as ``3.10``."""
        return f"{self.version[0]}.{self.version[1]}"


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes:
        status: Its exit status, negative after a signal; None where it was not found or did not
            end in time.
        out: What it wrote to standard output.
        said: What it wrote to standard error, or why there is no status.
    """

    status: int | None
    out: str
    said: str


@dataclass(frozen=True)
class Machine:
    """Everything that a check may look at.

    Attributes:
        root: Folder that stands for ``/``.
        environment: Environment variables.
        distributions: Version of each installed Python distribution, by normalized name.
        requirements: What the installed SDK asks for, as its metadata lists it.
        interpreter: The Python that the SDK runs in.
        processors: CPUs that this process may run on.
        run: Runs a program with arguments, for at most so many seconds.
        free_disk: Free bytes of the disk that holds a folder.
    """

    root: Path
    environment: Mapping[str, str]
    distributions: Mapping[str, str]
    requirements: tuple[str, ...]
    interpreter: Interpreter
    processors: int
    run: Callable[[Sequence[str], float], Outcome]
    free_disk: Callable[[Path], int]

    def at(self, path: str) -> Path:
        """Where an absolute path lies in this machine's tree."""
        return self.root / path.lstrip("/")

    def text(self, path: str | Path) -> str | None:
        """A file's content without NULs and outer blanks; None where it cannot be read.

        Args:
            path: An absolute path of the machine, or what ``at`` or ``matching`` gave.
        """
        file = self.at(path) if isinstance(path, str) else path
        try:
            with file.open("rb") as stream:
                content = stream.read(_LONGEST_FILE)
        except OSError:
            return None
        # Device tree entries end in a NUL.
        return content.decode(errors="replace").replace("\0", " ").strip()

    def number(self, path: str | Path) -> int | None:
        """The whole number that a file holds; None where it holds none."""
        text = self.text(path)
        return int(text) if text is not None and re.fullmatch(r"-?[0-9]{1,19}", text) else None

    def matching(self, pattern: str) -> list[Path]:
        """Paths of the tree that match an absolute pattern, sorted."""
        return sorted(self.root.glob(pattern.lstrip("/")))


def this_machine() -> Machine:
    """The machine that this process runs on."""
    try:
        requirements = tuple(importlib.metadata.requires("hot-sdk") or ())
    except importlib.metadata.PackageNotFoundError:
        requirements = ()
    return Machine(
        root=Path("/"),
        environment=dict(os.environ),
        distributions=_installed(),
        requirements=requirements,
        interpreter=Interpreter(
            executable=sys.executable,
            version=sys.version_info[:3],
            prefix=sys.prefix,
            base_prefix=sys.base_prefix,
            architecture=platform.machine(),
        ),
        processors=len(os.sched_getaffinity(0)),
        run=run_program,
        free_disk=lambda folder: shutil.disk_usage(folder).free,
    )


def run_program(command: Sequence[str], seconds: float) -> Outcome:
    """Run a program without input, for at most so many seconds."""
    _LOG.info("running %s", " ".join(command))
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(None, "", f"no answer within {seconds:g} s")
    except OSError as error:
        return Outcome(None, "", f"{error.strerror or error}")
    return Outcome(
        ended.returncode,
        ended.stdout.decode(errors="replace"),
        ended.stderr.decode(errors="replace"),
    )


def normalized(distribution: str) -> str:
    """A distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _installed() -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        # A broken installation leaves a folder of metadata without a name.
        name = distribution.metadata["Name"] if distribution.metadata else None
        if name:
            # The first on the path is the one that is imported.
            found.setdefault(normalized(name), distribution.version)
    return found


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
