"""Trace a PyTorch function to a clean ONNX graph in memory, through torch.export."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any, cast

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, RemoveUnusedNodesPass
from torch import nn

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.graph.wrapper import StepLifter, input_shapes, output_names
from hot_sdk.export.models import ModelSpec
from hot_sdk.manifest import KEYPOINTS, POSES, SPREAD
from hot_sdk.version import __version__

BATCH = "batch"

_TRACES_OPEN_BATCH = (2, 10)
"""Older releases of PyTorch fail for most networks, or leave shapes that are read at run time."""

# The exporter writes opset 18 or newer. Of its operators these differ in 17, where the axes are an
# attribute. ReduceSum has had them as an input since 13. Split has no number of parts in 17.
_AXES_AS_ATTRIBUTE_IN_17 = ("ReduceMax", "ReduceMean", "ReduceMin")
_SCOPES = "pkg.torch.onnx.name_scopes"


def trace(lifter: nn.Module, spec: ModelSpec, *, batch: int | None, opset: int) -> onnx.ModelProto:
    """Export a function to ONNX.

    Args:
        lifter: A wrapper of :mod:`hot_sdk.export.graph.wrapper`, its constants already folded.
        spec: Its architecture.
        batch: The number of windows per run; None leaves the batch symbolic.
        opset: 17 to 20.

    Returns:
        A checked model that holds all weights, with the input ``keypoints_2d`` and, if the network
        is told what is known, ``conditions``; and the outputs ``poses_3d``, ``token_index`` if
        frames are pruned, and ``spread`` if the network predicts it. That of a live network also
        has what it remembers; see :mod:`hot_sdk.step_graph`.

    Raises:
        GraphCheckError: This PyTorch cannot trace the network with an open batch.
    """
    if batch is None and _torch_version() < _TRACES_OPEN_BATCH:
        raise _untraced()
    # torch.export would specialize a batch of one even if it is declared symbolic.
    windows = 2 if batch is None else batch
    example = {name: torch.zeros(windows, *shape) for name, shape in input_shapes(spec).items()}
    inputs, first = list(example), {0: torch.export.Dim(BATCH)}
    dynamic: dict[str, Any] = dict.fromkeys(inputs, first)
    positional: tuple[torch.Tensor, ...] = (example.pop(KEYPOINTS),)
    known = example
    if isinstance(lifter, StepLifter):
        positional, known = (*positional, *example.values()), {}
        dynamic = {"tensors": (first,) * len(positional)}
    with torch.inference_mode(), _quiet():
        try:
            program = torch.onnx.export(
                lifter,
                positional,
                kwargs=known or None,
                dynamo=True,
                opset_version=max(opset, 18),
                input_names=inputs,
                output_names=list(output_names(spec)),
                dynamic_shapes=dynamic if batch is None else None,
                optimize=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            if batch is not None:
                raise
            raise _untraced() from error
    model: ir.Model = cast(Any, program).model
    for node in model.graph:
        node.name = _node_name(node)
    if opset == 17:
        _convert_to_17(model)
    _clear_traces_of_machine(model)
    model.ir_version = 8 if opset < 19 else 9
    model.producer_name = "hot-sdk"
    model.producer_version = __version__
    model.graph.name = spec.family
    _state_shapes(model, spec, batch)
    exported = _to_proto(model)
    onnx.checker.check_model(exported, full_check=False)
    return exported


def _torch_version() -> tuple[int, ...]:
    return tuple(int(part) for part in torch.__version__.split(".")[:2])


def _untraced() -> GraphCheckError:
    return GraphCheckError(
        f"PyTorch {torch.__version__} cannot trace this network with an open batch.",
        hint="Give --batch a number, or install a newer PyTorch: 2.13 can trace all.",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what the exporter prints about itself; its errors are still raised."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _node_name(node: ir.Node) -> str:
    """Return ``module path/operation``, as in ``STEblocks.0.attn.proj/linear_4``."""
    scopes: list[str] = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    path = scopes[-2].removeprefix("network").removeprefix(".") if len(scopes) > 1 else ""
    operation = str(node.name).removeprefix("node_")
    return f"{path}/{operation}" if path else operation


def _convert_to_17(model: ir.Model) -> None:
    for node in model.graph:
        if node.op_type == "Split":
            _divide_evenly(node)
        if node.op_type not in _AXES_AS_ATTRIBUTE_IN_17 or len(node.inputs) < 2:
            continue
        axes = node.inputs[1]
        if axes is None or axes.const_value is None:
            raise GraphCheckError(
                f"{node.op_type} '{node.name}' has no constant axes, which opset 17 needs.",
                hint="Export with --opset 18 or newer.",
            )
        node.resize_inputs(1)
        node.attributes.pop("noop_with_empty_axes", None)
        node.attributes.add(ir.AttrInt64s("axes", axes.const_value.numpy().tolist()))
    model.opset_imports[""] = 17


def _divide_evenly(node: ir.Node) -> None:
    """Leave out the number of parts, which opset 17 takes from the outputs if all are equal."""
    if node.attributes.pop("num_outputs", None) is None:
        return
    divided = node.inputs[0]
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    length = None if divided is None or divided.shape is None else divided.shape[axis]
    if not isinstance(length, int) or length % len(node.outputs):
        raise GraphCheckError(
            f"Split '{node.name}' makes parts that differ, which opset 17 needs the sizes of.",
            hint="Export with --opset 18 or newer.",
        )


def _clear_traces_of_machine(model: ir.Model) -> None:
    """Remove unused weights, and everything that names paths of the exporting machine."""
    ir.passes.Sequential(RemoveUnusedNodesPass(), ClearMetadataAndDocStringPass())(model)
    model.metadata_props.clear()
    model.graph.doc_string = None
    graph = model.graph
    for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
        value.metadata_props.clear()
        value.doc_string = None
        if value.const_value is not None:
            value.const_value.metadata_props.clear()
            value.const_value.doc_string = None


def _state_shapes(model: ir.Model, spec: ModelSpec, batch: int | None) -> None:
    """Declare the interface's shapes, with the batch by our own name for it."""
    shapes: dict[str | None, tuple[int | ir.SymbolicDim, ...]] = {
        POSES: (spec.output_frames, spec.joints, 3),
        SPREAD: (spec.output_frames, spec.joints, 3),
    }
    shapes.update(input_shapes(spec).items())
    if spec.step is not None:
        shapes.update(spec.step.updates(spec.joints).items())
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.shape is not None
        stated = shapes.get(value.name) or value.shape[1:]
        value.shape = ir.Shape([BATCH if batch is None else batch, *stated])


def without_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a copy that does not return ``name``, without the nodes that only it needs."""
    pruned = ir.from_proto(model)
    outputs = pruned.graph.outputs
    outputs[:] = [output for output in outputs if output.name != name]
    return without_unused(pruned)


def without_unused(model: ir.Model) -> onnx.ModelProto:
    """Return a model without the nodes and initializers that none of its outputs depends on."""
    RemoveUnusedNodesPass()(model)
    return _to_proto(model)


def _to_proto(model: ir.Model) -> onnx.ModelProto:
    """Serialize without types of inner tensors, which the graph's checks infer."""
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    return proto
