"""Run programs with their network calls recorded, and a home folder of their own."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("network_calls.c")
_PLACES = ("HOME", "NETWORK_CALLS", "LD_PRELOAD")
# Nothing else: ONNX Runtime is quiet by itself if a variable such as CI says that a test runs.
_INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "TMPDIR")


def build_tracer(folder: Path) -> Path:
    """Compile the library that is preloaded."""
    library = folder / "network_calls.so"
    command = ["gcc", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


@dataclass(frozen=True)
class Traced:
    """What a program did.

    Attributes:
        status: Its exit status.
        output: What it wrote, to both of its streams.
        calls: Names that it or a child looked up and addresses that they reached out to, but for
            those of this machine: 'lookup example.com curl'.
        home: The files in its home folder afterwards.
    """

    status: int
    output: str
    calls: list[str]
    home: list[str]


def run_traced(command: list[str], tracer: Path, folder: Path, **environment: str) -> Traced:
    """Run a program in a folder, which becomes its home too, as a user's shell would."""
    home, record = folder / "home", folder / "network_calls.txt"
    home.mkdir(parents=True)
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    places = dict(zip(_PLACES, (str(home), str(record), str(tracer)), strict=True))
    run = subprocess.run(
        command,
        env={**inherited, **places, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = record.read_text().splitlines() if record.is_file() else []
    calls = sorted({line for line in lines if not _is_harmless(*line.split()[:2])})
    files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    return Traced(run.returncode, run.stdout, calls, files)


def _is_harmless(call: str, host: str) -> bool:
    """Return whether a name or an address is of this machine, or needs no look-up."""
    if call == "lookup" and re.fullmatch(r"[\d.]+|[\da-f:]*:[\da-f:]*", host):
        return True
    if host in ("localhost", socket.gethostname(), "::", "0.0.0.0"):
        return True
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family) as own:
        socket.inet_pton(family, host)
        own.bind((host, 0))
        return True
    return False
