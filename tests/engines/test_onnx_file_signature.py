from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import finish_model, make_affine, make_pair

from hot_sdk.engines import open_session
from hot_sdk.engines.onnx_file import check_onnx, read_signature
from hot_sdk.errors import EngineError
from hot_sdk.starter import starter_model


def signature(model):
    return read_signature(check_onnx(model.SerializeToString()))


def with_a_valued_input():
    """As old files have it: a weight that is listed among the inputs."""
    model = make_affine()
    weight = model.graph.initializer[0]
    info = helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims))
    model.graph.input.insert(0, info)
    return model


@pytest.mark.parametrize(
    "model",
    [
        make_affine(metadata={"b": "ä\n", "a": ""}),
        make_affine(rows=4, dtype=np.float16),
        make_affine(dtype=np.float64),
        with_a_valued_input(),
    ],
)
def test_signature_is_what_onnxruntime_reads(model):
    found = signature(model)
    with open_session(model.SerializeToString()) as session:
        assert found.inputs == session.inputs
        assert found.outputs == session.outputs
        assert found.metadata == session.metadata


def test_signature_of_the_starter_model():
    found = read_signature(check_onnx(starter_model()))
    with open_session(starter_model()) as session:
        assert found.inputs == session.inputs
        assert found.outputs == session.outputs
        assert found.metadata == session.metadata
    assert found.static


def test_only_fixed_sizes_are_static():
    assert signature(make_affine(rows=4)).static
    assert not signature(make_affine()).static
    assert not signature(make_pair()).static


def test_a_size_below_zero_is_any_size():
    assert signature(make_affine(rows=-1)).inputs[0].shape == ("?", 3)


def without_shape():
    model = make_affine()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def text_input():
    graph = helper.make_graph(
        [helper.make_node("Identity", ["s"], ["t"])],
        "text",
        [helper.make_tensor_value_info("s", TensorProto.STRING, [1])],
        [helper.make_tensor_value_info("t", TensorProto.STRING, [1])],
    )
    return finish_model(graph)


def sequence_output():
    model = make_affine()
    info = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [1])
    model.graph.output[0].CopyFrom(info)
    return model


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (without_shape(), "'y' has no shape"),
        (text_input(), "is not a dense tensor"),
        (sequence_output(), "'y' is not a dense tensor"),
        (onnx.ModelProto(graph=onnx.GraphProto(input=[onnx.ValueInfoProto()])), "'' is not"),
    ],
)
def test_rejects_tensors_without_shape_or_number_type(model, says):
    with pytest.raises(EngineError, match=says):
        signature(model)


def test_file_that_changed_since_it_was_checked_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(make_affine().SerializeToString())
    file = check_onnx(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(EngineError, match="cannot be read"):
        read_signature(file)
    path.unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        read_signature(file)
