"""What TensorRT says while it works, passed on to ``logging`` and kept for error messages."""

from __future__ import annotations

import logging
import time
from types import ModuleType
from typing import Any

_LONGEST = 600
_SECONDS_BETWEEN_STEPS = 5.0

_logger = logging.getLogger("hot_sdk.engines.tensorrt")


def create_log(trt: ModuleType) -> Any:  # noqa: ANN401
    """A logger for TensorRT's objects, which must live as long as they do.

    Its ``last_errors()`` gives, in one line, what was said at error level since the last call;
    ``interrupted`` whether Ctrl-C came meanwhile.
    """
    grave = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)
    # Errors come back in the exception; what TensorRT calls information is said for every layer.
    levels = {trt.ILogger.Severity.WARNING: logging.INFO}

    class Log(trt.ILogger):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []
            self.interrupted = False

        def log(self, severity: Any, msg: str) -> None:  # noqa: ANN401
            # An exception must not cross TensorRT's own code, so it is noted and raised later.
            try:
                text = " ".join(msg.split())
                if severity in grave:
                    self._errors.append(text)
                _logger.log(levels.get(severity, logging.DEBUG), "TensorRT: %s", text)
            except KeyboardInterrupt:
                self.interrupted = True

        def last_errors(self) -> str:
            errors, self._errors = self._errors, []
            return " ".join(errors)[:_LONGEST] or "it does not say why"

    return Log()


def create_monitor(trt: ModuleType) -> Any:  # noqa: ANN401
    """A progress monitor, which logs each phase and, every few seconds, how far it is.

    Ctrl-C ends the build; ``interrupted`` says so.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupted = False
            self._start = self._said = time.monotonic()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            if not parent_phase:
                self._say(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                if time.monotonic() - self._said >= _SECONDS_BETWEEN_STEPS:
                    self._say(f"{phase_name}, {step + 1} of {self._steps.get(phase_name, '?')}")
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def _say(self, text: str) -> None:
            self._said = time.monotonic()
            _logger.info("Building: %s (%.0f s so far)", text, self._said - self._start)

    return Monitor()
