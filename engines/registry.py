"""The engines by name; an engine is one file and one entry here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hot_sdk._base.validation import closest
from hot_sdk.engines.session import Session, SessionOptions
from hot_sdk.errors import UsageError

DEFAULT_ENGINE = "onnxruntime"
AUTO = "auto"
"""In place of an engine's name: the fastest of those that run the model, by trial."""

ONNX = "onnx"
"""Format of the files that most engines open."""

TORCH = "torch"
"""Format of the weights that PyTorch opens: safetensors, written by ``hot-export``."""

_TORCH_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Engine:
    """One engine.

    Attributes:
        opener: ``module:function``. The function takes a model and options and returns a session;
            its module is imported when its engine is asked for.
        packages: The distributions that bring its library, one of which is installed where the
            engine works.
        opens: Format of its files.
        on_cpu: Whether it runs on CPUs.
    """

    opener: str
    packages: tuple[str, ...]
    opens: str = ONNX
    on_cpu: bool = True


_ENGINES = {
    "onnxruntime": Engine(
        "hot_sdk.engines.onnxruntime:open_onnxruntime", ("onnxruntime", "onnxruntime-gpu")
    ),
    "openvino": Engine("hot_sdk.engines.openvino:open_openvino", ("openvino",)),
    "tensorrt": Engine("hot_sdk.engines.tensorrt:open_tensorrt", ("tensorrt",), on_cpu=False),
    "torch": Engine("hot_sdk.export.torch_backend.session:open_torch", ("torch",), TORCH),
    "torch-compile": Engine(
        "hot_sdk.export.torch_backend.session:open_torch_compile", ("torch",), TORCH
    ),
}


def list_engines(*, opens: str | None = None, on_cpu: bool = False) -> tuple[str, ...]:
    """Names of all engines, whether or not their libraries are installed.

    Args:
        opens: Only those that open files of this format, ``onnx`` or ``torch``.
        on_cpu: Leave out those that run on no CPU.
    """
    return tuple(
        name
        for name, engine in _ENGINES.items()
        if opens in (None, engine.opens) and (engine.on_cpu or not on_cpu)
    )


def format_of(model: Path) -> str:
    """Format of a model file, by its name: ``onnx`` or ``torch``."""
    return TORCH if model.suffix.lower() == _TORCH_SUFFIX else ONNX


def default_engine(model: Path) -> str:
    """The engine that opens a model file where none is named."""
    return list_engines(opens=format_of(model))[0]


def engine_of(name: str) -> Engine:
    """An engine by its name.

    Raises:
        UsageError: There is none.
    """
    if name not in _ENGINES:
        raise UsageError(
            f"Unknown engine {name!r}.", hint=closest(str(name), (*list_engines(), AUTO))
        )
    return _ENGINES[name]


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
        engine: Name of the engine, as in ``list_engines()``, or ``auto`` for the fastest of them
            by trial; see ``hot_sdk.engines.auto``.

    Raises:
        UsageError: The engine is unknown.
        MissingDependencyError: The engine's library is not installed.
        EngineError: The file cannot be read or is unsafe, or the engine or the device refuses it.
    """
    opener = "hot_sdk.engines.auto:open_fastest" if engine == AUTO else engine_of(engine).opener
    module, function = opener.split(":")
    call = cast(
        Callable[[Path | bytes, SessionOptions], Session],
        getattr(importlib.import_module(module), function),
    )
    content = Path(model) if isinstance(model, str) else model
    return call(content, options if options is not None else SessionOptions())
