"""Find the inputs of a batch, lift them on Ray, retry those that fail, and write a report."""

from __future__ import annotations

import dataclasses
import glob
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base import records
from hot_sdk._base.files import replaced_on_success
from hot_sdk.errors import BatchError, EngineError, UsageError
from hot_sdk.infer.batch_job import (
    DONE,
    FAILED,
    SKIPPED,
    Job,
    Outcome,
    finished_before,
    has_record,
)
from hot_sdk.infer.ray_process import ray_process
from hot_sdk.readers.folders import holds_frames
from hot_sdk.video.signatures import is_video_file

REPORT = "archive_report.json"
"""Name of the report in the output folder."""

KEYPOINT_FILES = (".json", ".jsonl", ".ndjson", ".npz", ".npy", ".csv", ".trc")
_OPENPOSE = "_keypoints.json"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """An input in the report: the outcome of its last attempt, and the number of attempts."""

    outcome: Outcome
    attempts: int


@dataclass(frozen=True)
class BatchReport:
    """The outcome of a batch.

    Attributes:
        archive: Folder of the inputs.
        output: Folder of the results.
        model: The model file.
        model_sha256: Its digest.
        workers: Number of worker processes.
        seconds: Duration of the run.
        done: Number of inputs that were lifted.
        skipped: Number of inputs that were already done.
        failed: Number of inputs that failed in every attempt.
        inputs: All inputs, sorted by path.
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


def run_batch(
    job: Job,
    names: Sequence[str],
    *,
    workers: int,
    retries: int = 1,
    address: str | None = None,
    verbose: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> BatchReport:
    """Lift the inputs of a batch, and write the report into the output folder.

    Args:
        job: What is done with each input.
        names: Paths of the inputs in the batch's folder, all different.
        workers: Number of worker processes.
        retries: How often a failed input is tried again, after all others.
        address: Address of a running Ray cluster; None starts one on this machine.
        verbose: Show the messages of Ray and of the workers.
        progress: Called with the number of finished inputs and of all inputs.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: There is no such cluster, or it has too few CPUs or GPUs.
        BatchError: Ray ended the run, for example because its node was lost or because workers
            cannot import the SDK. The report is written and says what is done.
    """
    start = time.perf_counter()
    entries: dict[str, Entry] = {}
    pending = list(names)
    recorded = {name for name in names if has_record(job, name)}
    ended: EngineError | None = None
    with ray_process(job, workers, address, verbose=verbose) as ray:
        for attempt in range(1, retries + 2):
            finished = len(names) - len(pending)
            unknown = set(pending)
            try:
                for outcome in ray.lift(pending):
                    if outcome.state == SKIPPED and outcome.input not in recorded:
                        # Lifted by a worker of this run that died before it could say so.
                        outcome = dataclasses.replace(outcome, state=DONE)
                    entries[outcome.input] = Entry(outcome, attempt)
                    unknown.remove(outcome.input)
                    _LOG.info("'%s': %s %s", outcome.input, outcome.state, outcome.message or "")
                    finished += outcome.state != FAILED
                    if progress is not None:
                        progress(finished, len(names))
            except EngineError as error:
                ended = error
                entries |= {name: Entry(_unreported(job, name), attempt) for name in unknown}
            pending = [name for name in pending if entries[name].outcome.state == FAILED]
            if ended is not None or not pending:
                break
    states = [entry.outcome.state for entry in entries.values()]
    report = BatchReport(
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
    if ended is not None:
        raise BatchError(
            f"The batch ended early. {ended.message} Of {len(names)} inputs,"
            f" {report.done + report.skipped} are done, {report.failed} not; see"
            f" '{Path(job.output, REPORT)}'.",
            hint=f"Run the command again to lift the others; it skips those that are done."
            f" {ended.hint}",
        ) from ended
    return report


def _unreported(job: Job, name: str) -> Outcome:
    """Return what became of an input whose outcome Ray no longer delivered."""
    found = finished_before(job, name)
    if found is not None:
        # Not by an earlier run, whose inputs are reported at once.
        return dataclasses.replace(found, state=DONE)
    return Outcome(name, FAILED, code="batch", message="Ray ended before the input was lifted.")


def find_inputs(archive: str, output: Path) -> tuple[Path, tuple[str, ...]]:
    """Find the inputs of a batch: keypoint files by name, folders of one-frame files, and videos.

    Hidden files and folders are left out, links to folders are not followed, and a folder of files
    of one frame each, as OpenPose writes them, is one input.

    Args:
        archive: A folder, or a glob with ``*``, ``?``, ``[...]`` or ``**``.
        output: Folder of the results; its contents are not inputs.

    Returns:
        The folder that contains all inputs, and their paths relative to it, sorted.

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
            f"The results would lie in '{output}', which is or contains the folder of the inputs.",
            hint="Give another folder with --output-dir DIR.",
        )
    found = tuple(_matching(archive) if is_pattern else _walked(root))
    if root in found:
        # The folder itself is one of OpenPose, and needs a name.
        root = root.parent
    names = sorted(
        {
            str(path.relative_to(root))
            for path in found
            if not path.is_relative_to(results) and not _is_hidden(path.relative_to(root))
        }
    )
    if not names:
        kinds = ", ".join(KEYPOINT_FILES)
        raise UsageError(
            f"Nothing in '{archive}' can be lifted.",
            hint=f"Known are videos, and files of {kinds}.",
        )
    return root, tuple(names)


def _fixed_part(pattern: Path) -> Path:
    """Return the folder before the first part with a wildcard."""
    magic = [at for at, part in enumerate(pattern.parts) if glob.has_magic(part)]
    return Path(*pattern.parts[: magic[0]])


def _matching(pattern: str) -> Iterator[Path]:
    for name in glob.iglob(pattern, recursive=True):
        # Only the folder is resolved: a link to a file is an input under its own name.
        path = Path(name).parent.resolve() / Path(name).name
        if _is_file(path):
            yield path.parent if path.name.endswith(_OPENPOSE) else path
        elif path.is_dir() and (_is_openpose(path.iterdir()) or holds_frames(path.iterdir())):
            yield path


def _walked(root: Path) -> Iterator[Path]:
    for name, folders, files in os.walk(root):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        paths = [Path(name, file) for file in files]
        frames = holds_frames(paths)
        if frames or _is_openpose(paths):
            yield Path(name)
        for path in paths:
            frame = path.name.endswith(_OPENPOSE) or (frames and path.suffix.lower() == ".json")
            if _is_file(path) and not frame:
                yield path


def _is_file(path: Path) -> bool:
    is_known = path.suffix.lower() in KEYPOINT_FILES
    return path.is_file() and (is_known or is_video_file(path))


def _is_openpose(files: Iterable[Path]) -> bool:
    return any(path.name.endswith(_OPENPOSE) for path in files)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
