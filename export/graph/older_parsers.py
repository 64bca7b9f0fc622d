"""Whether the ONNX parsers of older releases of TensorRT read a graph.

``check_graph`` stands for TensorRT 10.3 and newer. TensorRT 8.6 (JetPack 6.0) is too old for the
engine ``tensorrt``, whose networks are strongly typed; a file that passes its rules is one that its
own ``trtexec`` can read, in float32 or by its flags.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, TensorProto

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.graph.rules import (
    PARAMETERS,
    STANDARD_DOMAINS,
    TENSORRT_TYPES,
    element_type_name,
    operator_table,
)
from hot_sdk.export.graph.view import view_graph

TENSORRT_8_6, TENSORRT_10_1 = "8.6", "10.1"

_SHOWN = 10
_FILE = "tensorrt_older_parsers.json"


@dataclass(frozen=True)
class OlderParser:
    """What a parser accepts.

    Attributes:
        opset: Newest opset of the default domain.
        types: For each operator, the element types (``TensorProto.DataType``) of its data inputs.
    """

    opset: int
    types: Mapping[str, frozenset[int]]


@functools.cache
def older_parser(release: str) -> OlderParser:
    """Read the rules of a release, ``8.6`` or ``10.1``, once."""
    file = importlib.resources.files("hot_sdk.export") / "data" / _FILE
    rules = json.loads(file.read_text(encoding="utf-8"))[release]
    if "without" in rules:
        types = dict(operator_table().types)
        for name, without in rules["without"].items():
            types[name] -= _element_types(without)
        return OlderParser(rules["opset"], types)
    types = {
        name: _element_types(group["types"])
        for group in rules["operators"]
        for name in group["names"]
    }
    # Indices: the parser reads them as INT32.
    if "INT64" in rules["types"]:
        integers = _element_types(["INT32", "INT64"])
        types = {name: each | integers if each & integers else each for name, each in types.items()}
    return OlderParser(rules["opset"], types)


def older_parser_problems(model: ModelProto, release: str) -> list[str]:
    """Return what a release of TensorRT does not read in a graph, a sentence each.

    Args:
        model: The graph; not changed.
        release: ``8.6`` or ``10.1``.
    """
    parser = older_parser(release)
    opset = max(entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS)
    problems = []
    if opset > parser.opset:
        problems.append(f"The opset is {opset}; TensorRT {release} reads up to {parser.opset}.")
    view = view_graph(model)
    for node in (*view.nodes, *view.nested):
        accepted = parser.types.get(node.op_type)
        if accepted is None:
            problems.append(f"TensorRT {release} has no {node.op_type} ({node.name!r}).")
            continue
        parameters = PARAMETERS.get(node.op_type, ())
        names = [name for at, name in enumerate(node.input) if at not in parameters]
        found = {view.tensor(name).dtype for name in names if name in view.tensors}
        for dtype in sorted(found - accepted):
            problems.append(
                f"TensorRT {release} has no {node.op_type} of {element_type_name(dtype)}"
                f" ({node.name!r})."
            )
    return problems


def require_readable(model: ModelProto, release: str) -> None:
    """Raise unless an older release reads a graph.

    Raises:
        GraphCheckError: Names up to ten things that it does not read.
    """
    problems = older_parser_problems(model, release)
    if problems:
        raise GraphCheckError(
            f"TensorRT {release} cannot read the exported graph: {' '.join(problems[:_SHOWN])}",
            hint="Leave --opset out for TensorRT 10, or choose another network.",
        )


def _element_types(names: list[str]) -> frozenset[int]:
    return frozenset(TensorProto.DataType.Value(TENSORRT_TYPES.get(name, name)) for name in names)
