"""Decide what stays float32 in every precision, and which matrix multiplications to quantize.

The exporter names nodes ``module path/operation``, so that a rule is a pattern of module paths.
Those of a family are data in its registry entry; see ``Family.float32`` and ``Family.unquantized``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase

from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from hot_sdk.export.graph.view import caches, view_graph
from hot_sdk.export.models.families import Family
from hot_sdk.step_graph import AGES

FLOAT32_OPERATORS = frozenset(
    {"Abs", "Clip", "Div", "Equal", "Exp", "Greater", "GreaterOrEqual", "LayerNormalization"}
    | {"Less", "Max", "Min", "Neg", "Pow", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin"}
    | {"ReduceSum", "Softmax", "Sqrt", "TopK", "Where"}
    | {"DequantizeLinear", "QuantizeLinear"}
)
"""Reductions that overflow or lose precision in fp16, and operators that frame selection depends
on."""

MOVING = frozenset(
    {"Concat", "Expand", "Flatten", "Gather", "GatherElements", "Identity", "Reshape", "Slice"}
    | {"Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that move values and compute none."""

SELECTORS = ("selectors.*",)
"""Modules that select frames, in every family: in half precision their choice is no better than
chance."""

NodeRule = Callable[[GraphProto], set[str]]
"""Returns the names of nodes that stay float32."""

_PRODUCTS = ("Gemm", "MatMul")
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


def float32_nodes(
    model: ModelProto,
    family: Family,
    *,
    quantized: Collection[str] = (),
    rules: Iterable[NodeRule] | None = None,
) -> set[str]:
    """Return the names of the nodes that stay float32.

    These are the nodes of some operators and modules; those that compute a selector's input; those
    that read what a live network remembers; those that compute indices, which float16 cannot tell
    apart from 2048 on, or average poses; the first layers and the sums of the residual stream;
    those that multiply in int8, with their biases; and those that only move values from one of
    these to another.

    Args:
        model: In float32, or in int8 and float32.
        family: The family, whose exceptions apply.
        quantized: Names of the nodes that multiply in int8.
        rules: What stays float32 although neither a choice nor a pose needs it; None for
            ``ROUNDING_RULES``.
    """
    graph = model.graph
    patterns = (*SELECTORS, *family.float32)
    kept = {
        node.name
        for node in graph.node
        if node.op_type in FLOAT32_OPERATORS or _matches(module_of(node), patterns)
    }
    kept.update(quantized)
    kept.update(f"{each}.bias" for each in quantized)
    read = {
        name
        for node in graph.node
        if _matches(module_of(node), SELECTORS)
        for name in node.input
        if name
    }
    kept.update(node.name for node in graph.node if read.intersection(node.output))
    kept.update(_memory_nodes(model))
    kept.update(_finishing_nodes(model, kept))
    for rule in ROUNDING_RULES if rules is None else rules:
        kept.update(rule(graph))
    return kept | _moving_between(graph, kept)


def _memory_nodes(model: ModelProto) -> set[str]:
    """Return the nodes that read a live network's memory, and those that compute on ages.

    The memory is float32 in every file, and casts would copy all of it; ages are seconds that may
    be many more than float16 resolves.
    """
    remembered, of_ages = set(caches(model)), {AGES}
    found: set[str] = set()
    for node in model.graph.node:
        if node.op_type in _PRODUCTS:
            if remembered.union(of_ages).intersection(node.input):
                found.add(node.name)
        elif of_ages.intersection(node.input):
            found.add(node.name)
            of_ages.update(node.output)
    return found


def _finishing_nodes(model: ModelProto, kept: Collection[str]) -> set[str]:
    """Return the nodes that turn what float32 nodes computed into integers or outputs."""
    types = view_graph(model).tensors
    floats = {name for name, tensor in types.items() if tensor.dtype == TensorProto.FLOAT}
    found: set[str] = set()
    wanted = {output.name for output in model.graph.output} & floats
    for node in reversed(model.graph.node):
        is_index = node.op_type == "Cast" and not floats.issuperset([*node.input, *node.output])
        is_read = wanted.intersection(node.output) and node.name not in kept
        if is_index or (is_read and node.op_type not in _PRODUCTS):
            wanted.update(floats.intersection(node.input))
            found.add(node.name)
    return found


def first_products(graph: GraphProto) -> set[str]:
    """Return the matrix multiplications that no other one precedes.

    They read keypoints, whose differences between frames are small: rounded, they are noise in
    every later choice. They cost little, since a joint has two or three channels.
    """
    found: set[str] = set()
    after: set[str] = set()
    for node in graph.node:
        behind = bool(after.intersection(node.input))
        if not behind and node.op_type in _PRODUCTS:
            found.add(node.name)
        if behind or node.op_type in _PRODUCTS:
            after.update(node.output)
    return found


def residual_stream(graph: GraphProto) -> set[str]:
    """Return the nodes that add to the residual stream, or weigh parts of it against each other.

    Blocks add small corrections to it, and rounding after each of them adds up.
    """
    constants = {tensor.name: tensor.dims for tensor in graph.initializer}
    found: set[str] = set()
    summands: set[str] = set()
    for node in graph.node:
        # A constant along several axes is a position's embedding; along one it is a bias.
        of_stream = all(sum(d > 1 for d in constants.get(name, (2, 2))) > 1 for name in node.input)
        if node.op_type in ("Add", "Sub") and of_stream:
            found.add(node.name)
            summands.update(node.input)
    found.update(
        node.name
        for node in graph.node
        if node.op_type == "Mul"
        and summands.intersection(node.output)
        and not constants.keys() & set(node.input)
    )
    return found


ROUNDING_RULES: tuple[NodeRule, ...] = (first_products, residual_stream)
"""What float16 would round most; ``benchmarks/studies/precisions.py`` measures each."""


def _moving_between(graph: GraphProto, kept: Collection[str]) -> set[str]:
    """Return the nodes that move what float32 nodes computed to other float32 nodes."""
    exact = {value.name for value in graph.input}
    for node in graph.node:
        moves = node.op_type in MOVING and exact.intersection(node.input)
        if node.name in kept or moves:
            exact.update(node.output)
    found: set[str] = set()
    read = {output.name for output in graph.output}
    for node in reversed(graph.node):
        moves = node.op_type in MOVING and exact.intersection(node.output)
        if node.name in kept or (moves and read.intersection(node.output)):
            read.update(node.input)
            found.add(node.name)
    return found


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
        shape = matrices.get(node.input[1]) if node.op_type in _PRODUCTS else None
        if shape is None or min(shape) < _THINNEST:
            continue
        module = module_of(node)
        block = block_of(module)
        if not _matches(module, excepted) and not _matches(block, excepted):
            found[node.name] = block
    return found


def before_selection(graph: GraphProto) -> set[str]:
    """Return the names of the nodes that come before the first selector; none without one."""
    names = [node.name for node in graph.node]
    for place, node in enumerate(graph.node):
        if _matches(module_of(node), SELECTORS):
            return set(names[:place])
    return set()


def _matches(module: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(module, pattern) for pattern in patterns)
