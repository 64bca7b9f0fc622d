"""What a tensor of an exported graph must not be: its type and shape, as inferred."""

from __future__ import annotations

from typing import NamedTuple

from onnx import TensorProto

from hot_sdk.export.graph_view import TensorInfo
from hot_sdk.export.operator_table import operator_table


class Problem(NamedTuple):
    """What is wrong, as a predicate, and what to do."""

    problem: str
    remedy: str


def element_type_name(dtype: int) -> str:
    """Name of an element type, as ONNX writes it."""
    return str(TensorProto.DataType.Name(dtype)) if dtype in TensorProto.DataType.values() else "?"


def tensor_problem(tensor: TensorInfo, *, dynamic_batch: bool) -> Problem | None:
    """The first thing wrong with a tensor, or None.

    Args:
        tensor: What is known of it.
        dynamic_batch: Admit one axis without a fixed length.
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
            f"has {len(tensor.shape)} axes; TensorRT takes {limit}", "Merge axes by a reshape."
        )
    if any(length is not None and length < 1 for length in tensor.shape):
        return Problem(f"is empty, {spelt(tensor)}", "Leave the empty tensor out.")
    if tensor.dynamic_axes > int(dynamic_batch):
        return dynamic_problem(tensor, dynamic_batch=dynamic_batch)
    return None


def type_problem(dtype: int) -> Problem | None:
    """What is wrong with an element type, or None."""
    if dtype in operator_table().tensor_types:
        return None
    return Problem(
        f"is of type {element_type_name(dtype)}, which TensorRT 10.3 does not compute in",
        "Keep the model in float32, with int64 for indices.",
    )


def dynamic_problem(tensor: TensorInfo, *, dynamic_batch: bool) -> Problem:
    """The finding about a tensor that has an axis without a fixed length."""
    allowed = "no axis but the batch may" if dynamic_batch else "no axis may"
    return Problem(
        f"has the shape {spelt(tensor)}; {allowed} be without a fixed length",
        "Export with fixed shapes; only the batch may be symbolic, and only on request.",
    )


def spelt(tensor: TensorInfo) -> str:
    """A shape as text, with ? for what is not fixed."""
    shape = tensor.shape or ()
    return "(" + ", ".join("?" if length is None else str(length) for length in shape) + ")"
