"""Files of a live network: what they take, say and compute, frame by frame, in each precision."""

import re
from types import MappingProxyType

import numpy as np
import onnx
import pytest
from equal_networks import trace_once
from live_networks import SIZE, live_lifter, live_request, live_spec
from onnx import helper

from hot_sdk.engines import list_engines, open_session
from hot_sdk.engines.registry import ONNX
from hot_sdk.errors import CheckpointError, GraphCheckError, UsageError, VerificationError
from hot_sdk.export import ExportRequest, export_model, pipeline
from hot_sdk.export.checkpoints.loading import load_strict, resolve_spec_for_checkpoint
from hot_sdk.export.checkpoints.reader import Checkpoint
from hot_sdk.export.enums import Precision
from hot_sdk.export.file_names import default_name
from hot_sdk.export.graph.check import check_graph, require_clean
from hot_sdk.export.graph.flops import count_graph, count_network
from hot_sdk.export.graph.older_parsers import TENSORRT_8_6, older_parser_problems
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.view import caches
from hot_sdk.export.graph.wrapper import fold_constants
from hot_sdk.export.models import build, infer_shape
from hot_sdk.export.models.live_settings import LiveSettings, read_memory
from hot_sdk.export.options import check_request
from hot_sdk.export.precision.convert import convert
from hot_sdk.export.precision.step_calibration import step_calibration
from hot_sdk.export.verification import clips, compare, step_runs
from hot_sdk.export.verification.clips import live_windows
from hot_sdk.export.verification.step_runs import in_pytorch, lift_by_steps
from hot_sdk.manifest import read_manifest
from hot_sdk.model_check import check_against_graph
from hot_sdk.step_memory import StepMemory

CASES = {
    "lookahead 0, opset 20": ({"lookahead": 0, "memory": "12"}, {"batch": 1, "opset": 20}),
    "lookahead 4, opset 17, any batch": (
        {"lookahead": 4, "memory": "5+3x4"},
        {"batch": None, "opset": 17},
    ),
}
ANY = "lookahead 4, opset 17, any batch"


@pytest.fixture(scope="module", params=CASES)
def traced(request):
    live, graph = CASES[request.param]
    spec = live_spec(**live)
    lifter = live_lifter(spec)
    return spec, lifter, trace(fold_constants(lifter), spec, **graph), graph


@pytest.fixture
def few_frames(monkeypatch):
    for module in (clips, step_runs):
        monkeypatch.setattr(module, "LIVE_FRAMES", 60, raising=False)


def test_graph_suits_every_engine(traced):
    _, _, model, graph = traced
    onnx.checker.check_model(model, full_check=True)
    assert check_graph(model, dynamic_batch=graph["batch"] is None) == []
    if graph["opset"] == 17:
        assert older_parser_problems(model, TENSORRT_8_6) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_compiles_it(traced, precision):
    tensorrt_compiler = pytest.importorskip("tensorrt_compiler")
    spec, _, model, _ = traced
    if precision == "fp16":
        model = convert(model, spec, Precision.FP16).model
    assert len(tensorrt_compiler.compiled(model.SerializeToString())) > 10_000


def test_inputs_and_outputs_are_those_of_the_manifest(traced):
    spec, _, model, graph = traced
    shapes = {**spec.step.states(17), **spec.step.updates(17)}
    shapes |= {"keypoints_2d": (1, 17, 2), "conditions": (1, 5)}
    shapes |= {"poses_3d": (1, 17, 3), "spread": (1, 17, 3)}
    first = graph["batch"] or "batch"
    found = {
        value.name: tuple(
            dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim
        )
        for value in [*model.graph.input, *model.graph.output]
    }
    assert found == {name: (first, *shape) for name, shape in shapes.items()}
    assert {value.type.tensor_type.elem_type for value in model.graph.input} == {1}


def test_only_matrix_multiplications_read_the_memory(traced):
    spec, _, model, _ = traced
    names = caches(model)
    assert len(names) == 2 * spec.size.depth
    readers = [node for node in model.graph.node if set(names) & set(node.input)]
    assert [node.op_type for node in readers] == ["MatMul"] * len(names)
    (node,) = (each for each in model.graph.node if "values_1" in each.input)
    copied = helper.make_node("Identity", ["values_1"], ["copy"], "copies")
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.node.insert(0, copied)
    node = next(
        each for each in changed.graph.node if "values_1" in each.input and each.name != "copies"
    )
    node.input[1] = "copy"
    with pytest.raises(GraphCheckError, match="'copies' reads the memory 'values_1'"):
        require_clean(changed, dynamic_batch=True)


def test_executes_no_more_than_one_frame_needs(traced):
    spec, _, model, _ = traced
    network = count_network(spec)
    # Only the row of weights that marks empty slots comes on top.
    heads, width, slots = spec.size.heads, spec.size.width, spec.step.memory.slots
    marks = 2 * spec.size.depth * 17 * heads * (width + slots + 1)
    assert count_graph(model) <= network.matmuls + marks
    longer = live_spec(lookahead=0, memory="400")
    grown = count_network(longer).matmuls - count_network(live_spec(memory="200")).matmuls
    # All that grows with the memory is reading it.
    assert grown == 2 * 200 * spec.size.depth * 17 * (2 * width + heads * 21)


@pytest.mark.parametrize("engine", list_engines(opens=ONNX, on_cpu=True))
@pytest.mark.parametrize("people", [1, 2, 5])
def test_people_in_one_run_as_one_by_one(traced, people, engine, one_thread):
    spec, lifter, model, graph = traced
    if graph["batch"] is not None and people > 1:
        pytest.skip("a file for one person")
    windows = [
        step_runs.Window(f"{n}", each.keypoints[n : n + 40], None, each.times[n : n + 40])
        for n, each in zip(range(people), live_windows(spec) * 2, strict=False)
    ]
    expected = lift_by_steps(in_pytorch(lifter, spec), spec, windows)
    with open_session(model.SerializeToString(), engine=engine) as session:
        found = lift_by_steps(session.run, spec, windows)
        alone = lift_by_steps(session.run, spec, windows[-1:])
    np.testing.assert_allclose(found["poses_3d"], expected["poses_3d"], atol=2e-5, rtol=0)
    np.testing.assert_allclose(found["spread"], expected["spread"], atol=2e-5, rtol=0)
    np.testing.assert_allclose(found["poses_3d"][-1:], alone["poses_3d"], atol=2e-5, rtol=0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A file over 1,000 frames of each recording, as users get it."""
    folder = tmp_path_factory.mktemp("live")
    request = live_request(
        random_weights=True, lookahead=4, memory="5+3x4", batch=None, output=folder / "a.onnx"
    )
    return request, export_model(request)


def test_errors_do_not_add_up_over_1000_frames(exported):
    _, result = exported
    assert len(result.windows) == 3
    assert clips.LIVE_FRAMES == 1000
    assert 0 < result.manifest.parity.max_difference < 2e-5
    assert result.manifest.parity.clips == 3
    assert {window.window.partition(",")[0] for window in result.windows} == {
        "clips one after another",
        "clips in another order",
        "smooth",
    }


def test_manifest_describes_the_file(exported):
    request, result = exported
    manifest = read_manifest(request.output)
    assert manifest == result.manifest
    assert (manifest.variant, manifest.frames, manifest.output_frames) == ("live", 1, 1)
    assert (manifest.tokens, manifest.ratio, manifest.stages) == (None, 1.0, ())
    step = manifest.step
    assert (step.lookahead, step.recent, step.anchors, step.stride) == (4, 5, 3, 4)
    assert (step.layers, step.heads, step.width, step.guess) == (3, 4, 24, True)
    check_against_graph(request.output, manifest)


@pytest.mark.parametrize("precision", ["fp16", "int8", "int8-dynamic", "int8+fp16"])
def test_precisions(precision, tmp_path, few_frames, monkeypatch, one_thread):
    monkeypatch.setattr(pipeline, "trace", trace_once)
    request = live_request(
        random_weights=True,
        config={"width": 32, "mlp_hidden": 48},
        lookahead=1,
        memory="6",
        precision=precision,
        timing=False,
        output=tmp_path / "a.onnx",
    )
    result = export_model(request)
    model = onnx.load(request.output)
    names = caches(model)
    assert {node.op_type for node in model.graph.node if set(names) & set(node.input)} == {"MatMul"}
    assert result.manifest.precision == precision
    check_against_graph(request.output, result.manifest)
    size = result.windows[0].size
    limit = {"fp16": 2e-3}.get(precision, 0.1)
    assert 1e-6 < result.manifest.parity.mean_joint_error < limit * size
    # Spreads are compared with the largest of all frames, not with those of any one.
    largest = max(window.largest_spread for window in result.windows)
    share = {"fp16": 0.1}.get(precision, 0.5)
    assert result.reduced.tolerances.spread_difference == pytest.approx(share * largest)
    quantized = result.manifest.quantization
    assert (quantized is None) == (precision == "fp16")
    if precision in ("int8", "int8+fp16"):
        assert quantized.windows == 3


def test_calibration_meets_what_is_remembered(few_frames, one_thread):
    spec = live_spec(memory="6")
    model = trace_once(fold_constants(live_lifter(spec)), spec, batch=1, opset=20)
    data = step_calibration(model, spec)
    batches = data.batches(None)
    assert len(batches) == 3 * 60
    assert sum(1 for _ in batches) == 180
    first, later = batches[0], batches[100]
    assert not first["keys_2"].any()
    assert (np.abs(later["values_2"]).max(axis=(0, 1, 3)) > 0).all()
    with pytest.raises(UsageError, match="left to quantize"):
        convert(model, spec, Precision.INT8_DYNAMIC, keep_float=["*"])


def checkpoint_of(spec, tmp_path, **changes):
    tensors = {**build(spec).state_dict(), **changes}
    kept = {key: value for key, value in tensors.items() if value is not None}
    return Checkpoint(tmp_path / "live.pth", "0" * 64, MappingProxyType(kept), "bare", ())


def shapes_of(checkpoint):
    return {key: tuple(value.shape) for key, value in checkpoint.tensors.items()}


def test_checkpoint_says_that_it_is_live(tmp_path):
    trained = live_spec(lookahead=2, memory="7")
    checkpoint = checkpoint_of(trained, tmp_path)
    found = infer_shape("mixste", shapes_of(checkpoint))
    assert (found.variant, found.frames, found.joints) == ("live", 1, 17)
    assert found.config == SIZE | {"channels": 2}
    # One checkpoint serves any lookahead and memory, and needs no --variant.
    request = ExportRequest("mixste", lookahead=9, memory="16+12x5", variant="live")
    spec = resolve_spec_for_checkpoint(request, found)
    assert spec.live == LiveSettings(9, StepMemory(16, 12, 5))
    assert resolve_spec_for_checkpoint(ExportRequest("mixste"), found).live.lookahead == 0
    load_strict(build(spec), checkpoint)


def test_checkpoint_that_is_live_by_itself_has_no_mirror_either(tmp_path):
    found = infer_shape("mixste", shapes_of(checkpoint_of(live_spec(), tmp_path)))
    with pytest.raises(UsageError, match="--flip was given"):
        resolve_spec_for_checkpoint(ExportRequest("mixste", flip=True), found)
    with pytest.raises(UsageError, match="ratio was given"):
        resolve_spec_for_checkpoint(ExportRequest("mixste", ratio=0.5), found)


def test_checkpoint_loads_exactly_or_not_at_all(tmp_path):
    spec = live_spec()
    name = "TTEblocks.1.attn.age_weights.bias"
    with pytest.raises(CheckpointError, match=re.escape(f"1 missing ('{name}')")):
        load_strict(build(spec), checkpoint_of(spec, tmp_path, **{name: None}))
    plain = build(live_spec()).state_dict()["STEblocks.0.norm1.weight"]
    with pytest.raises(CheckpointError, match="1 unexpected"):
        load_strict(build(spec), checkpoint_of(spec, tmp_path, **{"TTEblocks.0.more": plain}))


@pytest.mark.parametrize(
    ("variant", "trained", "problem"),
    [
        ("hot", "live", "of a live network, which takes one frame at a time"),
        ("live", "plain", "it has no weights of ages"),
    ],
)
def test_checkpoint_of_the_other_kind(variant, trained, problem):
    spec = live_spec() if trained == "live" else None
    if spec is None:
        from hot_sdk.export.models import resolve

        spec = resolve("mixste", frames=27, variant="plain", width=24, depth=2, heads=4)
    found = infer_shape("mixste", {k: tuple(v.shape) for k, v in build(spec).state_dict().items()})
    with pytest.raises(CheckpointError, match=problem):
        resolve_spec_for_checkpoint(ExportRequest("mixste", variant=variant), found)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ratio": 0.5}, "ratio was given, but a live network takes one frame at a time"),
        ({"tokens": 5}, "tokens was given"),
        ({"selector": "tpc"}, "selector was given"),
        ({"recovery": "tra"}, "recovery was given"),
        ({"prune_at": 1}, "prune_at was given"),
        ({"frames": 27}, "frames is 27, but a live network takes one frame at a time"),
        ({"flip": True}, "--flip was given, but a live network does not have it"),
        ({"token_index": True}, "--token-index was given"),
        ({"engine": "torch"}, "--engine torch was given"),
        ({"lookahead": -1}, "lookahead is -1, which is outside 0 to 64"),
        ({"memory": "16-12"}, "memory is '16-12', which is neither"),
        ({"memory": "0"}, "a memory of 0 recent frames"),
        ({"memory": "16+12x1"}, "12 anchors at a stride of 1"),
        ({"memory": "5000"}, "a memory of 5000, which is beyond 4096"),
        ({"lookahead": 7, "memory": "3"}, "a memory of 3 would have nothing left for a person's"),
    ],
)
def test_what_a_live_network_cannot_be(options, problem):
    with pytest.raises(UsageError, match=re.escape(problem)):
        check_request(live_request(random_weights=True, **options))


def test_families_without_a_live_network():
    with pytest.raises(UsageError, match="MHFormer has no variant 'live'") as caught:
        check_request(ExportRequest("mhformer", variant="live", random_weights=True))
    assert caught.value.hint == "Give --model mixste."


@pytest.mark.parametrize("name", ["lookahead", "memory"])
def test_only_a_live_network_looks_ahead_and_remembers(name):
    request = ExportRequest("mixste", random_weights=True, **{name: 5})
    with pytest.raises(UsageError, match=f"{name} was given, but only a live network has one"):
        check_request(request)


@pytest.mark.parametrize(
    ("text", "memory"), [("48", StepMemory(48)), ("16+12x5", StepMemory(16, 12, 5))]
)
def test_memory_as_users_write_it(text, memory):
    assert read_memory(text) == memory
    assert str(LiveSettings(0, memory)) == text


def test_file_names_say_lookahead_and_memory():
    request = live_request(random_weights=True, lookahead=5, memory="16+12x5", batch=None)
    name = default_name(live_spec(lookahead=5, memory="16+12x5"), request)
    assert name.startswith("mixste_")
    assert name.endswith("_live_l5_m16+12x5_batch.onnx")


def test_a_file_that_computes_other_poses_is_refused(traced, few_frames, one_thread):
    spec, lifter, model, _ = traced
    with open_session(model.SerializeToString()) as session:
        good = compare.compare(lifter, session, spec, live_windows(spec))
    compare.require_parity(good)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    (node,) = (each for each in changed.graph.node if "keys_1" in each.input)
    node.input[1] = "keys_2"
    with open_session(changed.SerializeToString()) as session:
        bad = compare.compare(lifter, session, spec, live_windows(spec))
    with pytest.raises(VerificationError, match="does not compute the PyTorch model's poses"):
        compare.require_parity(bad)
