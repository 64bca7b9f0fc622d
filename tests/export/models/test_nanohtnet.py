"""NanoHTNet against what is published of its structure; its authors' code was not run."""

import numpy as np
import pytest
import torch
from small_networks import small_size

from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.enums import Variant
from hot_sdk.export.models import build, resolve
from hot_sdk.export.models.layers.topology_mixer import chain_adjacency
from hot_sdk.export.models.nanohtnet import cosine_transform, infer_shape
from hot_sdk.export.models.weight_shapes import CheckpointShape

SMALL = small_size("nanohtnet", depth=1)


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear(name, inputs, outputs, *kernel):
    return {f"{name}.weight": (outputs, inputs, *kernel), f"{name}.bias": (outputs,)}


def mlp(name, width, hidden):
    return linear(f"{name}.fc1", width, hidden) | linear(f"{name}.fc2", hidden, width)


def graph(name, inputs, outputs, nodes):
    return {
        f"{name}.W": (2, inputs, outputs),
        f"{name}.M": (nodes, outputs),
        f"{name}.adj2": (nodes, nodes),
        f"{name}.bias": (outputs,),
    }


def mixer(name, *, nodes, parts):
    """Keys of three blocks of 240 channels, in two or in three parts."""
    keys = norm(f"{name}.Temporal_norm", 240)
    width = 240 // parts
    for block in (f"{name}.blocks.{number}" for number in range(3)):
        keys |= norm(f"{block}.lgc.norm_gcn1", width) | norm(f"{block}.lgc.norm_gcn2", width)
        keys |= graph(f"{block}.lgc.gcn1", width, 384, nodes)
        keys |= graph(f"{block}.lgc.gcn2", 384, width, nodes)
        for number, kernel in ((1, 3), (2, 2)) if parts == 3 else ():
            keys |= norm(f"{block}.ipc.norm_conv{number}", width)
            keys |= norm(f"{block}.ipc.norm_conv{number}_mlp", width)
            keys |= linear(f"{block}.ipc.conv{number}", width, width, kernel)
            keys |= mlp(f"{block}.ipc.mlp_down_{number}", width, 256)
        keys |= norm(f"{block}.gbi.norm_attn", width)
        keys |= linear(f"{block}.gbi.attn.qkv", width, 3 * width)
        keys |= linear(f"{block}.gbi.attn.proj", width, width)
        keys |= norm(f"{block}.norm_mlp", 240) | mlp(f"{block}.mlp", 240, 256)
    return keys


def published():
    """The state-dict as the authors' code builds it, for 243 frames and 9 coefficients."""
    return {
        "pos_embed": (1, 17, 240),
        "tem_pos_embed": (1, 9, 240),
        **linear("patch_embed", 2 * 243, 240),
        **linear("tem_patch_embed", 2 * 17, 240),
        **mixer("Transformer", nodes=17, parts=3),
        **mixer("tem_Transformer", nodes=9, parts=2),
        **linear("fcn_spa", 240, 8 * 9),
        **linear("fcn_tem", 240, 8 * 17),
        **linear("fc", 16, 3),
    }


def shapes_of(**config):
    network = build(resolve("nanohtnet", **config))
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def test_state_dict_is_that_of_the_published_code():
    assert shapes_of() == published()


# Checkpoints


def test_published_network():
    config = {"channels": 2, "width": 240, "depth": 3, "mlp_hidden": 256, "coefficients": 9}
    assert infer_shape(published()) == CheckpointShape(243, 17, config, Variant.PLAIN, None)


@pytest.mark.parametrize(
    ("frames", "config"),
    [
        (81, {"width": 96}),
        (27, {"width": 48, "depth": 1, "mlp_hidden": 20, "channels": 3}),
        (243, {"coefficients": 27}),
    ],
)
def test_other_sizes(frames, config):
    found = infer_shape(shapes_of(frames=frames, **config))
    assert found.frames == frames
    assert found.config == {**infer_shape(published()).config, **config}


@pytest.mark.parametrize(
    ("key", "shape", "said"),
    [
        ("pos_embed", None, "it has no 'pos_embed'"),
        ("tem_pos_embed", None, "it has no 'tem_pos_embed'"),
        ("tem_pos_embed", (1, 9, 96), r"not \(1, any, 240\)"),
        ("tem_patch_embed.weight", (240, 35), "takes 35 channels, not a multiple of 17"),
        ("patch_embed.weight", (240, 487), "takes 487 channels, not a multiple of 2"),
        ("Transformer.blocks.1.lgc.gcn1.adj2", (9, 9), r"not \(17, 17\)"),
        ("tem_Transformer.blocks.1.lgc.gcn1.adj2", (17, 17), r"not \(9, 9\)"),
        ("tem_Transformer.blocks.2.mlp.fc1.weight", (512, 240), r"not \(256, 240\)"),
        ("fcn_spa.weight", (8 * 27, 240), r"not \(72, 240\)"),
        ("fcn_tem.weight", (8 * 16, 240), r"not \(136, 240\)"),
        ("fc.weight", (3, 32), r"not \(3, 16\)"),
    ],
)
def test_rejects_broken_checkpoints(key, shape, said):
    shapes = {**published(), key: shape}
    if shape is None:
        del shapes[key]
    with pytest.raises(CheckpointError, match=f"not one of NanoHTNet: .*{said}"):
        infer_shape(shapes)


def test_both_parts_have_as_many_blocks():
    fewer = {
        key: shape for key, shape in published().items() if "tem_Transformer.blocks.2" not in key
    }
    with pytest.raises(CheckpointError, match="have 3 and 2 blocks"):
        infer_shape(fewer)


def test_both_parts_have_as_many_hidden_channels():
    wider = {f"tem_Transformer.blocks.{block}.mlp.fc1.weight": (512, 240) for block in range(3)}
    with pytest.raises(CheckpointError, match="have 256 and 512 hidden channels"):
        infer_shape({**published(), **wider})


def test_official_layout_is_exported(tmp_path):
    """A bare state-dict, each key behind the prefix of a parallel model."""
    network = build(resolve("nanohtnet", frames=27, **SMALL))
    state = {f"module.{key}": value.float() for key, value in random_state_dict(network).items()}
    torch.save(state, tmp_path / "model.pth")
    request = ExportRequest(
        model="nanohtnet",
        checkpoint=tmp_path / "model.pth",
        config={"heads": SMALL["heads"]},
        output=tmp_path / "model.onnx",
    )
    manifest = export_model(request).manifest
    assert (manifest.variant, manifest.frames, manifest.output_frames) == ("plain", 27, 5)
    assert (manifest.tokens, manifest.token_index, manifest.unit) == (None, False, "m")


# What it computes


@pytest.mark.parametrize(("frames", "kept"), [(243, 9), (8, 8), (27, 1)])
def test_transform_is_the_cosine_transform(frames, kept):
    """By the fast transform of the even positions, and of the odd ones backwards."""
    signal = np.random.default_rng(2).standard_normal((5, frames))
    spectrum = np.fft.fft(np.concatenate([signal[:, ::2], signal[:, 1::2][:, ::-1]], axis=1))
    turn = np.exp(-0.5j * np.pi * np.arange(frames) / frames)
    expected = 2.0 * (spectrum * turn).real[:, :kept]
    found = torch.from_numpy(signal) @ cosine_transform(frames, kept).T
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_a_body_at_rest_has_one_coefficient():
    coefficients = cosine_transform(27, 9).sum(dim=1)
    assert coefficients[0] == 54.0
    assert coefficients[1:].abs().max() < 1e-12


def test_coefficients_are_joined_to_their_neighbors():
    assert chain_adjacency(4).tolist() == [
        [1.0, 1.0, 0.0, 0.0],
        [1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, 1.0, 1.0],
        [0.0, 0.0, 1.0, 1.0],
    ]


def test_only_slow_movement_reaches_the_part_over_time():
    """Without the part over joints, what the kept coefficients leave out changes nothing."""
    network = build(resolve("nanohtnet", frames=27, **SMALL)).requires_grad_(False)
    network.load_state_dict(random_state_dict(network))
    network.double().fcn_spa.weight.zero_()
    source = torch.Generator().manual_seed(3)
    keypoints = torch.randn(1, 27, 17, 2, dtype=torch.float64, generator=source)
    fast = cosine_transform(27, 27)[5:].mean(dim=0)[:, None, None] * torch.ones(17, 2)
    slow = cosine_transform(27, 27)[4][:, None, None] * torch.ones(17, 2)
    poses = network(keypoints)[0]
    assert (network(keypoints + fast)[0] - poses).abs().max() < 1e-10
    assert (network(keypoints + slow)[0] - poses).abs().max() > 1e-3


# What is refused


@pytest.mark.parametrize("request_", [{"ratio": 0.5}, {"tokens": 81}, {"variant": "hot"}])
def test_no_frames_can_be_pruned(request_):
    with pytest.raises(UsageError, match="no token for each frame") as caught:
        resolve("nanohtnet", **request_)
    assert caught.value.hint == "It has: plain."


def test_every_frame_kept_is_the_plain_network():
    assert resolve("nanohtnet", ratio=1.0) == resolve("nanohtnet", variant="plain")


@pytest.mark.parametrize(
    "config",
    [{"coefficients": 8}, {"frames": 242}, {"frames": 7}, {"frames": 8, "coefficients": 4}],
)
def test_rejects_windows_without_a_middle(config):
    with pytest.raises(UsageError, match="middle frames") as caught:
        resolve("nanohtnet", **config)
    assert "odd" in caught.value.hint


def test_all_frames_can_be_middle_ones():
    assert resolve("nanohtnet", frames=9).output_frames == 9


def test_widths_divide_in_both_parts():
    with pytest.raises(UsageError, match="width 72 cannot be divided among 6 parts") as caught:
        resolve("nanohtnet", width=72)
    assert "multiple of 48" in caught.value.hint
