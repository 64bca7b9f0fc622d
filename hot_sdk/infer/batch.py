"""A whole archive: every input tried, those that failed tried again, and a report of it all.

The inputs of an archive: keypoint files, OpenPose folders and videos, found by their names.

``hot-infer --archive``: thousands of inputs on the workers of a machine or of a cluster.
"""

from __future__ import annotations

import dataclasses
import glob
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base import records
from hot_sdk._base.files import replaced_on_success
from hot_sdk.errors import UsageError
from hot_sdk.infer.batch_job import DONE, FAILED, SKIPPED, Job, Outcome
from hot_sdk.infer.inputs import VIDEOS
from hot_sdk.infer.ray_workers import lift_all, ray_cluster

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
        temporary.write_text(records.to_json(report), encoding="utf-8")
    return report


def _lost(name: str) -> Outcome:
    return Outcome(
        name,
        FAILED,
        code="worker",
        message="Ray could give it to no worker. Run again with -v to see what Ray says.",
    )


KEYPOINT_FILES = (".json", ".npz", ".csv")
_OPENPOSE = "_keypoints.json"


def find_inputs(archive: str, output: Path) -> tuple[Path, tuple[str, ...]]:
    """Find what is to be lifted.

    Hidden files and folders are left out, links to folders are not followed, and a folder that
    holds OpenPose's files of one frame each is one input.

    Args:
        archive: A folder, or a pattern of files with ``*``, ``?``, ``[...]`` or ``**``.
        output: Folder of the results; what lies in it is no input.

    Returns:
        The folder that all lie in, and their paths from there, sorted.

    Raises:
        UsageError: There is no such folder, nothing in it can be lifted, or the results would
            lie among the inputs.
    """
    folder = Path(archive)
    is_pattern = not folder.exists() and glob.has_magic(archive)
    root = _fixed_part(folder) if is_pattern else folder
    if not root.is_dir():
        raise UsageError(f"There is no folder '{root}'.", hint="Check the path after --archive.")
    root, results = root.resolve(), output.resolve()
    if root.is_relative_to(results):
        raise UsageError(
            f"The results would lie in '{output}', which is or holds the archive.",
            hint="Give a folder of its own with --output DIR.",
        )
    found = tuple(_matching(archive) if is_pattern else _walked(root))
    if root in found:
        # The archive itself is a folder of OpenPose, and needs a name.
        root = root.parent
    names = sorted(
        {
            str(path.relative_to(root))
            for path in found
            if not path.is_relative_to(results) and not _hidden(path.relative_to(root))
        }
    )
    if not names:
        kinds = ", ".join((*KEYPOINT_FILES, *VIDEOS))
        raise UsageError(f"Nothing in '{archive}' can be lifted.", hint=f"Known are: {kinds}.")
    return root, tuple(names)


def _fixed_part(pattern: Path) -> Path:
    """The folder before the first part that holds a pattern."""
    fixed = []
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _matching(pattern: str) -> Iterator[Path]:
    for name in glob.iglob(pattern, recursive=True):
        # Not resolved itself, for a link to a file is an input under its own name.
        path = Path(name).parent.resolve() / Path(name).name
        if _is_file(path):
            yield path.parent if path.name.endswith(_OPENPOSE) else path
        elif path.is_dir() and _is_openpose(path.iterdir()):
            yield path


def _walked(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(folder)
        if _is_openpose(here / name for name in files):
            yield here
            files = [name for name in files if not name.endswith(_OPENPOSE)]
        yield from (here / name for name in files if _is_file(here / name))


def _is_file(path: Path) -> bool:
    return path.suffix.lower() in (*KEYPOINT_FILES, *VIDEOS) and path.is_file()


def _is_openpose(files: Iterator[Path]) -> bool:
    return any(path.name.endswith(_OPENPOSE) for path in files)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
