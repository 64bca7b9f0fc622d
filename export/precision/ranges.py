"""Measure how large the activations of a graph get, in no more memory than a run of it takes.

Only two numbers of each tensor leave the engine, and they are taken as soon as the tensor is made:
an engine that is left to choose takes them last, and keeps every activation until then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from hot_sdk._base.quiet_imports import import_quietly
from hot_sdk.engines.session import Arrays
from hot_sdk.errors import GraphCheckError
from hot_sdk.export.steps import Count, uncounted

_EXTREMES = ("ReduceMin", "ReduceMax")


def largest_magnitudes(
    model: onnx.ModelProto,
    names: Collection[str],
    batches: Sequence[Arrays],
    *,
    count: Count = uncounted,
) -> dict[str, np.float32]:
    """Return the largest absolute value of tensors over all batches.

    Args:
        model: In float32.
        names: Inputs of the model or outputs of its nodes.
        batches: Inputs of the model, one or more; each is read before the next is asked for.
        count: Called with the batches that are done, and their total.

    Raises:
        GraphCheckError: A tensor is infinite somewhere.
    """
    ort = import_quietly("onnxruntime")
    options = ort.SessionOptions()
    # As the nodes stand in the file, and unfused: fused nodes hide the tensors between them.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    # The arena keeps what it once held.
    options.enable_cpu_mem_arena = False
    measuring = _measuring(model, names)
    session = ort.InferenceSession(
        measuring.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs = [value.name for value in measuring.graph.output]
    largest: NDArray[np.float32] = np.zeros(len(outputs), np.float32)
    for done, batch in enumerate(batches):
        count(done, len(batches))
        largest = np.maximum(largest, np.abs(np.array(session.run(outputs, batch), np.float32)))
    count(len(batches), len(batches))
    found: dict[str, np.float32] = {}
    for output, value in zip(outputs, largest, strict=True):
        name = output.rpartition("/")[0]
        if not np.isfinite(value):
            raise GraphCheckError(
                f"The activation '{name}' is not finite on the calibration windows.",
                hint="Check the checkpoint and the calibration clips, or export in fp32.",
            )
        found[name] = max(found.get(name, value), value)
    return found


def _measuring(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """Return a copy whose outputs are the extremes of tensors."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    del graph.node[:], graph.output[:]
    for value in model.graph.input:
        graph.node.extend(_extremes([value.name], names))
    for node in model.graph.node:
        graph.node.append(node)
        graph.node.extend(_extremes(node.output, names))
    graph.output.extend(
        helper.make_tensor_value_info(f"{name}/{kind}", TensorProto.FLOAT, [])
        for name in names
        for kind in _EXTREMES
    )
    return copy


def _extremes(made: Collection[str], names: Collection[str]) -> Iterator[onnx.NodeProto]:
    for name in made:
        if name in names:
            for kind in _EXTREMES:
                output = f"{name}/{kind}"
                yield helper.make_node(kind, [name], [output], output, keepdims=0)
