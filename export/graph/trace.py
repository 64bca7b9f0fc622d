"""From a PyTorch function to a clean ONNX graph in memory, through torch.export."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any, cast

import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.graph.edit import drop_dead_nodes, drop_unused_initializers
from hot_sdk.export.models import ModelSpec
from hot_sdk.manifest import KEYPOINTS, POSES, TOKEN_INDEX
from hot_sdk.version import __version__

BATCH = "batch"

# The exporter writes opset 18 or newer; of its operators these differ in 17, where the axes are an
# attribute. ReduceSum has had them as an input since 13.
_AXES_AS_ATTRIBUTE_IN_17 = ("ReduceMax", "ReduceMean", "ReduceMin")
_SCOPES = "pkg.torch.onnx.name_scopes"


def trace(lifting: nn.Module, spec: ModelSpec, *, batch: int | None, opset: int) -> onnx.ModelProto:
    """Export to ONNX.

    Args:
        lifting: Of :mod:`hot_sdk.export.graph.wrapper`, already folded.
        spec: Its architecture.
        batch: Windows in one run; None leaves the batch symbolic.
        opset: 17 to 20.

    Returns:
        A checked model with all weights inside, outputs ``poses_3d`` and, where frames are pruned,
        ``token_index``.
    """
    # A batch of one would be specialised to one even where it is declared symbolic.
    example = torch.zeros(
        2 if batch is None else batch, spec.frames, spec.joints, spec.size.channels
    )
    outputs = [POSES] if spec.tokens is None else [POSES, TOKEN_INDEX]
    dynamic = ({0: torch.export.Dim(BATCH)},)
    with torch.inference_mode(), _quiet():
        program = torch.onnx.export(
            lifting,
            (example,),
            dynamo=True,
            opset_version=max(opset, 18),
            input_names=[KEYPOINTS],
            output_names=outputs,
            dynamic_shapes=dynamic if batch is None else None,
            optimize=True,
            verbose=False,
        )
    model = cast(Any, program).model_proto
    if opset == 17:
        _lower_to_17(model)
    _tidy(model, spec, opset, batch)
    onnx.checker.check_model(model, full_check=False)
    return cast(onnx.ModelProto, model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the exporter prints about itself; its errors are raised all the same."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _lower_to_17(model: onnx.ModelProto) -> None:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in _AXES_AS_ATTRIBUTE_IN_17 or len(node.input) < 2:
            continue
        axes = constants.get(node.input[1])
        if axes is None:
            raise GraphCheckError(
                f"{node.op_type} '{node.name}' has no constant axes, which opset 17 needs.",
                hint="Export with --opset 18 or newer.",
            )
        del node.input[1:]
        kept = [entry for entry in node.attribute if entry.name != "noop_with_empty_axes"]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.append(helper.make_attribute("axes", numpy_helper.to_array(axes).tolist()))
    model.opset_import[0].version = 17


def _tidy(model: onnx.ModelProto, spec: ModelSpec, opset: int, batch: int | None) -> None:
    """Name nodes by module, drop traces of the exporting machine, state shapes in our words."""
    model.ir_version = 8 if opset < 19 else 9
    model.producer_name = "hot-sdk"
    model.producer_version = __version__
    model.graph.name = spec.family
    model.graph.doc_string = ""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    for node in model.graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
        node.name = _node_name(ast.literal_eval(scopes), node.name)
        del node.metadata_props[:]
        node.doc_string = ""
    drop_unused_initializers(model.graph)
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    shapes: dict[str, tuple[int | str, ...]] = {
        KEYPOINTS: (spec.frames, spec.joints, spec.size.channels),
        POSES: (spec.output_frames, spec.joints, 3),
    }
    for value in [*model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
        value.doc_string = ""
        dims = value.type.tensor_type.shape.dim
        if value.name in shapes:
            stated = shapes[value.name]
        else:
            stated = tuple(dim.dim_value for dim in dims[1:])
        value.type.tensor_type.shape.CopyFrom(
            helper.make_tensor_type_proto(
                value.type.tensor_type.elem_type, [BATCH if batch is None else batch, *stated]
            ).tensor_type.shape
        )


def _node_name(scopes: list[str], operation: str) -> str:
    """``module path/operation``, as in ``STEblocks.0.attn.proj/linear_4``."""
    path = scopes[-2].removeprefix("network").removeprefix(".") if len(scopes) > 1 else ""
    operation = operation.removeprefix("node_")
    return f"{path}/{operation}" if path else operation


def without_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A copy that does not return ``name``; the nodes that only it needed are gone."""
    pruned = onnx.ModelProto()
    pruned.CopyFrom(model)
    kept = [output for output in pruned.graph.output if output.name != name]
    del pruned.graph.output[:]
    pruned.graph.output.extend(kept)
    drop_dead_nodes(pruned.graph)
    return pruned
