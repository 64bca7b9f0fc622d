"""Check an exported graph before any engine sees it.

An engine that meets an operator it cannot run reports it late, on the device, and often without
naming the node; some run it anyway, differently. This check names node, operator and remedy at
export. It reads the graph and its small constants, never the weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.graph.rules import (
    STANDARD_DOMAINS,
    Problem,
    dynamic_problem,
    element_type_name,
    node_problems,
    operator_table,
    tensor_problem,
    type_problem,
)
from hot_sdk.export.graph.view import GraphView, caches, is_external, subgraphs, view_graph
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, POSES, SPREAD, TOKEN_INDEX
from hot_sdk.step_graph import (
    AGES,
    DELAYED_GUESS,
    DELAYED_TOKENS,
    NEW_GUESS,
    NEW_KEYS,
    NEW_TOKENS,
    NEW_VALUES,
)

_MIN_OPSET = 17
_SHOWN = 10


@dataclass(frozen=True)
class Finding:
    """Something in a graph that an engine cannot run, or that must not be there.

    Attributes:
        node: Name of the node, or of the input, output or initializer. A node without a name is
            identified by its outputs.
        operator: Operator of the node, such as ``TopK``; otherwise the kind of element, such as
            ``graph input``.
        problem: What is wrong.
        remedy: What to do.
    """

    node: str
    operator: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.operator} {self.node!r} {self.problem}"


def check_graph(model: ModelProto, *, dynamic_batch: bool = False) -> list[Finding]:
    """Find everything that the target engines cannot run.

    The engines are ONNX Runtime, OpenVINO and TensorRT from 10.3 (JetPack 6.1) on. Subgraphs are
    searched too. A type or shape that cannot be inferred counts as a finding, but only at the first
    node that has it, not at all those behind it.

    Args:
        model: The exported graph; not changed, and its weights not copied.
        dynamic_batch: Allow one axis without a fixed length in every tensor: the batch, axis 0 of
            the graph's inputs and outputs.

    Returns:
        The findings, those of the whole model first, then in the order of the nodes.
    """
    view = view_graph(model)
    return [
        *_model_findings(view),
        *_interface_findings(view, dynamic_batch),
        *_initializer_findings(view),
        *_node_findings(view, dynamic_batch),
        *_cache_findings(view),
    ]


def require_clean(model: ModelProto, *, dynamic_batch: bool = False) -> None:
    """Raise unless ``check_graph`` finds nothing.

    Raises:
        GraphCheckError: Names up to ten findings, and their remedies as the hint.
    """
    findings = check_graph(model, dynamic_batch=dynamic_batch)
    if not findings:
        return
    shown = findings[:_SHOWN]
    more = f"; and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
    raise GraphCheckError(
        f"The exported graph cannot run on all engines: {'; '.join(map(str, shown))}{more}.",
        hint=" ".join(dict.fromkeys(finding.remedy for finding in shown)),
    )


def _model_findings(view: GraphView) -> Iterator[Finding]:
    model, name = view.model, view.model.graph.name
    newest = operator_table().max_opset
    opsets = [entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS]
    if len(opsets) != 1 or not _MIN_OPSET <= opsets[0] <= newest:
        found = ", ".join(map(str, opsets)) or "none"
        yield Finding(
            name,
            "model",
            f"has opset {found}; expected one from {_MIN_OPSET} to {newest}",
            f"Export with opset {newest}.",
        )
    for function in model.functions:
        yield Finding(
            function.name,
            "local function",
            f"is left in the model, in the domain {function.domain!r}",
            "Inline local functions after the export.",
        )
    if view.inference_error is not None:
        yield Finding(
            name,
            "model",
            f"has types or shapes that do not match: {view.inference_error}",
            "The exporter wrote an invalid graph; change the operation that it names.",
        )


def _interface_findings(view: GraphView, dynamic_batch: bool) -> Iterator[Finding]:
    graph = view.model.graph
    float3, float4 = (((TensorProto.FLOAT,), (rank,)) for rank in (3, 4))
    inputs = {KEYPOINTS: float4, CONDITIONS: float3}
    outputs = {
        POSES: float4,
        TOKEN_INDEX: ((TensorProto.INT32, TensorProto.INT64), (2, 3)),
        SPREAD: float4,
    }
    if any(value.name == AGES for value in graph.input):
        inputs |= {AGES: float3, DELAYED_TOKENS: float4, DELAYED_GUESS: float3}
        inputs |= dict.fromkeys(caches(view.model), float4)
        outputs |= {NEW_KEYS: float4, NEW_VALUES: float4, NEW_TOKENS: float4, NEW_GUESS: float3}
    for kind, values, required, expected in (
        ("graph input", graph.input, KEYPOINTS, inputs),
        ("graph output", graph.output, POSES, outputs),
    ):
        remedy = f"Name inputs and outputs {', '.join([*inputs, *outputs])} at export."
        names = [value.name for value in values]
        if required not in names:
            yield Finding(required, kind, "is missing", remedy)
        for name in names:
            if name in expected:
                problems = _interface_problems(view, name, *expected[name], dynamic_batch)
            else:
                problems = iter([Problem("is unknown to the runtime", remedy)])
            for problem in problems:
                yield Finding(name, kind, *problem)


def _interface_problems(
    view: GraphView,
    name: str,
    types: tuple[int, ...],
    ranks: tuple[int, ...],
    dynamic_batch: bool,
) -> Iterator[Problem]:
    tensor = view.tensor(name)
    if tensor.dtype not in types:
        wanted = " or ".join(map(element_type_name, types))
        yield Problem(
            f"has element type {element_type_name(tensor.dtype)}; expected {wanted}",
            "Cast inside the model: its interface is the same in every precision.",
        )
    shape = tensor.shape or ()
    if len(shape) not in ranks:
        expected = " or ".join(map(str, ranks))
        yield Problem(f"has {len(shape)} axes; expected {expected}", "Reshape inside the model.")
    elif dynamic_batch and None in shape[1:]:
        yield dynamic_problem(tensor, dynamic_batch=True)


def _initializer_findings(view: GraphView) -> Iterator[Finding]:
    graph = view.model.graph
    nodes = (*view.nodes, *view.nested)
    used = {name for node in nodes for name in node.input}
    used |= {output.name for node in nodes for body in subgraphs(node) for output in body.output}
    used |= {output.name for output in graph.output}
    for name, times in Counter(tensor.name for tensor in graph.initializer).items():
        if times > 1:
            yield _initializer(name, f"is defined {times} times", "Give each its own name.")
        if name not in used:
            yield _initializer(name, "is unused", "Remove it from the graph.")
    for sparse in graph.sparse_initializer:
        yield _initializer(sparse.values.name, "is sparse", "Use a dense tensor.")
    for tensor in graph.initializer:
        if is_external(tensor):
            yield _initializer(tensor.name, "is stored in another file", "Save it as one file.")
        if (problem := type_problem(tensor.data_type)) is not None:
            yield _initializer(tensor.name, *problem)


def _initializer(name: str, problem: str, remedy: str) -> Finding:
    return Finding(name, "initializer", problem, remedy)


def _node_findings(view: GraphView, dynamic_batch: bool) -> Iterator[Finding]:
    graph = view.model.graph
    named = {tensor.name for tensor in (*graph.input, *graph.initializer)}
    bad: set[str] = set()
    for value in graph.input:
        problem = tensor_problem(view.tensor(value.name), dynamic_batch=dynamic_batch)
        if problem is not None:
            bad.add(value.name)
            yield Finding(value.name, "graph input", *problem)
    for tensor in graph.initializer:
        if is_external(tensor) or type_problem(tensor.data_type) is not None:
            bad.add(tensor.name)
    for node in view.nodes:
        problems = list(node_problems(node, view))
        problems += _output_problems(node, view, dynamic_batch, bad, silent=bool(problems))
        problems += [
            Problem(f"makes {name!r}, which already exists in the graph", "Choose a unique name.")
            for name in node.output
            if name in named
        ]
        named.update(filter(None, node.output))
        yield from (Finding(_label(node), node.op_type, *problem) for problem in problems)
    for node in view.nested:
        yield from (
            Finding(_label(node), node.op_type, *problem) for problem in node_problems(node, view)
        )


def _cache_findings(view: GraphView) -> Iterator[Finding]:
    """Find what copies a live network's memory, which is most of what it reads for a frame."""
    names = set(caches(view.model))
    for node in (*view.nodes, *view.nested):
        for place, name in enumerate(node.input):
            if name in names and (node.op_type != "MatMul" or place != 1):
                yield Finding(
                    _label(node),
                    node.op_type,
                    f"reads the memory {name!r}, which only matrix multiplications may, as their"
                    " second factor",
                    "Lay the memory out as it is multiplied by, so that nothing copies it.",
                )


def _label(node: NodeProto) -> str:
    return node.name or f"(makes {', '.join(node.output)})"


def _output_problems(
    node: NodeProto, view: GraphView, dynamic_batch: bool, bad: set[str], *, silent: bool
) -> list[Problem]:
    """Return problems of a node's outputs, and add the outputs that have any to ``bad``.

    Each problem is reported where it begins: what a bad tensor causes behind it is no finding.
    """
    spoilt = silent or any(name in bad for name in node.input)
    problems = []
    for output in filter(None, node.output):
        problem = tensor_problem(view.tensor(output), dynamic_batch=dynamic_batch)
        if problem is not None:
            bad.add(output)
            if not spoilt:
                problems.append(
                    Problem(f"makes {output!r}, which {problem.problem}", problem.remedy)
                )
    has_batch = any(view.tensor(name).dynamic_axes for name in node.input)
    if not spoilt and has_batch and not any(view.tensor(name).dynamic_axes for name in node.output):
        problems.append(
            Problem(
                "has a symbolic batch in its input and none in its output",
                "Write -1 for the batch where a shape is given, and keep the batch axis whole.",
            )
        )
    return problems
