"""Signatures read from the file alone, against those that ONNX Runtime tells."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import finish_model, make_affine, make_pair

from hot_sdk.engines import open_session
from hot_sdk.engines.onnx_file import OnnxFile, check_onnx
from hot_sdk.engines.onnx_signature import read_signature
from hot_sdk.errors import EngineError
from hot_sdk.starter import starter_model


def weights_among_inputs():
    # As files of IR version 3 have them.
    model = make_affine(rows=2)
    for weight in model.graph.initializer:
        value = helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
        model.graph.input.append(value)
    return model


def of_types(*types):
    nodes = [helper.make_node("Identity", [f"x{kind}"], [f"y{kind}"]) for kind in types]
    values = [
        [helper.make_tensor_value_info(f"{name}{kind}", kind, [2, 1]) for kind in types]
        for name in "xy"
    ]
    return finish_model(helper.make_graph(nodes, "types", *values))


KINDS = [
    TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16,
    TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16,
    TensorProto.DOUBLE, TensorProto.UINT32, TensorProto.UINT64,
]  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [
        make_affine(metadata={"author": "tests", "note": "naïve\n", "empty": ""}),
        make_affine(rows=3, dtype=np.float16),
        weights_among_inputs(),
        of_types(*KINDS),
    ],
    ids=["metadata", "half", "weights-among-inputs", "types"],
)
def test_is_what_onnxruntime_tells(model):
    content = model.SerializeToString()
    signature = read_signature(check_onnx(content))
    with open_session(content) as session:
        assert signature.inputs == session.inputs
        assert signature.outputs == session.outputs
        assert signature.metadata == session.metadata


def test_a_dimension_keeps_its_name_or_has_none():
    signature = read_signature(check_onnx(make_pair().SerializeToString()))
    assert [spec.shape for spec in signature.inputs] == [("batch", "?", 4), ("batch", 3, 4)]
    assert [spec.shape for spec in signature.outputs] == [("batch", "?", 4)] * 2


def test_a_file_and_its_bytes_are_the_same():
    path = starter_model()
    signature = read_signature(check_onnx(path))
    assert read_signature(check_onnx(path.read_bytes())) == signature
    with open_session(path) as session:
        assert (signature.inputs, signature.outputs) == (session.inputs, session.outputs)
        assert signature.metadata == session.metadata


def test_metadata_is_read_only():
    signature = read_signature(check_onnx(make_affine().SerializeToString()))
    with pytest.raises(TypeError):
        signature.metadata["a"] = "b"


def test_what_is_no_dense_tensor_is_refused():
    model = make_affine()
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [2]))
    model.graph.output.append(helper.make_value_info("list", kind))
    with pytest.raises(EngineError, match="'list' is not a dense tensor"):
        read_signature(check_onnx(model.SerializeToString()))


def test_names_that_are_no_text_are_refused():
    model = make_affine(metadata={"note": "????"})
    content = model.SerializeToString().replace(b"????", b"\xff\xfe\xff\xfe")
    with pytest.raises(EngineError, match="not text"):
        read_signature(check_onnx(content))


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_cut_file_is_an_engine_error(kept):
    content = make_affine().SerializeToString()
    with pytest.raises(EngineError, match="cannot be read"):
        read_signature(OnnxFile(content[: int(len(content) * kept)], "cut"))


def test_a_scalar_has_no_dimensions():
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        "scalar",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(np.ones((), np.float32), "one")],
    )
    model = finish_model(graph)
    onnx.checker.check_model(model)
    signature = read_signature(check_onnx(model.SerializeToString()))
    assert [spec.shape for spec in (*signature.inputs, *signature.outputs)] == [(), ()]
