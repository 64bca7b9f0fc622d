"""Types read from what TensorRT's inspector reports about a plan.

The texts have the forms that its documentation and tools show; none was read off a device here.
"""

import json

import pytest

from hot_sdk.engines.tensorrt.precision import LayerReport, parse_layers, precision_mismatch


def layer(*types, key="Format/Datatype"):
    return {"Name": "layer", "Outputs": [{"Name": "y", "Dimensions": [1], key: t} for t in types]}


@pytest.mark.parametrize(
    ("layers", "counts"),
    [
        ([layer("Row major linear FP32 format")], {"fp32": 1}),
        ([layer("Float", "Half", "Half", "Int64", "Bool")], {"fp32": 1, "fp16": 2}),
        ([layer("Thirty-two wide channel vectorized row major Int8 format")], {"int8": 1}),
        ([layer("BFloat16", "FP8", key="Datatype")], {"bf16": 1, "fp8": 1}),
        ([layer("N/A due to dynamic shapes")], {}),
        (["layer one", "layer two"], {}),
    ],
)
def test_types_are_counted(layers, counts):
    report = parse_layers(json.dumps({"Layers": layers, "Bindings": ["x", "Half"]}))
    assert report == LayerReport(counts, 0)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null"])
def test_text_without_layer_information_has_no_counts(text):
    assert parse_layers(text) == LayerReport({}, 0)


@pytest.mark.parametrize(
    ("declared", "found", "said"),
    [
        ("fp32", {"fp32": 9}, None),
        ("fp32", {"fp32": 9, "fp16": 1}, "1 fp16, 9 fp32"),
        ("fp16", {"fp32": 9, "fp16": 1}, None),
        ("fp16", {"fp32": 9}, "declares fp16"),
        ("mixed", {"fp32": 9, "bf16": 2}, None),
        ("int8", {"fp32": 9, "fp16": 1}, "declares int8"),
        ("fp32", {}, None),
        ("something new", {"fp32": 1}, None),
    ],
)
def test_mismatch_is_a_sentence(declared, found, said):
    problem = precision_mismatch(declared, LayerReport(found))
    assert (problem is None) == (said is None)
    assert said is None or said in problem


@pytest.mark.parametrize(
    "region",
    [
        {"Name": "{ForeignNode[/blocks.0/MatMul.../head/Add]}", "LayerType": "Myelin"},
        {"Name": "{ForeignNode[a...b]}", "LayerType": "kgen"},
        "{ForeignNode[a...b]}",
    ],
)
def test_regions_hide_types(region):
    report = parse_layers(json.dumps({"Layers": [layer("FP32"), region]}))
    assert report == LayerReport({"fp32": 1}, 1)
    assert precision_mismatch("fp16", report) is None
    # What is seen in spite of it still counts.
    assert "1 fp16" in precision_mismatch("fp32", LayerReport({"fp16": 1}, 1))
