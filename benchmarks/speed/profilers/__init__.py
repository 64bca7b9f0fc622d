"""Where the time goes inside a model, by block and by operator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.speed.messages import Assignment
from hot_sdk.benchmarks.speed.profilers.blocks import BLOCKS, blocks_of
from hot_sdk.benchmarks.speed.profilers.onnxruntime import NodeRun, Trace, trace_runs
from hot_sdk.benchmarks.speed.profilers.openvino import trace_openvino
from hot_sdk.engines.onnx_file import check_onnx, read_signature
from hot_sdk.errors import EngineError

_LONGEST_LIST = 12
_WARM_UP = 2


@dataclass(frozen=True)
class Share:
    """A part of the time.

    Attributes:
        name: Of the block, the operator or the node.
        ms: Median over the runs.
        share: Of all nodes' time, over all runs.
    """

    name: str
    ms: float
    share: float


@dataclass(frozen=True)
class Profile:
    """Where the time of one run of the engine goes.

    Attributes:
        problem: Why the engine does not tell; empty where it does.
        runs: Runs that were looked at.
        blocks: Embedding, spatial, temporal, prune, recover and head, as far as the model has
            them.
        operators: The operators that take most.
        nodes: The nodes that take most.
        nodes_ms: All nodes together.
        run_ms: The whole run under the profiler, which slows it down.
    """

    problem: str
    runs: int
    blocks: tuple[Share, ...]
    operators: tuple[Share, ...]
    nodes: tuple[Share, ...]
    nodes_ms: float
    run_ms: float


def profile_model(assignment: Assignment, runs: int) -> Profile:
    """Profile a model in its engine.

    Args:
        assignment: What to profile.
        runs: Runs to look at.

    Returns:
        A profile with a ``problem`` where the engine has no profiler here.

    Raises:
        EngineError: The engine refuses the model.
    """
    profiler = _PROFILERS.get(assignment.engine)
    if assignment.model is None or profiler is None:
        what = assignment.baseline or assignment.engine
        why = _SILENT.get(what, f"{what} does not report the time of its nodes")
        return _without(why)
    return profiler(assignment, runs)


def _of_onnxruntime(assignment: Assignment, runs: int) -> Profile:
    if assignment.device != "cpu":
        # Kernels of a GPU run behind the CPU's back, and their launches are all that it would see.
        return _without(f"ONNX Runtime times its nodes on the CPU, not on {assignment.device}")
    trace = trace_runs(
        assignment.file,
        _zeros(assignment),
        runs=runs,
        warm_up=_WARM_UP,
        threads=assignment.threads,
    )
    return _profile_of(trace, "ONNX Runtime")


def _of_openvino(assignment: Assignment, runs: int) -> Profile:
    trace = trace_openvino(
        assignment.file,
        _zeros(assignment),
        runs=runs,
        warm_up=_WARM_UP,
        device=assignment.device,
        threads=assignment.threads,
    )
    # One run stands for all.
    return replace(_profile_of(trace, "OpenVINO"), runs=runs)


def _zeros(assignment: Assignment) -> dict[str, NDArray[Any]]:
    return {
        spec.name: np.zeros(
            [size if isinstance(size, int) else assignment.batch for size in spec.shape],
            dtype=spec.dtype,
        )
        for spec in read_signature(check_onnx(assignment.file)).inputs
    }


def _profile_of(trace: Trace, engine: str) -> Profile:
    if not trace.nodes or not trace.run_us:
        raise EngineError(f"{engine}'s profile is empty.", hint="Leave --profile out.")
    return profile_of(trace.nodes, trace.run_us)


def profile_of(nodes: tuple[NodeRun, ...], run_us: tuple[float, ...]) -> Profile:
    """A profile from the runs of all nodes.

    Args:
        nodes: Those of all runs, in order.
        run_us: Each whole run.
    """
    runs = len(run_us)
    each = len(nodes) // runs
    by_run = [nodes[number * each : (number + 1) * each] for number in range(runs)]
    blocks = [blocks_of(node.name for node in one) for one in by_run]
    total = [sum(node.taken_us for node in one) for one in by_run]

    def shares(named: Callable[[int, int], str]) -> dict[str, Share]:
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * runs)
        for number, one in enumerate(by_run):
            for place, node in enumerate(one):
                sums[named(number, place)][number] += node.taken_us
        return {
            name: Share(
                name,
                float(np.median(times)) / 1e3,
                sum(times) / sum(total),
            )
            for name, times in sums.items()
        }

    of_blocks = shares(lambda number, place: blocks[number][place])
    return Profile(
        problem="",
        runs=runs,
        blocks=tuple(of_blocks[name] for name in BLOCKS if name in of_blocks),
        operators=_largest(shares(lambda number, place: by_run[number][place].operator)),
        nodes=_largest(shares(lambda number, place: by_run[number][place].name)),
        nodes_ms=float(np.median(total)) / 1e3,
        run_ms=float(np.median(run_us)) / 1e3,
    )


def _largest(shares: Mapping[str, Share]) -> tuple[Share, ...]:
    return tuple(sorted(shares.values(), key=lambda one: -one.ms)[:_LONGEST_LIST])


def _without(problem: str) -> Profile:
    return Profile(problem, 0, (), (), (), 0.0, 0.0)


_PROFILERS: Mapping[str, Callable[[Assignment, int], Profile]] = {
    "onnxruntime": _of_onnxruntime,
    "openvino": _of_openvino,
}
"""By engine. A profiler takes an assignment and a number of runs."""

_SILENT: Mapping[str, str] = {
    "tensorrt": "TensorRT compiles whole stretches of blocks into one region and times it as one;"
    " nsys profile shows the kernels in it",
}
"""Why an engine tells nothing of blocks."""
