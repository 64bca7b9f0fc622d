"""Types read from what TensorRT's inspector reports about a plan.

The texts have the forms that its documentation and tools show; none was read off a device here.
"""

import json

import pytest

from hot_sdk.engines.tensorrt.execution import count_types, precision_mismatch


def layer(*types, key="Format/Datatype"):
    return {"Name": "layer", "Outputs": [{"Name": "y", "Dimensions": [1], key: t} for t in types]}


@pytest.mark.parametrize(
    ("layers", "counts"),
    [
        ([layer("Row major linear FP32 format")], {"fp32": 1}),
        ([layer("Float", "Half", "Half", "Int64", "Bool")], {"fp32": 1, "fp16": 2}),
        ([layer("Thirty-two wide channel vectorized row major Int8 format")], {"int8": 1}),
        ([layer("BFloat16", "FP8", key="Datatype")], {"bf16": 1, "fp8": 1}),
        (["layer one", "layer two"], {}),
    ],
)
def test_types_are_counted(layers, counts):
    assert count_types(json.dumps({"Layers": layers, "Bindings": ["x", "Half"]})) == counts


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null"])
def test_text_without_layer_information_has_no_counts(text):
    assert count_types(text) == {}


@pytest.mark.parametrize(
    ("declared", "found", "said"),
    [
        ("fp32", {"fp32": 9}, None),
        ("fp32", {"fp32": 9, "fp16": 1}, "1 fp16, 9 fp32"),
        ("fp16", {"fp32": 9, "fp16": 1}, None),
        ("fp16", {"fp32": 9}, "declares fp16"),
        ("mixed", {"fp32": 9, "bf16": 2}, None),
        ("int8", {"fp32": 9, "fp16": 1}, "declares int8"),
        ("fp32", {}, "does not report"),
        ("something new", {"fp32": 1}, None),
    ],
)
def test_mismatch_is_a_sentence(declared, found, said):
    problem = precision_mismatch(declared, found)
    assert (problem is None) == (said is None)
    assert said is None or said in problem
