"""The record of a run of ``hot-benchmark``; tables, CSV, Markdown and the page follow from it.

The names of classes are free; those of fields are the format of the JSON file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base import records
from hot_sdk._base.budget import input_budget
from hot_sdk._base.files import read_input
from hot_sdk.benchmarks.machine import Conditions, MachineStamp
from hot_sdk.benchmarks.speed.earlier_records import with_current_fields
from hot_sdk.benchmarks.speed.result import Result
from hot_sdk.errors import ResultError

SCHEMA = 2
"""Version of the record. Those of version 1 are read, too; they know ceilings in float32 and
float16 only."""


@dataclass(frozen=True)
class PowerTrace:
    """Power over time.

    Attributes:
        source: Where it was read.
        rail: Which rail is counted.
        seconds: Time of each sample, since the first.
        watts: Power of each sample.
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
        duration_s: Counted seconds of each measure, at least; None if ``windows`` are given.
        windows: Counted runs of each measure; None if ``duration_s`` is given.
        rounds: Turns of each configuration.
        order: Configurations in the order of their turns.
        data: Data set of the accuracy; None without.
        against: Name of the file that the others were measured against, with ``--against``.
    """

    command: tuple[str, ...]
    duration_s: float | None
    windows: int | None
    rounds: int
    order: tuple[str, ...]
    data: str | None
    against: str | None


@dataclass(frozen=True)
class Record:
    """One run of ``hot-benchmark``.

    Attributes:
        schema: Version of this record.
        created: When it ended, as in ISO 8601.
        interrupted: It was ended early; what is there was measured.
        machine: The machine that it ran on.
        before: Conditions at the start.
        after: Conditions at the end.
        busy_meanwhile: CPUs that other programs kept busy, in the mean while times were taken; None
            if the system does not say.
        settings: How it was measured.
        power: Power over time; None if it cannot be measured, or was not requested.
        power_problem: Why it is None; else empty.
        results: One for each configuration.
        notes: What the reader has to know.
    """

    schema: int
    created: str
    interrupted: bool
    machine: MachineStamp
    before: Conditions
    after: Conditions
    busy_meanwhile: float | None
    settings: Settings
    power: PowerTrace | None
    power_problem: str
    results: tuple[Result, ...]
    notes: tuple[str, ...]


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        ResultError: The file is missing, broken, or of a newer version.
    """
    try:
        text = read_input(path, input_budget().record_bytes).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResultError(
            f"The record '{path}' cannot be read: {reason}.", hint="Check the path."
        ) from error
    again = "Measure again with this version of hot-benchmark."
    try:
        data = with_current_fields(records.parse_object(text))
        if data.get("schema") != SCHEMA:
            raise ResultError(
                f"The record '{path}' has version {data.get('schema')!r:.20}; this SDK reads 1 to"
                f" {SCHEMA}.",
                hint=again,
            )
        return records.build(Record, data)
    except records.TypedJSONError as error:
        raise ResultError(f"The record '{path}' is broken: {error}.", hint=again) from error
