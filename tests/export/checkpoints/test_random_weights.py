"""Weights that depend on seed, key and shape, and on nothing else."""

import hashlib
import math

import numpy as np
import pytest
import torch
from small_networks import small_frames, small_size
from torch import nn

from hot_sdk.export.checkpoints.loading import DEFAULT_SEED, random_state_dict
from hot_sdk.export.models import create_model, family, list_models


class GraphConvolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.zeros(2, 30, 50))
        self.bias = nn.Parameter(torch.zeros(50))


def network():
    return nn.ModuleDict(
        {
            "linear": nn.Linear(40, 60),
            "conv": nn.Conv1d(8, 10, 3),
            "batch_norm": nn.BatchNorm1d(60),
            "graph": GraphConvolution(),
        }
    )


def noise(key, shape, seed):
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8]
    return np.random.default_rng(int.from_bytes(digest, "little")).standard_normal(shape)


@pytest.mark.parametrize("seed", [DEFAULT_SEED, 8])
@pytest.mark.parametrize(
    ("key", "scaled"),
    [
        ("linear.weight", lambda n: n / math.sqrt(40)),
        ("linear.bias", lambda n: 0.1 * n),
        ("conv.weight", lambda n: n / math.sqrt(8 * 3)),
        ("batch_norm.weight", lambda n: 1 + 0.1 * n),
        ("batch_norm.running_mean", lambda n: 0.1 * n),
        ("batch_norm.running_var", lambda n: 1 + 0.1 * np.abs(n)),
        ("batch_norm.num_batches_tracked", lambda n: 0.0 * n),
        ("graph.W", lambda n: n / math.sqrt(30)),
        ("graph.bias", lambda n: 0.1 * n),
    ],
)
def test_each_rule(seed, key, scaled):
    drawn = random_state_dict(network(), seed)[key]
    expected = scaled(noise(key, tuple(drawn.shape), seed))
    assert drawn.dtype == torch.float64
    np.testing.assert_allclose(drawn.numpy(), expected, rtol=1e-15)


def test_spread_is_positive_and_not_clipped():
    network = create_model("mixste", frames=9, width=32, depth=2, heads=4, mlp_hidden=32, spread=64)
    network.load_state_dict(random_state_dict(network))
    with torch.inference_mode():
        _, _, spread = network.lift(torch.rand(2, 9, 17, 2))
    assert 0.001 < spread.min() < spread.max() < 0.9
    assert spread.max() > 2.0 * spread.min()


def test_state_fits_strictly():
    model = network()
    model.load_state_dict(random_state_dict(model), strict=True)
    assert model["batch_norm"].num_batches_tracked == 0


def test_weights_depend_on_seed_and_key():
    state, other = random_state_dict(network()), random_state_dict(network(), DEFAULT_SEED + 1)
    assert not torch.equal(state["linear.weight"], other["linear.weight"])
    assert not torch.equal(state["graph.bias"], state["linear.bias"][:50])
    alone = random_state_dict(nn.ModuleDict({"linear": nn.Linear(40, 60)}))
    assert torch.equal(alone["linear.weight"], state["linear.weight"])


def small(name):
    return create_model(name, frames=small_frames(name, 27), **small_size(name))


@pytest.mark.parametrize("name", list_models())
def test_weights_do_not_depend_on_the_model_s(name):
    first, second = (random_state_dict(small(name)) for _ in range(2))
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", list_models())
def test_activations_stay_near_one(name):
    model = small(name)
    model.load_state_dict(random_state_dict(model))
    shape = 2, small_frames(name, 27), len(family(name).skeleton.joints), family(name).size.channels
    keypoints = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        poses, _ = model(keypoints)
    assert 0.1 < poses.square().mean().sqrt() < 10
