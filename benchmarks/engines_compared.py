"""One window of a model in every engine that opens it, in one process and in turn.

Give the same network as an ONNX file and as a file for PyTorch, both of ``hot-export``:

    hot-export --model mixste --random-weights --tokens 81 --output m.onnx
    hot-export --model mixste --random-weights --tokens 81 --engine torch --output m.safetensors
    python -m hot_sdk.benchmarks.engines_compared m.onnx m.safetensors --threads 2

Each run that counts follows one that does not, of the same engine, for the threads of the engine
before may still look out for work. On a machine that does other work, quote ratios, not times; the
processor's time drifts less there, but counts threads that wait in a loop.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.engines import Session, SessionOptions, list_engines, open_session
from hot_sdk.engines.registry import format_of
from hot_sdk.errors import HotSDKError, MissingDependencyError
from hot_sdk.graph_io import KEYPOINTS, POSES

_PACKAGES = ("onnxruntime", "openvino", "torch", "numpy")
_SLOW_TO_OPEN = "torch-compile"


@dataclass
class Candidate:
    """A session and what it did.

    Attributes:
        session: The session.
        seconds: Of its runs that count.
        cpu_seconds: Of the processor in them, all threads together.
        poses: Of its last run.
    """

    session: Session
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    poses: NDArray[np.float32] | None = None


def open_all(files: list[Path], options: SessionOptions, *, compiled: bool) -> list[Candidate]:
    """A session of each installed engine on the file that it opens.

    Raises:
        HotSDKError: An engine that is installed refuses its file.
    """
    candidates = []
    for file in files:
        opens = format_of(file)
        for engine in list_engines(opens=opens):
            if engine == _SLOW_TO_OPEN and not compiled:
                continue
            try:
                session = open_session(file, options, engine=engine)
            except MissingDependencyError as error:
                logging.getLogger(__name__).warning("%s is left out: %s", engine, error)
                continue
            candidates.append(Candidate(session))
    return candidates


def measure(candidates: list[Candidate], rounds: int) -> None:
    """Run all of them in turn, in another order each round."""
    random = np.random.default_rng(0)
    for _ in range(rounds):
        for candidate in candidates:
            session = candidate.session
            shape = [size if isinstance(size, int) else 1 for size in session.inputs[0].shape]
            keypoints = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
            session.run({KEYPOINTS: keypoints})
            start, cpu_start = time.perf_counter(), time.process_time()
            candidate.poses = session.run({KEYPOINTS: keypoints})[POSES]
            candidate.seconds.append(time.perf_counter() - start)
            candidate.cpu_seconds.append(time.process_time() - cpu_start)
        random.shuffle(candidates)


def _table(candidates: list[Candidate], title: str) -> Table:
    table = Table(
        title=title, caption="'off by': largest difference of a coordinate from the first"
    )
    headings = ("engine", "opens s", "median ms", "min ms", "speed-up", "CPU ms", "off by")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    first = candidates[0]
    assert first.poses is not None
    for candidate in candidates:
        session, seconds = candidate.session, candidate.seconds
        assert candidate.poses is not None
        # Pairs from the same round, since the machine's speed drifts between rounds.
        pairs = zip(first.seconds, seconds, strict=True)
        table.add_row(
            f"{session.engine} {session.engine_version}",
            f"{session.load_seconds:.2f}",
            f"{1e3 * statistics.median(seconds):.1f}",
            f"{1e3 * min(seconds):.1f}",
            f"{statistics.median(a / b for a, b in pairs):.2f}",
            f"{1e3 * statistics.median(candidate.cpu_seconds):.1f}",
            f"{float(np.abs(candidate.poses - first.poses).max()):.1e}",
        )
    return table


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="one network: .onnx, .safetensors")
    parser.add_argument("--rounds", type=int, default=7, help="rounds")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each")
    parser.add_argument("--device", default="cpu", help="device of all")
    parser.add_argument("--compiled", action="store_true", help="torch-compile too: minutes more")
    options = parser.parse_args()
    console = Console()
    installed = {name for dist in metadata.distributions() if (name := dist.name)}
    console.print(
        describe_machine(*(name for name in _PACKAGES if name in installed)), soft_wrap=True
    )
    try:
        asked = SessionOptions(device=options.device, threads=options.threads)
        candidates = open_all(options.files, asked, compiled=options.compiled)
        shown = list(candidates)
        measure(candidates, options.rounds)
    except HotSDKError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    names = ", ".join(file.name for file in options.files)
    title = f"one window of {names}; {options.device}, {options.threads} threads"
    console.print(_table(shown, title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
