"""Floating-point operations, counted and not measured, as the papers count and in full.

The HoT papers count twice the multiply-accumulates of linear layers. That leaves out attention,
which is 5 to 8 % more in these networks; so all matrix products are counted beside it, and what the
exported file really computes beside both. One addition or one multiplication is one operation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import onnx
import torch
from torch.utils.flop_counter import FlopCounterMode

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.enums import RecoveryKind, SelectorKind
from hot_sdk.export.graph.view import GraphView, attribute, input_name, view_graph
from hot_sdk.export.graph.wrapper import build_lifting
from hot_sdk.export.models import ModelSpec, build

_LINEAR = (torch.ops.aten.addmm, torch.ops.aten.mm, torch.ops.aten.convolution)


@dataclass(frozen=True)
class NetworkFlops:
    """Operations of one window of a published network.

    Attributes:
        papers: Twice the multiply-accumulates of linear and convolution layers.
        products: Of all matrix products, attention and the selector's distances among them.
    """

    papers: int
    products: int


def count_network(spec: ModelSpec) -> NetworkFlops:
    """Count the network as published, before anything is folded; nothing is computed."""
    with torch.device("meta"):
        # The attention that a selector goes by is computed anyway: the network as it is built here
        # would compute it twice, and an exported one does not.
        network = build(_without_attention_selectors(spec)).requires_grad_(False)
        window = torch.empty(1, spec.frames, spec.joints, spec.size.channels)
    counter = FlopCounterMode(display=False)
    with counter:
        network(window)
    counts = counter.get_flop_counts()["Global"]
    linear = sum(count for operator, count in counts.items() if operator in _LINEAR)
    total = sum(counts.values())
    # The published recovery projects its queries once for each token of a frame, though they are
    # the same.
    repeated = 0
    if spec.recovery is RecoveryKind.TRA:
        repeated = 2 * (spec.frame_tokens - 1) * spec.frames * spec.size.width**2
    return NetworkFlops(papers=linear + repeated, products=total + repeated)


def count_eager(spec: ModelSpec, *, flip: bool) -> int:
    """Operations of one window's matrix products as PyTorch runs the network; nothing is computed.

    Args:
        spec: The architecture.
        flip: Averages with the mirror image.
    """
    with torch.device("meta"):
        lifting = build_lifting(spec, build(spec).state_dict(), flip=flip)
        window = torch.empty(1, spec.frames, spec.joints, spec.size.channels)
    with FlopCounterMode(display=False) as counter:
        lifting(window)
    return int(counter.get_total_flops())


def _without_attention_selectors(spec: ModelSpec) -> ModelSpec:
    stages = tuple(
        replace(stage, selector=SelectorKind.MOTION.value)
        if stage.selector == SelectorKind.ATTENTION
        else stage
        for stage in spec.stages
    )
    return replace(spec, stages=stages)


def count_parameters(spec: ModelSpec) -> int:
    """Trained numbers of the network."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(spec).parameters())


def count_graph(model: onnx.ModelProto) -> int:
    """Operations of one window of an exported file, over all its matrix products.

    Raises:
        GraphCheckError: A product's shape is not known, or an operator is not one that this counts.
    """
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    # A copy is a copy of all weights, and only a symbolic batch needs one.
    windows, counted = int(batch.dim_value), model
    if not batch.HasField("dim_value"):
        windows, counted = 1, _with_batch_of_one(model)
    view = view_graph(counted)
    return sum(_operations(node, view) for node in view.nodes) // windows


def _with_batch_of_one(model: onnx.ModelProto) -> onnx.ModelProto:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in [*fixed.graph.input, *fixed.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return fixed


def _operations(node: onnx.NodeProto, view: GraphView) -> int:
    if node.op_type in ("Conv", "ConvTranspose", "Einsum"):
        raise GraphCheckError(
            f"{node.op_type} '{node.name}' is not counted yet.",
            hint="Add it to hot_sdk.export.graph.flops.",
        )
    if node.op_type not in ("MatMul", "Gemm"):
        return 0
    output = view.tensor(node.output[0]).shape
    first = view.tensor(input_name(node, 0)).shape
    if output is None or first is None or None in output or None in first:
        raise GraphCheckError(
            f"The shape of {node.op_type} '{node.name}' is not known.",
            hint="Every shape must be static; see hot_sdk.export.graph.check.",
        )
    transposed = node.op_type == "Gemm" and attribute(node, "transA", 0)
    inner = first[0] if transposed else first[-1]
    return 2 * math.prod(int(length or 0) for length in output) * int(inner or 0)
