"""HTNet: its checkpoints, and its parts against the published formulas."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from small_networks import small_size
from torch import nn
from torch.testing import assert_close

from hot_sdk.engines import open_session
from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.enums import Variant
from hot_sdk.export.models import build, resolve
from hot_sdk.export.models.htnet import PoseRefinement, infer_shape
from hot_sdk.export.models.layers.topology_mixer import (
    LimbPooling,
    ModulatedGraphConvolution,
    PartConstraint,
    bone_adjacency,
)
from hot_sdk.export.models.weight_shapes import CheckpointShape
from hot_sdk.export.pipeline import prepare
from hot_sdk.skeletons import H36M17

GOLDEN = Path(__file__).parents[2] / "golden" / "htnet-s7.json"
SMALL = small_size("htnet", depth=1)


def published():
    content = json.loads(GOLDEN.read_text())
    return {key: tuple(shape) for key, shape in content["state_dict"].items()}


def shapes_of(**config):
    network = build(resolve("htnet", **config))
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


# Checkpoints


def test_published_network():
    config = {"channels": 2, "width": 240, "depth": 3, "mlp_hidden": 1024, "refine": 0}
    assert infer_shape(published()) == CheckpointShape(1, 17, config, Variant.PLAIN, None)
    assert len(published()) == 139


@pytest.mark.parametrize(
    "config",
    [
        {"width": 96},
        {"width": 48, "depth": 1, "mlp_hidden": 20, "channels": 3},
        {"width": 24, "depth": 12, "refine": 1},
    ],
)
def test_other_sizes(config):
    found = infer_shape(shapes_of(**config))
    assert found.config == {**infer_shape(published()).config, **config}


def test_refinement_only_adds_its_own_keys():
    added = shapes_of(refine=1).items() - shapes_of().items()
    assert dict(added) == {
        "refine.post_refine.0.weight": (1024, 102),
        "refine.post_refine.0.bias": (1024,),
        "refine.post_refine.3.weight": (34, 1024),
        "refine.post_refine.3.bias": (34,),
    }
    assert shapes_of() == published()


@pytest.mark.parametrize(
    ("key", "shape", "said"),
    [
        ("pos_embed", None, "it has no 'pos_embed'"),
        ("pos_embed", (17, 240), r"not \(1, any, any\)"),
        ("patch_embed.weight", (2, 240), r"not \(240, any\)"),
        ("fcn.weight", (2, 240), r"not \(3, 240\)"),
        ("Hiremixer.blocks.1.lgc.gcn1.adj2", None, "it has no"),
        ("Hiremixer.blocks.2.lgc.gcn1.adj2", (16, 16), r"not \(17, 17\)"),
        ("Hiremixer.blocks.0.mlp.fc1.weight", None, "it has no"),
        ("Hiremixer.blocks.2.mlp.fc1.weight", (1000, 240), r"not \(1024, 240\)"),
        ("refine.post_refine.3.bias", (34,), "it has no 'refine.post_refine.0.weight'"),
        ("refine.post_refine.0.weight", (1024, 85), r"not \(any, 102\)"),
    ],
)
def test_rejects_broken_checkpoints(key, shape, said):
    shapes = {**published(), key: shape}
    if shape is None:
        del shapes[key]
    with pytest.raises(CheckpointError, match=f"not one of HTNet: .*{said}"):
        infer_shape(shapes)


def request_for(folder, network, **options):
    """To export a checkpoint as the authors save it: a bare state-dict."""
    state = {key: value.float() for key, value in random_state_dict(network).items()}
    network.load_state_dict(state)
    torch.save(state, folder / "model_15_4890.pth")
    return ExportRequest(
        model="htnet",
        checkpoint=folder / "model_15_4890.pth",
        output=folder / "model.onnx",
        **options,
    )


@pytest.mark.parametrize("size", ["240", "96"])
def test_official_layout_is_read(tmp_path, size):
    network = build(resolve("htnet", size=size))
    prepared = prepare(request_for(tmp_path, network, size=size))
    assert prepared.spec == resolve("htnet", size=size)
    assert prepared.state.keys() == network.state_dict().keys()


def test_official_layout_is_exported(tmp_path):
    """With the refinement's weights next to the others, behind their prefix."""
    network = build(resolve("htnet", **SMALL, refine=1))
    request = request_for(tmp_path, network, config={"heads": SMALL["heads"]}, batch=None)
    manifest = export_model(request).manifest
    assert (manifest.frames, manifest.output_frames, manifest.ratio) == (1, 1, 1.0)
    assert manifest.unit == "m"

    graph = onnx.load(tmp_path / "model.onnx").graph
    forbidden = {"ScatterND", "ScatterElements", "GatherND", "Conv", "Shape", "Where", "Expand"}
    assert forbidden.isdisjoint(node.op_type for node in graph.node)
    keypoints = np.random.default_rng(1).uniform(-1, 1, (40, 1, 17, 2)).astype(np.float32)
    with open_session(tmp_path / "model.onnx") as session, torch.inference_mode():
        for frames in (40, 1, 7):
            poses = session.run({"keypoints_2d": keypoints[:frames]})["poses_3d"]
            expected = network(torch.from_numpy(keypoints[:frames]))[0]
            np.testing.assert_allclose(poses, expected, atol=1e-5)


def test_widths_divide_among_three_levels_and_their_heads():
    with pytest.raises(
        UsageError, match="width 64 cannot be divided among 3 parts with 8"
    ) as caught:
        resolve("htnet", width=64)
    assert "multiple of 24" in caught.value.hint


def test_frames_of_a_window_and_of_a_batch_are_the_same():
    network = build(resolve("htnet", **SMALL))
    keypoints = torch.randn(2, 5, 17, 2, generator=torch.Generator().manual_seed(0))
    together, none = network(keypoints)
    assert none is None
    alone = network(keypoints.reshape(10, 1, 17, 2))[0]
    assert_close(together.reshape(10, 1, 17, 3), alone, atol=1e-6, rtol=0)


# Parts, against the published formulas


def drawn(module, seed=7):
    module.load_state_dict(random_state_dict(module, seed))
    return module.double().requires_grad_(False)


def test_bones_are_the_skeletons():
    adjacency = bone_adjacency(H36M17).double()
    bones = [(child, parent) for child, parent in enumerate(H36M17.parents) if parent >= 0]
    joined = np.zeros((17, 17))
    for one, other in bones:
        joined[one, other] = joined[other, one] = 1
    expected = joined / joined.sum(axis=1, keepdims=True)
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(adjacency, expected, atol=1e-7)


@pytest.mark.parametrize("fold", [False, True])
def test_graph_convolution(fold):
    layer = drawn(ModulatedGraphConvolution(5, 7, bone_adjacency(H36M17)))
    if fold:
        layer.fold_constants()
    values = torch.randn(3, 17, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    joined = layer.adjacency + layer.adj2
    joined = (joined + joined.T) / 2
    own, others = joined * torch.eye(17), joined * (1 - torch.eye(17))
    expected = own @ (layer.M * (values @ layer.W[0])) + others @ (layer.M * (values @ layer.W[1]))
    found = layer(values.reshape(-1, 5)).reshape(3, 17, 7)
    assert_close(found, expected + layer.bias, atol=1e-12, rtol=0)


@pytest.mark.parametrize("joints", [2, 3])
@pytest.mark.parametrize("fold", [False, True])
def test_limbs_are_pooled_by_a_convolution(joints, fold):
    pooling = drawn(LimbPooling(6, joints))
    if fold:
        pooling.fold_constants()
    values = torch.randn(2, 4 * joints, 6, dtype=torch.float64)
    expected = nn.Conv1d.forward(pooling, values.transpose(1, 2)).transpose(1, 2)
    assert_close(pooling(values), expected.reshape(8, 6), atol=1e-12, rtol=0)


def written_in_place(part, bodies):
    """The constraint as it is published: the limbs' tokens written over the joints'."""
    result = bodies.clone()
    for norm, conv, norm_mlp, mlp, limbs in (
        (
            *(part.norm_conv1, part.conv1, part.norm_conv1_mlp, part.mlp_down_1),
            [[1, 2, 3], [4, 5, 6], [11, 12, 13], [14, 15, 16]],
        ),
        (
            *(part.norm_conv2, part.conv2, part.norm_conv2_mlp, part.mlp_down_2),
            [[2, 3], [5, 6], [12, 13], [15, 16]],
        ),
    ):
        joints = norm(bodies)
        for limb in limbs:
            columns = joints[:, limb].transpose(1, 2)
            pooled = nn.functional.gelu(nn.Conv1d.forward(conv, columns)).transpose(1, 2)
            joints[:, limb[1:]] = pooled + mlp(norm_mlp(pooled))
        result = result + joints
    return result


def test_limbs_take_the_place_of_their_outer_joints():
    part = drawn(PartConstraint(6, 10, 17))
    bodies = torch.randn(3, 17, 6, dtype=torch.float64)
    found = part(bodies.reshape(-1, 6)).reshape(3, 17, 6)
    assert_close(found, written_in_place(part, bodies), atol=1e-12, rtol=0)


# Refinement


def refinement(bias):
    """A refinement with a constant blend: near 1 the lifter's pose, near 0 the keypoints'."""
    module = PoseRefinement(17).eval().double().requires_grad_(False)
    module.post_refine[3].weight.zero_()
    module.post_refine[3].bias.fill_(bias)
    return module


@pytest.fixture
def pose_and_points():
    source = torch.Generator().manual_seed(4)
    poses = torch.randn(3, 17, 3, dtype=torch.float64, generator=source)
    poses[:, 0] = 0.0
    return poses, torch.randn(3, 17, 2, dtype=torch.float64, generator=source)


def test_refinement_may_keep_the_pose(pose_and_points):
    assert_close(refinement(40.0)(*pose_and_points), pose_and_points[0], atol=1e-12, rtol=0)


def test_refinement_may_take_the_keypoints(pose_and_points):
    poses, points = pose_and_points
    refined = refinement(-40.0)(poses, points)
    assert torch.equal(refined[..., 2], poses[..., 2])
    seen, offsets = refined[..., :2], points - points[:, :1]
    scale = seen[:, 5, :1, None] / offsets[:, 5, :1, None]
    assert_close(seen, scale * offsets, atol=1e-9, rtol=0)
    # No other scale is nearer to the pose.
    assert ((poses[..., :2] - seen) * offsets).sum(dim=(1, 2)).abs().max() < 1e-9


def test_refinement_is_finite_if_all_keypoints_coincide(pose_and_points):
    poses, points = pose_and_points
    assert refinement(0.0)(poses, torch.ones_like(points)).isfinite().all()
