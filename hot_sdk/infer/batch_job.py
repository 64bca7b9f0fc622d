"""The per-input job of a batch run, independent of the executor, and the record it leaves.

The record is written last, next to the results. Results are therefore complete if their record
says so, and an input is done if the record names the same content, model and options.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base import records
from hot_sdk._base.files import read_input as read_file
from hot_sdk._base.files import replaced_on_success, sha256_of
from hot_sdk.errors import EngineError, HotSDKError
from hot_sdk.infer.inputs import EngineOptions, InputOptions, lift_input, read_input, save_results
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.version import __version__

SCHEMA = 1
DONE, SKIPPED, FAILED = "done", "skipped", "failed"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What is done with each input of a batch; sent to workers by pickle.

    Attributes:
        root: Folder of the inputs, absolute, as all workers see it.
        output: Folder of the results, absolute.
        model: The model file, absolute.
        model_sha256: Its digest.
        engine: How each worker opens the model; its cache is a folder of the worker's machine.
        inputs: How each input is read and lifted.
    """

    root: str
    output: str
    model: str
    model_sha256: str
    engine: EngineOptions
    inputs: InputOptions

    def open_engine(self) -> Pose3DEngine:
        """Load the model.

        Raises:
            EngineError: The file has changed since the run began, or the engine refuses it.
        """
        try:
            found = sha256_of(Path(self.model))
        except OSError as error:
            raise EngineError(
                f"The model '{self.model}' cannot be read: {error.strerror}.",
                hint="Put it in a folder that all workers see.",
            ) from error
        if found != self.model_sha256:
            raise EngineError(
                f"The model '{self.model}' was changed during the batch.",
                hint="Run the command again.",
            )
        return self.engine.open(self.model)

    @functools.cached_property
    def settings(self) -> str:
        """All that results depend on apart from input and model, as JSON."""
        engine = dataclasses.asdict(self.engine)
        # The results are the same with other threads, another cache and smaller runs.
        del engine["threads"], engine["cache_dir"], engine["largest_batch"]
        inputs = dataclasses.asdict(self.inputs)
        # Left out where they are unknown, as in records of before they could be known.
        for name in ("intrinsics", "up", "height_m"):
            if inputs[name] is None:
                del inputs[name]
        return json.dumps(engine | inputs, sort_keys=True)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one attempt at an input.

    Attributes:
        input: Its path in the batch's folder.
        state: ``done``, ``skipped`` (already done) or ``failed``.
        files: The results, as paths in the output folder.
        people: Number of people lifted.
        frames: Number of frames of the clip.
        seconds: Duration of the attempt.
        code: Code of the error; None without one, as for ``message``.
        message: What went wrong, and what to do.
    """

    input: str
    state: str
    files: tuple[str, ...] = ()
    people: int = 0
    frames: int = 0
    seconds: float = 0.0
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Record:
    """One input that was lifted.

    Attributes:
        schema: Version of this record.
        input: Its path in the batch's folder.
        input_sha256: Digest of its content.
        model_sha256: Digest of the model file.
        options: Everything else that the results depend on, as JSON.
        files: Names of the results, next to the record.
        sdk: Version of the SDK that lifted it.
    """

    schema: int
    input: str
    input_sha256: str
    model_sha256: str
    options: str
    files: tuple[str, ...]
    sdk: str

    def covers(self, requested: Record, folder: Path) -> bool:
        """Return True if the requested results are done and still exist in the folder."""
        keys = ("input_sha256", "model_sha256", "options")
        is_same = all(getattr(self, key) == getattr(requested, key) for key in keys)
        return is_same and all((folder / name).is_file() for name in self.files)


def lift_one(job: Job, name: str, get_engine: Callable[[], Pose3DEngine]) -> Outcome:
    """Lift one input unless it is done, and write its results and its record.

    Args:
        job: What is done with each input.
        name: The input's path in the batch's folder.
        get_engine: Returns the engine; called only if it is needed.
    """
    start = time.perf_counter()
    try:
        outcome = _lift(job, name, get_engine)
    except HotSDKError as error:
        outcome = Outcome(name, FAILED, code=error.code, message=str(error))
    except Exception as error:
        # One input of thousands must not end them all.
        _LOG.info("'%s' failed", name, exc_info=error)
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        outcome = Outcome(name, FAILED, code="internal", message=text)
    return dataclasses.replace(outcome, seconds=time.perf_counter() - start)


def finished_before(job: Job, name: str) -> Outcome | None:
    """Return the outcome of an input whose results are complete; None if it has to be lifted."""
    target = Path(job.output, name)
    before = _read_record(_record_file(target))
    if before is None or not before.covers(_requested(job, name), target.parent):
        return None
    return Outcome(name, SKIPPED, files=_in_output(job, target.parent, before.files))


def has_record(job: Job, name: str) -> bool:
    """Return whether there is a record of an input, of whatever content and options."""
    return _record_file(Path(job.output, name)).exists()


def _record_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.done.json")


def _requested(job: Job, name: str) -> Record:
    return Record(
        schema=SCHEMA,
        input=name,
        input_sha256=_content_sha256(Path(job.root, name)),
        model_sha256=job.model_sha256,
        options=job.settings,
        files=(),
        sdk=__version__,
    )


def _lift(job: Job, name: str, get_engine: Callable[[], Pose3DEngine]) -> Outcome:
    source, target = Path(job.root, name), Path(job.output, name)
    folder, record_file = target.parent, _record_file(target)
    requested = _requested(job, name)
    before = _read_record(record_file)
    if before is not None and before.covers(requested, folder):
        return Outcome(name, SKIPPED, files=_in_output(job, folder, before.files))
    folder.mkdir(parents=True, exist_ok=True)
    with read_input(str(source), job.inputs) as footage:
        lifted = lift_input(get_engine(), footage.people, job.inputs, folder)
        # It describes results that are about to be replaced.
        record_file.unlink(missing_ok=True)
        # With the suffix, because a clip.json may lie next to a clip.mp4.
        saved = save_results(lifted, folder, target.name, job.inputs)
    files = tuple(path.name for path in saved)
    for stale in set(() if before is None else before.files) - set(files):
        if stale.startswith(target.name):
            (folder / stale).unlink(missing_ok=True)
    # Waiting for the disk takes as long as lifting a short clip. A record that a power failure has
    # cut off is unreadable, and its input is lifted again; the results are on the disk by now.
    with replaced_on_success(record_file, sync=False) as temporary:
        record = dataclasses.replace(requested, files=files)
        temporary.write_text(records.to_json(record), encoding="utf-8")
    saved_files, people = _in_output(job, folder, files), len(lifted.results)
    return Outcome(name, DONE, saved_files, people, len(footage.timestamps))


def _read_record(path: Path) -> Record | None:
    """Read a record; None if it is missing or this version cannot read it."""
    try:
        text = read_file(path, records.MAX_TEXT).decode()
        record = records.build(Record, records.parse_object(text))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _LOG.warning("'%s' cannot be read, so its input is lifted again: %s", path, error)
        return None
    # The file is untrusted: a name must not lead elsewhere.
    if record.schema != SCHEMA or any(Path(name).name != name for name in record.files):
        return None
    return record


def _content_sha256(path: Path) -> str:
    """Return the digest of a file, or of a folder's files with their names."""
    if not path.is_dir():
        return sha256_of(path)
    total = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file():
            total.update(f"{file.name}\0{sha256_of(file)}\n".encode())
    return total.hexdigest()


def _in_output(job: Job, folder: Path, files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str((folder / name).relative_to(job.output)) for name in files)
