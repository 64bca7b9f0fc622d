"""The engines by name; an engine is one file and one entry here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

from hot_sdk.engines.interface import Session, SessionOptions
from hot_sdk.errors import UsageError
from hot_sdk.suggest import closest

DEFAULT_ENGINE = "onnxruntime"

# Name -> 'module:function'. The function takes a model and options and returns a session; its
# module is imported when its engine is asked for.
_ENGINES = {
    "onnxruntime": "hot_sdk.engines.onnxruntime:open_onnxruntime",
    "tensorrt": "hot_sdk.engines.tensorrt:open_tensorrt",
}
_NOT_ON_CPUS = frozenset({"tensorrt"})


def list_engines(*, on_cpu: bool = False) -> tuple[str, ...]:
    """Names of all engines, whether or not their libraries are installed.

    Args:
        on_cpu: Leave out those that run on no CPU.
    """
    return tuple(name for name in _ENGINES if not (on_cpu and name in _NOT_ON_CPUS))


def open_session(
    model: Path | str | bytes,
    options: SessionOptions | None = None,
    *,
    engine: str = DEFAULT_ENGINE,
) -> Session:
    """Load a model.

    Args:
        model: The model file, or its bytes.
        options: How to open it; None for the defaults of ``SessionOptions``.
        engine: Name of the engine, as in ``list_engines()``.

    Raises:
        UsageError: The engine is unknown.
        MissingDependencyError: The engine's library is not installed.
        EngineError: The file cannot be read or is unsafe, or the engine or the device refuses it.
    """
    if engine not in _ENGINES:
        raise UsageError(f"Unknown engine {engine!r}.", hint=closest(str(engine), list_engines()))
    module, function = _ENGINES[engine].split(":")
    opener = cast(
        Callable[[Path | bytes, SessionOptions], Session],
        getattr(importlib.import_module(module), function),
    )
    content = Path(model) if isinstance(model, str) else model
    return opener(content, options if options is not None else SessionOptions())
