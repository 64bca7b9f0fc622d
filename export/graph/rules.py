"""Rules for the tensors and nodes of an exported graph, one small function each.

Most come from the ONNX parser of TensorRT 10.3 (JetPack 6.1 and 6.2), whose operators, types and
limits are read from a data file. The others keep every shape and every choice fixed at export, so
that all engines run the same graph.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from onnx import NodeProto, TensorProto

from hot_sdk.export.graph.view import GraphView, TensorInfo, attribute, input_name, is_external

STANDARD_DOMAINS = ("", "ai.onnx")

_FILE = "tensorrt_10_3_operators.json"
TENSORRT_TYPES = {"FP32": "FLOAT", "FP16": "FLOAT16", "BF16": "BFLOAT16", "FP8": "FLOAT8E4M3FN"}
"""ONNX's names of TensorRT's types; the others have the same name in both."""


class Problem(NamedTuple):
    """What is wrong, as a predicate, and what to do."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class OperatorTable:
    """Limits of TensorRT's ONNX parser.

    Attributes:
        types: For each operator that the parser accepts, the element types
            (``TensorProto.DataType``) of its data inputs.
        tensor_types: Element types that any tensor may have.
        max_opset: Newest opset of the default domain.
        max_topk: Largest K of TopK.
        max_rank: Most dimensions of a tensor.
    """

    types: Mapping[str, frozenset[int]]
    tensor_types: frozenset[int]
    max_opset: int
    max_topk: int
    max_rank: int


@functools.cache
def operator_table() -> OperatorTable:
    """Read the table, once."""
    file = importlib.resources.files("hot_sdk.export") / "data" / _FILE
    data = json.loads(file.read_text(encoding="utf-8"))

    def element_types(names: list[str]) -> frozenset[int]:
        return frozenset(
            TensorProto.DataType.Value(TENSORRT_TYPES.get(name, name)) for name in names
        )

    return OperatorTable(
        types={name: element_types(row["types"]) for name, row in data["operators"].items()},
        tensor_types=element_types(data["types"]),
        max_opset=data["opset"]["max"],
        max_topk=data["limits"]["topk_k"],
        max_rank=data["limits"]["rank"],
    )


def element_type_name(dtype: int) -> str:
    """Return the name of an element type, as ONNX writes it."""
    return str(TensorProto.DataType.Name(dtype)) if dtype in TensorProto.DataType.values() else "?"


def tensor_problem(tensor: TensorInfo, *, dynamic_batch: bool) -> Problem | None:
    """Return the first problem of a tensor's inferred type and shape, or None.

    Args:
        tensor: The inferred type and shape.
        dynamic_batch: Allow one axis without a fixed length.
    """
    if tensor.dtype == TensorProto.UNDEFINED:
        return Problem(
            "has an element type that cannot be inferred",
            "Use operators that ONNX defines in the opset of the model.",
        )
    if (problem := type_problem(tensor.dtype)) is not None:
        return problem
    if tensor.shape is None:
        return Problem(
            "has a number of axes that cannot be inferred", "Give shapes and axes as constants."
        )
    limit = operator_table().max_rank
    if len(tensor.shape) > limit:
        return Problem(
            f"has {len(tensor.shape)} axes; TensorRT accepts {limit}", "Merge axes by a reshape."
        )
    if any(length is not None and length < 1 for length in tensor.shape):
        return Problem(f"is empty, {_shape_text(tensor)}", "Leave the empty tensor out.")
    if tensor.dynamic_axes > int(dynamic_batch):
        return dynamic_problem(tensor, dynamic_batch=dynamic_batch)
    return None


def type_problem(dtype: int) -> Problem | None:
    """Return the problem of an element type, or None."""
    if dtype in operator_table().tensor_types:
        return None
    return Problem(
        f"is of type {element_type_name(dtype)}, which TensorRT 10.3 does not compute in",
        "Keep the model in float32, with int64 for indices.",
    )


def dynamic_problem(tensor: TensorInfo, *, dynamic_batch: bool) -> Problem:
    """Return the problem of a tensor that has an axis without a fixed length."""
    allowed = "no axis but the batch may" if dynamic_batch else "no axis may"
    return Problem(
        f"has the shape {_shape_text(tensor)}; {allowed} be without a fixed length",
        "Export with fixed shapes; only the batch may be symbolic, and only on request.",
    )


def _shape_text(tensor: TensorInfo) -> str:
    shape = tensor.shape or ()
    return "(" + ", ".join("?" if length is None else str(length) for length in shape) + ")"


_BRANCH = Problem(
    "chooses at run time what is computed",
    "Trace with fixed shapes, and replace branches and loops on data by a mask and Where.",
)
_SHAPE = Problem(
    "reads a shape at run time",
    "Take sizes from the model's options, never from a tensor's shape, and use -1 for the batch.",
)
_COUNT = Problem(
    "makes a tensor whose length depends on the data",
    "Use a mask and Where, or TopK with a constant K.",
)
_RANDOM = Problem(
    "draws random numbers, so that two runs differ",
    "Export in evaluation mode, and remove the noise from the model.",
)
_SCATTER = Problem(
    "writes by index, which engines run slowly or not at all",
    "Write it as a Gather or GatherElements, or as Where with a constant mask.",
)
_FORBIDDEN: Mapping[str, Problem] = {
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), _BRANCH),
    **dict.fromkeys(("Shape", "Size"), _SHAPE),
    **dict.fromkeys(("NonZero", "Unique", "Compress"), _COUNT),
    **dict.fromkeys(("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"), _RANDOM),
    **dict.fromkeys(("RandomUniform", "RandomUniformLike"), _RANDOM),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), _SCATTER),
}

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
PARAMETERS: Mapping[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "DequantizeLinear": (1, 2),
    "Dropout": (1, 2),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 2, 3),
    "QuantizeLinear": (1, 2),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    **{f"Reduce{name}": (1,) for name in _REDUCTIONS},
}
"""Inputs that set a shape, an axis, a count or a scale, by operator. They are not data: the types
that a table lists for an operator do not apply to them."""
_ONE_OUTPUT = ("BatchNormalization", "LayerNormalization", "MaxPool")


def node_problems(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    """Iterate over the rules' objections to one node."""
    for rule in _RULES:
        yield from rule(node, view)


def _operator(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    if not _is_standard(node):
        yield Problem(
            f"belongs to the domain {node.domain!r}; only the standard operators run everywhere",
            "Export without fused or custom operators, and inline local functions.",
        )
    elif node.op_type in _FORBIDDEN:
        yield _FORBIDDEN[node.op_type]
    elif node.op_type not in operator_table().types:
        yield Problem(
            "is not among the operators of TensorRT 10.3",
            "Write it with basic operators, or export with an opset that composes it of them.",
        )


def _unsupported_type(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    table = operator_table()
    accepted = table.types.get(node.op_type)
    if accepted is None or not _is_standard(node) or node.op_type in _FORBIDDEN:
        return
    parameters = PARAMETERS.get(node.op_type, ())
    names = [name for at, name in enumerate(node.input) if at not in parameters]
    if node.op_type in ("Cast", "CastLike"):
        names += node.output
    found = {view.tensor(name).dtype for name in names if name in view.tensors}
    # A type that no operator accepts is the finding of the tensor that introduces it.
    for dtype in sorted((found & table.tensor_types) - accepted):
        yield Problem(
            f"works on {element_type_name(dtype)}, which TensorRT 10.3 does not accept here",
            "Cast to an accepted type: "
            + ", ".join(sorted(element_type_name(each) for each in accepted))
            + ".",
        )


def _computed_parameter(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    if not _is_standard(node):
        return
    for position in PARAMETERS.get(node.op_type, ()):
        name = input_name(node, position)
        if name and name not in view.constants:
            yield Problem(
                f"takes input {position}, {name!r}, from a computation; it must be a constant",
                "Compute it in Python from the model's options, so that a constant is exported.",
            )


def _topk(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    if node.op_type != "TopK":
        return
    if view.tensor(input_name(node, 0)).dtype == TensorProto.INT64:
        yield Problem(
            "sorts INT64, which not every engine can",
            "Cast its input to float32; integers up to 2^24 stay exact.",
        )
    if not attribute(node, "sorted", 1):
        yield Problem("leaves its output unsorted", "Export it with sorted=True.")
    values = view.values(node, 1)
    limit = operator_table().max_topk
    if values is not None and any(k > limit for k in values):
        yield Problem(
            f"has K = {max(values)}; TensorRT sorts at most {limit}",
            "Keep fewer elements, or split the axis.",
        )


def _training(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    flag: object = 0
    if node.op_type == "BatchNormalization":
        flag = attribute(node, "training_mode", 0)
    elif node.op_type == "Dropout" and (values := view.values(node, 2)) is not None:
        flag = values.any()
    if flag:
        yield Problem("is in training mode", "Call model.eval() before the export.")


def _further_outputs(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    if node.op_type in _ONE_OUTPUT and any(node.output[1:]):
        yield Problem(
            "has more than its first output, which TensorRT 10.3 does not compute",
            "Compute the further outputs with basic operators.",
        )


def _einsum(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    if node.op_type != "Einsum":
        return
    written = attribute(node, "equation", "")
    equation = written.decode("ascii", "replace") if isinstance(written, bytes) else ""
    operands = equation.replace(" ", "").split("->")[0].split(",")
    simple = all(part.isalpha() and part.islower() for part in operands if part)
    if not simple or any(len(set(part)) < len(part) for part in operands):
        yield Problem(
            f"has the equation {equation!r}; TensorRT 10.3 accepts lower-case letters only, "
            "each once in an operand",
            "Write it with matmul, transpose and sum.",
        )


def _zero_point(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return
    values = view.values(node, 2)
    if values is not None and values.any():
        yield Problem("has a zero point other than 0", "Quantize symmetrically.")


def _triangle_of_bool(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    """Object to what the operator table lists, but the parsers of TensorRT 8.6 to 10.1 refuse."""
    if node.op_type == "Trilu" and view.tensor(input_name(node, 0)).dtype == TensorProto.BOOL:
        yield Problem(
            "works on BOOL, which TensorRT before 10.2 multiplies and therefore refuses",
            "Compare positions instead, so that the mask is exported as a constant.",
        )


def _odd_constant(node: NodeProto, view: GraphView) -> Iterator[Problem]:
    if node.op_type != "Constant":
        return
    if not node.output or node.output[0] not in view.constants:
        yield Problem("holds text or a sparse tensor", "Use a dense tensor of numbers.")
    elif is_external(view.constants[node.output[0]]):
        yield Problem("stores its data in another file", "Save the model as one file.")


def _is_standard(node: NodeProto) -> bool:
    return node.domain in STANDARD_DOMAINS


_Rule = Callable[[NodeProto, GraphView], Iterator[Problem]]
_RULES: tuple[_Rule, ...] = (
    _operator,
    _unsupported_type,
    _computed_parameter,
    _topk,
    _training,
    _further_outputs,
    _einsum,
    _zero_point,
    _triangle_of_bool,
    _odd_constant,
)
