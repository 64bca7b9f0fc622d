"""Inference engines behind one small interface: named arrays in, named arrays out.

Importing this package imports no engine's library; opening a session does.
"""

from collections.abc import Callable
from pathlib import Path

from hot_sdk.engines.registry import (
    AUTO,
    DEFAULT_ENGINE,
    Engine,
    default_engine,
    get_engine,
    list_engines,
)
from hot_sdk.engines.session import Session, SessionOptions, TensorSpec, require_open_batch
from hot_sdk.errors import UsageError

__all__ = [
    "AUTO",
    "DEFAULT_ENGINE",
    "Engine",
    "Session",
    "SessionOptions",
    "TensorSpec",
    "default_engine",
    "list_engines",
    "open_session",
]


def open_session(
    model: Path | str | bytes,
    options: SessionOptions | None = None,
    *,
    engine: str | None = None,
) -> Session:
    """Load a model.

    Args:
        model: The model file, or its bytes.
        options: How to open it; None for the defaults of ``SessionOptions``.
        engine: Name of the engine, as in ``list_engines()``, or ``auto`` for the fastest of them
            by trial; see ``hot_sdk.engines.auto``. None for the engine of the file's format.

    Raises:
        UsageError: The engine is unknown, or ``largest_batch`` is set for a model with a fixed
            batch.
        MissingDependencyError: The engine's library is not installed.
        EngineError: The file cannot be read or is unsafe, or the engine or the device refuses it.
    """
    model = Path(model) if isinstance(model, str) else model
    options = options if options is not None else SessionOptions()
    session = _opener(model, engine)(model, options)
    largest = options.largest_batch
    if largest is not None:
        try:
            require_open_batch(session.inputs, largest)
        except UsageError:
            session.close()
            raise
        # Of engines that reserve memory for it, it is the same already.
        session.largest_batch = min(largest, session.largest_batch or largest)
    return session


def _opener(
    model: Path | bytes, engine: str | None
) -> Callable[[Path | bytes, SessionOptions], Session]:
    if engine is None:
        # What is wrong with a value that is no model, the engine says.
        is_model = isinstance(model, (Path, bytes))
        engine = default_engine(model) if is_model else DEFAULT_ENGINE
    if engine == DEFAULT_ENGINE:
        # Not by its entry point: to find that, the metadata of all installed packages are read.
        from hot_sdk.engines.onnxruntime import ENGINE

        return ENGINE.opener
    if engine == AUTO:
        # Here, because importing it takes as long as opening a session, and few ask for it.
        from hot_sdk.engines.auto import open_fastest

        return open_fastest
    return get_engine(engine).opener
