"""Import libraries without their telemetry: nothing that the SDK imports reports to anyone.

- ONNX Runtime 1.30 and newer looks up its maker's host, and keeps a device id and a database of
  events under ``~/.cache``; it reads its variable once, when it is imported.
- OpenVINO's package reports each import, unless the telemetry's package is absent.
- Ray reports the use of a cluster that it starts.

``silence`` runs when ``hot_sdk`` is imported, before any library, and child processes inherit its
variables; a variable that is set already is left as it is.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from types import ModuleType

ALLOW = "HOT_SDK_TELEMETRY"
"""The environment variable that, set to 1, leaves the libraries' telemetry as they ship it."""

VARIABLES = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}
"""The environment variables that turn telemetry off, and their values."""

_OPENVINO_TELEMETRY = "openvino_telemetry"

_lock = threading.Lock()


def silence() -> None:
    """Turn telemetry off in this process and its children, unless it is allowed."""
    if not is_allowed():
        for name, value in VARIABLES.items():
            os.environ.setdefault(name, value)


def import_quietly(module: str) -> ModuleType:
    """Import a library, or a module of it, without its telemetry.

    Args:
        module: Dotted name to import.

    Raises:
        ImportError: It cannot be imported.
        OSError: A shared library of it does not load.
    """
    silence()
    if module.partition(".")[0] != "openvino" or is_allowed():
        return importlib.import_module(module)
    with _lock:
        if "openvino" in sys.modules or _OPENVINO_TELEMETRY in sys.modules:
            return importlib.import_module(module)
        # Python raises ImportError for a module that is None, as if it were not installed.
        sys.modules[_OPENVINO_TELEMETRY] = None  # type: ignore[assignment]
        try:
            return importlib.import_module(module)
        finally:
            del sys.modules[_OPENVINO_TELEMETRY]


def is_allowed() -> bool:
    """Return whether the libraries may report as they please."""
    return os.environ.get(ALLOW) == "1"
