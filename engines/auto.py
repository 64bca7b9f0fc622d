"""The fastest engine for a model on this machine, found by trial and remembered."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hot_sdk._base import records
from hot_sdk._base.files import sha256_of
from hot_sdk._base.timing import interleaved_medians
from hot_sdk.engines.cache import cache_entry, cpu_identity, new_entry
from hot_sdk.engines.caches import Caches, CacheSpec, PreparedRun
from hot_sdk.engines.onnx_file import check_onnx, missing_file
from hot_sdk.engines.registry import ONNX, TORCH, get_engine, list_engines, model_format
from hot_sdk.engines.session import Arrays, Session, SessionOptions, TensorSpec
from hot_sdk.errors import EngineError, HotSDKError, MissingDependencyError

_ROUNDS = 5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """The result of trying one engine.

    Attributes:
        engine: Its name.
        version: Version of its library; empty if no session opened.
        median_ms: Median of one run on arrays of the model's sizes, 1 for those that each run
            chooses; None if it did not run.
        refused: Why it did not run; empty if it did.
    """

    engine: str
    version: str
    median_ms: float | None
    refused: str = ""

    def __str__(self) -> str:
        if self.median_ms is None:
            return f"{self.engine}: {self.refused}"
        return f"{self.engine} {self.version}: {self.median_ms:.4g} ms"


@dataclass(frozen=True)
class Choice:
    """The engine that was chosen, and why.

    Attributes:
        engine: Its name.
        trials: The trial of each engine, in the order of ``list_engines()``.
        remembered: Whether the trials are those of an earlier session.
    """

    engine: str
    trials: tuple[Trial, ...]
    remembered: bool = False

    def __str__(self) -> str:
        return f"{self.engine} ({'; '.join(str(trial) for trial in self.trials)})"


class ChosenSession(Session):
    """A session of the engine that was chosen; see ``hot_sdk.engines.Session``.

    Attributes:
        choice: The engine, and why it was chosen.
        load_seconds: Seconds from the model file to a ready session, including the trial.
    """

    def __init__(self, session: Session, choice: Choice, load_seconds: float) -> None:
        super().__init__(
            session,
            engine=session.engine,
            version=session.engine_version,
            device=session.device,
            inputs=session.inputs,
            outputs=session.outputs,
            metadata=session.metadata,
            load_seconds=load_seconds,
        )
        self.choice = choice
        self.largest_batch = session.largest_batch

    def close(self) -> None:
        """Release the model."""
        if self._handle is not None:
            self._handle.close()
        super().close()

    def _run(self, handle: Session, feeds: Arrays) -> Arrays:
        return handle.run(feeds)

    def caches(self, specs: Sequence[CacheSpec], rows: int, batch: int | None) -> Caches:
        """Return caches of the engine that was chosen."""
        chosen: Session = self._open_handle()
        return chosen.caches(specs, rows, batch)

    def prepare(
        self, arrays: Arrays, caches: Caches | None = None, rows: slice | None = None
    ) -> PreparedRun:
        """Return what runs the model in the engine that was chosen."""
        chosen: Session = self._open_handle()
        return chosen.prepare(arrays, caches, rows)


def open_fastest(model: Path | bytes, options: SessionOptions) -> Session:
    """Load a model in the engine that runs it fastest here.

    Every installed engine that accepts the file and the options runs it a few times, in turn, so
    that a change of the machine's speed affects all alike; the smallest median wins. That takes the
    memory of all of them at once for a moment, and for PyTorch's files the minutes that
    ``torch-compile`` takes to open. With a cache folder the choice is kept for the next session,
    until the model, an engine's version, the processor or an option changes; without one it is made
    each time. A machine that is busy during the trial may choose otherwise than an idle one.

    Returns:
        A ``ChosenSession``.

    Raises:
        UsageError: The model is neither a path nor bytes.
        EngineError: The file is refused, or no engine runs it; the message has every reason.
    """
    start = time.perf_counter()
    opens, name, digest = _identify(model)
    candidates = list_engines(opens=opens, on_cpu=options.device == "cpu")
    entry = None
    if options.cache_dir is not None:
        depends_on = {
            "model": digest(),
            "cpu": cpu_identity(),
            "device": options.device,
            "threads": str(options.threads),
            "optimization": options.graph_optimization,
            "fast_math": str(options.fast_math),
            "provider": str(options.provider),
            "largest batch": str(options.largest_batch),
            **{f"version of {engine}": _installed(engine) for engine in candidates},
        }
        entry = cache_entry(options.cache_dir, name, ".choice.json", depends_on)
        remembered = _recall(entry, candidates)
        session = None if remembered is None else _reopen(model, options, remembered)
        if remembered is not None and session is not None:
            return ChosenSession(session, remembered, time.perf_counter() - start)
    session, choice = _try_all(model, options, candidates)
    if entry is not None:
        _remember(entry, choice)
    _logger.info("Chose the engine %s", choice)
    return ChosenSession(session, choice, time.perf_counter() - start)


def _identify(model: Path | bytes) -> tuple[str, str, Callable[[], str]]:
    """Check a model; return its format, a short name, and a function that returns its digest."""
    if isinstance(model, Path) and model_format(model) == TORCH:
        if not model.is_file():
            raise missing_file(model)
        return TORCH, model.stem, functools.partial(sha256_of, model)
    file = check_onnx(model)
    return ONNX, file.name, file.digest


def _installed(engine: str) -> str:
    """Return the installed versions of the packages that bring an engine."""
    versions = []
    for package in get_engine(engine).packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(versions) or "none"


def _remember(entry: Path, choice: Choice) -> None:
    with new_entry(entry) as temporary:
        try:
            temporary.write_text(json.dumps(asdict(choice)), encoding="utf-8")
        except OSError as error:  # A full disk costs the memory and not the session.
            _logger.warning("Could not remember the choice of engine: %s", error)
            temporary.unlink(missing_ok=True)


def _recall(entry: Path, candidates: tuple[str, ...]) -> Choice | None:
    if not entry.is_file():
        return None
    try:
        data = records.parse_object(entry.read_text(encoding="utf-8"))
        choice = records.build(Choice, {**data, "remembered": True})
    except (OSError, UnicodeDecodeError, records.TypedJSONError) as error:
        _logger.warning("Choosing the engine again, for '%s' is damaged: %s", entry, error)
        return None
    if choice.engine not in candidates:
        _logger.warning("Choosing the engine again, for '%s' names an unknown engine", entry)
        return None
    return choice


def _reopen(model: Path | bytes, options: SessionOptions, choice: Choice) -> Session | None:
    """Return a session of a remembered choice; None if the engine has to be chosen again."""
    try:
        session = get_engine(choice.engine).opener(model, options)
    except HotSDKError as error:
        _logger.warning("The engine %s no longer opens the model: %s", choice.engine, error.message)
        return None
    versions = {trial.engine: trial.version for trial in choice.trials}
    if versions.get(choice.engine) != session.engine_version:
        session.close()
        return None
    _logger.info("Remembered the engine %s", choice)
    return session


def _try_all(
    model: Path | bytes, options: SessionOptions, candidates: tuple[str, ...]
) -> tuple[Session, Choice]:
    sessions: dict[str, Session] = {}
    refused: dict[str, str] = {}
    for name in candidates:
        try:
            sessions[name] = get_engine(name).opener(model, options)
        except MissingDependencyError:
            refused[name] = "not installed"
        except HotSDKError as error:
            refused[name] = error.message
    medians = _medians(sessions, refused)
    fastest = min(medians, key=medians.__getitem__, default=None)
    for name, session in sessions.items():
        if name != fastest:
            session.close()
    if fastest is None:
        reasons = " ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise EngineError(
            f"No engine runs the model on {options.device}. {reasons}",
            hint="Request one of them by name for its own advice.",
        )
    for name, reason in refused.items():
        # Failing after it opened is a fault; refusing to open is an answer.
        level = logging.WARNING if name in sessions else logging.INFO
        _logger.log(level, "The engine %s was left out: %s", name, reason)
    versions = {name: session.engine_version for name, session in sessions.items()}
    trials = tuple(
        Trial(name, versions.get(name, ""), medians.get(name), refused.get(name, ""))
        for name in candidates
    )
    return sessions[fastest], Choice(fastest, trials)


def _medians(sessions: dict[str, Session], refused: dict[str, str]) -> dict[str, float]:
    """Return the milliseconds of each engine that runs; record failures in ``refused``."""

    def run(name: str, arrays: Arrays) -> None:
        if name not in refused:
            try:
                sessions[name].run(arrays)
            except EngineError as error:
                refused[name] = error.message

    runs = [
        functools.partial(run, name, _sample(session.inputs)) for name, session in sessions.items()
    ]
    medians = zip(sessions, interleaved_medians(runs, _ROUNDS), strict=True)
    return {name: median for name, median in medians if name not in refused}


def _sample(inputs: tuple[TensorSpec, ...]) -> Arrays:
    """Return arrays for an engine's inputs: the same small numbers each time."""
    random = np.random.default_rng(0)
    arrays: Arrays = {}
    for spec in inputs:
        shape = [size if isinstance(size, int) else 1 for size in spec.shape]
        arrays[spec.name] = random.uniform(-1.0, 1.0, shape).astype(spec.dtype)
    return arrays
