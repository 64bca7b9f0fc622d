"""An untrusted model is tried in a child process, within a time and a memory."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hot_sdk.errors import EngineError, UsageError
from hot_sdk.infer.cli import main
from hot_sdk.infer.inputs import EngineOptions
from hot_sdk.infer.trial import try_model
from hot_sdk.starter import STARTER, starter_model

ONE_THREAD = EngineOptions(threads=1)


def with_extra(path, nodes, constants):
    """The starter model, whose poses wait for a number ``z`` of further nodes."""
    model = onnx.load(starter_model())
    for node in model.graph.node:
        node.output[:] = ["inner" if name == "poses_3d" else name for name in node.output]
    lowest = helper.make_node("ReduceMin", ["keypoints_2d"], ["seed"], keepdims=0)
    last = helper.make_node("Add", ["inner", "z"], ["poses_3d"])
    model.graph.node.extend([lowest, *nodes, last])
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    onnx.save(model, path)
    return path


def endless(path):
    scalar = {"i": TensorProto.INT64, "c": TensorProto.BOOL, "s": TensorProto.FLOAT}
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["c2"]),
            helper.make_node("Add", ["s", "s"], ["s2"]),
        ],
        "body",
        [helper.make_tensor_value_info(name, kind, []) for name, kind in scalar.items()],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s2", TensorProto.FLOAT, []),
        ],
    )
    loop = helper.make_node("Loop", ["trip", "go", "seed"], ["z"], body=body)
    return with_extra(path, [loop], {"trip": np.int64(2**62), "go": np.array(True)})


def test_honest_model_passes():
    try_model(STARTER, ONE_THREAD, 120.0)


def test_loop_without_end_is_ended(tmp_path, capsys):
    path = endless(tmp_path / "model.onnx")
    keypoints = tmp_path / "clip.json"
    keypoints.write_text("[]")
    assert main([str(keypoints), "--model", str(path), "--limit-seconds", "4"]) == 8
    error = capsys.readouterr().err
    assert "did not compute its first poses within 4 s" in error
    assert error.count("\n") == 1


def test_fill_of_all_memory_is_refused(tmp_path):
    nodes = [
        helper.make_node("Expand", ["seed", "shape"], ["big"]),
        helper.make_node("ReduceMax", ["big"], ["z"], keepdims=0),
    ]
    shape = np.array([3, 1 << 30], np.int64)
    path = with_extra(tmp_path / "model.onnx", nodes, {"shape": shape})
    with pytest.raises(EngineError, match=r"failed when it was tried|ended with status"):
        try_model(str(path), ONE_THREAD, 60.0)


def test_refusals_of_the_child_are_passed_on(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(EngineError, match=r"failed when it was tried: .*not a complete ONNX file"):
        try_model(str(path), ONE_THREAD, 60.0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_limits_are_refused(seconds):
    with pytest.raises(UsageError, match="--limit-seconds"):
        try_model(STARTER, ONE_THREAD, seconds)
