"""Attention along one axis of the grid against PyTorch's own, and the parts around it."""

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, layer_norm
from torch.testing import assert_close

from hot_sdk.export.models.layers.transformer import Attention, Axis, Block, Grid, Mlp

BATCH, GRID, WIDTH, HEADS = 2, Grid(frames=5, joints=3), 24, 4
AXES = pytest.mark.parametrize("axis", Axis)


def tokens(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    rows = BATCH * GRID.frames * GRID.joints
    return torch.randn(rows, WIDTH, generator=generator, dtype=torch.float64).to(dtype)


def randomized(module, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return module.requires_grad_(False).to(dtype)


def attention_of_pytorch(layer, rows, axis):
    """The attended axis as the sequence of ``nn.MultiheadAttention``."""
    reference = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, dtype=rows.dtype)
    reference.load_state_dict(
        {
            "in_proj_weight": layer.qkv.weight,
            "in_proj_bias": layer.qkv.bias,
            "out_proj.weight": layer.proj.weight,
            "out_proj.bias": layer.proj.bias,
        }
    )
    grid = rows.reshape(BATCH, *GRID, WIDTH)
    grid = grid if axis is Axis.JOINTS else grid.transpose(1, 2)
    sequences = grid.reshape(-1, grid.shape[2], WIDTH)
    mixed, _ = reference(sequences, sequences, sequences, need_weights=False)
    mixed = mixed.reshape(grid.shape)
    return (mixed if axis is Axis.JOINTS else mixed.transpose(1, 2)).reshape(-1, WIDTH).detach()


@AXES
@pytest.mark.parametrize("fold", [False, True])
def test_attention_matches_pytorch(axis, fold):
    layer = randomized(Attention(WIDTH, HEADS))
    expected = attention_of_pytorch(layer, tokens(), axis)
    if fold:
        layer.fold_constants()
    assert_close(layer(tokens(), GRID, axis), expected)


@AXES
def test_folding_keeps_the_output_in_float32(axis):
    layer = randomized(Attention(WIDTH, HEADS), torch.float32)
    before, keys = layer(tokens(0, torch.float32), GRID, axis), list(layer.state_dict())
    layer.fold_constants()
    assert_close(layer(tokens(0, torch.float32), GRID, axis), before, atol=1e-6, rtol=0)
    assert list(layer.state_dict()) == keys


def test_folded_attention_ignores_its_weights():
    layer = randomized(Attention(WIDTH, HEADS))
    layer.fold_constants()
    before = layer(tokens(), GRID, Axis.FRAMES)
    layer.qkv.weight.zero_()
    assert torch.equal(layer(tokens(), GRID, Axis.FRAMES), before)


def test_folding_stays_on_the_device_of_the_weights():
    layer = Attention(WIDTH, HEADS).to("meta")
    layer.fold_constants()
    assert layer(tokens(0, torch.float32).to("meta"), GRID, Axis.JOINTS).is_meta


@AXES
def test_a_token_attends_only_along_its_axis(axis):
    layer = randomized(Attention(WIDTH, HEADS))
    moved = tokens().reshape(BATCH, *GRID, WIDTH).clone()
    moved[1, 3, 2] += 1.0
    changed = layer(moved.reshape(-1, WIDTH), GRID, axis) - layer(tokens(), GRID, axis)
    touched = changed.reshape(BATCH, *GRID, WIDTH).abs().amax(dim=3) > 0
    expected = torch.zeros(BATCH, *GRID, dtype=torch.bool)
    expected[(1, 3) if axis is Axis.JOINTS else (1, slice(None), 2)] = True
    assert torch.equal(touched, expected)


def test_mlp_uses_the_exact_gelu():
    layer = randomized(Mlp(WIDTH, 40))
    hidden = tokens() @ layer.fc1.weight.T + layer.fc1.bias
    expected = gelu(hidden, approximate="none") @ layer.fc2.weight.T + layer.fc2.bias
    assert_close(layer(tokens()), expected)


@AXES
def test_block_normalizes_before_and_adds_after(axis):
    layer, rows = randomized(Block(WIDTH, HEADS, 40)), tokens() * 1e-3
    first = layer_norm(rows, [WIDTH], layer.norm1.weight, layer.norm1.bias, eps=1e-6)
    middle = rows + attention_of_pytorch(layer.attn, first, axis)
    second = layer_norm(middle, [WIDTH], layer.norm2.weight, layer.norm2.bias, eps=1e-6)
    assert_close(layer(rows, GRID, axis), middle + layer.mlp(second))
