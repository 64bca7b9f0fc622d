"""Small ONNX models whose results are known."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

WEIGHT = np.array([[1, -2], [0.5, 3], [-1, 0.25]], np.float32)


def finish_model(graph, metadata=None):
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, metadata or {})
    return model


def make_affine(*, weight=WEIGHT, metadata=None, rows="batch", dtype=np.float32):
    """y = 2 * x @ weight, its factor 2 hidden in a chain that an optimizer folds."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weight = weight.astype(dtype)
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["one", "one"], ["two"]),
            helper.make_node("Identity", ["x"], ["same"]),
            helper.make_node("MatMul", ["same", "weight"], ["product"]),
            helper.make_node("Mul", ["product", "two"], ["y"]),
        ],
        "affine",
        [helper.make_tensor_value_info("x", kind, [rows, weight.shape[0]])],
        [helper.make_tensor_value_info("y", kind, [rows, weight.shape[1]])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.ones((), dtype), "one"),
        ],
    )
    return finish_model(graph, metadata)


def make_pair():
    """total = a + b, of one batch size; first = a."""
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["a", "b"], ["total"]),
            helper.make_node("Identity", ["a"], ["first"]),
        ],
        "pair",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["batch", None, 4]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, ["batch", 3, 4]),
        ],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["batch", None, 4]),
            helper.make_tensor_value_info("first", TensorProto.FLOAT, ["batch", None, 4]),
        ],
    )
    return finish_model(graph)


def external_tensor(location, *, name="weight"):
    """A tensor of the shape of WEIGHT whose values lie in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=WEIGHT.shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def make_external(location):
    model = make_affine()
    model.graph.initializer[0].CopyFrom(external_tensor(location))
    return model
