"""Find the installed engines: entry points of the group ``hot_sdk.engines``, ours and others'."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from hot_sdk._base.validation import closest
from hot_sdk.engines.session import Session, SessionOptions
from hot_sdk.errors import EngineError, HotSDKError, UsageError

GROUP = "hot_sdk.engines"
"""The group of entry points that engines are listed in."""

DEFAULT_ENGINE = "onnxruntime"
AUTO = "auto"
"""In place of an engine's name: the fastest of those that run the model, by trial."""

ONNX = "onnx"
"""Format of the files that most engines open."""

TORCH = "torch"
"""Format of the weights that PyTorch opens: safetensors, written by ``hot-export``."""

_TORCH_SUFFIX = ".safetensors"
_OUR_PACKAGE = "hot-sdk"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """The description of an engine; an entry point of the group ``hot_sdk.engines`` names one.

    A package ships an engine by an entry point in its ``pyproject.toml``, whose name is the
    engine's::

        [project.entry-points."hot_sdk.engines"]
        my-engine = "my_package.engine:ENGINE"

    Attributes:
        opener: Takes a model and options and returns a session. The vendor's library is imported
            when it is called, not with its module.
        packages: The distributions that bring the library, one of which has to be installed.
        opens: Format of its files, ``onnx`` or ``torch``.
        on_cpu: Whether it runs on CPUs.
    """

    opener: Callable[[Path | bytes, SessionOptions], Session]
    packages: tuple[str, ...]
    opens: str = ONNX
    on_cpu: bool = True


def list_engines(*, opens: str | None = None, on_cpu: bool = False) -> tuple[str, ...]:
    """Return the names of all engines, whether or not their libraries are installed.

    Args:
        opens: Only those that open files of this format, ``onnx`` or ``torch``.
        on_cpu: Leave out those that run on no CPU.

    Raises:
        EngineError: Two packages ship an engine of the same name.
    """
    names = tuple(_entry_points(tuple(sys.path)))
    if opens is None and not on_cpu:
        return names
    found = []
    for name in names:
        try:
            engine = get_engine(name)
        except HotSDKError as error:
            _logger.warning("The engine %s was left out: %s", name, error.message)
            continue
        if opens in (None, engine.opens) and (engine.on_cpu or not on_cpu):
            found.append(name)
    return tuple(found)


def get_engine(name: str) -> Engine:
    """Return the description of an engine.

    Raises:
        UsageError: No engine has this name.
        EngineError: Two packages ship an engine of the same name, or its package is broken.
    """
    entries = _entry_points(tuple(sys.path))
    if name not in entries:
        raise UsageError(f"Unknown engine {name!r}.", hint=closest(str(name), (*entries, AUTO)))
    entry = entries[name]
    try:
        engine = entry.load()
    except Exception as error:  # Someone else's module may raise anything.
        raise _broken(entry, f"'{entry.value}' cannot be loaded ({error})") from error
    if not isinstance(engine, Engine):
        raise _broken(entry, f"'{entry.value}' is a {type(engine).__name__}, not an Engine")
    return engine


def model_format(model: Path) -> str:
    """Return the format of a model file, by its name: ``onnx`` or ``torch``."""
    return TORCH if model.suffix.lower() == _TORCH_SUFFIX else ONNX


def default_engine(model: Path) -> str:
    """Return the engine that opens a model file if none is named."""
    return {ONNX: DEFAULT_ENGINE, TORCH: "torch"}[model_format(model)]


@functools.lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Return the entry points on a module search path by name, our own first."""
    found: dict[str, EntryPoint] = {}
    entries = entry_points(group=GROUP)
    for entry in sorted(entries, key=lambda entry: (_package(entry) != _OUR_PACKAGE, entry.name)):
        other = found.setdefault(entry.name, entry)
        if other is not entry:
            raise EngineError(
                f"Two packages ship an engine named '{entry.name}': '{_package(other)}' and"
                f" '{_package(entry)}'.",
                hint="Uninstall one of them.",
            )
    if not found:
        raise EngineError(
            "No inference engine is listed: the metadata of hot-sdk is missing.",
            hint="Install it again: pip install --force-reinstall --no-deps hot-sdk",
        )
    return found


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def _broken(entry: EntryPoint, problem: str) -> EngineError:
    package = _package(entry)
    return EngineError(
        f"The engine '{entry.name}' of the package '{package}' is broken: {problem}.",
        hint=f"Reinstall or uninstall '{package}'.",
    )
