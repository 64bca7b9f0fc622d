"""Strict loading, and the rank embedding stretched to another number of tokens."""

import collections
import types

import numpy as np
import pytest
import torch
from torch import nn

from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export.checkpoints.loading import load_strict, resample_rank_embedding
from hot_sdk.export.checkpoints.reader import Checkpoint


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def weights():
    return dict(network().state_dict())


class Hourglass(nn.Module):
    """The keys of the Hourglass Tokenizer and one other layer."""

    def __init__(self, tokens=None):
        super().__init__()
        self.head = nn.Linear(4, 3)
        if tokens:
            self.pos_embed_token = nn.Parameter(torch.zeros(1, tokens, 4))
            self.x_token = nn.Parameter(torch.zeros(1, 9, 4))
            self.cross_attention = nn.ModuleDict({"proj": nn.Linear(4, 4)})


def checkpoint_of(tensors, tmp_path):
    return Checkpoint(tmp_path / "model.pth", "0" * 64, tensors, "bare", ())


class TestStrictLoading:
    def test_loads_every_tensor(self, tmp_path):
        checkpoint = checkpoint_of(weights(), tmp_path)
        model = network(seed=1)
        load_strict(model, checkpoint)
        expected = network().state_dict()
        assert all(torch.equal(one, expected[key]) for key, one in model.state_dict().items())

    def test_float64_model_stays_so(self, tmp_path):
        model = network(seed=1).double()
        load_strict(model, checkpoint_of(weights(), tmp_path))
        assert model[0].weight.dtype == torch.float64
        assert torch.equal(model[0].weight.float(), network()[0].weight)

    def test_lists_ten_of_each_fault_and_leaves_the_model_alone(self, tmp_path):
        model = nn.ModuleDict(
            {
                "same": nn.Linear(2, 2),
                "absent": nn.ParameterList(torch.zeros(1) for _ in range(12)),
                "shaped": nn.ParameterList(torch.zeros(2, 3) for _ in range(11)),
            }
        )
        before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        tensors = {key: torch.ones_like(tensor) for key, tensor in before.items()}
        for index in range(12):
            del tensors[f"absent.{index}"]
        for index in range(11):
            tensors[f"shaped.{index}"] = torch.ones(3, 2)
        tensors |= {f"extra.{index}": torch.ones(1) for index in range(15)}
        with pytest.raises(CheckpointError) as caught:
            load_strict(model, checkpoint_of(tensors, tmp_path))
        message = caught.value.message
        assert "'model.pth' does not fit" in message
        assert "12 missing ('absent.0', " in message
        assert "'absent.9' and 2 more)" in message
        assert "'absent.10'" not in message
        assert "15 unexpected ('extra.0', " in message
        assert "'extra.9' and 5 more)" in message
        assert "11 of another shape ('shaped.0' is (3, 2), not (2, 3), " in message
        assert "and 1 more)" in message
        assert all(torch.equal(one, before[key]) for key, one in model.state_dict().items())

    @pytest.mark.parametrize("fault", ["missing", "unexpected", "of another shape"])
    def test_one_fault_is_enough(self, tmp_path, fault):
        tensors = weights()
        if fault == "missing":
            del tensors["0.bias"]
        elif fault == "unexpected":
            tensors["1.extra"] = torch.ones(1)
        else:
            tensors["0.bias"] = torch.ones(1, 8)
        model = network(seed=1)
        with pytest.raises(CheckpointError, match=rf"1 {fault} \('"):
            load_strict(model, checkpoint_of(tensors, tmp_path))
        assert torch.equal(model[0].weight, network(seed=1)[0].weight)

    @pytest.mark.parametrize(
        ("wanted", "found", "hints"),
        [
            (Hourglass(5), Hourglass(), ["'--recovery interpolate'", "'--variant tpc'"]),
            (Hourglass(), Hourglass(5), ["'--variant hot'"]),
            (Hourglass(5), Hourglass(7), ["another number of tokens"]),
            (Hourglass(5), network(), ["another architecture"]),
            (nn.Linear(2, 2), nn.Linear(3, 2), ["sizes"]),
        ],
    )
    def test_hint(self, tmp_path, wanted, found, hints):
        with pytest.raises(CheckpointError) as caught:
            load_strict(wanted, checkpoint_of(found.state_dict(), tmp_path))
        assert all(hint in caught.value.hint for hint in hints)


class TestRankEmbedding:
    def test_interpolates_linearly_and_keeps_both_ends(self):
        embedding = torch.randn(1, 81, 6, generator=torch.Generator().manual_seed(0))
        for tokens in (2, 27, 61, 80, 82, 121, 243):
            result = resample_rank_embedding({"pos_embed_token": embedding}, tokens)
            resampled = result["pos_embed_token"]
            assert resampled.shape == (1, tokens, 6)
            assert resampled.dtype == torch.float32
            assert torch.equal(resampled[:, 0], embedding[:, 0])
            assert torch.equal(resampled[:, -1], embedding[:, -1])
            ranks = np.linspace(0, 80, tokens)
            for channel in range(6):
                expected = np.interp(ranks, np.arange(81), embedding[0, :, channel].numpy())
                np.testing.assert_allclose(resampled[0, :, channel], expected, atol=1e-6)

    def test_same_number_of_tokens_changes_nothing(self):
        embedding = torch.randn(1, 81, 6)
        result = resample_rank_embedding({"pos_embed_token": embedding}, 81)
        assert torch.equal(result["pos_embed_token"], embedding)

    def test_changes_nothing_else(self):
        tensors = types.MappingProxyType(
            collections.OrderedDict(
                x_token=torch.ones(1, 9, 2), pos_embed_token=torch.ones(1, 5, 2), n=torch.ones(1)
            )
        )
        result = resample_rank_embedding(tensors, 3)
        assert list(result) == list(tensors)
        assert result["x_token"] is tensors["x_token"]
        assert result["n"] is tensors["n"]
        assert tensors["pos_embed_token"].shape == (1, 5, 2)

    @pytest.mark.parametrize(
        "tensors",
        [{}, {"pos_embed_token": torch.ones(5, 2)}, {"pos_embed_token": torch.ones(2, 5, 2)}],
    )
    def test_rejects_checkpoints_without_embedding(self, tensors):
        with pytest.raises(CheckpointError, match="no 'pos_embed_token'"):
            resample_rank_embedding(tensors, 3)

    @pytest.mark.parametrize("tokens", [1, 0, -3])
    def test_rejects_too_few_tokens(self, tokens):
        with pytest.raises(UsageError, match=f"to {tokens} tokens"):
            resample_rank_embedding({"pos_embed_token": torch.ones(1, 5, 2)}, tokens)
