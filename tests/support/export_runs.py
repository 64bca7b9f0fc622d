"""Runs of ``hot-export`` on a small network, for several test modules."""

from pathlib import Path

import torch

from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.cli import main
from hot_sdk.export.models import create_model

SIZE = {"width": 32, "depth": 2, "heads": 4, "mlp_hidden": 48}
SET = [word for name, value in SIZE.items() for word in ("--set", f"{name}={value}")]
SMALL = ["--model", "mixste", "--frames", "27", *SET]
PRUNED = [*SMALL, "--ratio", "0.5", "--prune-at", "1"]


def saved(path, *, prefix="", container=None, **options):
    network = create_model("mixste", frames=27, **SIZE, **options)
    state = {f"{prefix}{key}": value.float() for key, value in random_state_dict(network).items()}
    torch.save({container: state, "epoch": 1} if container else state, path)
    return path


def failed(capsys, arguments, status):
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    *stages, error = captured.err.splitlines()
    assert error.startswith("hot-export: error: ")
    assert all(stage.startswith("hot-export: ") for stage in stages)
    assert not (stages and status == 2 and "--checkpoint" not in arguments)
    assert list(Path.cwd().glob("*.onnx*")) == []
    return error
