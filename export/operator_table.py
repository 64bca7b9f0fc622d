"""What the ONNX parser of TensorRT 10.3 takes: operators, types and limits, from a data file."""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import TensorProto

_FILE = "tensorrt_10_3_operators.json"
_TYPES: Mapping[str, int] = {
    "FP32": TensorProto.FLOAT,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP8": TensorProto.FLOAT8E4M3FN,
    "INT4": TensorProto.INT4,
    "INT8": TensorProto.INT8,
    "UINT8": TensorProto.UINT8,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "BOOL": TensorProto.BOOL,
}


@dataclass(frozen=True)
class OperatorTable:
    """The parser's limits.

    Attributes:
        types: For each operator that the parser takes, the element types (``TensorProto.DataType``)
            of its data inputs.
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
    return OperatorTable(
        types={name: _element_types(row["types"]) for name, row in data["operators"].items()},
        tensor_types=_element_types(data["types"]),
        max_opset=data["opset"]["max"],
        max_topk=data["limits"]["topk_k"],
        max_rank=data["limits"]["rank"],
    )


def _element_types(names: list[str]) -> frozenset[int]:
    return frozenset(_TYPES[name] for name in names)
