"""What a self-test does in a child process: one check, whose crash is a finding of the parent's.

``main`` prints one JSON object as its last line: ``{"figures": ...}`` or ``{"found": ...}``, with
``"problems"``, or ``{"not run": reason}``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hot_sdk.doctor.self_test.life import (
    daemon_at_exit,
    interrupted_build,
    left_open,
    memory_returned,
    threads,
)
from hot_sdk.doctor.self_test.live import live
from hot_sdk.doctor.self_test.models import gpu, onnxruntime, tensorrt
from hot_sdk.errors import EngineError, HotSDKError, MissingDependencyError

CHECKS: dict[str, Callable[..., dict[str, Any]]] = {
    check.__name__: check
    for check in (
        gpu,
        onnxruntime,
        tensorrt,
        live,
        threads,
        left_open,
        daemon_at_exit,
        interrupted_build,
        memory_returned,
    )
}
"""Checks by name. The arguments are texts: the file of a model, a folder for plans, a device."""


def main() -> None:
    """Run the check that the arguments name."""
    name, *arguments = sys.argv[1:]
    try:
        answer = CHECKS[name](*map(Path, arguments))
    except MissingDependencyError as error:
        answer = {"not run": error.message}
    except EngineError as error:
        # Without a device nothing of an engine can be checked; what it refuses later is a finding.
        key = "not run" if name == "gpu" else "error"
        answer = {key: error.message}
    except HotSDKError as error:
        answer = {"error": error.message}
    except Exception as error:  # Reported, without a traceback; the status reports a crash.
        answer = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
    sys.stdout.flush()
