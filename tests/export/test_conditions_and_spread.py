"""A network that is told what is known of the camera, and says how far its poses may be off."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from hot_sdk.engines import TensorSpec, list_engines, open_session
from hot_sdk.engines.registry import ONNX
from hot_sdk.errors import VerificationError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.cli import main
from hot_sdk.export.graph.wrapper import build_lifter, lift_arrays, output_names
from hot_sdk.export.models import build, infer_shape, resolve
from hot_sdk.export.options import resolve_request
from hot_sdk.export.precision.calibration import calibration_windows
from hot_sdk.export.triton.pixel_input import IMAGE_SIZE, PIXELS, pixel_input_graph
from hot_sdk.export.verification.clips import stacked, verification_windows
from hot_sdk.export.verification.compare import compare, require_parity
from hot_sdk.manifest import (
    CONDITION_NAMES,
    CONDITIONS,
    KEYPOINTS,
    POSES,
    SPREAD,
    TOKEN_INDEX,
    read_manifest,
)
from hot_sdk.model_check import check_against_graph
from hot_sdk.skeletons import H36M17

pytestmark = pytest.mark.usefixtures("one_thread", "equal_networks_traced_once")

FRAMES, COUNT = 9, len(CONDITION_NAMES)
SIZE = {"width": 32, "depth": 2, "heads": 4, "mlp_hidden": 32}
TOLD = {**SIZE, "stem": 32, "conditions": COUNT, "spread": 32}
PRUNED = {"ratio": 0.5, "prune_at": 1, "token_index": True}

CASES = {
    "plain": {},
    "17-flip-batch-any": {**PRUNED, "flip": True, "batch": None, "opset": 17},
    "tpc-batch-2": {"variant": "tpc", "ratio": 0.5, "prune_at": 1, "batch": 2},
}
REDUCED = ("fp16", "int8", "int8+fp16")


def told_request(**options):
    return ExportRequest("mixste", random_weights=True, frames=FRAMES, config=TOLD, **options)


def lifter_of(request, **changed):
    """The function in PyTorch, its weights changed by what is given for their keys."""
    spec = resolve_request(request)
    state = random_state_dict(build(spec))
    for key, change in changed.items():
        names = [name for name in state if name.startswith(key)]
        assert names
        state |= {name: change(state[name]) for name in names}
    return spec, build_lifter(spec, state, flip=request.flip)


def lifted(request, arrays, **changed):
    spec, lifter = lifter_of(request, **changed)
    values = lift_arrays(lifter, arrays)
    return dict(zip(output_names(spec), (value.numpy() for value in values), strict=True))


def inputs(request, count):
    """Windows with nothing known and with something, in turn, as a network gets them."""
    return stacked(verification_windows(resolve_request(request))[:count], COUNT)


@pytest.fixture(scope="module")
def exports(tmp_path_factory, equal_networks_traced_once):
    """One network, exported in several ways, each once."""
    made = {}

    def export(case):
        if case not in made:
            path = tmp_path_factory.mktemp("told") / "told.onnx"
            request = told_request(output=path, **CASES[case])
            made[case] = request, export_model(request)
        return made[case]

    return export


@pytest.fixture(params=CASES)
def file(request, exports):
    return exports(request.param)


def test_file_has_both_and_says_so(file):
    request, result = file
    batch = "batch" if request.batch is None else request.batch
    manifest = read_manifest(result.path)
    assert (manifest.conditions, manifest.spread) == (CONDITION_NAMES, True)
    check_against_graph(result.path, manifest)
    with open_session(result.path) as session:
        shape = (batch, manifest.output_frames, 17, 3)
        assert session.inputs[1] == TensorSpec(CONDITIONS, (batch, FRAMES, COUNT), "float32")
        assert session.outputs[-1] == TensorSpec(SPREAD, shape, "float32")


def test_verified_with_nothing_known_and_with_something(file):
    windows = verification_windows(resolve_request(file[0]))
    known = [window.conditions is not None and window.conditions.any() for window in windows]
    assert known == [False, True] * (len(windows) // 2)
    assert {result.window for result in file[1].windows} == {window.name for window in windows}
    assert max(result.spread_difference for result in file[1].windows) < 1e-6


@pytest.mark.parametrize("engine", list_engines(opens=ONNX, on_cpu=True))
def test_engines_return_pytorch_s_poses_and_spread(file, engine):
    request, result = file
    for count in (1, 3) if request.batch is None else (request.batch,):
        for first in (0, 1):
            arrays = {name: each[first:] for name, each in inputs(request, first + count).items()}
            with open_session(result.path, engine=engine) as session:
                found, expected = session.run(arrays), lifted(request, arrays)
            for name, values in found.items():
                np.testing.assert_allclose(values, expected[name], atol=5e-6, err_msg=name)
            assert found[SPREAD].shape == found[POSES].shape
            assert found[SPREAD].min() > 0.0


@pytest.mark.parametrize("file", ["17-flip-batch-any"], indirect=True)
def test_tensorrt_compiles_a_file_of_two_inputs_with_an_open_batch(file):
    from tensorrt_compiler import compiled

    assert len(compiled(file[1].path)) > 10_000


def test_what_is_known_matters(file):
    request, result = file
    arrays = inputs(request, request.batch or 1)
    known = {**arrays, CONDITIONS: np.ones_like(arrays[CONDITIONS])}
    with open_session(result.path) as session:
        untold, told = session.run(arrays), session.run(known)
    assert np.abs(told[POSES] - untold[POSES]).max() > 0.01
    assert np.abs(told[SPREAD] - untold[SPREAD]).max() > 1e-4


def test_nothing_known_is_a_network_without_conditions():
    arrays = inputs(told_request(), 1)
    assert not arrays[CONDITIONS].any()
    del arrays[CONDITIONS]
    untold = ExportRequest("mixste", frames=FRAMES, config={**TOLD, "conditions": 0})
    found, expected = lifted(told_request(), arrays), lifted(untold, arrays)
    np.testing.assert_array_equal(found[POSES], expected[POSES])


@pytest.mark.parametrize("flip", [False, True])
def test_poses_do_not_depend_on_the_head_of_the_spread(flip):
    request = told_request(flip=flip, **PRUNED)
    arrays = inputs(request, 4)
    found = lifted(request, arrays)
    other = lifted(request, arrays, spread_head=lambda value: value * 0.5)
    for name in (POSES, TOKEN_INDEX):
        np.testing.assert_array_equal(other[name], found[name])
    assert np.abs(other[SPREAD] - found[SPREAD]).max() > 1e-3


def test_poses_of_a_file_do_not_depend_on_the_head_of_the_spread(file):
    request, result = file
    arrays = inputs(request, request.batch or 1)
    model = onnx.load(result.path)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("network.spread_head"):
            values = 0.5 * numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    with open_session(result.path) as session, open_session(model.SerializeToString()) as changed:
        found, other = session.run(arrays), changed.run(arrays)
    np.testing.assert_array_equal(other[POSES], found[POSES])
    assert np.abs(other[SPREAD] - found[SPREAD]).max() > 1e-3


def test_spread_of_a_mirror_image_is_mirrored():
    request = told_request(flip=True)
    arrays = inputs(request, 2)
    mirrored = {**arrays, KEYPOINTS: arrays[KEYPOINTS][:, :, H36M17.mirror] * [-1, 1]}
    mirrored[KEYPOINTS] = mirrored[KEYPOINTS].astype(np.float32)
    found, other = lifted(request, arrays), lifted(request, mirrored)
    np.testing.assert_allclose(other[SPREAD][:, :, H36M17.mirror], found[SPREAD], rtol=1e-4)
    unaveraged = lifted(dataclasses.replace(request, flip=False), arrays)
    back = lifted(dataclasses.replace(request, flip=False), mirrored)
    mean = 0.5 * (unaveraged[SPREAD] + back[SPREAD][:, :, H36M17.mirror])
    np.testing.assert_allclose(found[SPREAD], mean, rtol=1e-4)


def test_spread_has_the_poses_unit_and_keeps_when_the_root_is_subtracted():
    spec = resolve("mixste", frames=FRAMES, **TOLD)
    state = random_state_dict(build(spec))
    arrays = inputs(told_request(), 2)
    meters = lift_arrays(build_lifter(spec, state, flip=False), arrays)
    other = dataclasses.replace(spec, millimeters=True, root_relative=False)
    scaled = lift_arrays(build_lifter(other, state, flip=False), arrays)
    np.testing.assert_allclose(scaled[1], 1e-3 * meters[1], rtol=1e-5)
    assert not scaled[0][:, :, 0].any()


@pytest.mark.parametrize("precision", REDUCED)
def test_reduced_precision_keeps_the_input_and_the_head_exact(tmp_path, precision):
    made = told_request(output=tmp_path / "told.onnx", precision=precision, timing=False, **PRUNED)
    result = export_model(made)
    sizes = [window.spread_difference for window in result.windows]
    assert 0.0 < max(sizes) < result.reduced.tolerances.spread_difference
    model = onnx.load(result.path)
    interface = [*model.graph.input, *model.graph.output]
    kinds = {value.name: value.type.tensor_type.elem_type for value in interface}
    assert {kinds[name] for name in (CONDITIONS, SPREAD)} == {TensorProto.FLOAT}
    weights = {
        tensor.name: tensor.data_type
        for tensor in model.graph.initializer
        if "stem.known" in tensor.name or "spread_head" in tensor.name
    }
    assert set(weights.values()) == {TensorProto.FLOAT}
    assert len(weights) >= 5
    readers = [node for node in model.graph.node if CONDITIONS in node.input]
    assert not any(node.op_type == "Cast" for node in readers)
    if "int8" in precision:
        windows = calibration_windows(resolve_request(made)).windows
        assert result.manifest.quantization.windows == len(windows)


def changed_file(result, word, change):
    model = onnx.load(result.path)
    found = [tensor for tensor in model.graph.initializer if word in tensor.name]
    assert found
    for tensor in found:
        values = change(numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model.SerializeToString()


@pytest.mark.parametrize("file", ["plain"], indirect=True)
def test_verification_finds_another_spread(file):
    request, result = file
    spec, lifter = lifter_of(request)
    broken = changed_file(result, "spread_factor", lambda value: value * np.float32(1.1))
    with open_session(broken) as session:
        results = compare(lifter, session, spec, verification_windows(spec))
    assert max(one.max_difference for one in results) < 1e-5
    with pytest.raises(VerificationError, match="largest difference of the spread of window"):
        require_parity(results)


@pytest.mark.parametrize("file", ["plain"], indirect=True)
def test_verification_finds_conditions_that_a_file_leaves_out(file):
    request, result = file
    spec, lifter = lifter_of(request)
    with open_session(changed_file(result, "stem.known", np.zeros_like)) as session:
        results = compare(lifter, session, spec, verification_windows(spec))
    wrong = [one.max_difference > 1e-3 for one in results]
    assert wrong == [False, True] * (len(results) // 2)


@pytest.mark.parametrize("options", [{}, {**PRUNED, "flip": True, "batch": None}])
def test_pytorch_s_own_file(tmp_path, options):
    path = tmp_path / "told.safetensors"
    request = told_request(output=path, engine="torch", **options)
    manifest = export_model(request).manifest
    assert (manifest.conditions, manifest.spread) == (CONDITION_NAMES, True)
    with open_session(path) as session:
        assert [spec.name for spec in session.inputs] == [KEYPOINTS, CONDITIONS]
        arrays = inputs(request, 3 if request.batch is None else 1)
        found, expected = session.run(arrays), lifted(request, arrays)
    assert list(found) == [spec.name for spec in session.outputs]
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_kept_frames_that_are_no_output_do_not_take_the_spread_s_place(tmp_path):
    path = tmp_path / "told.safetensors"
    request = told_request(output=path, engine="torch", **{**PRUNED, "token_index": False})
    export_model(request)
    arrays = inputs(request, 1)
    with open_session(path) as session:
        found = session.run(arrays)
    np.testing.assert_array_equal(found[SPREAD], lifted(request, arrays)[SPREAD])
    assert list(found) == [POSES, SPREAD]


def test_checkpoint_s_shapes_show_both():
    state = build(resolve("mixste", frames=FRAMES, **TOLD)).state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    config = infer_shape("mixste", shapes).config
    assert {name: config[name] for name in ("stem", "conditions", "spread")} == {
        name: TOLD[name] for name in ("stem", "conditions", "spread")
    }
    older = {key: shape for key, shape in shapes.items() if "known" not in key}
    older = {key: shape for key, shape in older.items() if "spread" not in key}
    assert not {"conditions", "spread"} & infer_shape("mixste", older).config.keys()


def test_checkpoint_is_exported_with_both(tmp_path, capsys):
    network = build(resolve("mixste", frames=FRAMES, **TOLD))
    network.load_state_dict(random_state_dict(network))
    torch.save(network.state_dict(), tmp_path / "told.pth")
    arguments = ["--model", "mixste", "--checkpoint", str(tmp_path / "told.pth"), "--dry-run"]
    arguments += ["--set", "heads=4", "--trained-on", "h36m"]
    assert main(arguments) == 0
    plan = capsys.readouterr().out
    assert "what is known of the camera" in plan
    assert "how far each coordinate may be off" in plan
    assert main([*arguments, "--json"]) == 0
    size = json.loads(capsys.readouterr().out)["network"]["size"]
    assert (size["conditions"], size["spread"]) == (COUNT, TOLD["spread"])


@pytest.mark.parametrize("file", ["17-flip-batch-any"], indirect=True)
def test_step_from_pixels_says_that_nothing_is_known(file):
    graph = pixel_input_graph(file[1].manifest, "batch").SerializeToString()
    pixels = np.full((2, FRAMES, 17, 2), 7.0, np.float32)
    with open_session(graph) as session:
        found = session.run({PIXELS: pixels, IMAGE_SIZE: np.full((2, 2), 100, np.int32)})
    assert found[CONDITIONS].shape == (2, FRAMES, COUNT)
    assert not found[CONDITIONS].any()
    with open_session(file[1].path) as network:
        assert np.isfinite(network.run(found)[POSES]).all()
