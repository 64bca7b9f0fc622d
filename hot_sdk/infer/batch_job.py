"""What every worker of an archive does, without a word of how the workers are run.

What was done with an input, in a small file beside its results.

The record is written last. A result is therefore whole where its record says so, and an input is
done where the record names the same content, model and options.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base import records
from hot_sdk._base.files import replaced_on_success, sha256_of
from hot_sdk.errors import EngineError, HotSDKError
from hot_sdk.infer.inputs import InputOptions, lift_input, read_input, save_results
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.version import __version__

SCHEMA = 1

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One input that was lifted.

    Attributes:
        schema: Version of this record.
        input: Its path in the archive.
        input_sha256: Digest of its content.
        model_sha256: Digest of the model's file.
        options: All that the results depend on besides, as JSON.
        files: Names of the results, which lie beside the record.
        sdk: Version of the SDK that lifted it.
    """

    schema: int
    input: str
    input_sha256: str
    model_sha256: str
    options: str
    files: tuple[str, ...]
    sdk: str

    def covers(self, wanted: Record, folder: Path) -> bool:
        """Whether what ``wanted`` asks for is done, and its results still lie in the folder."""
        asked = (wanted.input_sha256, wanted.model_sha256, wanted.options)
        done = (self.input_sha256, self.model_sha256, self.options)
        return asked == done and all((folder / name).is_file() for name in self.files)


def record_path(folder: Path, name: str) -> Path:
    """Where the record of an input of this name lies."""
    return folder / f"{name}.done.json"


def read_record(path: Path) -> Record | None:
    """Read a record; None where there is none, or none that this version can read."""
    try:
        text = path.read_text(encoding="utf-8")
        record = records.build(Record, records.parse_object(text))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _LOG.warning("'%s' cannot be read, so its input is lifted again: %s", path, error)
        return None
    # A name from a file that anybody may have written must not lead elsewhere.
    if record.schema != SCHEMA or any(Path(name).name != name for name in record.files):
        return None
    return record


def write_record(path: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    with replaced_on_success(path) as temporary:
        temporary.write_text(records.to_json(record), encoding="utf-8")


def content_sha256(path: Path) -> str:
    """Digest of a file, or of a folder's files with their names."""
    if not path.is_dir():
        return sha256_of(path)
    total = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file():
            total.update(f"{file.name}\0{sha256_of(file)}\n".encode())
    return total.hexdigest()


DONE, SKIPPED, FAILED = "done", "skipped", "failed"

_DIED = (
    "The worker process died, out of memory or in a decoder. Lift the input alone, with"
    " 'hot-infer INPUT', to see why."
)


@dataclass(frozen=True)
class Job:
    """An archive's task, the same for all its inputs; workers are sent it by pickle.

    Attributes:
        root: Folder of the inputs, absolute, as all workers see it.
        output: Folder of the results, absolute.
        model: The model's file, absolute.
        model_sha256: Digest of it.
        engine: Name of the inference engine.
        device: Where it runs.
        threads: CPU threads of each worker's engine.
        windows: How clips are cut; see ``Pose3DEngine``, as the two below.
        overlap: Frames that windows share.
        flip: Average with the mirror image.
        options: Of every input.
        cache_dir: Folder of each worker's machine for what its engine builds; None keeps nothing.
        fast_math: Allow narrower arithmetic.
        provider: Execution provider of ONNX Runtime, by its own name.
        attempt: Name of this attempt at the inputs, unlike that of any other.
    """

    root: str
    output: str
    model: str
    model_sha256: str
    engine: str
    device: str
    threads: int
    windows: str | None
    overlap: int | None
    flip: bool
    options: InputOptions
    cache_dir: str | None = None
    fast_math: bool = False
    provider: str | None = None
    attempt: str = ""

    def open_engine(self) -> Pose3DEngine:
        """Load the model.

        Raises:
            EngineError: The file is not the one that the run began with, or the engine refuses it.
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
                f"The model '{self.model}' was changed while the archive was lifted.",
                hint="Run the command again.",
            )
        return Pose3DEngine(
            self.model,
            engine=self.engine,
            device=self.device,
            threads=self.threads,
            cache_dir=None if self.cache_dir is None else Path(self.cache_dir),
            fast_math=self.fast_math,
            provider=self.provider,
            windows=self.windows,
            overlap=self.overlap,
            flip=self.flip,
        )

    def settings(self) -> str:
        """All that results depend on besides the input and the model, as JSON."""
        names = ("engine", "device", "fast_math", "provider", "windows", "overlap", "flip")
        settings = {name: getattr(self, name) for name in names}
        return json.dumps(settings | dataclasses.asdict(self.options), sort_keys=True)


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt at an input.

    Attributes:
        input: Its path in the archive.
        state: ``done``, ``skipped`` (it was done before) or ``failed``.
        files: The results, as paths in the output folder.
        people: How many were lifted.
        frames: Of the clip.
        seconds: That the attempt took.
        code: Of the error; None where there was none, as the next.
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


def lift_one(job: Job, name: str, engine_of: Callable[[], Pose3DEngine]) -> Outcome:
    """Lift one input unless it is done, and write its results and its record.

    Ray gives an input whose worker died to another worker, again and again. So a mark lies in the
    output folder while an input is lifted, and where this attempt's own mark is found, the attempt
    has failed.

    Args:
        job: The archive's task.
        name: The input's path in the archive.
        engine_of: Gives the engine; asked only where it is needed.
    """
    start = time.perf_counter()
    try:
        outcome = _lift(job, name, engine_of)
    except HotSDKError as error:
        outcome = Outcome(name, FAILED, code=error.code, message=str(error))
    except Exception as error:
        # One input of thousands must not end them all, whatever is wrong with it.
        _LOG.info("'%s' failed", name, exc_info=error)
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        outcome = Outcome(name, FAILED, code="internal", message=text)
    return dataclasses.replace(outcome, seconds=time.perf_counter() - start)


def _lift(job: Job, name: str, engine_of: Callable[[], Pose3DEngine]) -> Outcome:
    source, target = Path(job.root, name), Path(job.output, name)
    folder, record_file = target.parent, record_path(target.parent, target.name)
    wanted = Record(
        schema=SCHEMA,
        input=name,
        input_sha256=content_sha256(source),
        model_sha256=job.model_sha256,
        options=job.settings(),
        files=(),
        sdk=__version__,
    )
    before = read_record(record_file)
    if before is not None and before.covers(wanted, folder):
        return Outcome(name, SKIPPED, files=_from(job, folder, before.files))
    folder.mkdir(parents=True, exist_ok=True)
    begun = folder / f".{target.name}.begun"
    if _text(begun) == job.attempt:
        begun.unlink()
        return Outcome(name, FAILED, code="worker", message=_DIED)
    begun.write_text(job.attempt, encoding="utf-8")
    try:
        with read_input(str(source), job.options) as footage:
            lifted = lift_input(engine_of(), footage.people, job.options)
            # It describes results that are about to be replaced.
            record_file.unlink(missing_ok=True)
            # With the whole name, for a clip.json and a clip.mp4 may lie side by side.
            saved = save_results(lifted, folder, target.name, job.options.formats)
    finally:
        begun.unlink(missing_ok=True)
    files = tuple(path.name for path in saved)
    for stale in set(() if before is None else before.files) - set(files):
        if stale.startswith(target.name):
            (folder / stale).unlink(missing_ok=True)
    write_record(record_file, dataclasses.replace(wanted, files=files))
    results = lifted.results
    return Outcome(name, DONE, _from(job, folder, files), len(results), len(results[0]))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _from(job: Job, folder: Path, files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str((folder / name).relative_to(job.output)) for name in files)
