"""What a GPU computes in float16, emulated on the CPU."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hot_sdk.engines import open_session
from hot_sdk.export.precision.half_sums import with_half_sums


def half_graph(nodes, weights, columns, rows=3):
    """float32 in, float16 nodes, float32 out."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
            *nodes,
            helper.make_node("Cast", ["z"], ["y"], to=TensorProto.FLOAT),
        ],
        "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, None])],
        [numpy_helper.from_array(value.astype(np.float16), name) for name, value in weights],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def run(model, x):
    with open_session(model.SerializeToString()) as session:
        return session.run({"x": x})["y"]


def sums_in_float16(left, right):
    """16 products at a time, as the module says."""
    total = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for start in range(0, left.shape[1], 16):
        part = left[:, start : start + 16] @ right[start : start + 16]
        total = (total + part).astype(np.float16).astype(np.float32)
    return total


def test_nodes_round_that_onnxruntime_computes_in_float32():
    nodes = [helper.make_node("Add", ["h", "b"], ["s"]), helper.make_node("Sub", ["s", "b"], ["z"])]
    model = half_graph(nodes, [("b", np.array([1024.0]))], columns=4, rows=1)
    x = np.float32([[0.1, 0.3, 0.6, 0.7]])
    # What its verification of a float16 file does not show.
    np.testing.assert_allclose(run(model, x), x, atol=1e-3)
    np.testing.assert_array_equal(run(with_half_sums(model), x), [[0.0, 0.0, 1.0, 1.0]])


@pytest.mark.parametrize("columns", [8, 16, 70, 512])
@pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
def test_sums_are_rounded_after_every_step(columns, operator):
    random = np.random.default_rng(columns)
    x = random.standard_normal((3, columns)).astype(np.float16).astype(np.float32)
    w = (random.standard_normal((columns, 5)) + 1).astype(np.float16).astype(np.float32)
    model = half_graph([helper.make_node(operator, ["h", "w"], ["z"])], [("w", w)], columns)
    emulated = with_half_sums(model)
    onnx.checker.check_model(emulated, full_check=True)
    found, expected = run(emulated, x), sums_in_float16(x, w)
    # Of the last place, since a product in float32 may itself end in another one.
    np.testing.assert_allclose(found, expected, atol=np.spacing(np.float16(64)))
    if columns > 64:
        exact = np.abs(expected - x @ w).mean()
        assert np.abs(found - expected).mean() < 0.2 * exact


def test_a_bias_is_added_to_the_rounded_product():
    random = np.random.default_rng(0)
    x, w = random.standard_normal((3, 32)), random.standard_normal((32, 5))
    nodes = [helper.make_node("Gemm", ["h", "w", "c"], ["z"])]
    model = half_graph(nodes, [("w", w), ("c", np.full(5, 4096.0))], 32)
    found = run(with_half_sums(model), x.astype(np.float32))
    assert set(np.unique(found % 2)) == {0.0}
