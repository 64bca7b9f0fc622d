"""A whole archive: every input tried, those that failed tried again, and a report of it all."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hot_sdk import typed_json
from hot_sdk.archive.job import DONE, FAILED, SKIPPED, Job, Outcome
from hot_sdk.archive.workers import lift_all, ray_cluster
from hot_sdk.files import replaced_on_success

REPORT = "archive_report.json"
"""Name of the report in the output folder."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """An input in the report.

    Attributes:
        outcome: Of the last attempt.
        attempts: How many there were.
    """

    outcome: Outcome
    attempts: int


@dataclass(frozen=True)
class ArchiveReport:
    """What came of an archive.

    Attributes:
        archive: Folder of the inputs.
        output: Folder of the results.
        model: The model's file.
        model_sha256: Digest of it.
        workers: Processes at a time.
        seconds: That all took.
        done: Inputs that were lifted.
        skipped: Inputs that were done before.
        failed: Inputs that failed at every attempt.
        inputs: All of them, sorted by path.
    """

    archive: str
    output: str
    model: str
    model_sha256: str
    workers: int
    seconds: float
    done: int
    skipped: int
    failed: int
    inputs: tuple[Entry, ...]

    @property
    def failures(self) -> tuple[Entry, ...]:
        """The inputs that failed."""
        return tuple(entry for entry in self.inputs if entry.outcome.state == FAILED)


def run_archive(
    job: Job,
    names: Sequence[str],
    *,
    workers: int,
    retries: int = 1,
    address: str | None = None,
    verbose: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ArchiveReport:
    """Lift an archive's inputs, and write the report into the output folder.

    Args:
        job: The archive's task.
        names: Paths of the inputs in the archive, all different.
        workers: Processes at a time.
        retries: Times that an input which failed is tried again, after all others.
        address: Of a running Ray cluster; None starts one on this machine.
        verbose: Let Ray and the workers say what they do.
        progress: Is told the inputs that are finished, and all of them.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: There is no such cluster, or it has too few CPUs or GPUs.
        EngineError: Ray ended the run, as where workers cannot import the SDK.
    """
    start = time.perf_counter()
    entries: dict[str, Entry] = {}
    pending = list(names)
    with ray_cluster(job, workers, address, verbose=verbose):
        for attempt in range(1, retries + 2):
            finished = len(names) - len(pending)
            unheard = set(pending)
            named = dataclasses.replace(job, attempt=f"{secrets.token_hex(8)} {attempt}")
            for outcome in lift_all(named, pending, workers):
                unheard.discard(outcome.input)
                entries[outcome.input] = Entry(outcome, attempt)
                _LOG.info("'%s': %s %s", outcome.input, outcome.state, outcome.message or "")
                finished += outcome.state != FAILED
                if progress is not None:
                    progress(finished, len(names))
            for name in unheard:
                entries[name] = Entry(_lost(name), attempt)
            pending = [name for name in pending if entries[name].outcome.state == FAILED]
            if not pending:
                break
    states = [entry.outcome.state for entry in entries.values()]
    report = ArchiveReport(
        archive=job.root,
        output=job.output,
        model=job.model,
        model_sha256=job.model_sha256,
        workers=workers,
        seconds=time.perf_counter() - start,
        done=states.count(DONE),
        skipped=states.count(SKIPPED),
        failed=states.count(FAILED),
        inputs=tuple(entries[name] for name in sorted(entries)),
    )
    with replaced_on_success(Path(job.output) / REPORT) as temporary:
        temporary.write_text(typed_json.to_json(report), encoding="utf-8")
    return report


def _lost(name: str) -> Outcome:
    return Outcome(
        name,
        FAILED,
        code="worker",
        message="Ray could give it to no worker. Run again with -v to see what Ray says.",
    )
