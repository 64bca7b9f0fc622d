"""Count floating-point operations without measuring, as the papers count and in full.

The HoT papers count twice the multiply-accumulates of linear layers. That leaves out attention,
which is 5 to 8 % more in these networks, and graph convolutions; so all matrix multiplications are
counted too, and those that the exported file really computes. One addition or one multiplication is
one operation.

The second count is that of ``torch.utils.flop_counter`` on the networks of this SDK. On the
authors' code the same counter finds more where that multiplies by diagonal matrices, which are
scales here: the degrees of MotionAGFormer's graphs, the nodes' own weights in HTNet's and
NanoHTNet's; and where NanoHTNet's computes coefficients that it drops.
``docs/published-networks.md`` lists both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import onnx
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.enums import RecoveryKind, SelectorKind
from hot_sdk.export.graph.view import GraphView, attribute, input_name, view_graph
from hot_sdk.export.graph.wrapper import StepLifter, build_lifter, input_shapes
from hot_sdk.export.models import ModelSpec, build
from hot_sdk.export.models.live_mixste import LiveMixSTE

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""What the papers' tools count; a graph convolution with a matrix of its own is none of them."""


@dataclass(frozen=True)
class NetworkFlops:
    """Operations of one window of a published network.

    Attributes:
        papers: Twice the multiply-accumulates of linear and convolution layers, as thop counts
            modules.
        matmuls: Operations of all matrix multiplications, including attention and the selector's
            distances.
    """

    papers: int
    matmuls: int


def count_network(spec: ModelSpec) -> NetworkFlops:
    """Count the network as published, before constants are folded; nothing is computed."""
    # An attention selector reads attention that is computed anyway. The network built here would
    # compute it twice, unlike an exported one; motion selectors count as many operations.
    stages = tuple(
        replace(stage, selector=SelectorKind.MOTION.value)
        if stage.selector == SelectorKind.ATTENTION.value
        else stage
        for stage in spec.stages
    )
    if spec.live is not None:
        # A layer that looks ahead does the same work, but as modules that no hook sees.
        spec = replace(spec, live=replace(spec.live, lookahead=0))
    with torch.device("meta"):
        network = build(replace(spec, stages=stages)).requires_grad_(False)
        inputs = [torch.empty(1, *shape) for shape in input_shapes(spec).values()]
    in_layers: list[int] = []

    def count_layer(layer: nn.Module, _: object, output: Tensor) -> None:
        in_layers.append(2 * output.numel() * cast(Tensor, layer.weight)[0].numel())

    for module in network.modules():
        if isinstance(module, _LAYERS):
            module.register_forward_hook(count_layer)
    with FlopCounterMode(display=False) as counter:
        if isinstance(network, LiveMixSTE):
            StepLifter(network)(*inputs)
        else:
            network.lift(inputs[0], None, *inputs[1:])
    # The published recovery projects its queries once for each token of a frame, though they are
    # the same.
    repeated = 0
    if spec.recovery is RecoveryKind.TRA:
        repeated = 2 * (spec.frame_tokens - 1) * spec.frames * spec.size.width**2
    matmuls = int(counter.get_total_flops())
    return NetworkFlops(papers=sum(in_layers) + repeated, matmuls=matmuls + repeated)


def count_eager(spec: ModelSpec, *, flip: bool) -> int:
    """Count one window's matrix multiplications as PyTorch runs the network; nothing is computed.

    Args:
        spec: The architecture.
        flip: Average with the mirror image.
    """
    with torch.device("meta"):
        lifter = build_lifter(spec, build(spec).state_dict(), flip=flip)
        inputs = [torch.empty(1, *shape) for shape in input_shapes(spec).values()]
    with FlopCounterMode(display=False) as counter:
        lifter(inputs[0], None, *inputs[1:])
    return int(counter.get_total_flops())


def count_parameters(spec: ModelSpec) -> int:
    """Count the trained numbers of the network."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(spec).parameters())


def count_graph(model: onnx.ModelProto) -> int:
    """Count the operations of one window of an exported file, over all its matrix multiplications.

    Raises:
        GraphCheckError: The shape of a MatMul is unknown, or this function does not count an
            operator yet.
    """
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    windows = int(batch.dim_value)
    if not batch.HasField("dim_value"):
        # Only a symbolic batch needs a copy, since that copies all weights.
        windows, original, model = 1, model, onnx.ModelProto()
        model.CopyFrom(original)
        for value in [*model.graph.input, *model.graph.output]:
            value.type.tensor_type.shape.dim[0].dim_value = 1
    view = view_graph(model)
    return sum(_operations(node, view) for node in view.nodes) // windows


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
            f"The shape of {node.op_type} '{node.name}' is unknown.",
            hint="Every shape must be static; see hot_sdk.export.graph.check.",
        )
    transposed = node.op_type == "Gemm" and attribute(node, "transA", 0)
    inner = first[0] if transposed else first[-1]
    return 2 * math.prod(int(length or 0) for length in output) * int(inner or 0)
