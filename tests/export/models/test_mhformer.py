"""MHFormer: its hypotheses, its norms, its checkpoints, and what pruning does to three tokens."""

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
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.enums import Variant
from hot_sdk.export.graph.flops import count_parameters
from hot_sdk.export.models import create_model, family, resolve
from hot_sdk.export.models.layers.transformer import Grid
from hot_sdk.export.models.mhformer import (
    ActivatedPointwise,
    CrossAttention,
    Generator,
    NormedPointwise,
    PointwiseLinear,
    infer_shape,
)
from hot_sdk.export.models.weight_shapes import CheckpointShape
from hot_sdk.export.pipeline import prepare

GOLDEN = Path(__file__).parents[2] / "golden"
FRAMES, WIDTH = 9, 16
SMALL = {"width": WIDTH, "depth": 3, "heads": 2, "mlp_hidden": 24}

pytestmark = pytest.mark.usefixtures("one_thread")


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def drawn(module):
    module.load_state_dict(random_state_dict(module))
    return module.eval().requires_grad_(False).double()


def small(**options):
    return drawn(create_model("mhformer", **{"frames": FRAMES, **SMALL, **options}))


# Sizes


@pytest.mark.parametrize("frames", [351, 243, 81, 27])
def test_published_sizes(frames):
    spec = resolve("mhformer", size=str(frames))
    assert spec.frames == frames
    assert spec.size == family("mhformer").size
    size = spec.size
    found = size.channels, size.width, size.depth, size.heads, size.mlp_hidden
    assert found == (2, 512, 3, 8, 1024)


def test_default_is_351_frames():
    assert resolve("mhformer") == resolve("mhformer", size="351")
    assert family("mhformer").unit.value == "m"


@pytest.mark.parametrize(
    ("frames", "heads"), [(351, 9), (243, 9), (81, 9), (27, 9), (9, 9), (15, 3), (8, 1), (2, 1)]
)
def test_heads_over_the_coordinates_divide_the_frames(frames, heads):
    with torch.device("meta"):
        generator = Generator(frames, 34)
    assert {block.attn.heads for block in generator.blocks} == {heads}
    assert {block.mlp.fc1.out_features for block in generator.blocks} == {2 * frames}
    assert len(generator.blocks) == 4


@pytest.mark.parametrize(("frames", "activated"), [(9, True), (27, True), (28, False), (81, False)])
def test_short_windows_have_a_norm_in_their_embeddings(frames, activated):
    keys = create_model("mhformer", **{**SMALL, "frames": frames}).state_dict().keys()
    assert ("embedding_3.1.running_var" in keys) == activated
    assert ("embedding_3.weight" in keys) != activated


def test_unpublished_variant_is_marked():
    source = family("mhformer").pruning[Variant.HOT].source
    assert "not published" in source
    assert "HoT" in family("mhformer").pruning[Variant.TPC].source


@pytest.mark.parametrize("frames", [8, 15, 30])
def test_windows_not_divisible_by_nine_heads(frames):
    poses, _ = small(frames=frames)(random(2, frames, 17, 2))
    assert poses.shape == (2, frames, 17, 3)
    assert poses.isfinite().all()


# Layers that see one frame at a time


def convolved(module, rows):
    """The published form: (batch, channels, frames), by torch's own convolution and norm."""
    values = rows.reshape(3, FRAMES, -1).transpose(1, 2)
    for layer in module if isinstance(module, torch.nn.Sequential) else [module]:
        if isinstance(layer, torch.nn.Conv1d):
            values = torch.nn.functional.conv1d(values, layer.weight, layer.bias)
        else:
            values = layer(values)
    return values.transpose(1, 2).reshape(3 * FRAMES, -1)


@pytest.mark.parametrize("kind", [PointwiseLinear, ActivatedPointwise, NormedPointwise])
def test_pointwise_layers_match_the_published_convolutions(kind):
    module, rows = drawn(kind(10, 6)), random(3 * FRAMES, 10)
    expected, keys = convolved(module, rows), list(module.state_dict())
    assert_close(module(rows), expected)
    module.fold_constants()
    assert_close(module(rows), expected)
    assert list(module.state_dict()) == keys


@pytest.mark.parametrize("kind", [ActivatedPointwise, NormedPointwise])
def test_norms_learn_in_training(kind):
    module = kind(10, 6).train()
    module(random(3 * FRAMES, 10).float() + 2.0)
    (norm,) = (layer for layer in module if isinstance(layer, torch.nn.BatchNorm1d))
    assert norm.num_batches_tracked == 1
    assert norm.running_mean.abs().max() > 0.01


# Hypotheses


def test_cross_attention_matches_pytorch():
    layer = drawn(CrossAttention(WIDTH, 2))
    query, key, value = (random(2 * FRAMES, WIDTH, seed=seed) for seed in range(3))
    whole = torch.nn.MultiheadAttention(WIDTH, 2, batch_first=True, dtype=torch.float64)
    parts = layer.linear_q, layer.linear_k, layer.linear_v
    with torch.no_grad():
        whole.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        whole.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        whole.out_proj.load_state_dict(layer.proj.state_dict())
        expected, _ = whole(*(rows.reshape(2, FRAMES, -1) for rows in (query, key, value)))
    expected = expected.reshape(2 * FRAMES, WIDTH)
    assert_close(layer(query, key, value, FRAMES), expected)
    layer.fold_constants()
    assert_close(layer(query, key, value, FRAMES), expected)


def test_each_hypothesis_attends_to_the_updated_ones_before_it():
    block = small().Transformer_hypothesis.CHI_blocks[0]
    hypotheses = [random(FRAMES, WIDTH, seed=seed) for seed in range(3)]
    one, two, three = block.attend(hypotheses, FRAMES)

    def norm(name, tokens):
        return getattr(block, f"norm3_{name}")(tokens)

    first, second, third = hypotheses
    for name, result, others, own in (
        ("1", one, (second, third), first),
        ("2", two, (one, third), second),
        ("3", three, (one, two), third),
    ):
        normed = [norm(f"{name}{role}", each) for role, each in enumerate((*others, own), start=1)]
        assert_close(result, own + getattr(block, f"attn_{name}")(*normed, FRAMES))


def test_refining_keeps_hypotheses_apart():
    block = small().Transformer_hypothesis.SHR_blocks[0]
    hypotheses = [random(FRAMES, WIDTH, seed=seed) for seed in range(3)]
    moved = [hypotheses[0], hypotheses[1] + 1.0, hypotheses[2]]
    before, after = block.attend(hypotheses, FRAMES), block.attend(moved, FRAMES)
    assert [torch.equal(*pair) for pair in zip(before, after, strict=True)] == [True, False, True]


def test_attention_received_is_the_average_over_hypotheses():
    block = small().Transformer_hypothesis.SHR_blocks[0]
    tokens = random(2 * FRAMES, 3 * WIDTH)
    received = block.received_attention(tokens, FRAMES)
    assert received.shape == (2, FRAMES)
    assert_close(received.sum(dim=1), torch.ones(2, dtype=torch.float64))
    alone = [
        getattr(block, f"attn_{each}").received_attention(
            getattr(block, f"norm1_{each}")(part), Grid(FRAMES, 1)
        )
        for each, part in zip((1, 2, 3), tokens.chunk(3, dim=1), strict=True)
    ]
    assert_close(received, sum(alone) / 3)


# Pruning


def test_frames_are_chosen_by_all_hypotheses():
    network = small(tokens=5, prune_at=1)
    tokens = random(2, FRAMES, 3, WIDTH)
    keypoints, side_by_side = random(2, FRAMES, 17, 2), torch.cat(tokens.unbind(dim=2), dim=2)
    pruned, (kept,) = network.prune(tokens, keypoints, (), None)
    assert torch.equal(kept, network.selectors[0](side_by_side, keypoints))
    assert not torch.equal(kept, network.selectors[0](tokens.mean(dim=2), keypoints))
    expected = torch.stack([tokens[item, kept[item]] for item in range(2)])
    assert_close(pruned, expected + network.pos_embed_token.unsqueeze(2))


@pytest.mark.parametrize("prune_at", [1, 2])
def test_keeping_every_frame_is_the_plain_network(prune_at):
    """Given all frames, a pruned network with the plain weights computes the plain poses."""
    plain, pruned = small(), small(tokens=8, prune_at=prune_at, variant="tpc")
    keypoints = random(2, FRAMES, 17, 2)
    everything = torch.arange(FRAMES)[None]
    object.__setattr__(pruned.spec.stages[0], "tokens", FRAMES)
    assert_close(pruned(keypoints, everything)[0], plain(keypoints)[0])


def test_only_tpc_keeps_the_center():
    keypoints = random(64, FRAMES, 17, 2)
    for variant, centered in (("tpc", True), ("hot", False)):
        poses, kept = small(tokens=3, prune_at=1, variant=variant)(keypoints)
        assert (kept == FRAMES // 2).any(dim=1).all() == centered
        assert poses.shape == (64, 3 if centered else FRAMES, 17, 3)


def test_recovery_has_one_query_and_three_results_per_frame():
    network = small(tokens=5, prune_at=1)
    assert network.x_token.shape == (1, FRAMES, WIDTH)
    assert network.pos_embed_token.shape == (1, 5, WIDTH)
    tokens, kept = random(2, 5, 3, WIDTH), (torch.arange(5)[None],)
    recovered = network.recover(tokens, kept)
    moved = tokens + torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).reshape(3, 1)
    changed = network.recover(moved, kept) - recovered
    assert (changed.abs().amax(dim=(0, 1, 3)) > 1e-9).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"frames": 30},
        {"tokens": 5, "prune_at": 1},
        {"tokens": 5, "prune_at": 2, "elastic": True},
        {"tokens": (6, 4), "prune_at": (1, 2), "recovery": "interpolate"},
    ],
)
def test_folding_keeps_the_output(options):
    network = small(**options)
    keypoints = random(2, network.frames, 17, 2)
    before, keys = network(keypoints)[0], list(network.state_dict())
    network.fold_constants()
    assert_close(network(keypoints)[0], before)
    assert list(network.state_dict()) == keys


# Checkpoints


def golden(name):
    content = json.loads((GOLDEN / f"{name}-s7.json").read_text())
    return {key: tuple(shape) for key, shape in content["state_dict"].items()}


@pytest.mark.parametrize("name", ["mhformer", "tpc_mhformer"])
def test_published_networks(name):
    assert infer_shape(golden(name)) == CheckpointShape(
        frames=351,
        joints=17,
        config={"channels": 2, "width": 512, "depth": 3, "mlp_hidden": 1024},
        variant=Variant.PLAIN,
        tokens=None,
    )


def shapes(**options):
    return {key: tuple(tensor.shape) for key, tensor in small(**options).state_dict().items()}


@pytest.mark.parametrize(
    ("options", "variant", "tokens", "elastic"),
    [
        ({}, Variant.PLAIN, None, False),
        ({"frames": 30, "channels": 3}, Variant.PLAIN, None, False),
        ({"depth": 1}, Variant.PLAIN, None, False),
        ({"tokens": 5, "prune_at": 1, "variant": "tpc"}, Variant.PLAIN, None, False),
        ({"tokens": 5, "prune_at": 2}, Variant.HOT, 5, False),
        ({"tokens": (6, 3), "prune_at": (1, 2)}, Variant.HOT, 6, False),
        ({"tokens": 5, "prune_at": 2, "elastic": True}, Variant.HOT, None, True),
    ],
)
def test_other_sizes(options, variant, tokens, elastic):
    wanted = {"channels": 2, "frames": FRAMES, **SMALL, **options}
    config = {key: wanted[key] for key in ("channels", "width", "depth", "mlp_hidden")}
    assert infer_shape(shapes(**options)) == CheckpointShape(
        wanted["frames"], 17, config, variant, tokens, elastic
    )


@pytest.mark.parametrize(
    "key",
    [
        "norm_1.weight",
        "regression.1.weight",
        "Transformer_encoder_2.pos_embed",
        "Transformer_hypothesis.pos_embed_1",
        "Transformer_hypothesis.SHR_blocks.0.mlp.fc1.weight",
        "Transformer_hypothesis.SHR_blocks.1.mlp.fc1.weight",
        "Transformer_hypothesis.CHI_blocks.0.mlp.fc1.weight",
    ],
)
def test_missing_key_is_named(key):
    found = shapes()
    del found[key]
    with pytest.raises(CheckpointError, match=f"not one of MHFormer: it has no '{key}'"):
        infer_shape(found)


@pytest.mark.parametrize("key", ["pos_embed_token", "x_token", "cross_attention.linear_v.bias"])
def test_part_of_the_hourglass_is_missing(key):
    found = shapes(tokens=5, prune_at=1)
    del found[key]
    with pytest.raises(CheckpointError, match=f"it has no '{key}'"):
        infer_shape(found)


@pytest.mark.parametrize(
    ("options", "key", "shape", "expected"),
    [
        ({}, "norm_1.weight", (9, 1), r"\(any\)"),
        ({}, "Transformer_hypothesis.pos_embed_1", (1, 8, 16), r"\(1, 9, any\)"),
        ({}, "regression.1.weight", (51, 48), r"\(any, 48, 1\)"),
        ({}, "regression.1.weight", (50, 48, 1), r"\(48, 48, 1\)"),
        ({}, "Transformer_encoder_1.pos_embed", (1, 35, 9), r"\(1, 34, 9\)"),
        ({}, "Transformer_encoder_3.pos_embed", (1, 51, 9), r"\(1, 34, 9\)"),
        (
            {},
            "Transformer_hypothesis.SHR_blocks.1.mlp.fc1.weight",
            (20, 48),
            r"\(24, 48\)",
        ),
        ({"tokens": 5, "prune_at": 1}, "x_token", (1, 5, 16), r"\(1, 9, 16\)"),
    ],
)
def test_contradicting_shape(options, key, shape, expected):
    with pytest.raises(CheckpointError, match=f"'{key}' is .*, not {expected}"):
        infer_shape({**shapes(**options), key: shape})


def saved(path, prefix="", **options):
    """A file in the layout of the authors' training script, which has no prefix."""
    state = small(**options).float().state_dict()
    torch.save({prefix + key: tensor for key, tensor in state.items()}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("frames", [FRAMES, 30])
def test_official_layout_is_read(tmp_path, frames, prefix):
    source = saved(tmp_path / "model_28_4297.pth", prefix, frames=frames)
    request = ExportRequest("mhformer", checkpoint=source, config={"heads": 2}, trained_on="h36m")
    prepared = prepare(request)
    assert prepared.spec == resolve("mhformer", frames=frames, **SMALL)
    assert not prepared.weights.random


def test_official_layout_is_exported(tmp_path):
    options = {"frames": 30, "depth": 2}
    source, target = saved(tmp_path / "model_28_4297.pth", **options), tmp_path / "m.onnx"
    result = export_model(
        ExportRequest("mhformer", checkpoint=source, output=target, config={"heads": 2})
    )
    assert (result.manifest.frames, result.manifest.unit) == (30, "m")
    assert result.manifest.parity.max_difference < 1e-4
    operators = {node.op_type for node in onnx.load(target).graph.node}
    assert not operators & {"Conv", "BatchNormalization"}
    keypoints = random(1, 30, 17, 2).float()
    expected = small(**options).float()(keypoints)[0].numpy()
    with open_session(target) as session:
        poses = session.run({"keypoints_2d": keypoints.numpy()})["poses_3d"]
    np.testing.assert_allclose(poses, expected, atol=1e-4, rtol=0)


def test_plain_weights_serve_the_variant_that_keeps_the_center(tmp_path):
    source = saved(tmp_path / "model.pth")
    prepared = prepare(
        ExportRequest(
            "mhformer",
            checkpoint=source,
            variant="tpc",
            tokens=5,
            prune_at=1,
            config={"heads": 2},
            trained_on="h36m",
        )
    )
    assert (prepared.spec.variant, prepared.spec.tokens) == (Variant.TPC, 5)
    assert count_parameters(prepared.spec) == count_parameters(prepared.spec.plain())
