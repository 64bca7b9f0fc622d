"""What a self-test found: its record, as JSON without private paths, and as a table.

``docs/boards.md`` describes the fields.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hot_sdk._base import records
from hot_sdk._base.files import read_input, replaced_on_success
from hot_sdk._base.tables import Table, number
from hot_sdk.errors import UsageError

SCHEMA = 1
"""Version of the JSON record."""

_MOST_BYTES = 64 << 20
_OWN_WORDS = frozenset({"name", "status", "sdk"})
_STYLES = {"passed": "green", "failed": "bold red", "not run": "yellow"}
# Folders that are named after people and what is theirs, wherever a path begins.
_HOMES = re.compile(r"/(?:home|Users|media|run/media)/(?:[^/'\":,;()\n]+(?=/)|[^\s/'\":,;()]+)")
# An absolute path of at least two parts; its last part is kept.
_PATH = re.compile(r"(?<![\w.…])/(?:[^\s/'\":,;()]+/)+([^\s/'\":,;()]*)")


class CheckStatus(str, Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Gpu:
    """A GPU, as CUDA describes it.

    Attributes:
        name: Its model.
        capability: Compute capability, such as ``8.7``.
        multiprocessors: Number of streaming multiprocessors.
        total_memory: Its memory, in bytes.
        free_memory: What of that a program could have before the test, in bytes.
        shares_memory: Whether CPU and GPU share one memory.
        driver: Release of the driver, or of Jetson Linux.
    """

    name: str
    capability: str
    multiprocessors: int
    total_memory: int
    free_memory: int
    shares_memory: bool
    driver: str


@dataclass(frozen=True)
class ModelFigures:
    """What one engine made of one file.

    Attributes:
        engine: The engine, with its version.
        device: The device.
        precision: Precision that the file declares.
        load_s: Seconds from the file to a ready session, with the build of its plan.
        runs: Number of runs on the same arrays.
        runs_equal: How many of them had bitwise the outputs of the first one.
        mean_error: Mean distance of a joint from ONNX Runtime on the CPU without optimizations, in
            the model's unit.
        largest_error: Largest distance of a joint.
        frames_shared: Share of the kept frames that are the same; None if the file keeps all. Of a
            file that does not return them, those of a copy that does.
        median_ms: Median of the runs, in milliseconds.
        p99_ms: 99th percentile of the runs.
        plan_bytes: Size of the plan; None if the engine has none, as for all that follow.
        cuda_graph: Whether a run is one CUDA graph.
        zero_copy: Whether the GPU worked on the host's arrays.
        graph_difference: Largest difference of an output between the graph and a plain run.
        copy_difference: The same between a run that copies and one that does not.
        layer_types: Number of tensors between the plan's layers by type, as in ``12 fp16, 3 fp32``.
        opaque_regions: Layers that hold a whole part of the network.
        inspector: The text of TensorRT's inspector, as it is.
        others_error: Mean difference of the output of floats, other than the poses, that differs
            most, as a share of its mean size; None if the file has no other.
    """

    engine: str
    device: str
    precision: str
    load_s: float
    runs: int
    runs_equal: int
    mean_error: float
    largest_error: float
    frames_shared: float | None
    median_ms: float
    p99_ms: float
    plan_bytes: int | None = None
    cuda_graph: bool | None = None
    zero_copy: bool | None = None
    graph_difference: float | None = None
    copy_difference: float | None = None
    layer_types: str | None = None
    opaque_regions: int | None = None
    inspector: str | None = None
    others_error: float | None = None


@dataclass(frozen=True)
class Check:
    """One check, which ran in its own process.

    Attributes:
        name: What was checked, such as ``tensorrt fp16``.
        status: ``passed``, ``failed`` or ``not run``.
        detail: What was found, or why it failed or did not run.
        seconds: How long it took.
        figures: The figures of a file in an engine; None for other checks.
    """

    name: str
    status: CheckStatus
    detail: str
    seconds: float
    figures: ModelFigures | None = None


@dataclass(frozen=True)
class SelfTestReport:
    """A self-test.

    Attributes:
        schema: Version of this record, ``SCHEMA``.
        sdk: Version of the SDK.
        board: The board or the architecture, and its operating system's release.
        power_mode: A Jetson's power mode; empty elsewhere.
        python: Version of Python.
        packages: Those that matter, with versions.
        gpu: The GPU; None if it was not reached.
        checks: The checks, in their order.
    """

    schema: int
    sdk: str
    board: str
    power_mode: str
    python: str
    packages: tuple[str, ...]
    gpu: Gpu | None
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(check.name for check in self.checks if check.status is CheckStatus.FAILED)


def without_paths(text: str, *private: str) -> str:
    """Shorten absolute paths in a text to their last part, and leave out private words."""
    shortened = _PATH.sub(r"…/\1", _HOMES.sub("/…", text))
    for word in private:
        if len(word) > 1:
            shortened = shortened.replace(word, "…")
    return shortened


def private_words() -> tuple[str, ...]:
    """Return what must not be in a report: home folder, names of the user and of the machine."""
    home = os.path.expanduser("~")
    name = os.environ.get("USER", "") or Path(home).name
    # Who called sudo, whose own home and name are root's.
    names = (name, os.environ.get("SUDO_USER", ""), os.uname().nodename)
    # Short or usual names would be found in other words, and identify no one.
    unusual = [word for word in names if len(word) > 3 and word != "root"]
    return (home, *unusual) if home != "/" else tuple(unusual)


def to_json(report: SelfTestReport) -> str:
    """Return a report as JSON, with nothing that identifies the user."""
    private = private_words()

    def cleaned(value: object, key: str = "") -> object:
        if isinstance(value, str):
            if key in _OWN_WORDS:
                return value
            # Layers of an inspector are named like paths; the files that they come from ship.
            text = value if key == "inspector" else without_paths(value)
            for word in private:
                text = text.replace(word, "…")
            return text
        if isinstance(value, dict):
            return {name: cleaned(each, name) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [cleaned(each, key) for each in value]
        return value

    return json.dumps(cleaned(dataclasses.asdict(report)), indent=1, allow_nan=False)


def save(report: SelfTestReport, path: Path) -> None:
    """Write a report as JSON."""
    with replaced_on_success(path) as temporary:
        temporary.write_text(to_json(report) + "\n", encoding="utf-8")


def load(path: Path) -> SelfTestReport:
    """Read a report.

    Raises:
        UsageError: The file is not a report of this version.
    """
    try:
        data = json.loads(read_input(path, _MOST_BYTES))
        report = records.build(SelfTestReport, data)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"'{path}' is not a report of hot-doctor --self-test: {error}",
            hint="Write one with: hot-doctor --self-test --output FILE",
        ) from error
    if report.schema != SCHEMA:
        raise UsageError(
            f"'{path}' is a report of version {report.schema}; this SDK reads {SCHEMA}.",
            hint="Read it with the version of the SDK that wrote it.",
        )
    return report


def tables(report: SelfTestReport) -> list[str | Table]:
    """Return a report for a terminal: what ran where, the checks, and the figures."""
    gpu = report.gpu
    where = f"{report.board}, Python {report.python}, {', '.join(report.packages)}"
    if report.power_mode:
        where += f", power mode {report.power_mode}"
    device = "No GPU was reached." if gpu is None else _gpu_line(gpu)
    rows = tuple(
        (check.status.value, check.name, check.detail, f"{check.seconds:.1f}")
        for check in report.checks
    )
    checks = Table(
        "", ("status", "check", "found", "seconds"), rows, text_columns=3, styles=_STYLES
    )
    parts: list[str | Table] = [f"{where}\n{device}", checks]
    measured = [check for check in report.checks if check.figures is not None]
    if measured:
        parts.append(_figures(measured))
    return [*parts, _closing(report)]


def _gpu_line(gpu: Gpu) -> str:
    shared = ", shared with the CPU" if gpu.shares_memory else ""
    return (
        f"{gpu.name} (compute capability {gpu.capability}, {gpu.multiprocessors} multiprocessors,"
        f" {gpu.free_memory / 2**30:.1f} of {gpu.total_memory / 2**30:.1f} GiB free{shared}),"
        f" driver {gpu.driver}"
    )


def _figures(measured: Sequence[Check]) -> Table:
    rows = []
    for check in measured:
        figures = check.figures
        assert figures is not None
        shared = figures.frames_shared
        rows.append(
            (
                check.name,
                number(figures.load_s),
                number(figures.median_ms),
                number(figures.p99_ms),
                f"{figures.runs_equal}/{figures.runs}",
                number(1e3 * figures.mean_error),
                "" if shared is None else f"{shared:.1%}",
            )
        )
    header = ("file", "load s", "median ms", "p99 ms", "runs equal", "error mm", "frames shared")
    note = "Errors are distances from ONNX Runtime on the CPU, of the same file."
    return Table("", header, tuple(rows), note)


def _closing(report: SelfTestReport) -> str:
    counts = Counter(check.status for check in report.checks)
    text = ", ".join(f"{counts[each]} {each.value}" for each in CheckStatus if counts[each])
    if not any(
        c.status is CheckStatus.PASSED and c.name.startswith("tensorrt") for c in report.checks
    ):
        text += "; nothing of TensorRT ran, so this report says nothing about it"
    return f"{text}."
