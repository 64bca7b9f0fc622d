"""MotionAGFormer: its graphs, its checkpoints, and what pruning does to its norms."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.testing import assert_close

from hot_sdk.engines import open_session
from hot_sdk.errors import CheckpointError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict, resample_rank_embedding
from hot_sdk.export.enums import Variant
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.models import build, create_model, family, resolve
from hot_sdk.export.models.layers.transformer import Grid
from hot_sdk.export.models.motionagformer import (
    FrameGraph,
    JointGraph,
    NodeNorm,
    bone_graph,
    infer_shape,
    similar_frames,
)
from hot_sdk.export.models.weight_shapes import CheckpointShape
from hot_sdk.export.pipeline import prepare
from hot_sdk.export.verification.neighbors import neighbors_exposed, neighbors_forced
from hot_sdk.skeletons import H36M17

GOLDEN = Path(__file__).parents[2] / "golden"
FRAMES = 9
SMALL = {"width": 16, "depth": 2, "heads": 2, "mlp_hidden": 24, "representation": 20}
NORM = "layers.{}.graph_temporal.mixer.batch_norm.weight"

pytestmark = pytest.mark.usefixtures("one_thread")


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def drawn(module):
    module.load_state_dict(random_state_dict(module))
    return module.eval().requires_grad_(False).double()


def small(**options):
    options = {"frames": FRAMES, **SMALL, **options}
    return drawn(create_model("motionagformer", **options))


# Sizes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("b", (243, 128, 16, 8, 512, 2)),
        ("xs", (27, 64, 12, 8, 256, 2)),
        ("s", (81, 64, 26, 8, 256, 2)),
        ("l", (243, 128, 26, 8, 512, 2)),
        ("hot", (243, 128, 16, 4, 512, 4)),
    ],
)
def test_published_sizes(name, expected):
    spec = resolve("motionagformer", size=name)
    size = spec.size
    assert (
        spec.frames,
        size.width,
        size.depth,
        size.heads,
        size.mlp_hidden,
        size.neighbors,
    ) == expected
    assert (size.channels, size.representation) == (3, 512)


def test_default_is_size_b():
    assert resolve("motionagformer") == resolve("motionagformer", size="b")
    assert family("motionagformer").unit.value == "normalized_px"


# The graph over joints


def test_all_bones_but_three_join_both_ways():
    bones = bone_graph(H36M17)
    joints = H36M17.joints
    one_way = {
        (joints[gathers], joints[other])
        for gathers, other in torch.nonzero(bones).tolist()
        if not bones[other, gathers]
    }
    assert one_way == {
        ("left_hip", "pelvis"),
        ("left_shoulder", "thorax"),
        ("right_shoulder", "thorax"),
    }
    assert bones.sum() == 2 * 16 - 3
    assert bones.sum(dim=1).tolist() == [2, 2, 2, 1, 2, 2, 1, 2, 2, 2, 1, 2, 2, 1, 2, 2, 1]


def test_joint_graph_matches_the_formula():
    grid, graph = Grid(3, 17), drawn(JointGraph(8, H36M17))
    tokens = random(2 * 3 * 17, 8)
    frames = tokens.reshape(6, 17, 8)
    bones = bone_graph(H36M17).double()
    scale = torch.diag(bones.sum(dim=1) ** -0.5)
    summed = scale @ bones @ scale @ graph.V(frames) + graph.U(frames)
    expected = torch.relu(frames + torch.nn.BatchNorm1d.forward(graph.batch_norm, summed))
    assert_close(graph(tokens, grid), expected.reshape(-1, 8))
    graph.fold_constants()
    graph.batch_norm.fold_constants()
    assert_close(graph(tokens, grid), expected.reshape(-1, 8))


# The graph over frames


@pytest.mark.parametrize("neighbors", [1, 2, 4, 9])
def test_neighbors_are_the_most_similar_frames(neighbors):
    features = random(2, 3, FRAMES, 8)
    similarity = features @ features.transpose(2, 3)
    rank = similarity.argsort(dim=3, descending=True).argsort(dim=3)
    assert torch.equal(similar_frames(features, neighbors), rank < neighbors)


def test_a_frame_need_not_be_its_own_neighbor():
    features = torch.tensor([[[[1.0, 0.0], [5.0, 1.0], [4.0, 1.0]]]])
    assert similar_frames(features, 2)[0, 0].tolist()[0] == [False, True, True]


def test_ties_with_the_last_neighbor_are_neighbors():
    features = torch.tensor([[[[4.0], [2.0], [2.0], [1.0], [2.0], [0.0]]]])
    assert similar_frames(features, 2)[0, 0, 0].tolist() == [True, True, True, False, True, False]
    # The highest counts as often as it occurs: two equal ones are two neighbors.
    twice = torch.tensor([[[[4.0], [4.0], [2.0], [1.0]]]])
    assert similar_frames(twice, 2)[0, 0, 0].tolist() == [True, True, False, False]


def test_fewer_frames_than_neighbors_are_all_neighbors():
    assert similar_frames(random(1, 1, 2, 4), 4).all()


def test_similarity_keeps_its_digits_under_a_common_offset():
    """A joint that moves little compared with what its tokens share, in float32 and exactly."""
    features = 3.0 * random(1, 17, 1, 64, seed=1) + 1e-3 * random(1, 17, 243, 64, seed=2)
    features = features.float()
    exact = similar_frames(features.double(), 2)
    plain = features @ features.transpose(2, 3)
    naive = plain >= plain.topk(2, dim=3).values[..., 1:]
    wrong = (similar_frames(features, 2) != exact).any(dim=3).double().mean()
    wrong_naively = (naive != exact).any(dim=3).double().mean()
    assert wrong < 0.002
    assert wrong_naively > 0.01


def test_frame_graph_matches_the_formula():
    grid, graph = Grid(FRAMES, 2), drawn(FrameGraph(8, FRAMES, 3))
    tokens = random(2 * FRAMES * 2, 8)
    joints = tokens.reshape(2, FRAMES, 2, 8).transpose(1, 2).reshape(4, FRAMES, 8)
    similarity = joints @ joints.transpose(1, 2)
    chosen = (similarity >= similarity.sort(dim=2).values[:, :, -3:-2]).double()
    scale = torch.diag_embed(chosen.sum(dim=2) ** -0.5)
    summed = scale @ chosen @ scale @ graph.V(joints) + graph.U(joints)
    expected = torch.relu(joints + torch.nn.BatchNorm1d.forward(graph.batch_norm, summed))
    expected = expected.reshape(2, 2, FRAMES, 8).transpose(1, 2).reshape(-1, 8)
    assert_close(graph(tokens, grid), expected)


def test_norm_of_some_nodes_uses_their_numbers():
    norm = drawn(NodeNorm(FRAMES))
    values = random(2, 3, FRAMES, 4)
    nodes = torch.tensor([[0, 3, 4], [2, 7, 8]])
    taken = torch.stack([values[item, :, nodes[item]] for item in range(2)])
    whole = norm(values)
    expected = torch.stack([whole[item, :, nodes[item]] for item in range(2)])
    assert_close(norm(taken, nodes), expected)
    assert_close(norm(taken[:1], nodes[:1]), expected[:1])


def test_a_norm_learns_in_training():
    norm = NodeNorm(3).train()
    norm(random(5, 2, 3, 4, dtype=torch.float32) + 2.0)
    assert norm.num_batches_tracked == 1
    assert (norm.running_mean > 0.1).all()


# Norms and pruning


def norm_sizes(**options):
    state = small(depth=4, **options).state_dict()
    return [len(state[NORM.format(layer)]) for layer in range(4)]


def test_published_hourglass_has_norms_of_ranks():
    assert norm_sizes() == [9] * 4
    assert norm_sizes(tokens=5, prune_at=2) == [9, 9, 5, 5]
    assert norm_sizes(tokens=(6, 4), prune_at=(1, 3)) == [9, 6, 6, 4]


def test_other_networks_have_norms_of_frames():
    assert norm_sizes(tokens=5, prune_at=2, recovery="interpolate") == [9] * 4
    assert norm_sizes(tokens=5, prune_at=2, elastic=True) == [9] * 4


@pytest.mark.parametrize("selector", ["uniform", "tpc"])
def test_kept_frames_use_the_norms_of_their_time(selector):
    """Interpolation, all numbers of the norms equal but those of one frame that is dropped."""
    network = small(tokens=5, prune_at=1, recovery="interpolate", selector=selector)
    keypoints = random(1, FRAMES, 17, 3)
    poses, kept = network(keypoints)
    (dropped, *_) = {*range(FRAMES)} - {*kept[0].tolist()}
    norm = network.layers[1].graph_temporal.mixer.batch_norm
    norm.bias[dropped] += 1.0
    assert torch.equal(network(keypoints)[0], poses)
    norm.bias[kept[0, 2]] += 1.0
    assert not torch.equal(network(keypoints)[0], poses)


def test_keeping_every_frame_is_the_plain_network():
    """Given all frames, a pruned network with the plain weights computes the plain poses."""
    plain = small(depth=3)
    pruned = small(depth=3, tokens=8, prune_at=1, recovery="interpolate")
    keypoints = random(2, FRAMES, 17, 3)
    everything = torch.arange(FRAMES)[None]
    stage = pruned.spec.stages[0]
    object.__setattr__(stage, "tokens", FRAMES)
    assert_close(pruned(keypoints, everything)[0], plain(keypoints)[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tokens": 5, "prune_at": 1},
        {"tokens": 5, "prune_at": 1, "elastic": True},
        {"tokens": (6, 4), "prune_at": (1, 2), "recovery": "interpolate", "depth": 3},
    ],
)
def test_folding_keeps_the_output(options):
    network = small(**options)
    keypoints = random(2, FRAMES, 17, 3)
    before, keys = network(keypoints)[0], list(network.state_dict())
    network.fold_constants()
    assert_close(network(keypoints)[0], before)
    assert list(network.state_dict()) == keys


def test_resampling_ranks_resamples_their_norms():
    state = small(depth=3, tokens=5, prune_at=1).state_dict()
    stretched = resample_rank_embedding(state, 7)
    other = create_model(
        "motionagformer", frames=FRAMES, **{**SMALL, "depth": 3}, tokens=7, prune_at=1
    )
    other.load_state_dict(stretched, strict=True)
    for number in (1, 2):
        norm, before = stretched[NORM.format(number)], state[NORM.format(number)]
        assert torch.equal(norm[[0, 3, 6]], before[[0, 2, 4]])
    assert torch.equal(stretched[NORM.format(0)], state[NORM.format(0)])


# Checkpoints


def golden(name):
    content = json.loads((GOLDEN / f"{name}-s7.json").read_text())
    return {key: tuple(shape) for key, shape in content["state_dict"].items()}


@pytest.mark.parametrize(
    ("name", "variant", "tokens"),
    [("motionagformer", Variant.PLAIN, None), ("hot_motionagformer", Variant.HOT, 81)],
)
def test_published_networks(name, variant, tokens):
    assert infer_shape(golden(name)) == CheckpointShape(
        frames=243,
        joints=17,
        config={
            "channels": 3,
            "width": 128,
            "depth": 16,
            "mlp_hidden": 512,
            "representation": 512,
        },
        variant=variant,
        tokens=tokens,
    )


def shapes(**options):
    state = small(depth=3, channels=2, **options).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize(
    ("options", "variant", "tokens", "elastic"),
    [
        ({}, Variant.PLAIN, None, False),
        ({"tokens": 5, "prune_at": 2}, Variant.HOT, 5, False),
        ({"tokens": (6, 3), "prune_at": (1, 2)}, Variant.HOT, 6, False),
        ({"tokens": 5, "prune_at": 2, "elastic": True}, Variant.HOT, None, True),
    ],
)
def test_other_sizes(options, variant, tokens, elastic):
    config = {key: value for key, value in SMALL.items() if key != "heads"}
    assert infer_shape(shapes(**options)) == CheckpointShape(
        FRAMES, 17, {**config, "depth": 3, "channels": 2}, variant, tokens, elastic
    )


@pytest.mark.parametrize(
    "key",
    [
        "pos_embed",
        "joints_embed.weight",
        "rep_logit.fc.weight",
        "head.weight",
        "layers.0.att_spatial.mlp.fc1.weight",
        "layers.2.att_spatial.mlp.fc1.weight",
        NORM.format(0),
        NORM.format(2),
    ],
)
def test_missing_key_is_named(key):
    found = shapes()
    del found[key]
    with pytest.raises(CheckpointError, match=f"not one of MotionAGFormer: it has no '{key}'"):
        infer_shape(found)


@pytest.mark.parametrize("key", ["pos_embed_token", "x_token", "cross_attention.linear_v.weight"])
def test_part_of_the_hourglass_is_missing(key):
    found = golden("hot_motionagformer")
    del found[key]
    with pytest.raises(CheckpointError, match=f"it has no '{key}'"):
        infer_shape(found)


@pytest.mark.parametrize(
    ("options", "key", "shape", "expected"),
    [
        ({}, "pos_embed", (17, 16), r"\(1, any, any\)"),
        ({}, "joints_embed.weight", (17, 3), r"\(16, any\)"),
        ({}, "head.weight", (3, 21), r"\(3, 20\)"),
        ({}, NORM.format(2), (5,), r"\(9\)"),
        ({"tokens": 5, "prune_at": 1}, NORM.format(1), (6,), r"\(9\)"),
        ({"tokens": 5, "prune_at": 1}, NORM.format(2), (6,), r"\(5\)"),
        ({"tokens": 5, "prune_at": 1}, "x_token", (1, 5, 16), r"\(1, 9, 16\)"),
    ],
)
def test_contradicting_shape(options, key, shape, expected):
    with pytest.raises(CheckpointError, match=f"'{key}' is .*, not {expected}"):
        infer_shape({**shapes(**options), key: shape})


def official(path, **options):
    """A file in the layout of the authors' training script."""
    state = small(**options).float().state_dict()
    torch.save(
        {
            "epoch": 59,
            "lr": 0.0003,
            "optimizer": {"state": {}, "param_groups": []},
            "model": {f"module.{key}": tensor for key, tensor in state.items()},
            "min_mpjpe": np.float64(38.4),
            "wandb_id": None,
        },
        path,
    )
    return state


def test_official_layout_is_exported(tmp_path):
    source = tmp_path / "motionagformer-b-h36m.pth.tr"
    official(source, depth=1)
    # Neither heads nor neighbors can be read off: those of B are taken, unless said otherwise.
    result = export_model(
        ExportRequest(
            "motionagformer", checkpoint=source, trained_on="h36m", output=tmp_path / "m.onnx"
        )
    )
    manifest = result.manifest
    assert (manifest.frames, manifest.channels, manifest.unit) == (FRAMES, 3, "normalized_px")
    assert manifest.parity.max_difference < 1e-4
    assert not manifest.weights.random


def test_official_layout_of_the_hourglass_is_read(tmp_path):
    source = tmp_path / "hot.pth"
    state = official(source, tokens=5, prune_at=1, heads=4, neighbors=4)
    request = ExportRequest(
        "motionagformer",
        checkpoint=source,
        prune_at=1,
        trained_on="h36m",
        output=tmp_path / "m.onnx",
    )
    prepared = prepare(request)
    assert (prepared.spec.variant, prepared.spec.tokens) == (Variant.HOT, 5)
    assert (prepared.spec.size.heads, prepared.spec.size.neighbors) == (4, 4)
    assert prepared.state.keys() == state.keys()
    assert all(torch.equal(prepared.state[key], state[key]) for key in state)


def test_rejects_pruning_at_another_block_than_trained(tmp_path):
    source = tmp_path / "hot.pth"
    official(source, tokens=5, prune_at=2, depth=3)
    request = ExportRequest(
        "motionagformer",
        checkpoint=source,
        prune_at=1,
        trained_on="h36m",
        output=tmp_path / "m.onnx",
    )
    with pytest.raises(CheckpointError, match=r"layers.1.graph_temporal.* is \(9,\), not \(5,\)"):
        prepare(request)


# Verification


def test_pytorch_can_use_the_neighbors_of_a_file():
    spec = resolve("motionagformer", frames=FRAMES, **SMALL)
    lifting = build_lifter(spec, random_state_dict(build(spec)), flip=True)
    model = trace(fold_constants(lifting), spec, batch=1, opset=20)
    before = model.SerializeToString()
    with neighbors_exposed(model, lifting) as exposed:
        onnx.checker.check_model(exposed)
        content = exposed.SerializeToString()
    assert model.SerializeToString() == before

    keypoints = random(1, FRAMES, 17, 3, dtype=torch.float32)
    with open_session(content) as session:
        outputs = session.run({"keypoints_2d": keypoints.numpy()})
    names = [f"layers.{layer}.graph_temporal.mixer/neighbours" for layer in (0, 1)]
    assert [*outputs] == ["poses_3d", *names]
    assert outputs[names[0]].shape == (2, 17, FRAMES, FRAMES)

    own = lifting(keypoints)[0]
    with neighbors_forced(lifting, outputs) as any_given:
        assert any_given
        assert_close(lifting(keypoints)[0], own)
    outputs[names[1]] = np.roll(outputs[names[1]], 1, axis=3)
    with neighbors_forced(lifting, outputs):
        assert (lifting(keypoints)[0] - own).abs().max() > 1e-3
    assert torch.equal(lifting(keypoints)[0], own)
