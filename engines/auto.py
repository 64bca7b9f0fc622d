"""The fastest engine for a model on this machine, found by trial and remembered."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base import records
from hot_sdk._base.closing import Closing
from hot_sdk._base.files import sha256_of
from hot_sdk.engines.cache import cache_entry, cpu_identity, new_entry
from hot_sdk.engines.onnx_file import OnnxFile, check_onnx
from hot_sdk.engines.registry import (
    ONNX,
    TORCH,
    engine_of,
    format_of,
    list_engines,
    open_session,
)
from hot_sdk.engines.session import Session, SessionOptions, TensorSpec
from hot_sdk.errors import EngineError, HotSDKError, MissingDependencyError

_ROUNDS = 5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """How an engine did.

    Attributes:
        engine: Its name.
        version: Of its library; empty where no session opened.
        median_ms: Of one run on arrays of the model's sizes, 1 where each run chooses them; None
            where it did not run.
        refused: Why it did not run; empty where it did.
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
    """Which engine was chosen, and why.

    Attributes:
        engine: Its name.
        trials: How each installed engine did, in the order of ``list_engines()``.
        remembered: Whether the trials were those of an earlier session.
    """

    engine: str
    trials: tuple[Trial, ...]
    remembered: bool = False

    def __str__(self) -> str:
        return f"{self.engine} ({'; '.join(str(trial) for trial in self.trials)})"


class ChosenSession(Closing):
    """A session of the engine that was chosen; see ``hot_sdk.engines.Session``.

    Attributes:
        choice: Which engine, and why.
        load_seconds: From the model file to a ready session, the trial included.
    """

    def __init__(self, session: Session, choice: Choice, load_seconds: float) -> None:
        self._session = session
        self.choice = choice
        self.load_seconds = load_seconds
        self.engine = session.engine
        self.engine_version = session.engine_version
        self.device = session.device
        self.precision = session.precision
        self.inputs = session.inputs
        self.outputs = session.outputs
        self.metadata = session.metadata

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the model once; see ``hot_sdk.engines.Session.run``."""
        return self._session.run(arrays)

    def close(self) -> None:
        """Release the model."""
        self._session.close()


def open_fastest(model: Path | bytes, options: SessionOptions) -> Session:
    """Load a model in the engine that runs it fastest here.

    Every installed engine that accepts the file and the options runs it a few times, in turns, so
    that a change of the machine's speed hits all alike; the smallest median wins. That takes the
    memory of all of them at once for a moment, and of a file for PyTorch the minutes that
    ``torch-compile`` takes to open. With a cache folder the choice is kept for the next
    session, until the model, an engine's version, the processor or an option changes; without one
    it is made each time. A machine that is busy while it is made may choose otherwise than an idle
    one.

    Args:
        model: The file, or its bytes.
        options: How to open it.

    Returns:
        A ``ChosenSession``.

    Raises:
        UsageError: The model is neither a path nor bytes.
        EngineError: The file is refused, or no engine runs it; the message has every reason.
    """
    start = time.perf_counter()
    opens, file = _file(model)
    candidates = list_engines(opens=opens, on_cpu=options.device == "cpu")
    entry = None
    if options.cache_dir is not None:
        entry = _entry(file, model, options, candidates, options.cache_dir)
        remembered = _recall(entry, candidates)
        if remembered is not None:
            session = _reopen(model, options, remembered)
            if session is not None:
                return ChosenSession(session, remembered, time.perf_counter() - start)
    session, choice = _try_all(model, options, candidates)
    if entry is not None:
        _remember(entry, choice)
    _logger.info("Chose the engine %s", choice)
    return ChosenSession(session, choice, time.perf_counter() - start)


def _file(model: Path | bytes) -> tuple[str, OnnxFile | None]:
    """The format of a model, and the checked file where it is ONNX."""
    if isinstance(model, Path) and format_of(model) == TORCH:
        if not model.is_file():
            raise EngineError(
                f"There is no model file at '{model}'.", hint="Check the path, or export the model."
            )
        return TORCH, None
    return ONNX, check_onnx(model)


def _entry(
    file: OnnxFile | None,
    model: Path | bytes,
    options: SessionOptions,
    candidates: tuple[str, ...],
    folder: Path,
) -> Path:
    if file is None:
        assert isinstance(model, Path)
        name, digest = model.stem, sha256_of(model)
    else:
        name, digest = file.name, file.digest()
    depends_on = {
        "model": digest,
        "cpu": cpu_identity(),
        "device": options.device,
        "threads": str(options.threads),
        "optimisation": options.graph_optimisation,
        "fast_math": str(options.fast_math),
        "provider": str(options.provider),
        **{f"version of {name}": _installed(name) for name in candidates},
    }
    return cache_entry(folder, name, ".choice.json", depends_on)


def _installed(name: str) -> str:
    """Versions of the packages that an engine comes in, as they are installed."""
    versions = []
    for package in engine_of(name).packages:
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
        _logger.warning("Choosing the engine again, for '%s' names no engine of ours", entry)
        return None
    return choice


def _reopen(model: Path | bytes, options: SessionOptions, choice: Choice) -> Session | None:
    """The session of a choice that was remembered; None where it has to be made again."""
    try:
        session = open_session(model, options, engine=choice.engine)
    except HotSDKError as error:
        _logger.warning("The engine %s does not open any more: %s", choice.engine, error.message)
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
            sessions[name] = open_session(model, options, engine=name)
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
            hint="Ask for one of them by name for its own advice.",
        )
    for name, reason in refused.items():
        # One that opened and then failed is at fault; one that refused was only asked.
        level = logging.WARNING if name in sessions else logging.INFO
        _logger.log(level, "The engine %s was left out: %s", name, reason)
    trials = tuple(
        Trial(
            name,
            sessions[name].engine_version if name in sessions else "",
            medians.get(name),
            refused.get(name, ""),
        )
        for name in candidates
    )
    return sessions[fastest], Choice(fastest, trials)


def _medians(sessions: Mapping[str, Session], refused: dict[str, str]) -> dict[str, float]:
    """Milliseconds of each engine that runs; what the others say is put into ``refused``."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(_ROUNDS):
        for name in [name for name in seconds if name not in refused]:
            arrays = _sample(sessions[name].inputs)
            try:
                # Not counted: threads of the engine before still look out for work.
                sessions[name].run(arrays)
                before = time.perf_counter()
                sessions[name].run(arrays)
                seconds[name].append(time.perf_counter() - before)
            except EngineError as error:
                refused[name] = error.message
    return {
        name: 1e3 * statistics.median(times)
        for name, times in seconds.items()
        if name not in refused
    }


def _sample(inputs: tuple[TensorSpec, ...]) -> dict[str, NDArray[Any]]:
    """Arrays of an engine's inputs: the same small numbers each time."""
    random = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {}
    for spec in inputs:
        shape = [size if isinstance(size, int) else 1 for size in spec.shape]
        values = random.uniform(-1.0, 1.0, shape)
        arrays[spec.name] = values.astype(spec.dtype)
    return arrays
