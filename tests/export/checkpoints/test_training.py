"""What the training decides and shapes do not: order of joints, root, heads, neighbors."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from small_networks import small_frames, small_size

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk._base.records import to_json
from hot_sdk.engines import open_session
from hot_sdk.errors import CheckpointError, EngineError, ManifestError, UsageError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict, resolve_spec_for_checkpoint
from hot_sdk.export.checkpoints.reader import KEY, TrainingRecord, read_checkpoint
from hot_sdk.export.enums import DATA_SETS, Variant
from hot_sdk.export.graph.view import view_graph
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.models import build, create_model, family, infer_shape, list_models, resolve
from hot_sdk.export.pipeline import prepare
from hot_sdk.export.precision.calibration import calibration_windows
from hot_sdk.export.precision.float16 import to_float16
from hot_sdk.export.report import next_commands, result_as_dict, result_parts
from hot_sdk.export.verification.clips import real_clips, verification_windows
from hot_sdk.manifest import KEYPOINTS, POSES, Manifest
from hot_sdk.skeletons import MPI_INF_3DHP17, TO_H36M17

FRAMES = 9
MPI_NAME = "mpi-inf-3dhp"
MPI = list(TO_H36M17["mpi_inf_3dhp17"])
OF_BOTH_KINDS = [model for model in list_models() if family(model).root_relative is None]


def saved(folder, model, frames=FRAMES, record=None, change=None, **size):
    network = create_model(
        model, frames=small_frames(model, frames), **{**small_size(model), **size}
    )
    state = {key: tensor.float() for key, tensor in random_state_dict(network).items()}
    if change is not None:
        change(state)
    path = folder / "model.safetensors"
    save_file(state, path, None if record is None else {KEY: to_json(record)})
    network.float().load_state_dict(state)
    return path, network


def asking(model, path, **options):
    """The options that shapes do not decide, without those of the training."""
    size = small_size(model)
    config = {key: value for key, value in size.items() if key in ("heads", "neighbors")}
    options = {"config": config, "output": path.with_name("model.onnx"), **options}
    return ExportRequest(model, checkpoint=path, **options)


RECORD = TrainingRecord(50.0, 4, 1, "none", credit=None, limits=None)


# The data set


@pytest.mark.parametrize("model", list_models())
@pytest.mark.parametrize("frames", [9, 15, 81])
def test_the_data_set_is_asked_for_if_either_may_be_meant(tmp_path, model, frames):
    path, _ = saved(tmp_path, model, frames)
    request = asking(model, path, root_relative=True)
    if frames in family(model).mpi_inf_3dhp_frames:
        with pytest.raises(UsageError, match="may be trained on Human3") as caught:
            prepare(request)
        assert "--trained-on h36m" in caught.value.hint
        assert "--trained-on mpi-inf-3dhp" in caught.value.hint
    else:
        assert prepare(request).spec.joint_order == "h36m17"
    stated = prepare(replace(request, trained_on="mpi-inf-3dhp"))
    assert (stated.spec.joint_order, stated.trained_on) == ("mpi_inf_3dhp17", "mpi-inf-3dhp")


def test_every_published_window_of_the_other_data_set_is_asked_for():
    # configs/mpi of MotionAGFormer; Li et al., CVPR 2022 and 2024.
    for model, frames in (("motionagformer", (27, 81)), ("mixste", (27, 81)), ("mhformer", (9,))):
        assert set(frames) <= set(family(model).mpi_inf_3dhp_frames)


def test_a_record_answers(tmp_path):
    path, _ = saved(tmp_path, "mixste", record=RECORD)
    prepared = prepare(asking("mixste", path))
    assert (prepared.spec.joint_order, prepared.trained_on) == ("h36m17", None)
    with pytest.raises(CheckpointError, match="--trained-on is mpi-inf-3dhp"):
        prepare(asking("mixste", path, trained_on="mpi-inf-3dhp"))
    with pytest.raises(CheckpointError, match="--root-relative is no"):
        prepare(asking("mixste", path, root_relative=False))
    record = replace(RECORD, trained_on="mpi-inf-3dhp", root_relative=False)
    path, _ = saved(tmp_path, "mixste", record=record)
    prepared = prepare(asking("mixste", path))
    assert (prepared.spec.joint_order, prepared.spec.root_relative) == ("mpi_inf_3dhp17", False)
    path, _ = saved(tmp_path, "mixste", record=replace(RECORD, trained_on="humaneva"))
    with pytest.raises(CheckpointError, match="names the data set 'humaneva'"):
        read_checkpoint(path)


def test_unknown_data_sets_are_refused():
    request = ExportRequest("mixste", random_weights=True, trained_on="mpi-inf-3dph")
    with pytest.raises(UsageError, match="are not known") as caught:
        export_model(request)
    assert all(name in caught.value.hint for name in ("Did you mean 'mpi-inf-3dhp'",))
    assert DATA_SETS == ("h36m", "mpi-inf-3dhp")


@pytest.fixture(scope="module")
def of_mpi(tmp_path_factory):
    """A network of MPI-INF-3DHP's order, whose graphs number joints as published: as Human3.6M."""
    folder = tmp_path_factory.mktemp("mpi")
    path, network = saved(folder, "motionagformer", depth=1)
    options = {"engine": "torch", "output": folder / "mpi.safetensors", "flip": True}
    return export_model(asking("motionagformer", path, trained_on=MPI_NAME, **options)), network


def averaged(network, keypoints):
    """The poses of a window and of its mirror image, averaged in MPI-INF-3DHP's order."""
    mirror, signs = list(MPI_INF_3DHP17.mirror), torch.tensor([-1.0, 1.0, 1.0])
    with torch.no_grad():
        back = network(keypoints[:, :, mirror] * signs)[0][:, :, mirror] * signs
        return ((network(keypoints)[0] + back) / 2).numpy()


def test_the_file_has_the_order_of_its_training(of_mpi):
    result, network = of_mpi
    manifest = result.manifest
    assert manifest.joints.names == MPI_INF_3DHP17.joints
    assert manifest.joints.names[manifest.joints.root] == "pelvis"
    assert (manifest.trained_on, manifest.root_relative) == (MPI_NAME, True)
    assert "--data mpi-inf-3dhp --protocol center" in next_commands(result)
    keypoints = torch.rand(1, FRAMES, 17, 3, generator=torch.Generator().manual_seed(2))
    with open_session(result.path, engine="torch") as session:
        assert Manifest.from_metadata(session.metadata) == manifest
        lifted = session.run({KEYPOINTS: keypoints.numpy()})[POSES]
    np.testing.assert_allclose(lifted, averaged(network, keypoints), atol=1e-5)


def test_keypoints_are_lifted_in_that_order_and_named_by_ours(of_mpi):
    result, _ = of_mpi
    clip = real_clips()[0]
    points = clip.points[:FRAMES].astype(np.float32)
    scores = clip.scores[:FRAMES].astype(np.float32).clip(0.6, 1.0)
    theirs, their_scores = np.empty_like(points), np.empty_like(scores)
    theirs[:, MPI], their_scores[:, MPI] = points, scores
    stated = {"image_size": clip.size, "fps": 50.0}
    with (
        Pose3DEngine(result.path, engine="torch") as engine,
        open_session(result.path, engine="torch") as session,
    ):
        ours = engine(Keypoints(points, scores, skeleton="h36m17", **stated))
        own = engine(Keypoints(theirs, their_scores, skeleton="mpi_inf_3dhp17", **stated))
        middle = np.array(clip.size) / 2
        inputs = np.concatenate([(theirs - middle) * 2 / clip.size[0], their_scores[..., None]], -1)
        raw = session.run({KEYPOINTS: inputs[None].astype(np.float32)})[POSES][0]
    np.testing.assert_allclose(own.poses, ours.poses, atol=1e-6)
    expected = raw[:, MPI]
    expected[:, 0] = 0.0
    np.testing.assert_allclose(ours.poses, expected, atol=1e-4)
    np.testing.assert_array_equal(own.joint("head"), own.poses[:, 10])
    assert any("'mpi_inf_3dhp17', whose neck, head" in warning for warning in ours.warnings)
    assert not any("mpi_inf_3dhp17" in warning for warning in own.warnings)


def test_verification_and_calibration_use_that_order(tmp_path):
    ours = resolve("mixste", frames=FRAMES)
    theirs = replace(ours, joint_order="mpi_inf_3dhp17")
    for one, other in zip(verification_windows(ours), verification_windows(theirs), strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints[:, MPI])
    windows = [calibration_windows(spec).windows for spec in (ours, theirs)]
    np.testing.assert_array_equal(windows[0], windows[1][:, :, MPI])


@pytest.mark.parametrize("model", list_models())
def test_graphs_of_networks_stay_as_published(model):
    size = small_size(model)
    spec = resolve(model, frames=small_frames(model, FRAMES), **size)
    network, other = build(spec), build(replace(spec, joint_order="mpi_inf_3dhp17"))
    other.load_state_dict(network.state_dict())
    keypoints = torch.rand(1, spec.frames, 17, spec.size.channels)
    with torch.no_grad():
        assert torch.equal(network(keypoints)[0], other(keypoints)[0])


# The root


def place_at(state):
    """Make MotionBERT's head predict a small body that is half of the image away."""
    state["head.weight"] *= 0.1
    state["head.bias"][:] = torch.tensor([0.0, 0.65, 0.0])


def pelvis_to_hip(poses, pelvis=0, hip=1):
    return float(np.linalg.norm(poses[..., hip, :] - poses[..., pelvis, :], axis=-1).mean())


@pytest.mark.parametrize("model", OF_BOTH_KINDS)
def test_the_root_is_asked_for(tmp_path, model):
    path, _ = saved(tmp_path, model, 15)
    with pytest.raises(UsageError, match="with joints relative to the root") as caught:
        prepare(asking(model, path))
    assert "--root-relative yes or --root-relative no" in caught.value.hint
    for relative in (True, False):
        assert prepare(asking(model, path, root_relative=relative)).spec.root_relative == relative


def test_only_motionbert_is_published_with_both_kinds_of_roots():
    assert OF_BOTH_KINDS == ["motionbert"]


@pytest.fixture(scope="module")
def of_absolute_joints(tmp_path_factory):
    """A "global" network in the other order of joints, so that its root is not the first."""
    folder = tmp_path_factory.mktemp("global")
    path, network = saved(folder, "motionbert", 15, change=place_at, depth=1)
    options = {"root_relative": False, "trained_on": MPI_NAME, "flip": True}
    return export_model(asking("motionbert", path, **options)), network


def test_absolute_joints_are_exported_relative_to_their_root(of_absolute_joints):
    result, network = of_absolute_joints
    assert not result.manifest.root_relative
    assert not result_as_dict(result)["root_is_far"]
    keypoints = torch.rand(1, 15, 17, 3, generator=torch.Generator().manual_seed(2))
    own = averaged(network, keypoints)
    with open_session(result.path) as session:
        lifted = session.run({KEYPOINTS: keypoints.numpy()})[POSES]
    # As the authors' evaluation does with it: pred - pred[:, :, root].
    np.testing.assert_allclose(lifted, own - own[:, :, 14:15], atol=1e-5)
    assert (lifted[:, :, 14] == 0.0).all()
    # What overwriting the root with 0 and leaving the rest would give.
    assert np.linalg.norm(own[:, :, 8], axis=-1).mean() > 0.4
    assert pelvis_to_hip(lifted, 14, 8) == pytest.approx(pelvis_to_hip(own, 14, 8), abs=1e-5)
    assert pelvis_to_hip(lifted, 14, 8) < 0.1


def test_the_root_is_subtracted_in_float32(of_absolute_joints):
    model = onnx.load(of_absolute_joints[0].path)
    half = to_float16(model, family("motionbert"))
    (last,) = (node for node in half.graph.node if POSES in node.output)
    assert last.op_type == "Sub"
    types = view_graph(half).tensors
    assert {types[name].dtype for name in last.input} == {onnx.TensorProto.FLOAT}


def test_files_of_an_unknown_order_are_refused(of_absolute_joints):
    model = onnx.load(of_absolute_joints[0].path)
    manifest = of_absolute_joints[0].manifest
    joints = replace(manifest.joints, skeleton="humaneva15")
    onnx.helper.set_model_props(model, replace(manifest, joints=joints).to_metadata())
    with pytest.raises(ManifestError, match="'humaneva15'; this version lifts 'h36m17' and"):
        Pose3DEngine(model.SerializeToString())


@pytest.fixture(scope="module")
def either_way(tmp_path_factory):
    """One checkpoint of absolute joints, exported as what it is and as what it is not."""
    folder = tmp_path_factory.mktemp("either")
    path, network = saved(folder, "motionbert", 15, change=place_at, depth=1)
    options = {"engine": "torch", "trained_on": "h36m"}
    return network, {
        relative: export_model(
            asking(
                "motionbert",
                path,
                root_relative=relative,
                output=folder / f"{relative}.safetensors",
                **options,
            )
        )
        for relative in (True, False)
    }


def test_a_pelvis_is_not_torn_from_its_hips(either_way):
    """0.5 from pelvis to hip became what the network says, an order of magnitude less."""
    network, results = either_way
    clip = real_clips()[0]
    options = {"skeleton": "h36m17", "image_size": clip.size, "fps": 50.0}
    keypoints = Keypoints(clip.points[:15], clip.scores[:15], **options)
    found = {}
    for relative, result in results.items():
        with Pose3DEngine(result.path, engine="torch") as engine:
            found[relative] = pelvis_to_hip(engine(keypoints).poses)
    window = verification_windows(resolve("motionbert", frames=15))[0].keypoints[None]
    with torch.no_grad():
        own = pelvis_to_hip(network(torch.from_numpy(window))[0].numpy())
    assert found[True] > 0.4
    assert found[False] < 0.1
    assert found[False] == pytest.approx(own, rel=0.5)


def test_a_wrong_answer_is_noticed(either_way):
    _, results = either_way
    assert not result_as_dict(results[False])["root_is_far"]
    assert result_as_dict(results[True])["root_is_far"]
    parts = [part for part in result_parts(results[True]) if isinstance(part, str)]
    assert any("Warning" in part and "--root-relative no" in part for part in parts)


def test_an_exported_file_is_no_checkpoint(either_way, tmp_path):
    """Its weights alone would lose what its manifest says of joints, root and unit."""
    request = asking("motionbert", either_way[1][False].path, output=tmp_path / "m.onnx")
    with pytest.raises(CheckpointError, match="is a file that hot-export made"):
        prepare(request)


def test_torch_files_that_name_an_unknown_order_are_refused(either_way, tmp_path):
    content = either_way[1][False].path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    head = content[8 : 8 + size]
    order = rb"\"joint_order\": \"h36m1"
    assert order + b"7" in head
    path = tmp_path / "m.safetensors"
    path.write_bytes(content[:8] + head.replace(order + b"7", order + b"8") + content[8 + size :])
    with pytest.raises(EngineError, match="contradicts itself"):
        Pose3DEngine(path, engine="torch")


# The unit


def in_millimeters(state):
    state["fcn.weight"] *= 1000.0
    state["fcn.bias"] *= 1000.0


def test_millimeters_become_meters(tmp_path):
    path, network = saved(tmp_path, "htnet", change=in_millimeters)
    keypoints = torch.rand(1, 1, 17, 2, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        own = network(keypoints)[0].numpy()
    request = asking("htnet", path, engine="torch", output=tmp_path / "m.safetensors")
    prepared = prepare(replace(request, predicts="mm"))
    for flip in (False, True):
        lifted = build_lifter(prepared.spec, prepared.state, flip=flip)(keypoints)[0].numpy()
        assert np.abs(lifted).max() < 10.0
        if not flip:
            np.testing.assert_allclose(lifted, own / 1000, rtol=1e-5, atol=1e-6)
    assert any("--predicts mm" in str(part) for part in result_parts(export_model(request)))


@pytest.mark.parametrize(("model", "predicts"), [("motionbert", "mm"), ("mixste", "cm")])
def test_other_units_are_refused(model, predicts):
    with pytest.raises(UsageError, match=r"returns .*, and --predicts is"):
        export_model(ExportRequest(model, random_weights=True, predicts=predicts))


# Heads, neighbors, frames and sizes


def shapes_of(model, **options):
    network = create_model(model, **options)
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


@pytest.fixture(scope="module")
def hourglass_shapes():
    """Those of HoT's MotionAGFormer at its published size."""
    with torch.device("meta"):
        return infer_shape("motionagformer", shapes_of("motionagformer", size="hot", variant="hot"))


def spec_for(found, **options):
    return resolve_spec_for_checkpoint(ExportRequest("motionagformer", **options), found)


def test_keys_of_the_hourglass_decide_heads_and_neighbors(hourglass_shapes):
    for size in (None, "hot"):
        spec = spec_for(hourglass_shapes, size=size)
        assert (spec.variant, spec.tokens) == (Variant.HOT, 81)
        assert (spec.size.heads, spec.size.neighbors) == (4, 4)
    with pytest.raises(CheckpointError) as caught:
        spec_for(hourglass_shapes, size="b")
    assert "heads = 4, neighbors = 4; size 'b' has heads = 8, neighbors = 2" in str(caught.value)
    assert "--set heads=8 --set neighbors=2" in caught.value.hint
    # Someone who put the hourglass into B says so.
    spec = spec_for(hourglass_shapes, size="b", config={"heads": 8, "neighbors": 2})
    assert (spec.size.heads, spec.size.neighbors) == (8, 2)
    found = replace(hourglass_shapes, variant=Variant.PLAIN, tokens=None)
    assert (spec_for(found).size.heads, spec_for(found).size.neighbors) == (8, 2)


def test_a_record_decides_heads_and_neighbors(hourglass_shapes):
    record = replace(RECORD, heads=8, prune_at=7, neighbors=2)
    request = ExportRequest("motionagformer")
    spec = resolve_spec_for_checkpoint(request, hourglass_shapes, record)
    assert (spec.size.heads, spec.size.neighbors) == (8, 2)
    request = ExportRequest("motionagformer", config={"neighbors": 4})
    with pytest.raises(CheckpointError, match="neighbors = 2, but 4 was requested"):
        resolve_spec_for_checkpoint(request, hourglass_shapes, record)


@pytest.mark.parametrize("model", list_models())
def test_a_size_that_contradicts_the_checkpoint_is_refused(model):
    sizes = family(model).sizes
    for trained in sizes:
        with torch.device("meta"):
            found = infer_shape(model, shapes_of(model, size=trained))
        for named in sizes:
            request = ExportRequest(model, size=named)
            same = replace(sizes[named], source="") == replace(sizes[trained], source="")
            unencoded = {"b", "hot"} == {trained, named}
            if same or unencoded:
                assert resolve_spec_for_checkpoint(request, found).frames == sizes[trained].frames
                continue
            with pytest.raises(CheckpointError) as caught:
                resolve_spec_for_checkpoint(request, found)
            assert f"but size '{named}' has" in caught.value.message
            assert "Drop --size" in caught.value.hint


def test_frames_of_a_named_size_are_compared(tmp_path):
    with torch.device("meta"):
        found = infer_shape("mhformer", shapes_of("mhformer", size="351"))
    with pytest.raises(CheckpointError, match="frames = 351, but size '81' has 81"):
        resolve_spec_for_checkpoint(ExportRequest("mhformer", size="81"), found)


@pytest.mark.parametrize("ratio", [0.33, 0.333, 1 / 3, (0.33, 0.2)])
def test_a_rounded_ratio_is_that_of_the_checkpoint(ratio):
    with torch.device("meta"):
        found = infer_shape("mixste", shapes_of("mixste", variant="hot"))
    assert (found.tokens, found.frames) == (81, 243)
    prune_at = (3, 5) if isinstance(ratio, tuple) else None
    spec = resolve_spec_for_checkpoint(
        ExportRequest("mixste", ratio=ratio, prune_at=prune_at), found
    )
    assert spec.stages[0].tokens == 81
    for other in (0.32, 0.34):
        with pytest.raises(CheckpointError, match="trained to keep 81 of 243"):
            resolve_spec_for_checkpoint(ExportRequest("mixste", ratio=other), found)
