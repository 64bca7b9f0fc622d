"""The child process in which one configuration is measured.

A separate process shows what memory the configuration takes, keeps its threads from another's,
and may crash without losing the others' figures. It reads one JSON object on each line of standard
input and answers with one on standard output; it ends with its input.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from hot_sdk._base import records
from hot_sdk.benchmarks.speed.messages import Batch, ModelInfo, WorkerReady, WorkerTask
from hot_sdk.engines import list_engines
from hot_sdk.engines.registry import ONNX, model_format
from hot_sdk.errors import HotSDKError, UsageError

_KIB_PER_MIB = 1 << 10

_SETTLE_S = 0.05
"""Wait before each turn: threads of ONNX Runtime, those of the process before and of other sessions
in this one, go on looking for work for 10 to 30 ms of CPU time after a run."""

_LEAD_IN_BELOW_S = 0.05
"""A run that is shorter gets an uncounted one at the start of each turn: another process ran
meanwhile, and its data is in the caches."""


class Worker:
    """Answers questions about one model."""

    def __init__(self) -> None:
        self._task: WorkerTask | None = None
        self._info: ModelInfo | None = None
        self._runs: dict[str, Any] = {}
        self._mean_run_s: dict[str, float] = {}
        self._stages_of: Callable[[], dict[str, Any]] | None = None
        self._actions: dict[str, Callable[..., dict[str, Any]]] = {
            "open": self._open,
            "measure": self._measure,
            "memory": self._memory,
            "ceilings": self._open_ceilings,
            "stages": self._stages,
            "graph": self._graph_cost,
            "profile": self._profile,
        }

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer one question.

        Raises:
            HotSDKError: It cannot be done.
        """
        action = question.pop("do")
        if action not in self._actions:
            raise UsageError(f"Unknown question '{action}'.", hint="Report it.")
        return self._actions[action](**question)

    def _open(self, task: dict[str, Any], spawned: float) -> dict[str, Any]:
        from hot_sdk.benchmarks.speed.worker.served_model import open_served_model

        self._task = records.build(WorkerTask, task)
        base = memory_mib("VmRSS")
        if self._task.baseline is None:
            model = open_served_model(self._task)
        else:
            from hot_sdk.benchmarks.speed.worker.baselines import open_baseline

            model = open_baseline(self._task)
        whole, first = next(iter(model.runs.values()))()
        startup = time.monotonic() - spawned - model.measuring_seconds
        loaded = memory_mib("VmRSS")
        self._info, self._runs = model.info, dict(model.runs)
        self._stages_of = model.stages
        self._mean_run_s = dict.fromkeys(self._runs, whole)
        ready = WorkerReady(
            **vars(model.info),
            measures=tuple(name for name in model.runs if name in self._task.measures)
            or tuple(model.runs)[:1],
            startup_ms=1e3 * startup,
            # A push does not say how long the engine took.
            first_inference_ms=1e3 * (whole if math.isnan(first) else first),
            base_mib=base,
            loaded_mib=loaded,
            peak_mib=memory_mib("VmHWM"),
        )
        return dataclasses.asdict(ready)

    def _measure(self, measure: str, seconds: float, group: int, most: int) -> dict[str, Any]:
        """Run one measure for a while, in whole groups of runs, at least one."""
        run = self._runs[measure]
        time.sleep(_SETTLE_S)
        if self._mean_run_s.get(measure, 0.0) < _LEAD_IN_BELOW_S:
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
        self._mean_run_s[measure] = sum(total) / len(total)
        return dataclasses.asdict(Batch(start, end, tuple(total), tuple(engine)))

    def _memory(self) -> dict[str, Any]:
        return {"peak_mib": memory_mib("VmHWM")}

    def _open_ceilings(self, products: list[dict[str, Any]]) -> dict[str, Any]:
        from hot_sdk.benchmarks.speed.profilers.onnxruntime import Product
        from hot_sdk.benchmarks.speed.worker.ceilings import open_ceilings

        assert self._info is not None
        listed = [records.build(Product, one) for one in products]
        opened = open_ceilings(self._task_in_use(), self._info.precision, listed)
        self._runs |= opened.runs
        shapes = [dataclasses.asdict(one) for one in opened.shapes]
        return {"problems": opened.problems, "work": opened.work, "shapes": shapes}

    def _stages(self) -> dict[str, Any]:
        return {} if self._stages_of is None else self._stages_of()

    def _graph_cost(self) -> dict[str, Any]:
        from hot_sdk.benchmarks.speed.profilers.onnxruntime import cost_of_file

        file = self._task_in_use().file
        if model_format(file) != ONNX:
            raise UsageError(f"'{file.name}' holds weights and no graph.", hint="Export to ONNX.")
        return dataclasses.asdict(cost_of_file(file))

    def _profile(self, runs: int) -> dict[str, Any]:
        from hot_sdk.benchmarks.speed.profilers import profile_model

        return dataclasses.asdict(profile_model(self._task_in_use(), runs))

    def _task_in_use(self) -> WorkerTask:
        """Return the task with the engine and the device that are really in use."""
        assert self._task is not None
        assert self._info is not None
        engine = self._info.engine
        if engine not in list_engines():
            engine = self._task.engine
        return dataclasses.replace(self._task, engine=engine, device=self._info.device)


def memory_mib(field: str) -> float | None:
    """Return the resident memory of this process as Linux counts it; None on other systems.

    Args:
        field: ``VmRSS`` for what it is now, ``VmHWM`` for the most so far.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    match = re.search(rf"^{field}:\s+(\d+) kB", status.read_text(encoding="utf-8"), re.M)
    return None if match is None else int(match[1]) / _KIB_PER_MIB


def serve(questions: TextIO, answers: TextIO) -> None:
    """Answer until the input ends."""
    worker = Worker()
    for line in questions:
        try:
            answer = worker.answer(json.loads(line))
        except HotSDKError as error:
            answer = {"error": [type(error).__name__, error.message, error.hint]}
        except Exception as error:  # Sent through the pipe; the parent raises it again.
            text = " ".join(f"{type(error).__name__}: {error}".split())
            answer = {"error": ["EngineError", f"The measurement failed: {text}.", "Report it."]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
