"""Files as people have them, and files that must be refused."""

import hashlib
import io
import logging
import os
import pickle
import subprocess
import sys
import tarfile
import types
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hot_sdk.errors import CheckpointError
from hot_sdk.export.checkpoints.reader import MAX_BYTES, read_checkpoint

ZIP, LEGACY = True, False


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def weights(prefix=""):
    return {f"{prefix}{key}": tensor for key, tensor in network().state_dict().items()}


def saved(path, value, layout=ZIP):
    torch.save(value, path, _use_new_zipfile_serialization=layout)
    return path


def assert_holds_network(checkpoint):
    expected = network().state_dict()
    assert list(checkpoint.tensors) == list(expected)
    assert all(torch.equal(checkpoint.tensors[key], expected[key]) for key in expected)


def training_state():
    """What the training script of MixSTE saves: random state, optimizer, DataParallel's weights."""
    moments = {
        index: {"step": torch.tensor(9.0), "exp_avg": one.clone(), "exp_avg_sq": one**2}
        for index, one in enumerate(network().parameters())
    }
    group = {"lr": 4e-5, "betas": (0.9, 0.999), "amsgrad": True, "params": list(moments)}
    return {
        "epoch": 119,
        "lr": np.float64(4e-5),
        "random_state": np.random.RandomState(4321),
        "optimizer": {"state": moments, "param_groups": [group]},
        "model_pos": nn.DataParallel(network()).state_dict(),
    }


@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
class TestLayouts:
    @pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".pth.tr"])
    def test_bare(self, tmp_path, layout, suffix):
        path = saved(tmp_path / f"model{suffix}", network().state_dict(), layout)
        checkpoint = read_checkpoint(path)
        assert_holds_network(checkpoint)
        assert checkpoint.container == "bare"
        assert checkpoint.dropped == ()
        assert checkpoint.path == path
        assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    @pytest.mark.parametrize("container", ["model_pos", "model", "state_dict"])
    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_containers(self, tmp_path, layout, container, prefix):
        value = {"epoch": 3, "min_loss": 40.9, container: weights(prefix), "wandb_id": "x"}
        checkpoint = read_checkpoint(saved(tmp_path / "best_epoch.bin", value, layout))
        assert_holds_network(checkpoint)
        assert checkpoint.container == container

    def test_original_mixste(self, tmp_path, layout, caplog):
        path = saved(tmp_path / "best_epoch_cpn_243f.bin", training_state(), layout)
        with pytest.raises(pickle.UnpicklingError):
            torch.load(path, weights_only=True)
        with caplog.at_level(logging.INFO):
            checkpoint = read_checkpoint(path)
        assert_holds_network(checkpoint)
        assert checkpoint.container == "model_pos"
        assert any(name.startswith("numpy.random.") for name in checkpoint.dropped)
        assert not any("_rebuild_tensor" in name for name in checkpoint.dropped)
        assert f"dropped: {', '.join(checkpoint.dropped)}" in caplog.text

    def test_two_networks_under_one_prefix(self, tmp_path, layout):
        value = {"module.a": torch.ones(1), "module.module.a": torch.ones(2)}
        with pytest.raises(CheckpointError, match=r"1 of 2 keys start with 'module\.'"):
            read_checkpoint(saved(tmp_path / "a.pth", value, layout))

    def test_some_prefixes(self, tmp_path, layout):
        value = {**weights("module."), "head": torch.ones(1)}
        with pytest.raises(CheckpointError, match=r"9 of 10 keys start with 'module\.'"):
            read_checkpoint(saved(tmp_path / "a.pth", value, layout))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_floating_point_becomes_float32(self, tmp_path, layout, dtype):
        value = {"w": torch.randn(50, dtype=torch.float64).to(dtype), "n": torch.tensor(7)}
        tensors = read_checkpoint(saved(tmp_path / "a.pth", value, layout)).tensors
        assert tensors["w"].dtype == torch.float32
        assert torch.equal(tensors["w"], value["w"].float())
        assert tensors["n"].dtype == torch.int64

    @pytest.mark.parametrize(
        "bad",
        [
            torch.tensor([1.0, float("nan")]),
            torch.tensor([1.0, float("inf")]),
            torch.tensor([1.0, float("-inf")], dtype=torch.float16),
            torch.tensor([1.0, 1e300], dtype=torch.float64),
        ],
    )
    def test_numbers_that_are_not_finite(self, tmp_path, layout, bad):
        value = {"good": torch.ones(2), "blocks.0.bad": bad}
        with pytest.raises(CheckpointError, match=r"1 of the 2 numbers of 'blocks\.0\.bad'"):
            read_checkpoint(saved(tmp_path / "a.pth", value, layout))

    def test_complex_numbers(self, tmp_path, layout):
        value = {"w": torch.ones(2, dtype=torch.complex64)}
        with pytest.raises(CheckpointError, match="'w' is complex"):
            read_checkpoint(saved(tmp_path / "a.pth", value, layout))


class Payload:
    """Runs a command where it is unpickled without care."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


class Shell(Payload):
    def __reduce__(self):
        return subprocess.check_output, (["touch", str(self.marker)],)


class Evaluated(Payload):
    def __reduce__(self):
        return eval, (f"open({str(self.marker)!r}, 'w')",)


@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
class TestMaliciousFiles:
    @pytest.mark.parametrize(
        ("payload", "name"),
        [(Payload, "system"), (Shell, "check_output"), (Evaluated, "eval")],
    )
    @pytest.mark.parametrize("place", ["top", "companion", "weights", "key", "foreign"])
    def test_nothing_is_run(self, tmp_path, layout, payload, name, place):
        marker = tmp_path / "marker"
        bad = payload(marker)
        value = {
            "top": bad,
            "companion": {"model_pos": weights(), "optimizer": [bad]},
            "weights": {**weights(), "extra": bad},
            "key": {**weights(), bad: torch.ones(1)},
            "foreign": {"args": types.SimpleNamespace(lr=bad), "model": weights()},
        }[place]
        path = saved(tmp_path / "model.pth", value, layout)
        with pytest.raises(CheckpointError, match=f"asks for '[a-z_.]*{name}'") as caught:
            read_checkpoint(path)
        assert "nothing was run" in caught.value.message
        assert not marker.exists()

    @pytest.mark.filterwarnings("ignore::ResourceWarning")
    def test_payload_is_live(self, tmp_path, layout):
        marker = tmp_path / "marker"
        path = saved(tmp_path / "model.pth", {"bad": Payload(marker)}, layout)
        torch.load(path, weights_only=False)
        assert marker.exists()


@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
class TestContentsThatAreNoWeights:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"epoch": 3, "lr": 0.1}, "it holds 'epoch', 'lr'"),
            ({}, "it holds nothing"),
            ({"model_pos": {}}, "it holds nothing"),
            ([torch.ones(1)], "it holds a whole object, a list"),
            (torch.ones(1), "it holds a whole object, a tensor"),
            (nn.ReLU(), "it holds a whole object, torch.nn.modules.activation.ReLU"),
            ({"model": nn.ReLU()}, "it holds 'model'"),
            ({"model": weights(), "state_dict": weights()}, "several .*: model, state_dict"),
            ({"w": torch.ones(1), "b": np.ones(2)}, "1 entries .* 'b' is numpy.*reconstruct"),
            ({"model": {"w": torch.ones(1), "b": np.ones(2)}}, "'b' is numpy.*reconstruct"),
            ({"w": torch.ones(1), "step": 4}, "1 entries .* 'step' is an int"),
            ({"w": torch.ones(1), "inner": {"b": torch.ones(1)}}, "'inner' is a dict"),
            ({0: torch.ones(1)}, "under 0, which is no name"),
        ],
    )
    def test_is_said(self, tmp_path, layout, value, message):
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(saved(tmp_path / "a.pth", value, layout))

    @pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")
    def test_whole_model_of_a_training_script(self, tmp_path, monkeypatch, layout):
        module = types.ModuleType("model_of_a_paper")
        module.Lifter = type("Lifter", (nn.Linear,), {"__module__": "model_of_a_paper"})
        monkeypatch.setitem(sys.modules, "model_of_a_paper", module)
        path = saved(tmp_path / "a.pth", module.Lifter(2, 2), layout)
        with pytest.raises(CheckpointError, match=r"asks for 'model_of_a_paper\.Lifter'") as caught:
            read_checkpoint(path)
        assert "model.state_dict()" in caught.value.hint


class TestSafetensors:
    @pytest.mark.parametrize("prefix", ["", "module."])
    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    def test_weights(self, tmp_path, prefix, suffix):
        path = tmp_path / f"model{suffix}"
        save_file(weights(prefix), path)
        checkpoint = read_checkpoint(path)
        assert {key: tensor.tolist() for key, tensor in checkpoint.tensors.items()} == {
            key: tensor.tolist() for key, tensor in network().state_dict().items()
        }
        assert checkpoint.container == "safetensors"
        assert checkpoint.dropped == ()

    def test_half_precision(self, tmp_path):
        save_file({"w": torch.ones(3, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
        tensor = read_checkpoint(tmp_path / "a.safetensors").tensors["w"]
        assert tensor.dtype == torch.float32

    def test_not_finite(self, tmp_path):
        save_file({"w": torch.tensor([float("nan")])}, tmp_path / "a.safetensors")
        with pytest.raises(CheckpointError, match="'w' are NaN"):
            read_checkpoint(tmp_path / "a.safetensors")

    def test_truncated(self, tmp_path):
        path = tmp_path / "a.safetensors"
        save_file(weights(), path)
        content = path.read_bytes()
        for length in (12, 100, len(content) - 1):
            path.write_bytes(content[:length])
            with pytest.raises(CheckpointError, match="damaged safetensors file"):
                read_checkpoint(path)

    def test_header_larger_than_the_file(self, tmp_path):
        path = tmp_path / "a.safetensors"
        path.write_bytes((10**8).to_bytes(8, "little") + b'{"w":{}}')
        with pytest.raises(CheckpointError, match="damaged safetensors file"):
            read_checkpoint(path)

    def test_empty(self, tmp_path):
        save_file({}, tmp_path / "a.safetensors")
        with pytest.raises(CheckpointError, match="holds nothing"):
            read_checkpoint(tmp_path / "a.safetensors")


def archive_of(name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"content")
    return buffer.getvalue()


def tar_of(name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def truncated_checkpoint(layout):
    buffer = io.BytesIO()
    torch.save(weights(), buffer, _use_new_zipfile_serialization=layout)
    return buffer.getvalue()[:-100]


class TestFilesThatAreNoCheckpoints:
    @pytest.mark.parametrize(
        ("content", "message", "hint"),
        [
            (b"", "is empty", "again"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 135200000\n",
                "Git LFS pointer",
                "git lfs pull",
            ),
            (b"<!DOCTYPE html><html><head><title>Virus scan", "web page", "browser"),
            (b"\xef\xbb\xbf\r\n  <HTML lang=en>", "web page", "browser"),
            (truncated_checkpoint(ZIP), "damaged, or is no checkpoint", "again"),
            (truncated_checkpoint(LEGACY), "damaged, or is no checkpoint", "again"),
            (archive_of("weights/model.pth"), "damaged, or is no checkpoint", "again"),
            (tar_of("model.pth"), "tar archive", "unpack"),
            (b"\x1f\x8b\x08\x00compressed", "neither a file of torch.save", "Give a checkpoint"),
            (b"Access denied", "starts with b'Access d'", "Give a checkpoint"),
            (pickle.dumps({"a": 1}, 2), "damaged, or is no checkpoint", "again"),
            (b"PK", "damaged, or is no checkpoint", "again"),
            (b"\x80", "damaged", "again"),
        ],
    )
    def test_is_said(self, tmp_path, content, message, hint):
        path = tmp_path / "model.pth"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message) as caught:
            read_checkpoint(path)
        assert "model.pth" in caught.value.message
        assert hint in caught.value.hint

    def test_missing(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"There is no checkpoint '.*absent\.pth'"):
            read_checkpoint(tmp_path / "absent.pth")

    def test_folders(self, tmp_path):
        with pytest.raises(CheckpointError, match="is a directory, and none of its files ends"):
            read_checkpoint(tmp_path)
        (tmp_path / "README.md").write_text("The checkpoint of a paper.")
        path = saved(tmp_path / "model_15_4890.pth", weights())
        assert read_checkpoint(tmp_path).path == path
        assert_holds_network(read_checkpoint(tmp_path))
        saved(tmp_path / "model_16_4885.pth", weights())
        with pytest.raises(CheckpointError, match="2 checkpoints: model_15_4890") as caught:
            read_checkpoint(tmp_path)
        assert str(path) in caught.value.hint

    def test_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.pth")
        with pytest.raises(CheckpointError, match="not a regular file"):
            read_checkpoint(tmp_path / "pipe.pth")

    def test_too_large(self, tmp_path):
        path = tmp_path / "model.pth"
        with path.open("wb") as stream:
            stream.truncate(MAX_BYTES + 1)
        with pytest.raises(CheckpointError, match=f"has {MAX_BYTES + 1} bytes; at most"):
            read_checkpoint(path)

    def test_unreadable(self, tmp_path, monkeypatch):
        path = saved(tmp_path / "model.pth", weights())

        def refuse(*_args, **_kwargs):
            raise PermissionError(13, "Permission denied")

        # Permissions do not bind a superuser, who runs tests in containers.
        monkeypatch.setattr("hot_sdk._base.files.os.open", refuse)
        with pytest.raises(CheckpointError, match="cannot be read: Permission denied"):
            read_checkpoint(path)


def test_rejects_torchscript_programs(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(3, 2)), tmp_path / "scripted.pt")
    with pytest.raises(CheckpointError, match="is a TorchScript program"):
        read_checkpoint(tmp_path / "scripted.pt")
