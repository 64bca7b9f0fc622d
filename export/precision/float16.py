"""Convert a graph to float16 by explicit casts, with ONNX Runtime's converter."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.models.families import Family
from hot_sdk.export.precision.rules import FLOAT32_OPERATORS, float32_nodes

_LARGEST = float(np.finfo(np.float16).max)


def to_float16(model: onnx.ModelProto, family: Family) -> onnx.ModelProto:
    """Return a copy in float16, except what has to stay float32; so do inputs and outputs.

    Raises:
        GraphCheckError: A weight is beyond the range of float16.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    kept = float32_nodes(model.graph, family)
    _require_in_range(model.graph, set(kept))
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with warnings.catch_warnings():
        # It warns of each weight that is too small for float16 and becomes the smallest there is.
        warnings.simplefilter("ignore")
        converted: onnx.ModelProto = convert_float_to_float16(
            copy,
            keep_io_types=True,
            op_block_list=sorted(FLOAT32_OPERATORS),
            node_block_list=kept,
        )
    _drop_repeated_casts(converted.graph)
    # The converter puts the casts of inputs last.
    OnnxModel(converted).topological_sort()
    del converted.graph.value_info[:]
    onnx.checker.check_model(converted, full_check=False)
    return converted


def _drop_repeated_casts(graph: onnx.GraphProto) -> None:
    """Keep one cast of each value: ONNX Runtime 1.30 makes one for each node that reads it."""
    made: set[str] = set()
    kept = []
    for node in graph.node:
        if node.op_type != "Cast" or node.output[0] not in made:
            kept.append(node)
            made.update(node.output)
    if len(kept) < len(graph.node):
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)


def _require_in_range(graph: onnx.GraphProto, kept: set[str]) -> None:
    used = {name for node in graph.node if node.name not in kept for name in node.input}
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name not in used:
            continue
        largest = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
        if not largest <= _LARGEST:
            raise GraphCheckError(
                f"The weight '{tensor.name}' holds {largest:.4g}; float16 ends at {_LARGEST:g}.",
                hint="Export with --precision fp32.",
            )
