"""The child process in which one configuration is measured.

A process of its own shows what memory the configuration takes, keeps its threads from another's,
and may crash without taking the others' figures along. It reads one JSON object on each line of
standard input and answers with one on standard output; it ends with its input.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from hot_sdk._base import records
from hot_sdk.benchmarks.speed.messages import Assignment, Opened, Turn
from hot_sdk.engines import list_engines
from hot_sdk.engines.registry import ONNX, format_of
from hot_sdk.errors import HotSDKError, UsageError

_MIB = 1 << 10
"""Of the kilobytes that the kernel counts in."""

_LEAD_IN_BELOW_S = 0.05
"""A run that is shorter gets an uncounted one at the start of each turn: another process ran
meanwhile, and its data is in the caches."""


class Worker:
    """Answers questions about one subject."""

    def __init__(self) -> None:
        self._subject: Any = None
        self._runs: dict[str, Any] = {}
        self._assignment: Assignment | None = None
        self._usual: dict[str, float] = {}

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer one question.

        Raises:
            HotSDKError: It cannot be done.
        """
        action = question.pop("do")
        if action == "open":
            return dataclasses.asdict(self._open(question))
        if action == "turn":
            return dataclasses.asdict(self._turn(**question))
        if action == "memory":
            return {"peak_mib": memory_mib("VmHWM")}
        if action == "yardsticks":
            return self._add_yardsticks(**question)
        if action == "graph":
            return self._graph()
        if action == "profile":
            return self._profile(**question)
        raise UsageError(f"Unknown question '{action}'.", hint="Report it.")

    def _open(self, question: dict[str, Any]) -> Opened:
        from hot_sdk.benchmarks.speed.worker.subject import open_subject

        assignment = records.build(Assignment, question)
        base = memory_mib("VmRSS")
        subject = open_subject(assignment)
        whole, first = next(iter(subject.runs.values()))()
        startup = time.monotonic() - assignment.spawned - subject.measuring_seconds
        loaded = memory_mib("VmRSS")
        self._subject, self._assignment = subject, assignment
        self._runs = dict(subject.runs)
        self._usual = dict.fromkeys(self._runs, whole)
        streaming = subject.streaming
        return Opened(
            engine=subject.engine,
            engine_version=subject.engine_version,
            device=subject.device,
            precision=subject.precision,
            measures=tuple(self._runs),
            windows=subject.windows,
            frames=subject.frames,
            hop=None if streaming is None else streaming.hop,
            lookahead=None if streaming is None else streaming.lookahead,
            startup_ms=1e3 * startup,
            load_ms=1e3 * subject.load_seconds,
            build_ms=None if subject.build_seconds is None else 1e3 * subject.build_seconds,
            first_inference_ms=1e3 * first,
            base_mib=base,
            loaded_mib=loaded,
            peak_mib=memory_mib("VmHWM"),
        )

    def _turn(self, measure: str, seconds: float, group: int, most: int) -> Turn:
        """Run one measure for a while, in whole groups of runs, at least one."""
        run = self._runs[measure]
        if self._usual.get(measure, 0.0) < _LEAD_IN_BELOW_S:
            for _ in range(group):
                run()
        total: list[float] = []
        engine: list[float] = []
        start = time.monotonic()
        while True:
            for _ in range(group):
                taken, inside = run()
                total.append(taken)
                if not math.isnan(inside):
                    engine.append(inside)
            end = time.monotonic()
            if end - start >= seconds or len(total) >= most:
                break
        self._usual[measure] = sum(total) / len(total)
        return Turn(start, end, tuple(total), tuple(engine))

    def _add_yardsticks(self, shape: list[int] | None) -> dict[str, Any]:
        from hot_sdk.benchmarks.speed.worker.ceilings import open_yardsticks

        opened = open_yardsticks(self._chosen(), self._subject.precision, shape)
        self._runs |= opened.runs
        return {"problems": opened.problems, "work": opened.work}

    def _graph(self) -> dict[str, Any]:
        from hot_sdk.benchmarks.speed.profilers.graph_cost import cost_of_file

        file = self._chosen().file
        if format_of(file) != ONNX:
            raise UsageError(f"'{file.name}' holds weights and no graph.", hint="Export to ONNX.")
        return dataclasses.asdict(cost_of_file(file))

    def _profile(self, runs: int) -> dict[str, Any]:
        from hot_sdk.benchmarks.speed.profilers import profile_model

        return dataclasses.asdict(profile_model(self._chosen(), runs))

    def _chosen(self) -> Assignment:
        """The assignment with the engine and the device that are really in use."""
        assert self._assignment is not None
        engine = self._subject.engine
        if engine not in list_engines():
            engine = self._assignment.engine
        return dataclasses.replace(self._assignment, engine=engine, device=self._subject.device)


def memory_mib(field: str) -> float | None:
    """Resident memory of this process as Linux counts it; None on other systems.

    Args:
        field: ``VmRSS`` for what it is now, ``VmHWM`` for the most so far.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    match = re.search(rf"^{field}:\s+(\d+) kB", status.read_text(encoding="utf-8"), re.M)
    return None if match is None else int(match[1]) / _MIB


def serve(questions: TextIO, answers: TextIO) -> None:
    """Answer until the input ends."""
    worker = Worker()
    for line in questions:
        try:
            answer = worker.answer(json.loads(line))
        except HotSDKError as error:
            answer = {"error": [type(error).__name__, error.message, error.hint]}
        except Exception as error:  # Told through the pipe; the parent raises it again.
            text = " ".join(f"{type(error).__name__}: {error}".split())
            answer = {"error": ["EngineError", f"The measurement failed: {text}.", "Report it."]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
