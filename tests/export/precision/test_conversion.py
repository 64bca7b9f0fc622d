"""Every family in every precision: what stays float32, what is quantized, and what it gives."""

import functools

import numpy as np
import onnx
import pytest
from exported_models import FRAMES, small_request
from onnx import TensorProto, numpy_helper

from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.onnx_file import check_onnx
from hot_sdk.engines.onnxruntime.integer_products import PRODUCT, with_integer_products
from hot_sdk.errors import GraphCheckError, UsageError
from hot_sdk.export.enums import Precision, Variant
from hot_sdk.export.graph.check import check_graph
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.view import view_graph
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.models import family, list_models
from hot_sdk.export.pipeline import prepare
from hot_sdk.export.precision.calibration import calibration_windows
from hot_sdk.export.precision.convert import convert
from hot_sdk.export.precision.float16 import require_unrounded
from hot_sdk.export.precision.int8 import dequantize_except
from hot_sdk.export.precision.rules import (
    MOVING,
    block_of,
    float32_nodes,
    module_of,
    quantizable_matmuls,
)
from hot_sdk.manifest import KEYPOINTS, POSES

EVERY_FAMILY = pytest.mark.parametrize("name", list_models())
QUANTISED = pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT8_DYNAMIC])


@functools.cache
def traced(name, batch=1):
    """A small network that prunes where the family can, as a graph, and its specification."""
    options = {"ratio": 0.5} if Variant.HOT in family(name).pruning else {}
    prepared = prepare(small_request(name, batch=batch, **options))
    lifter = fold_constants(build_lifter(prepared.spec, prepared.state, flip=False))
    return trace(lifter, prepared.spec, batch=batch, opset=20), prepared.spec


@functools.cache
def converted(name, precision, batch=1):
    model, spec = traced(name, batch)
    return convert(model, spec, precision, calibration_windows(spec))


def poses(model, keypoints):
    with open_session(model.SerializeToString()) as session:
        return session.run({KEYPOINTS: keypoints})[POSES]


def tensors_of(model, node):
    view = view_graph(model)
    return {view.tensor(each).dtype for each in (*node.input, *node.output) if each}


@EVERY_FAMILY
@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8, Precision.INT8_FP16])
def test_converted_graphs_pass_the_check(name, precision):
    assert check_graph(converted(name, precision).model) == []


@EVERY_FAMILY
@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8, Precision.INT8_FP16])
def test_tensorrt_compiles_converted_graphs(name, precision):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no wheel for this platform")
    from tensorrt_compiler import compiled

    assert len(compiled(converted(name, precision).model.SerializeToString())) > 10_000


@EVERY_FAMILY
@pytest.mark.parametrize("precision", [each for each in Precision if each is not Precision.FP32])
def test_poses_stay_near(name, precision):
    model, spec = traced(name)
    # The last of them, so that what is calibrated on is not all there is.
    keypoints = calibration_windows(spec).windows[-1:] * 0.9
    exact, found = poses(model, keypoints), poses(converted(name, precision).model, keypoints)
    size = np.linalg.norm(exact, axis=-1).mean()
    limit = 0.02 if precision is Precision.FP16 else 0.25
    error = np.linalg.norm(found - exact, axis=-1).mean()
    assert 0.0 < error < limit * size


@EVERY_FAMILY
@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT8_FP16])
def test_onnxruntime_multiplies_integers_in_every_place(name, precision):
    made = converted(name, precision)
    content = made.model.SerializeToString()
    file = with_integer_products(check_onnx(content))
    graph = onnx.load_from_string(file.content).graph
    multiplied = {node.name for node in graph.node if node.op_type == PRODUCT}
    assert multiplied == set(made.matmuls)
    assert "DequantizeLinear" not in {node.op_type for node in graph.node}
    found = []
    for level in ("none", "all"):
        options = SessionOptions(graph_optimization=level)
        with open_session(content, options, engine="onnxruntime") as session:
            keypoints = calibration_windows(traced(name)[1]).windows[-1:]
            found.append(session.run({KEYPOINTS: keypoints})[POSES])
    # A value between two steps may be rounded to either, and a frame as good as another be kept.
    error = np.linalg.norm(found[0] - found[1], axis=-1).mean()
    assert error < 0.05 * np.linalg.norm(found[0], axis=-1).mean()


@EVERY_FAMILY
@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8_FP16])
def test_fp16_keeps_choices_sums_and_poses_in_float32(name, precision):
    model, _ = traced(name)
    made = converted(name, precision).model
    view = view_graph(made)
    computing = [node for node in made.graph.node if node.op_type != "Cast"]
    half = {node.name for node in computing if TensorProto.FLOAT16 in tensors_of(made, node)}
    for node in computing:
        if node.op_type in ("LayerNormalization", "Softmax", "TopK", "ReduceMean", "ReduceMin"):
            assert node.name not in half, node.name
        module = module_of(node)
        if module.startswith("selectors") or module.endswith("graph_temporal.mixer"):
            assert node.name not in half, node.name
    assert not half & nearest(made.graph.node, {each.name for each in made.graph.output})
    first = next(node for node in computing if node.op_type in PRODUCTS)
    assert first.name not in half, "the layer that reads keypoints"
    assert any(node.op_type in PRODUCTS for node in computing if node.name in half)
    for value in (*made.graph.input, *made.graph.output):
        before = view_graph(model).tensor(value.name).dtype
        assert view.tensor(value.name).dtype == before


PRODUCTS = ("Gemm", "MatMul")


def nearest(nodes, wanted):
    """The matrix multiplications that make outputs, and all between the two."""
    found = set()
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            found.add(node.name)
            if node.op_type not in (*PRODUCTS, "LayerNormalization", "TopK"):
                wanted.update(node.input)
    return found


@EVERY_FAMILY
def test_the_residual_stream_stays_float32(name):
    """Of two computed summands, each must arrive as it was computed, and so must their sum."""
    made = converted(name, Precision.FP16).model
    constants = {tensor.name for tensor in made.graph.initializer}
    sums = [
        node
        for node in made.graph.node
        if node.op_type == "Add" and not constants.intersection(node.input)
    ]
    assert len(sums) >= 4
    for node in sums:
        assert TensorProto.FLOAT16 not in tensors_of(made, node), node.name


@EVERY_FAMILY
def test_int8_is_symmetric_with_a_scale_for_each_column(name):
    result = converted(name, Precision.INT8)
    graph = result.model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    quantized = [
        node
        for node in graph.node
        if node.op_type == "MatMul"
        and all(name in maker and maker[name].op_type == "DequantizeLinear" for name in node.input)
    ]
    assert {node.name for node in quantized} == result.matmuls.keys()
    for node in quantized:
        activation, weight = (maker[each] for each in node.input)
        values, scales, zero = (constants[each] for each in weight.input)
        assert values.dtype == np.int8
        assert scales.shape == (values.shape[1],)
        assert not zero.any()
        assert constants[activation.input[1]].shape == ()
        assert constants[activation.input[2]] == 0


@EVERY_FAMILY
@QUANTISED
def test_excepted_modules_stay_float32(name, precision):
    result = converted(name, precision)
    entry = family(name)
    every = quantizable_matmuls(result.exact.graph, entry)
    assert every.keys() == result.matmuls.keys()
    last = block_of(module_of(result.exact.graph.node[-1]))
    assert len(quantizable_matmuls(result.exact.graph, entry, keep_float=[last])) <= len(every)
    one = next(iter(result.matmuls.values()))
    fewer = quantizable_matmuls(result.exact.graph, entry, keep_float=[one])
    assert one not in fewer.values()
    assert len(fewer) < len(every)


@EVERY_FAMILY
def test_symbolic_batch_stays_symbolic(name):
    made = converted(name, Precision.INT8, None).model
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert check_graph(made, dynamic_batch=True) == []
    spec = traced(name)[1]
    keypoints = calibration_windows(spec).windows[:3]
    together = poses(made, keypoints)
    apart = np.concatenate([poses(made, keypoints[at : at + 1]) for at in range(3)])
    # Rounding settles some of MotionAGFormer's neighbors, and poses move with them.
    atol = 5e-2 if name == "motionagformer" else 1e-4
    np.testing.assert_allclose(together, apart, atol=atol)


def test_quantizes_one_block_alone():
    result = converted("mixste", Precision.INT8)
    last = list(result.matmuls.values())[-1]
    matmuls = [node for node, block in result.matmuls.items() if block == last]
    alone = dequantize_except(result.model, result.exact, matmuls)
    onnx.checker.check_model(alone, full_check=True)
    kinds = [node.op_type for node in alone.graph.node]
    whole = [node.op_type for node in result.model.graph.node]
    assert 0 < kinds.count("QuantizeLinear") < whole.count("QuantizeLinear")
    keypoints = calibration_windows(traced("mixste")[1]).windows[:1]
    exact = poses(result.exact, keypoints)
    error = np.abs(poses(alone, keypoints) - exact).mean()
    assert 0.0 < error < np.abs(poses(result.model, keypoints) - exact).mean()
    none = dequantize_except(result.model, result.exact, [])
    np.testing.assert_array_equal(poses(none, keypoints), exact)


def test_splitting_biases_off_changes_no_pose():
    keypoints = calibration_windows(traced("mixste")[1]).windows[:1]
    for precision in (Precision.INT8, Precision.INT8_DYNAMIC):
        exact = converted("mixste", precision).exact
        np.testing.assert_allclose(
            poses(exact, keypoints), poses(traced("mixste")[0], keypoints), atol=1e-5
        )


@EVERY_FAMILY
@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8_FP16])
def test_no_float32_node_receives_what_another_computed_rounded(name, precision):
    """Looks for casts down and up again, with nothing between them but moved values."""
    made = converted(name, precision).model
    maker = {output: node for node in made.graph.node for output in node.output}
    for node in made.graph.node:
        if node.op_type != "Cast" or view_graph(made).tensor(node.output[0]).dtype != 1:
            continue
        source = maker.get(node.input[0])
        while source is not None and source.op_type in MOVING:
            source = maker.get(source.input[0])
        if source is None or source.op_type != "Cast":
            continue
        assert view_graph(made).tensor(source.input[0]).dtype != TensorProto.FLOAT, node.name


def test_names_float32_nodes_that_receive_rounded_values():
    model, spec = traced("mixste")
    made = converted("mixste", Precision.FP16).model
    kept = float32_nodes(model, family(spec.family))
    require_unrounded(made.graph, kept)
    broken = onnx.ModelProto()
    broken.CopyFrom(made)
    maker = {output: node for node in made.graph.node for output in node.output}
    at, node = next(
        (at, node)
        for at, node in enumerate(broken.graph.node)
        if node.name in kept and node.input[0] in maker and maker[node.input[0]].name in kept
    )
    down = onnx.helper.make_node("Cast", [node.input[0]], ["down"], "down", to=TensorProto.FLOAT16)
    up = onnx.helper.make_node("Cast", ["down"], ["up"], "up", to=TensorProto.FLOAT)
    node.input[0] = "up"
    broken.graph.node.insert(at, up)
    broken.graph.node.insert(at, down)
    with pytest.raises(GraphCheckError, match="rounded to float16") as raised:
        require_unrounded(broken.graph, kept)
    assert node.name in str(raised.value)


def test_fp16_gathers_rows_beyond_2048():
    """Rows of a batch are counted in floating point; float16 has no odd number beyond 2048."""
    model, spec = traced("mixste", None)
    windows = calibration_windows(spec).windows
    many = np.resize(windows, (2 * 2048 // spec.frames, *windows.shape[1:]))
    half = converted("mixste", Precision.FP16, None).model
    exact, found = poses(model, many), poses(half, many)
    error = np.linalg.norm(found - exact, axis=-1).mean(axis=(1, 2))
    size = np.linalg.norm(exact, axis=-1).mean()
    assert error[-20:].mean() < 0.002 * size
    repeated = len(windows)
    np.testing.assert_allclose(found[:2], found[repeated : repeated + 2], atol=2e-2)


def test_int8_and_fp16_multiplies_in_int8_and_adds_in_fp16():
    result = converted("mixste", Precision.INT8_FP16)
    whole = converted("mixste", Precision.INT8)
    assert result.matmuls == whole.matmuls
    kinds = [node.op_type for node in result.model.graph.node]
    before = [node.op_type for node in whole.model.graph.node]
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        assert kinds.count(kind) == before.count(kind) > 0
    view = view_graph(result.model)
    for node in result.model.graph.node:
        # TensorRT 10.16 refuses float16 scales on Orin.
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert TensorProto.FLOAT16 not in tensors_of(result.model, node), node.name
    attention = [
        node
        for node in result.model.graph.node
        if node.op_type == "MatMul"
        and node.name not in result.matmuls
        and not module_of(node).startswith("selectors")
    ]
    assert attention
    assert {view.tensor(node.output[0]).dtype for node in attention} == {TensorProto.FLOAT16}


def test_rejects_weights_beyond_float16():
    model, spec = traced("mixste")
    large = onnx.ModelProto()
    large.CopyFrom(model)
    product = next(node for node in large.graph.node if node.name.startswith("STEblocks.1.mlp.fc1"))
    weight = next(tensor for tensor in large.graph.initializer if tensor.name == product.input[1])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + 7e4, weight.name))
    with pytest.raises(GraphCheckError, match="float16 ends at 65504") as raised:
        convert(large, spec, Precision.FP16)
    assert weight.name in str(raised.value)


@QUANTISED
def test_rejects_exceptions_that_leave_nothing_to_quantize(precision):
    model, spec = traced("mixste")
    with pytest.raises(UsageError, match="No matrix multiplication of MixSTE is left"):
        convert(model, spec, precision, calibration_windows(spec), keep_float=["*"])


def test_windows_have_the_networks_length():
    assert calibration_windows(traced("mixste")[1]).windows.shape[1:] == (FRAMES, 17, 2)
