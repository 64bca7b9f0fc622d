"""Every family, exported in every way on offer: what the file is, says and computes."""

import numpy as np
import onnx
import pytest
import torch

from hot_sdk.engines import list_engines, open_session
from hot_sdk.engines.registry import ONNX
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.graph.check import check_graph
from hot_sdk.export.graph.flops import count_graph, count_network, count_parameters
from hot_sdk.export.graph.view import view_graph
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.models import build, family
from hot_sdk.export.options import resolve_request, returns_token_index
from hot_sdk.export.precision.float16 import to_float16
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.manifest import read_manifest

# If a network chooses neighbors, rounding settles some of them, and the poses move with them; the
# verification of every export compares with the same neighbors, to 1e-4.
ATOL = {"motionagformer": 2e-2}


@pytest.fixture
def spec(exported):
    return resolve_request(exported.request)


@pytest.fixture
def model(exported):
    return onnx.load(exported.path)


@pytest.fixture
def windows(spec):
    return np.stack([window.keypoints for window in verification_windows(spec)])


@pytest.fixture(scope="module")
def lifter(exported):
    spec = resolve_request(exported.request)
    network = build(spec)
    network.load_state_dict(random_state_dict(network))
    return build_lifter(spec, network.state_dict(), flip=exported.request.flip)


def in_pytorch(lifter, keypoints):
    with torch.inference_mode():
        return [output.numpy() for output in lifter(torch.from_numpy(keypoints))]


def test_is_valid_onnx(model):
    onnx.checker.check_model(model, full_check=True)


def test_passes_the_graph_check(model, exported):
    assert check_graph(model, dynamic_batch=exported.request.batch is None) == []


def test_has_the_requested_opset_and_standard_operators_only(model, exported):
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [
        ("", exported.request.opset)
    ]
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    # Readable by ONNX Runtime 1.17 and TensorRT 10.3.
    assert model.ir_version <= 9


def test_sorts_and_multiplies_no_integers(model):
    integers = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    view = view_graph(model)
    for node in model.graph.node:
        if node.op_type in ("TopK", "MatMul", "Gemm", "CumSum", "ReduceSum"):
            assert view.tensor(node.input[0]).dtype not in integers, node.name


def test_indices_are_clamped_before_a_gather(exported, model):
    """So that no rounding of an engine reads outside of a tensor: what no rule of ONNX forbids."""
    view = view_graph(model)
    makers = {name: node for node in model.graph.node for name in node.output}

    def check(name):
        node = makers.get(name)
        if node is None:
            return
        if node.op_type == "Cast" and view.tensor(node.input[0]).dtype == onnx.TensorProto.FLOAT:
            maker = makers[node.input[0]]
            assert maker.op_type in ("Clip", "Max", "Min"), node.name
            limits = [name for name in maker.input[1:] if name]
            # How many items an open batch has, no file says.
            assert len(limits) == 2 or exported.request.batch is None, node.name
        else:
            for source in node.input:
                check(source)

    for node in model.graph.node:
        if node.op_type in ("Gather", "GatherElements"):
            check(node.input[1])


def test_indices_stay_float32_in_fp16(exported, model):
    """In every variant and with every selector; the conversion itself refuses rounded choices."""
    made = to_float16(model, family(exported.request.model))
    view = view_graph(made)
    assert made.ByteSize() < model.ByteSize()
    for node in made.graph.node:
        inputs = {view.tensor(name).dtype for name in node.input}
        if node.op_type == "Cast" and onnx.TensorProto.FLOAT16 in inputs:
            assert view.tensor(node.output[0]).dtype == onnx.TensorProto.FLOAT, node.name
        if node.name.startswith("selectors"):
            assert onnx.TensorProto.FLOAT16 not in inputs, node.name


def test_inputs_and_outputs_have_their_names_and_shapes(exported, spec, model):
    joints = len(family(spec.family).skeleton.joints)
    batch = "batch" if exported.request.batch is None else exported.request.batch
    expected = {
        "keypoints_2d": (batch, spec.frames, joints, spec.size.channels),
        "poses_3d": (batch, spec.output_frames, joints, 3),
    }
    if returns_token_index(spec, exported.request):
        passes = (2,) if exported.request.flip else ()
        expected["token_index"] = (batch, *passes, sum(stage.tokens for stage in spec.stages))
    found = {
        value.name: tuple(
            dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim
        )
        for value in [*model.graph.input, *model.graph.output]
    }
    assert found == expected


def test_holds_no_trace_of_the_exporting_machine(exported):
    content = exported.path.read_bytes()
    for word in (b"site-packages", b"stack_trace", b"/home/", b"/tmp/", __file__.encode()):
        assert word not in content


def test_node_names_are_unique_and_name_their_module(model, spec):
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert all(names)
    for number, stage in enumerate(spec.stages):
        if stage.selector == "tpc":
            assert any(name.startswith(f"selectors.{number}/") for name in names)


@pytest.fixture(scope="module", params=list_engines(opens=ONNX, on_cpu=True))
def session(request, exported):
    with open_session(exported.path, engine=request.param) as opened:
        yield opened


# The session's first runs, which must equal later ones.
def test_two_runs_are_bitwise_equal(exported, windows, session):
    size = exported.request.batch or 2
    first = session.run({"keypoints_2d": windows[:size]})
    second = session.run({"keypoints_2d": windows[:size]})
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


def test_computes_the_poses_of_pytorch(exported, spec, lifter, windows, session):
    # None stands for a symbolic batch, which must take any number of windows.
    sizes = (1, 2, 5) if exported.request.batch is None else (exported.request.batch,)
    for size in sizes:
        keypoints = windows[:size]
        outputs = session.run({"keypoints_2d": keypoints})
        expected = in_pytorch(lifter, keypoints)
        atol = ATOL.get(spec.family, 1e-4)
        np.testing.assert_allclose(outputs["poses_3d"], expected[0], atol=atol, rtol=0)
        if "token_index" in outputs:
            np.testing.assert_array_equal(outputs["token_index"], expected[1])


def test_manifest_describes_the_file(exported, spec):
    manifest = read_manifest(exported.path)
    entry = family(spec.family)
    request = exported.request
    assert manifest == exported.result.manifest
    assert (manifest.family, manifest.variant) == (spec.family, spec.variant.value)
    assert (manifest.frames, manifest.tokens) == (spec.frames, spec.tokens)
    assert [vars(stage) for stage in manifest.stages] == [vars(stage) for stage in spec.stages]
    assert manifest.ratio == pytest.approx(spec.ratio)
    assert manifest.output_frames == spec.output_frames
    assert (manifest.batch, manifest.flip) == (request.batch, request.flip)
    assert manifest.joints.names == entry.skeleton.joints
    assert manifest.unit == entry.unit.value
    assert manifest.training_fps == entry.training_fps
    assert manifest.weights.random
    assert manifest.weights.file is None
    assert manifest.parameters == count_parameters(spec)
    assert 0 < manifest.parity.max_difference < 1e-4
    assert manifest.parity.frames_shared == (None if spec.tokens is None else 1.0)


def test_executes_no_more_than_the_network_needs(exported, spec, model):
    network = count_network(spec)
    executed = count_graph(model)
    assert executed == exported.result.manifest.flops.executed
    # Folding saves the queries of the recovery; mirroring runs the network twice.
    passes = 2 if exported.request.flip else 1
    folded = 0
    if spec.recovery is not None and spec.recovery.value == "tra":
        folded = 2 * spec.frame_tokens * spec.frames * spec.size.width**2
    shared = 0
    if spec.variant.value == "tpc" and exported.request.flip:
        there = spec.frames
        for stage in spec.stages:
            if stage.selector == "tpc":
                shared += 2 * there**2 * spec.size.width * (family(spec.family).hypotheses or 1)
            there = stage.tokens
    assert executed == passes * (network.matmuls - folded) - shared
