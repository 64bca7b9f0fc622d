"""Every example runs as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hot_sdk.export.models import create_model
from hot_sdk.export.random_weights import random_state_dict

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def checkpoint(tmp_path):
    network = create_model("mixste", frames=27, width=32, depth=2, mlp_hidden=48)
    path = tmp_path / "trained.pth"
    torch.save({key: value.float() for key, value in random_state_dict(network).items()}, path)
    return path


def test_export_and_run(checkpoint):
    command = [sys.executable, EXAMPLES / "export_and_run.py", checkpoint]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Verifying on" in run.stdout
    assert run.stdout.splitlines()[-1].startswith("right wrist, relative to the pelvis: [")
    assert "m (camera: x right, y down, z forward" in run.stdout


def test_every_example_is_tested():
    tested = Path(__file__).read_text()
    for example in EXAMPLES.glob("*.py"):
        assert f'"{example.name}"' in tested
