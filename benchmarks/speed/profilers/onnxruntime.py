"""Trace a model with ONNX Runtime's profiler: each node that it ran, with time and shapes.

ONNX Runtime is installed with the SDK on every machine, the package ``onnx`` is not; so the
profiler also serves to learn the shapes inside a graph.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.onnx_file import check_onnx
from hot_sdk.errors import EngineError

_SUFFIX = "_kernel_time"
_PROVIDER = "CPUExecutionProvider"
_BYTES = {
    "float": 4,
    "float16": 2,
    "bfloat16": 2,
    "double": 8,
    "int64": 8,
    "int32": 4,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}


@dataclass(frozen=True)
class Operand:
    """An input or output of a node, as it was in a run.

    Attributes:
        shape: Its shape.
        bytes: Its size.
    """

    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class NodeRun:
    """One run of one node.

    Attributes:
        name: Name of the node.
        operator: What it computes.
        taken_us: Microseconds that it took.
        inputs: Its inputs, weights included unless they were packed.
        outputs: Its outputs.
    """

    name: str
    operator: str
    taken_us: float
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]


@dataclass(frozen=True)
class Trace:
    """What the profiler reported.

    Attributes:
        nodes: Every run of every node, in order.
        run_us: Microseconds of each whole run of the model.
    """

    nodes: tuple[NodeRun, ...]
    run_us: tuple[float, ...]


def trace_runs(
    model: Path,
    arrays: Mapping[str, NDArray[Any]],
    *,
    runs: int,
    warm_up: int = 0,
    threads: int | None = None,
    as_written: bool = False,
) -> Trace:
    """Run a model under ONNX Runtime's profiler.

    Args:
        model: The file.
        arrays: Its inputs, by name.
        runs: Number of profiled runs.
        warm_up: Runs before them.
        threads: CPU threads; None leaves it to ONNX Runtime.
        as_written: Do not optimize the graph or pack weights, so that every node shows.

    Raises:
        EngineError: ONNX Runtime refuses the model, or writes no profile.
    """
    ort = importlib.import_module("onnxruntime")
    file = check_onnx(model)
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = threads or 0
    settings.enable_profiling = True
    if as_written:
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.add_session_config_entry("session.disable_prepacking", "1")
    with tempfile.TemporaryDirectory() as folder:
        settings.profile_file_prefix = str(Path(folder) / "profile")
        try:
            session = ort.InferenceSession(
                str(file.content), settings, providers=[_PROVIDER], enable_fallback=0
            )
            for _ in range(warm_up + runs):
                session.run(None, dict(arrays))
            written = Path(session.end_profiling())
        except Exception as error:  # ONNX Runtime's exceptions have no common base class.
            raise EngineError(
                f"ONNX Runtime cannot profile '{file.name}': {' '.join(str(error).split())}",
                hint="Remove --profile.",
            ) from error
        events = json.loads(written.read_text(encoding="utf-8"))
    return _read(events, warm_up)


def _read(events: list[dict[str, Any]], warm_up: int) -> Trace:
    whole = sorted(
        (event for event in events if event.get("name") == "model_run"), key=lambda one: one["ts"]
    )[warm_up:]
    first = whole[0]["ts"] if whole else 0
    nodes = [
        event
        for event in events
        if event.get("cat") == "Node"
        and event["name"].endswith(_SUFFIX)
        and event["ts"] >= first
        and "op_name" in event["args"]
    ]
    return Trace(
        tuple(_node(event) for event in sorted(nodes, key=lambda one: one["ts"])),
        tuple(float(event["dur"]) for event in whole),
    )


def _node(event: dict[str, Any]) -> NodeRun:
    about = event["args"]
    return NodeRun(
        name=event["name"].removesuffix(_SUFFIX),
        operator=about["op_name"],
        taken_us=float(event["dur"]),
        inputs=_operands(about.get("input_type_shape", [])),
        outputs=_operands(about.get("output_type_shape", [])),
    )


def _operands(listed: list[dict[str, list[int]]]) -> tuple[Operand, ...]:
    found = []
    for entry in listed:
        for kind, shape in entry.items():
            size = int(np.prod(shape, dtype=np.int64)) * _BYTES.get(kind, 4)
            found.append(Operand(tuple(shape), size))
    return tuple(found)
