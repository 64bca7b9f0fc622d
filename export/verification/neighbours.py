"""The neighbours that a graph over time chose: read off an exported file, and given to PyTorch.

Of two frames that are equally similar but for rounding, each engine may choose another. That moves
a pose more than rounding does, and says nothing of whether the file computes the same function; so
a file is verified given its own choice, as it is given its frames.
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

from hot_sdk.export.models.layers.graph_convolution import FrameGraph

_SUFFIX = "/neighbours"


@contextlib.contextmanager
def neighbours_exposed(model: onnx.ModelProto, lifting: nn.Module) -> Iterator[onnx.ModelProto]:
    """Have an exported file return which frames are neighbours, as long as this lasts.

    Args:
        model: The file; changed, and changed back.
        lifting: The function that it was exported from.

    Yields:
        The same model. A network that chooses no neighbours leaves it as it is.
    """
    graph = model.graph
    paths = {path for path, _ in _graphs(lifting)}
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
def neighbours_given(
    lifting: nn.Module, outputs: Mapping[str, NDArray[np.generic]]
) -> Iterator[bool]:
    """Have a network take the neighbours that a file chose, as long as this lasts.

    Args:
        lifting: The network.
        outputs: What the file returned.

    Yields:
        Whether there are any.
    """
    chosen = [(graph, outputs.get(path + _SUFFIX)) for path, graph in _graphs(lifting)]
    for graph, given in chosen:
        graph.given = None if given is None else torch.from_numpy(given) > 0
    try:
        yield any(given is not None for _, given in chosen)
    finally:
        for graph, _ in chosen:
            graph.given = None


def _graphs(lifting: nn.Module) -> Iterator[tuple[str, FrameGraph]]:
    """The graphs over time and their paths, as an exported file spells them."""
    for path, module in lifting.named_modules():
        if isinstance(module, FrameGraph):
            yield path.removeprefix("network."), module
