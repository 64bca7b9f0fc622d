"""``hot-export --precision`` from the command line to the file on disk."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from exported_models import small_request
from old_torch import skip_open_batch_if_old

from hot_sdk._base.tables import Table
from hot_sdk.engines import open_session
from hot_sdk.errors import VerificationError
from hot_sdk.export import export_model, report
from hot_sdk.export import precision as precisions
from hot_sdk.export.cli import main
from hot_sdk.export.enums import Precision
from hot_sdk.manifest import KEYPOINTS, POSES, TOKEN_INDEX, read_manifest
from hot_sdk.pose_engine import Pose3DEngine

pytestmark = pytest.mark.usefixtures("equal_networks_traced_once")

SMALL = [
    *("--model", "mixste", "--frames", "27", "--ratio", "0.5", "--prune-at", "1"),
    *("--set", "width=32", "--set", "depth=2", "--set", "heads=4", "--set", "mlp_hidden=48"),
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
        ("int8+fp16", ["--batch", "dynamic"]),
    ],
)
def test_file_has_the_requested_precision(capsys, precision, further):
    if "dynamic" in further:
        skip_open_batch_if_old()
    assert main([*SMALL, "--precision", precision, "--json", *further]) == 0
    record = json.loads(capsys.readouterr().out)
    path = Path(record["file"])
    assert precision in path.stem
    manifest = read_manifest(path)
    assert manifest.precision == precision
    assert (manifest.quantization is None) == (precision == "fp16")
    assert 0.0 < manifest.parity.mean_joint_error < 0.5
    assert record["speed"]["runs"] >= 5
    emulated = [window["mean_joint_error"] for window in record["half_sums"]]
    assert len(emulated) == (3 if "fp16" in precision else 0)
    assert all(0.0 < error < 0.5 for error in emulated)
    onnx.checker.check_model(path, full_check=True)
    with open_session(path) as session:
        assert session.precision == precision
        out = session.run({KEYPOINTS: np.zeros((1, 27, 17, 2), np.float32)})
    assert np.isfinite(out[POSES]).all()
    assert (TOKEN_INDEX in out) == ("--token-index" in further)
    with Pose3DEngine(path) as engine:
        assert engine.manifest.precision == precision


def test_sensitivity_lists_every_block_and_counts_its_steps():
    counted = []
    result = export_model(
        small_request(
            "mixste",
            config={"depth": 3},
            ratio=0.5,
            precision="int8",
            sensitivity=True,
            keep_float=("TTEblocks.*",),
            output=Path("int8.onnx"),
        ),
        lambda step: counted.append((step, [])),
        lambda done, total: counted[-1][1].append((done, total)),
    )
    blocks = report.result_as_dict(result)["sensitivity"]
    assert [block["block"] for block in blocks] == [
        "STEblocks.0",
        "STEblocks.1",
        "STEblocks.2",
        "cross_attention",
    ]
    assert all(block["error"] > 0.0 for block in blocks)
    titles = [part.title for part in report.result_parts(result) if isinstance(part, Table)]
    assert titles[-1] == "One block in int8, the others in float32"
    counts = {step.partition(" ")[0]: found for step, found in counted if found}
    assert list(counts) == ["Verifying", "Calibrating", "Timing", "Quantizing"]
    for found in counts.values():
        assert [done for done, _ in found] == sorted(done for done, _ in found)
        assert len({total for _, total in found}) == 1
    for step in ("Verifying", "Calibrating", "Timing"):
        assert counts[step][-1][0] == counts[step][-1][1]
    assert counts["Quantizing"] == [(block, 4) for block in range(4)]


def test_blocks_that_choose_other_frames_are_named(monkeypatch):
    result = export_model(
        small_request("mixste", ratio=0.5, precision="int8", timing=False, output=Path("int8.onnx"))
    )
    assert result.reduced.choosing == ("STEblocks.0", "TTEblocks.0")
    flags = "--keep-float STEblocks.0 --keep-float TTEblocks.0"
    for share, said in ((1.01, True), (0.0, False)):
        monkeypatch.setattr(report, "_FRAMES_SHARED", share)
        text = "\n".join(map(str, report.result_parts(result)))
        assert (flags in text) == said
    kept = export_model(
        small_request(
            "mixste",
            ratio=0.5,
            precision="int8",
            timing=False,
            keep_float=result.reduced.choosing,
            output=Path("kept.onnx"),
        )
    )
    assert kept.reduced.choosing == ()
    assert kept.manifest.parity.frames_shared >= result.manifest.parity.frames_shared


def test_no_timing_leaves_out_the_comparison_of_speed(capsys):
    assert main([*SMALL, "--precision", "int8-dynamic", "--no-timing"]) == 0
    captured = capsys.readouterr()
    (path,) = Path.cwd().glob("*_int8-dynamic.onnx")
    assert read_manifest(path).precision == "int8-dynamic"
    assert "On this machine's CPU" not in captured.out
    assert "Timing" not in captured.err


def test_rejects_conversions_that_break_poses_and_writes_nothing(monkeypatch, capsys):
    monkeypatch.setitem(precisions._LIMITS, Precision.FP16, 1e-9)
    assert main([*SMALL, "--precision", "fp16"]) == VerificationError.exit_status
    assert "mean joint error" in capsys.readouterr().err
    assert list(Path.cwd().iterdir()) == []
