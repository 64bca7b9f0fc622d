"""The largest values of activations: what they are, and that finding them takes little memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from exported_models import small_request
from onnx import TensorProto, helper, numpy_helper

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.models import family
from hot_sdk.export.pipeline import prepare
from hot_sdk.export.precision.int8 import quantize
from hot_sdk.export.precision.ranges import largest_magnitudes
from hot_sdk.export.precision.rules import quantizable_matmuls

_MIB = 1 << 20

# Address space is limited once everything is loaded: what is added to it is what the runs take.
MEASURE = """
import resource, sys
import numpy as np, onnx
from hot_sdk.export.precision.ranges import largest_magnitudes
model = onnx.load(sys.argv[1])
value = model.graph.input[0]
shape = [size.dim_value for size in value.type.tensor_type.shape.dim]
batches = [{value.name: np.zeros(shape, np.float32)}]
largest_magnitudes(model, [], [])  # Loads ONNX Runtime.
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (int(sys.argv[2]) << 20),) * 2)
found = largest_magnitudes(model, sys.argv[3:], batches)
assert len(found) == len(sys.argv[3:])
"""


def chain(length=3, *, rows=4, width=8, seed=0):
    """Matrix multiplications one after the other, each followed by a sum that reads its input."""
    values = np.random.default_rng(seed)
    shape = [1, rows, width]
    nodes, weights = [], []
    for at in range(length):
        matrix = values.normal(size=(width, width)).astype(np.float32) / width
        weights.append(numpy_helper.from_array(matrix, f"weight{at}"))
        nodes.append(helper.make_node("MatMul", [f"x{at}", f"weight{at}"], [f"y{at}"], f"m{at}"))
        nodes.append(helper.make_node("Add", [f"y{at}", f"x{at}"], [f"x{at + 1}"], f"a{at}"))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{length}", TensorProto.FLOAT, shape)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_finds_the_largest_magnitude_of_all_batches():
    model = chain()
    values = np.random.default_rng(1)
    batches = [{"x0": values.normal(size=(1, 4, 8)).astype(np.float32)} for _ in range(3)]
    batches[1]["x0"][0, 0, 0] = -9.0
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    expected = {}
    for batch in batches:
        x = batch["x0"]
        for at, weight in enumerate(weights):
            expected[f"x{at}"] = max(expected.get(f"x{at}", 0.0), np.abs(x).max())
            x = x @ weight + x
    seen = []
    found = largest_magnitudes(model, expected, batches, count=lambda *done: seen.append(done))
    assert found.keys() == expected.keys()
    assert found["x0"] == 9.0
    np.testing.assert_allclose(list(found.values()), [expected[name] for name in found], rtol=1e-6)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_rejects_activations_that_are_infinite(value):
    keypoints = np.ones((1, 4, 8), np.float32)
    broken = keypoints.copy()
    broken[0, 1, 1] = value
    with pytest.raises(GraphCheckError, match=r"activation 'x\d' is not finite"):
        largest_magnitudes(chain(), ["x1", "x2"], [{"x0": keypoints}, {"x0": broken}])


def test_only_the_multiplications_read_rounded_values():
    model = chain()
    batches = [{"x0": np.ones((1, 4, 8), np.float32)}]
    made = quantize(model, ["m0", "m1"], batches)
    inputs = {node.name: list(node.input) for node in made.graph.node}
    assert inputs["m2"] == ["x2", "weight2"]
    assert [inputs[f"a{at}"] for at in range(3)] == [["y0", "x0"], ["y1", "x1"], ["y2", "x2"]]
    assert inputs["m1"][0].startswith("x1_Dequantize")


def test_scales_are_those_of_onnxruntimes_quantizer(tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    model = chain(2)
    batches = [
        {"x0": np.random.default_rng(seed).normal(size=(1, 4, 8)).astype(np.float32)}
        for seed in range(4)
    ]

    class Reader(quantization.CalibrationDataReader):
        left = iter(batches)

        def get_next(self):
            return next(self.left, None)

    onnx.save(model, tmp_path / "model.onnx")
    quantization.quantize_static(
        tmp_path / "model.onnx",
        tmp_path / "quantized.onnx",
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul"],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
        },
    )
    theirs, ours = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
        for made in (onnx.load(tmp_path / "quantized.onnx"), quantize(model, ["m0", "m1"], batches))
    )
    assert theirs.keys() == ours.keys()
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values, err_msg=name, strict=True)


def measured_within(mebibytes, model, names, path):
    onnx.save(model, path)
    return subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), str(mebibytes), *names],
        capture_output=True,
        text=True,
        check=False,
    )


needs_limits = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="address space is read from /proc"
)


@needs_limits
def test_memory_does_not_grow_with_depth(tmp_path):
    # Each activation takes 8 MiB, all of them together 320 MiB.
    model, names = chain(20, rows=1 << 16, width=32), [f"x{at}" for at in range(20)]
    enough = measured_within(120, model, names, tmp_path / "model.onnx")
    assert enough.returncode == 0, enough.stderr[-500:]
    # The limit is one: less than three activations cannot do.
    few = measured_within(16, model, names, tmp_path / "model.onnx")
    assert few.returncode != 0


@needs_limits
def test_memory_of_the_family_with_the_largest_activations(tmp_path):
    request = small_request("motionbert", batch=8, flip=True, config={"depth": 4})
    prepared = prepare(request)
    lifter = fold_constants(build_lifter(prepared.spec, prepared.state, flip=True))
    model = trace(lifter, prepared.spec, batch=8, opset=17)
    matmuls = quantizable_matmuls(model.graph, family("motionbert"))
    names = sorted({node.input[0] for node in model.graph.node if node.name in matmuls})
    kept = _bytes_of_activations(model)
    done = measured_within(kept // 3 // _MIB, model, names, tmp_path / "model.onnx")
    assert done.returncode == 0, done.stderr[-500:]


def _bytes_of_activations(model):
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    sizes = [
        np.prod([size.dim_value for size in value.type.tensor_type.shape.dim])
        for value in inferred.graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    ]
    return int(4 * np.sum(sizes))
