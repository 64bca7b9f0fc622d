"""Read the neighbors that a graph over time chose off an exported file, and force them on PyTorch.

Of two frames that are equally similar except for rounding, each engine may choose another. That
moves a pose more than rounding does, without meaning that the file computes another function; so a
file is verified with its own choice of neighbors, as it is with its own choice of frames.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from hot_sdk.export.models.motionagformer import FrameGraph

_SUFFIX = "/neighbours"


@contextlib.contextmanager
def neighbors_exposed(model: onnx.ModelProto, lifter: nn.Module) -> Iterator[onnx.ModelProto]:
    """Make an exported graph return which frames are neighbors, inside a ``with`` statement.

    Args:
        model: The graph; changed, and changed back.
        lifter: The function that it was exported from.

    Yields:
        The same model, unchanged if the network chooses no neighbors.
    """
    graph = model.graph
    paths = {path for path, _ in _graphs(lifter)}
    comparisons = [
        node
        for node in graph.node
        if node.op_type == "GreaterOrEqual" and node.name.partition("/")[0] in paths
    ]
    nodes, outputs = len(graph.node), len(graph.output)
    for node in comparisons:
        name = node.name.partition("/")[0] + _SUFFIX
        graph.node.append(
            helper.make_node("Cast", [node.output[0]], [name], name, to=TensorProto.FLOAT)
        )
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4))
    try:
        yield model
    finally:
        del graph.node[nodes:]
        del graph.output[outputs:]


@contextlib.contextmanager
def neighbors_forced(
    lifter: nn.Module, outputs: Mapping[str, NDArray[np.generic]]
) -> Iterator[bool]:
    """Make a network use the neighbors that a file chose, inside a ``with`` statement.

    Args:
        lifter: The network.
        outputs: The outputs of the file.

    Yields:
        Whether the file chose any.
    """
    chosen = [(graph, outputs.get(path + _SUFFIX)) for path, graph in _graphs(lifter)]
    for graph, neighbors in chosen:
        graph.forced = None if neighbors is None else torch.from_numpy(neighbors) > 0
    try:
        yield any(neighbors is not None for _, neighbors in chosen)
    finally:
        for graph, _ in chosen:
            graph.forced = None


def _graphs(lifter: nn.Module) -> Iterator[tuple[str, FrameGraph]]:
    """Iterate over the graphs over time, with their paths as an exported file spells them."""
    for path, module in lifter.named_modules():
        if isinstance(module, FrameGraph):
            yield path.removeprefix("network."), module
