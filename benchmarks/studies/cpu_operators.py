"""Measure what ONNX Runtime's fused operators and settings would gain on one thread of this CPU.

    python benchmarks/studies/cpu_operators.py --markdown

Each is compared with what the exported files have in its place, at the sizes of the starter's first
blocks, or, for settings of a session, with the starter's whole window; in processor time of runs in
turn. What pays belongs into ``hot_sdk.engines.onnxruntime``.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from cpu_ratios import one_thread, open_plain, ratios_of
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_table
from hot_sdk.starter import starter_model

FRAMES, JOINTS, HEADS, WIDTH = 81, 17, 4, 24
ROWS, COLUMNS = FRAMES * JOINTS, HEADS * WIDTH
# So many of one operator in a graph that a run's own cost does not count.
_COPIES = 8
_FUSED = "com.microsoft"
_SETTINGS = {
    "denormal numbers as 0": ("session.set_denormal_as_zero", "1"),
    "no weights packed before": ("session.disable_prepacking", "1"),
    "the approximation of GELU": ("optimization.enable_gelu_approximation", "1"),
}
_SWITCHES = {
    "no arena": {"enable_cpu_mem_arena": False},
    "no memory pattern": {"enable_mem_pattern": False},
    "optimizations of level extended": {
        "graph_optimization_level": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    },
}

Nodes = list[NodeProto]
Write = Callable[[str], Nodes]


def _node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:  # noqa: ANN401
    return helper.make_node(operator, inputs, [output], **attributes)


def _sum_and_norm(y: str) -> Nodes:
    norm = _node("LayerNormalization", [f"{y}_sum", "gain", "bias"], y, epsilon=1e-6)
    return [_node("Add", ["x", "skip"], f"{y}_sum"), norm]


def _skip_norm(y: str) -> Nodes:
    fused = "SkipLayerNormalization"
    inputs, outputs = ["x", "skip", "gain", "bias"], [y, "", "", f"{y}_sum"]
    return [helper.make_node(fused, inputs, outputs, domain=_FUSED, epsilon=1e-6)]


def _norm(y: str) -> Nodes:
    return [_node("LayerNormalization", ["x", "gain", "bias"], y, epsilon=1e-6)]


def _instance_norm(y: str) -> Nodes:
    return [
        _node("Reshape", ["x", "as_one"], f"{y}_one"),
        _node("InstanceNormalization", [f"{y}_one", "ones", "zeros"], y, epsilon=1e-6),
    ]


def _gelu(y: str, **attributes: str) -> Nodes:
    return [_node("Gelu", ["x"], y, **attributes)]


def _heads(y: str, axes: Sequence[int], shape: str) -> Nodes:
    return [
        _node("Reshape", ["x", "by_head"], f"{y}_split"),
        _node("Transpose", [f"{y}_split"], f"{y}_turned", perm=axes),
        _node("Reshape", [f"{y}_turned", shape], y),
    ]


def _attention(y: str, *, frames: bool) -> Nodes:
    rows, columns = (
        ((0, 2, 3, 1, 4), (0, 2, 3, 4, 1)) if frames else ((0, 1, 3, 2, 4), (0, 1, 3, 4, 2))
    )
    kind = "frames" if frames else "joints"
    return [
        *_heads(f"{y}_q", rows, f"{kind}_rows"),
        *_heads(f"{y}_k", columns, f"{kind}_columns"),
        *_heads(f"{y}_v", rows, f"{kind}_rows"),
        _node("MatMul", [f"{y}_q", f"{y}_k"], f"{y}_logits"),
        _node("Softmax", [f"{y}_logits"], f"{y}_weights", axis=-1),
        _node("MatMul", [f"{y}_weights", f"{y}_v"], f"{y}_mixed"),
        _node("Transpose", [f"{y}_mixed"], f"{y}_back", perm=(0, 2, 1, 3)),
        _node("Reshape", [f"{y}_back", "matrix"], y),
    ]


def _fused_attention(y: str, *, frames: bool) -> Nodes:
    made: Nodes = []
    names = [f"{y}_{name}" for name in "qkv"]
    for name in names:
        if frames:
            made.append(_node("Reshape", ["x", "tokens"], f"{name}_tokens"))
            made.append(_node("Transpose", [f"{name}_tokens"], f"{name}_turned", perm=(0, 2, 1, 3)))
            made.append(_node("Reshape", [f"{name}_turned", "of_joints"], name))
        else:
            made.append(_node("Reshape", ["x", "of_frames"], name))
    fused = {"domain": _FUSED, "num_heads": HEADS, "scale": 1.0}
    made.append(_node("MultiHeadAttention", names, f"{y}_mixed", **fused))
    back = f"{y}_mixed"
    if frames:
        made.append(_node("Reshape", [back, "joints_first"], f"{y}_joints"))
        made.append(_node("Transpose", [f"{y}_joints"], f"{y}_back", perm=(0, 2, 1, 3)))
        back = f"{y}_back"
    made.append(_node("Reshape", [back, "matrix"], y))
    return made


PAIRS: Mapping[str, tuple[Write, Write]] = {
    "SkipLayerNormalization, for Add and LayerNormalization": (_sum_and_norm, _skip_norm),
    "InstanceNormalization, for LayerNormalization": (_norm, _instance_norm),
    "GELU by tanh, for GELU": (_gelu, functools.partial(_gelu, approximate="tanh")),
    "MultiHeadAttention over joints, for its nodes": (
        functools.partial(_attention, frames=False),
        functools.partial(_fused_attention, frames=False),
    ),
    "MultiHeadAttention over frames, for its nodes": (
        functools.partial(_attention, frames=True),
        functools.partial(_fused_attention, frames=True),
    ),
}
"""What the files have, and what could stand in its place."""


def constants() -> dict[str, NDArray[Any]]:
    """Return what the nodes read besides their input."""
    shapes = {
        "as_one": (1, ROWS, COLUMNS),
        "by_head": (-1, FRAMES, JOINTS, HEADS, WIDTH),
        "joints_rows": (-1, HEADS, JOINTS, WIDTH),
        "joints_columns": (-1, HEADS, WIDTH, JOINTS),
        "frames_rows": (-1, JOINTS * HEADS, FRAMES, WIDTH),
        "frames_columns": (-1, JOINTS * HEADS, WIDTH, FRAMES),
        "tokens": (-1, FRAMES, JOINTS, COLUMNS),
        "joints_first": (-1, JOINTS, FRAMES, COLUMNS),
        "of_frames": (-1, JOINTS, COLUMNS),
        "of_joints": (-1, FRAMES, COLUMNS),
        "matrix": (-1, COLUMNS),
    }
    values: dict[str, NDArray[Any]] = {
        name: np.array(shape, np.int64) for name, shape in shapes.items()
    }
    for name, length in (("gain", COLUMNS), ("ones", ROWS)):
        values[name] = np.ones(length, np.float32)
    for name, length in (("bias", COLUMNS), ("zeros", ROWS)):
        values[name] = np.zeros(length, np.float32)
    return values


def open_copies(write: Write) -> onnxruntime.InferenceSession:
    """Return a session of several copies, of which the last is the output."""
    nodes = [node for copy in range(_COPIES) for node in write(f"y{copy}")]
    read = {name for node in nodes for name in node.input}
    kept = [numpy_helper.from_array(v, name) for name, v in constants().items() if name in read]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (ROWS, COLUMNS))
        for name in ("x", "skip")
    ]
    output = helper.make_tensor_value_info(f"y{_COPIES - 1}", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(_FUSED, 1)]
    graph = helper.make_graph(nodes, "copies", inputs, [output], kept)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    settings = one_thread()
    # The copies would be found to be equal.
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return open_plain(model.SerializeToString(), settings)


def operators(rounds: int) -> Table:
    """Compare each pair of operators."""
    random = np.random.default_rng(0)
    arrays = {
        name: random.standard_normal((ROWS, COLUMNS)).astype(np.float32) for name in ("x", "skip")
    }
    rows = []
    for name, pair in PAIRS.items():
        before, after = (open_copies(write) for write in pair)
        runs = {
            "before": functools.partial(before.run, None, arrays),
            "after": functools.partial(after.run, None, arrays),
        }
        rows.append((name, ratios_of(runs, rounds).rows[1][-1]))
    return Table(f"operators, {rounds} rounds", ("in place of", "speed (95 %)"), tuple(rows))


def settings(rounds: int) -> Table:
    """Compare settings of a session of the starter with the defaults."""
    path = str(starter_model())
    sessions = {"defaults": open_plain(path, one_thread())}
    for name, entry in _SETTINGS.items():
        changed = one_thread()
        changed.add_session_config_entry(*entry)
        sessions[name] = open_plain(path, changed)
    for name, switches in _SWITCHES.items():
        changed = one_thread()
        for switch, value in switches.items():
            setattr(changed, switch, value)
        sessions[name] = open_plain(path, changed)
    random = np.random.default_rng(0)
    arrays = {
        value.name: random.uniform(-0.5, 0.5, value.shape).astype(np.float32)
        for value in sessions["defaults"].get_inputs()
    }
    runs = {name: functools.partial(each.run, None, arrays) for name, each in sessions.items()}
    rows = tuple((name, ratio) for name, _, ratio in ratios_of(runs, rounds).rows)
    return Table(f"settings, {rounds} rounds", ("a session with", "speed (95 %)"), rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("cpu_operators", arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog="cpu_operators", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=30, help="runs of each (default: 30)")
    add("--markdown", action="store_true", help="print the tables for a page")
    parser.add_shared_arguments()
    options: argparse.Namespace = parser.parse(arguments)
    for made in (operators(options.rounds), settings(options.rounds)):
        print_table(made, markdown=options.markdown)


if __name__ == "__main__":
    sys.exit(main())
