"""``hot-export --precision`` from the command line to the file on disk."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from hot_sdk.engines import open_session
from hot_sdk.errors import VerificationError
from hot_sdk.export import precision as precisions
from hot_sdk.export.cli import main
from hot_sdk.export.enums import Precision
from hot_sdk.manifest import KEYPOINTS, POSES, TOKEN_INDEX, read_manifest
from hot_sdk.pose_engine import Pose3DEngine

SMALL = [
    *("--model", "mixste", "--frames", "27", "--ratio", "0.5", "--prune-at", "1"),
    *("--set", "width=32", "--set", "depth=3", "--set", "heads=4", "--set", "mlp_hidden=48"),
    "--random-weights",
]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("precision", "further"),
    [
        ("fp16", ["--flip", "--batch", "dynamic"]),
        ("int8", ["--token-index", "--opset", "17"]),
        ("int8-dynamic", []),
        ("int8+fp16", ["--batch", "dynamic"]),
    ],
)
def test_file_has_the_requested_precision(capsys, precision, further):
    assert main([*SMALL, "--precision", precision, "--json", *further]) == 0
    record = json.loads(capsys.readouterr().out)
    path = Path(record["file"])
    assert precision in path.stem
    manifest = read_manifest(path)
    assert manifest.precision == precision
    assert (manifest.quantization is None) == (precision == "fp16")
    assert 0.0 < manifest.parity.mean_joint_error < 0.5
    assert record["speed"]["runs"] >= 5
    onnx.checker.check_model(path, full_check=True)
    with open_session(path) as session:
        assert session.precision == precision
        out = session.run({KEYPOINTS: np.zeros((1, 27, 17, 2), np.float32)})
    assert np.isfinite(out[POSES]).all()
    assert (TOKEN_INDEX in out) == ("--token-index" in further)
    with Pose3DEngine(path) as engine:
        assert engine.manifest.precision == precision


def test_sensitivity_lists_every_block(capsys):
    arguments = ["--precision", "int8", "--sensitivity", "--keep-float", "TTEblocks.*", "--json"]
    assert main([*SMALL, *arguments]) == 0
    blocks = json.loads(capsys.readouterr().out)["sensitivity"]
    assert [block["block"] for block in blocks] == [
        "STEblocks.0",
        "STEblocks.1",
        "STEblocks.2",
        "cross_attention",
    ]
    assert all(block["error"] > 0.0 for block in blocks)
    assert main([*SMALL, *arguments[:-1], "-o", "again.onnx"]) == 0
    shown = capsys.readouterr().out
    assert "One block in int8" in shown
    assert "STEblocks.0" in shown


def test_rejects_conversions_that_break_poses_and_writes_nothing(monkeypatch, capsys):
    monkeypatch.setitem(precisions._LIMITS, Precision.FP16, 1e-9)
    assert main([*SMALL, "--precision", "fp16"]) == VerificationError.exit_status
    assert "mean joint error" in capsys.readouterr().err
    assert list(Path.cwd().iterdir()) == []
