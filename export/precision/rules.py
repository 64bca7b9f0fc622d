"""Decide what stays float32 in every precision, and which matrix multiplications to quantize.

The exporter names nodes ``module path/operation``, so that a rule is a pattern of module paths.
Those of a family are data in its registry entry; see ``Family.float32`` and ``Family.unquantized``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from onnx import GraphProto, NodeProto, TensorProto

from hot_sdk.export.models.families import Family

FLOAT32_OPERATORS = frozenset(
    {"Clip", "Div", "Equal", "Exp", "Greater", "GreaterOrEqual", "LayerNormalization", "Less"}
    | {"Max", "Min", "Neg", "Pow", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin"}
    | {"ReduceSum", "Softmax", "Sqrt", "TopK", "Where"}
)
"""Reductions that overflow or lose precision in fp16, and operators that frame selection depends
on."""

SELECTORS = ("selectors.*",)
"""Modules that select frames, in every family: in half precision their choice is no better than
chance."""

# Thinner matrices cost more in quantizing their input than they gain.
_THINNEST = 32
_BLOCK = re.compile(r"(.*?[._]?\d+)(?:[._].*)?")


def module_of(node: NodeProto) -> str:
    """Return the path of the module that a node was exported from; empty for the network's own."""
    return node.name.rpartition("/")[0]


def block_of(module: str) -> str:
    """Return the numbered block of a module, as ``STEblocks.0``; else its outermost module."""
    match = _BLOCK.fullmatch(module)
    return match[1] if match else module.partition(".")[0]


def float32_nodes(graph: GraphProto, family: Family) -> list[str]:
    """Return the nodes that stay float32 because of their module; operators have their own rule.

    The nodes that compute a selector's input are included, so that no cast comes between.
    """
    patterns = (*SELECTORS, *family.float32)
    kept = [node for node in graph.node if _matches(module_of(node), patterns)]
    read = {
        name for node in kept if _matches(module_of(node), SELECTORS) for name in node.input if name
    }
    names = {node.name for node in kept}
    names |= {node.name for node in graph.node if read.intersection(node.output)}
    return sorted(names)


def quantizable_matmuls(
    graph: GraphProto, family: Family, *, keep_float: Iterable[str] = ()
) -> dict[str, str]:
    """Return the block of each node to quantize: those with a constant matrix of sufficient size.

    Args:
        graph: The graph of the exported model, in float32.
        family: The family, whose exceptions apply.
        keep_float: Further exceptions, patterns of module paths or of blocks.
    """
    matrices = {
        tensor.name: tuple(tensor.dims)
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
    }
    excepted = (*SELECTORS, *family.float32, *family.unquantized, *keep_float)
    found = {}
    for node in graph.node:
        shape = matrices.get(node.input[1]) if node.op_type in ("Gemm", "MatMul") else None
        if shape is None or min(shape) < _THINNEST:
            continue
        module = module_of(node)
        block = block_of(module)
        if not _matches(module, excepted) and not _matches(block, excepted):
            found[node.name] = block
    return found


def _matches(module: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(module, pattern) for pattern in patterns)
