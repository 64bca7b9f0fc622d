"""What stays float32 in every precision, and which products are worth quantizing.

Nodes are named ``module path/operation`` by the exporter, so that a rule is a pattern of module
paths. Those of a family are data in its registry entry; see ``Family.float32`` and
``Family.unquantised``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from onnx import GraphProto, NodeProto, TensorProto

from hot_sdk.export.models.families import Family

FLOAT32_OPERATORS = frozenset(
    {
        "Clip",
        "Div",
        "Equal",
        "Exp",
        "Greater",
        "GreaterOrEqual",
        "LayerNormalization",
        "Less",
        "Max",
        "Min",
        "Neg",
        "Pow",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "Softmax",
        "Sqrt",
        "TopK",
        "Where",
    }
)
"""Sums of many terms, which half precision overflows or swallows, and what choices hang on."""

CHOICES = ("selectors.*",)
"""The selectors of frames, in every family: half precision chooses at chance level."""

# Thinner products do not pay for quantizing their input.
_THINNEST = 32
_BLOCK = re.compile(r"(.*?[._]?\d+)(?:[._].*)?")


@dataclass(frozen=True)
class Product:
    """A product with a constant matrix.

    Attributes:
        node: Name of the node.
        block: Block of the network that it belongs to, for reports.
        multiply_accumulates: Of one row of its input.
    """

    node: str
    block: str
    multiply_accumulates: int


def module_of(node: NodeProto) -> str:
    """Path of the module that a node was exported from; empty for the network's own."""
    return node.name.rpartition("/")[0]


def block_of(module: str) -> str:
    """The numbered block that a module is in, as ``STEblocks.0``; else its outermost module."""
    match = _BLOCK.fullmatch(module)
    return match[1] if match else module.partition(".")[0]


def is_any(module: str, patterns: Iterable[str]) -> bool:
    """Whether a module's path fits one of some shell patterns."""
    return any(fnmatchcase(module, pattern) for pattern in patterns)


def float32_nodes(graph: GraphProto, family: Family) -> list[str]:
    """Names of the nodes that stay float32 for where they stand; operators are a rule of their own.

    What computes a selector's input is among them, so that no cast comes between.
    """
    patterns = (*CHOICES, *family.float32)
    kept = [node for node in graph.node if is_any(module_of(node), patterns)]
    read = {
        name for node in kept if is_any(module_of(node), CHOICES) for name in node.input if name
    }
    names = {node.name for node in kept}
    names |= {node.name for node in graph.node if read.intersection(node.output)}
    return sorted(names)


def weighted_products(
    graph: GraphProto, family: Family, *, keep_float: Iterable[str] = ()
) -> list[Product]:
    """The products that are quantized: with a constant matrix, thick enough, and not excepted.

    Args:
        graph: Of the exported model, in float32.
        family: Whose exceptions hold.
        keep_float: Further exceptions, patterns of module paths or of blocks.
    """
    matrices = {
        tensor.name: tuple(tensor.dims)
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
    }
    excepted = (*CHOICES, *family.float32, *family.unquantised, *keep_float)
    found = []
    for node in graph.node:
        shape = matrices.get(node.input[1]) if node.op_type in ("Gemm", "MatMul") else None
        module = module_of(node)
        block = block_of(module)
        if shape is None or min(shape) < _THINNEST:
            continue
        if not is_any(module, excepted) and not is_any(block, excepted):
            found.append(Product(node.name, block, shape[0] * shape[1]))
    return found
