"""Find the installed engines: entry points of the group ``hot_sdk.engines``, ours and others'."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.files import open_input
from hot_sdk._base.plugins import PluginGroup
from hot_sdk._base.validation import closest
from hot_sdk.engines.session import Session, SessionOptions
from hot_sdk.errors import EngineError, HotSDKError, UsageError

ENGINES = PluginGroup("hot_sdk.engines", "engine", EngineError)
"""The entry points that list engines."""

DEFAULT_ENGINE = "onnxruntime"
AUTO = "auto"
"""In place of an engine's name: the fastest of those that run the model, by trial."""

ONNX = "onnx"
"""Format of the files that most engines open."""

TORCH = "torch"
"""Format of the weights that PyTorch opens: safetensors, written by ``hot-export``."""

_TORCH_SUFFIX = ".safetensors"
_HEADER_BYTES = 8
_LONGEST_HEADER = 100_000_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """The description of an engine; an entry point of the group ``hot_sdk.engines`` names one.

    A package ships an engine by an entry point in its ``pyproject.toml``, whose name is the
    engine's::

        [project.entry-points."hot_sdk.engines"]
        my-engine = "my_package.engine:ENGINE"

    Attributes:
        opener: Loads a model, a file or its bytes, with options. The vendor's library is imported
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
    names = tuple(ENGINES.entries())
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
    entries = ENGINES.entries()
    if name not in entries:
        raise UsageError(f"Unknown engine {name!r}.", hint=closest(str(name), (*entries, AUTO)))
    entry = entries[name]
    engine = ENGINES.load(entry)
    if not isinstance(engine, Engine):
        problem = f"'{entry.value}' is a {type(engine).__name__}, not an Engine"
        raise ENGINES.broken(entry, problem)
    return engine


def model_format(model: Path | bytes) -> str:
    """Return the format of a model, ``onnx`` or ``torch``, by the file's name or its first bytes.

    A file that cannot be read has the format of its name; its engine says what is wrong with it.
    """
    if isinstance(model, bytes) or model.suffix.lower() == _TORCH_SUFFIX:
        return ONNX if isinstance(model, bytes) else TORCH
    try:
        with open_input(model) as file:
            start = file.read(_HEADER_BYTES + 1)
    except (OSError, ValueError):
        return ONNX
    # Safetensors begin with the length of a JSON header; ONNX has no such number there.
    length = int.from_bytes(start[:_HEADER_BYTES], "little")
    return TORCH if start[_HEADER_BYTES:] == b"{" and length <= _LONGEST_HEADER else ONNX


def default_engine(model: Path | bytes) -> str:
    """Return the engine that opens a model if none is named, by ``model_format``."""
    return {ONNX: DEFAULT_ENGINE, TORCH: "torch"}[model_format(model)]
