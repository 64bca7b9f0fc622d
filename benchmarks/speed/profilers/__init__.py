"""Where the time goes inside a model, by block of the network, by operator and by node."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.speed.messages import WorkerTask
from hot_sdk.benchmarks.speed.profilers.onnxruntime import NodeRun, Trace, trace_runs
from hot_sdk.benchmarks.speed.profilers.openvino import trace_openvino
from hot_sdk.engines.onnx_file import check_onnx, read_signature
from hot_sdk.errors import EngineError

BLOCKS = ("embedding", "spatial", "temporal", "prune", "recover", "head")

_LONGEST_LIST = 12
_WARM_UP = 2

_SILENT: Mapping[str, str] = {
    "tensorrt": "TensorRT compiles whole stretches of blocks into one region and times it as one;"
    " nsys profile shows the kernels in it",
}
"""Why an engine reports no blocks."""

# The first that fits counts, over the module paths of all families.
_RULES: tuple[tuple[str, str], ...] = (
    (r"^selectors", "prune"),
    (r"^(cross_attention|interpolation|guess_trust)", "recover"),
    (r"^((spread_)?head|regression|fc|fcn\w*|rep_logit|pre_logits)(\.|$)", "head"),
    (r"(^|\.)(\w*patch_(to_)?embed\w*|joints_embed|embedding_\d|stem)", "embedding"),
    # MotionBERT and MotionAGFormer hold both in one block.
    (r"^blocks_\w+\.\d+\.\w+_s(\.|$)|(att|graph)_spatial", "spatial"),
    (r"^blocks_\w+\.\d+\.\w+_t(\.|$)|(att|graph)_temporal", "temporal"),
    (r"^(STEblocks|Spatial_norm|Hiremixer|Transformer\.|Transformer_encoder|norm_\d)", "spatial"),
    (r"^(TTEblocks|Temporal_norm|tem_Transformer|Transformer_hypothesis)", "temporal"),
)


@dataclass(frozen=True)
class Share:
    """A part of the time.

    Attributes:
        name: Name of the block, the operator or the node.
        ms: Median over the runs.
        share: Share of all nodes' time, over all runs.
    """

    name: str
    ms: float
    share: float


@dataclass(frozen=True)
class Profile:
    """Where the time of one run of the engine goes.

    Attributes:
        problem: Why the engine reports none; else empty.
        runs: Profiled runs.
        blocks: Those of ``BLOCKS`` that the model has.
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


def profile_model(task: WorkerTask, runs: int) -> Profile:
    """Profile a model in its engine.

    Returns:
        A profile with a ``problem`` if the engine has no profiler here.

    Raises:
        EngineError: The engine refuses the model.
    """
    engine, device = task.engine, task.device
    if task.model is None or engine not in ("onnxruntime", "openvino"):
        what = task.baseline or engine
        return _without(_SILENT.get(what, f"{what} does not report the time of its nodes"))
    file, zeros, threads = task.file, _zeros(task), task.threads
    if engine == "openvino":
        trace = trace_openvino(
            file, zeros, runs=runs, warm_up=_WARM_UP, device=device, threads=threads
        )
    elif device == "cpu":
        trace = trace_runs(file, zeros, runs=runs, warm_up=_WARM_UP, threads=threads)
    else:
        # Kernels of a GPU run behind the CPU's back; all it would see are their launches.
        return _without(f"ONNX Runtime times its nodes on the CPU, not on {device}")
    if not trace.nodes or not trace.run_us:
        raise EngineError(f"The profile of {engine} is empty.", hint="Remove --profile.")
    return _profile_of(trace, runs)


def _zeros(task: WorkerTask) -> dict[str, NDArray[Any]]:
    return {
        spec.name: np.zeros(
            [size if isinstance(size, int) else task.batch for size in spec.shape],
            dtype=spec.dtype,
        )
        for spec in read_signature(check_onnx(task.file)).inputs
    }


def _without(problem: str) -> Profile:
    return Profile(problem, 0, (), (), (), 0.0, 0.0)


def _profile_of(trace: Trace, runs: int) -> Profile:
    traced = len(trace.run_us)
    each = len(trace.nodes) // traced
    by_run = [trace.nodes[number * each : (number + 1) * each] for number in range(traced)]
    total = [sum(node.taken_us for node in nodes) for nodes in by_run]

    def shares(names_of: Callable[[tuple[NodeRun, ...]], Iterable[str]]) -> dict[str, Share]:
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * traced)
        for number, nodes in enumerate(by_run):
            for name, node in zip(names_of(nodes), nodes, strict=True):
                sums[name][number] += node.taken_us
        return {
            name: Share(name, float(np.median(times)) / 1e3, sum(times) / sum(total))
            for name, times in sums.items()
        }

    blocks = shares(lambda nodes: blocks_of(node.name for node in nodes))
    return Profile(
        problem="",
        runs=runs,
        blocks=tuple(blocks[name] for name in BLOCKS if name in blocks),
        operators=_largest(shares(lambda nodes: (node.operator for node in nodes))),
        nodes=_largest(shares(lambda nodes: (node.name for node in nodes))),
        nodes_ms=float(np.median(total)) / 1e3,
        run_ms=float(np.median(trace.run_us)) / 1e3,
    )


def _largest(shares: Mapping[str, Share]) -> tuple[Share, ...]:
    return tuple(sorted(shares.values(), key=lambda one: -one.ms)[:_LONGEST_LIST])


def block_of(name: str) -> str | None:
    """Return the block of a node; None if its name does not show one.

    ``hot-export`` names nodes ``module path/operation``.
    """
    path, slash, _ = name.partition("/")
    if not slash:
        return None
    return next((block for pattern, block in _RULES if re.search(pattern, path)), None)


def blocks_of(names: Iterable[str]) -> list[str]:
    """Return the block of each node, in the order in which they run.

    What is outside of any module, and what an engine made itself, belongs to what comes before.
    """
    found: list[str] = []
    current = "embedding"
    for name in names:
        current = block_of(name) or current
        found.append(current)
    return found
