"""int8 products whose sums do not fit 16 bits, which x86 CPUs without VNNI add up in."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import finish_model

from hot_sdk.doctor.self_test import model_file
from hot_sdk.doctor.self_test.models import sample
from hot_sdk.engines import SessionOptions, list_engines, open_session
from hot_sdk.engines import openvino as openvino_engine
from hot_sdk.manifest import POSES

ENGINES = [name for name in ("onnxruntime", "openvino") if name in list_engines()]


def product(rows=8, inner=64, columns=32):
    """Activations and weights of 127 steps each: pairs of products need 16 bits and a sign."""
    weight = np.full((inner, columns), 127, np.int8)
    weights = [
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.float32(1 / 127), "scale"),
        numpy_helper.from_array(np.full(columns, 1 / 127, np.float32), "scales"),
        numpy_helper.from_array(np.int8(0), "zero"),
        numpy_helper.from_array(np.zeros(columns, np.int8), "zeros"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["weight", "scales", "zeros"], ["w"], axis=1),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, rows, inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, rows, columns])],
        weights,
    )
    return finish_model(graph, {}).SerializeToString()


@pytest.mark.parametrize("engine", ENGINES)
def test_large_sums_are_exact(engine):
    with open_session(product(), SessionOptions(threads=1), engine=engine) as session:
        found = session.run({"x": np.ones((1, 8, 64), np.float32)})["y"]
    np.testing.assert_allclose(found, 64.0, rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_is_what_onnxruntime_computes_without_optimizations(engine):
    path = model_file("int8+fp16")
    arrays = sample(path)
    with open_session(path, SessionOptions(graph_optimization="none")) as session:
        expected = session.run(arrays)[POSES]
    with open_session(path, engine=engine) as session:
        found = session.run(arrays)[POSES]
    error = np.linalg.norm(found - expected, axis=-1).mean()
    assert error < 0.05 * np.linalg.norm(expected, axis=-1).mean()


@pytest.mark.parametrize(
    ("machine", "flags", "exact"),
    [
        ("x86_64", "avx avx2", False),
        ("x86_64", "avx2 avx512_vnni", True),
        ("x86_64", "avx2 avx_vnni", True),
        ("aarch64", "asimd", True),
    ],
)
def test_the_cpus_instructions_decide(monkeypatch, tmp_path, machine, flags, exact):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor : 0\nflags : fpu {flags}\n")
    monkeypatch.setattr(openvino_engine.platform, "machine", lambda: machine)
    monkeypatch.setattr(openvino_engine, "Path", lambda _: file)
    settings = openvino_engine.compile_settings("CPU", SessionOptions())
    assert ("LP_TRANSFORMS_MODE" not in settings) == exact
    assert "LP_TRANSFORMS_MODE" not in openvino_engine.compile_settings("GPU", SessionOptions())
