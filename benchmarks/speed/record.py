"""The record of a run of ``hot-benchmark``; tables, CSV, Markdown and the page follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hot_sdk import typed_json
from hot_sdk.benchmarks.speed.conditions import Conditions
from hot_sdk.benchmarks.speed.result import Result
from hot_sdk.benchmarks.speed.stamp import MachineStamp
from hot_sdk.errors import ResultError

SCHEMA = 1
"""Version of the record."""


@dataclass(frozen=True)
class PowerTrace:
    """Power over time.

    Attributes:
        source: Where it was read.
        rail: Which rail is counted.
        seconds: Of each sample, since the first.
        watts: Of each sample.
    """

    source: str
    rail: str
    seconds: tuple[float, ...]
    watts: tuple[float, ...]


@dataclass(frozen=True)
class Settings:
    """How it was measured.

    Attributes:
        command: The command line.
        duration_s: Counted seconds of each measure, at least; None where ``windows`` are given.
        windows: Counted runs of each measure; None where ``duration_s`` is given.
        rounds: Turns of each configuration.
        order: Configurations in the order of their turns.
        data: Data set of the accuracy; None without.
    """

    command: tuple[str, ...]
    duration_s: float | None
    windows: int | None
    rounds: int
    order: tuple[str, ...]
    data: str | None


@dataclass(frozen=True)
class Record:
    """One run of ``hot-benchmark``.

    Attributes:
        schema: Version of this record.
        created: When it ended, as in ISO 8601.
        interrupted: It was ended early; what is there was measured.
        machine: What it ran on.
        before: How the machine was at the start.
        after: How it was at the end.
        settings: How it was measured.
        power: Power over time; None where it cannot be told, or was not asked for.
        power_problem: Why it cannot be told; empty where it is.
        results: One for each configuration.
        notes: What the reader has to know.
    """

    schema: int
    created: str
    interrupted: bool
    machine: MachineStamp
    before: Conditions
    after: Conditions
    settings: Settings
    power: PowerTrace | None
    power_problem: str
    results: tuple[Result, ...]
    notes: tuple[str, ...]


def read_record(path: Path) -> Record:
    """Read a record back.

    Raises:
        ResultError: The file is missing, broken, or of a newer version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(
            f"The record '{path}' cannot be read: {error}.", hint="Check the path."
        ) from error
    again = "Measure again with this version of hot-benchmark."
    try:
        data = typed_json.parse_object(text)
        if data.get("schema") != SCHEMA:
            raise ResultError(
                f"The record '{path}' has version {data.get('schema')!r:.20}; this SDK reads"
                f" {SCHEMA}.",
                hint=again,
            )
        return typed_json.build(Record, data)
    except typed_json.TypedJSONError as error:
        raise ResultError(f"The record '{path}' is broken: {error}.", hint=again) from error
