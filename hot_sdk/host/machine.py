"""A machine as checks see it: a tree of files, an interpreter, packages, and programs."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOG = logging.getLogger(__name__)
_LONGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Interpreter:
    """The Python that the SDK runs in.

    Attributes:
        executable: Its path.
        version: Major, minor and micro version.
        prefix: Folder of the environment.
        base_prefix: Folder of the Python that a virtual environment was created from; the same as
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
class ProgramResult:
    """How a program ended.

    Attributes:
        status: Its exit status, negative after a signal; None if it was not found or did not end
            in time.
        stdout: What it wrote to standard output.
        stderr: What it wrote to standard error, or why there is no status.
    """

    status: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Machine:
    """Everything that a check may look at.

    Attributes:
        root: Folder in place of ``/``.
        environment: Environment variables.
        distributions: Version of each installed Python distribution, by normalized name.
        requirements: Requirements of the installed SDK, as in its metadata.
        interpreter: The Python that the SDK runs in.
        processors: CPUs that this process may run on.
        run: Runs a program with arguments, for at most a number of seconds.
        free_disk: Free bytes of the disk that holds a folder.
    """

    root: Path
    environment: Mapping[str, str]
    distributions: Mapping[str, str]
    requirements: tuple[str, ...]
    interpreter: Interpreter
    processors: int
    run: Callable[[Sequence[str], float], ProgramResult]
    free_disk: Callable[[Path], int]

    def at(self, path: str) -> Path:
        """Return where an absolute path lies in this machine's tree."""
        return self.root / path.lstrip("/")

    def text(self, path: str | Path) -> str | None:
        """Return a file's text without NULs and outer blanks; None if it cannot be read.

        Args:
            path: An absolute path of the machine, or a result of ``at`` or ``matching``.
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
        """Return the whole number that a file holds; None if it holds anything else."""
        text = self.text(path)
        return int(text) if text is not None and re.fullmatch(r"-?[0-9]{1,19}", text) else None

    def matching(self, pattern: str) -> list[Path]:
        """Return the paths of the tree that match an absolute pattern, sorted."""
        return sorted(self.root.glob(pattern.lstrip("/")))


def this_machine() -> Machine:
    """Return the machine that this process runs on."""
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


def run_program(command: Sequence[str], seconds: float) -> ProgramResult:
    """Run a program without input, for at most a number of seconds."""
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
        return ProgramResult(None, "", f"no answer within {seconds:g} s")
    except OSError as error:
        return ProgramResult(None, "", f"{error.strerror or error}")
    return ProgramResult(
        ended.returncode,
        ended.stdout.decode(errors="replace"),
        ended.stderr.decode(errors="replace"),
    )


def normalized_name(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _installed() -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        # A broken installation leaves a metadata folder without a name.
        name = distribution.metadata["Name"] if distribution.metadata else None
        if name:
            # The first on the path is the one that is imported.
            found.setdefault(normalized_name(name), distribution.version)
    return found
