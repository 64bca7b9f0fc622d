"""``hot-eval`` with a real small network that is told of the camera and states its spread."""

import dataclasses
import json

import numpy as np
import pytest
from exported_models import small_request

from hot_sdk import Pose3DEngine
from hot_sdk.benchmarks.evaluation.cli import main
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.benchmarks.evaluation.known import KNOWN, told
from hot_sdk.benchmarks.evaluation.metrics import evaluate_poses
from hot_sdk.export import export_model

CLIP = "14_05-1"
DATA = ("--data", "starter-val", "--filter", CLIP, "--threads", 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Weights for PyTorch, which need no tracing."""
    path = tmp_path_factory.mktemp("told") / "told.safetensors"
    config = {"stem": 16, "conditions": 5, "spread": 8}
    export_model(small_request("mixste", output=path, engine="torch", config=config))
    return path


@pytest.fixture(scope="module")
def clip():
    return next(clip for clip in load_starter_val(views=1) if clip.name == CLIP)


def run(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_each_choice_is_what_the_engine_gives(capsys, model, clip):
    found = json.loads(run(capsys, model, *DATA, "--known", "height,nothing", "--json"))
    assert found["settings"]["known"] == "height"
    assert list(found["by_known"]) == ["height", "nothing"]
    assert found["overall"] == found["by_known"]["height"]
    with Pose3DEngine(model, threads=1) as engine:
        for name, metrics in found["by_known"].items():
            result = engine(told(clip, KNOWN[name]).keypoints)
            expected = evaluate_poses(result, clip.truth_mm, fps=30.0, up=clip.up)
            assert metrics["mpjpe_mm"] == pytest.approx(expected.mpjpe_mm, rel=1e-4)
            shares = expected.coverage.percent["95"]
            assert metrics["coverage"]["percent"]["95"] == pytest.approx(shares, abs=0.1)
            assert 0.0 < metrics["coverage"]["spread_mm"]["z"] < 1e4
    by_known = found["by_known"]
    assert by_known["height"]["mpjpe_mm"] != pytest.approx(by_known["nothing"]["mpjpe_mm"])


def test_saved_poses_state_the_same_coverage(capsys, model, tmp_path):
    """Of what the keypoints are told only the direction of gravity is tilted."""
    options = ("--known", "gravity", "--json", "--save-results", tmp_path)
    first = json.loads(run(capsys, model, *DATA, *options))
    assert first["by_known"] == {}
    saved = tmp_path / f"{CLIP}_3d.npz"
    again = json.loads(run(capsys, saved, "--data", "starter-val", "--json"))
    assert again["overall"]["coverage"] is not None
    for level, shares in first["overall"]["coverage"]["percent"].items():
        assert again["overall"]["coverage"]["percent"][level] == pytest.approx(shares, abs=0.1)
    tilted = json.loads(run(capsys, model, *DATA, "--known", "gravity", "--up-error", 9, "--json"))
    assert tilted["settings"]["corruption"]["up_degrees"] == 9.0
    assert tilted["overall"]["mpjpe_mm"] != first["overall"]["mpjpe_mm"]


def test_text_has_both_tables(capsys, model):
    options = ("--known", "nothing,gravity", "--up-error", 2)
    out = run(capsys, model, *DATA, *options)
    assert "gravity off by 2 degrees; known: neither camera nor person" in out
    assert "By what is known, over all frames" in out
    assert "\nintrinsics and the direction of gravity " in out
    assert "Coverage, over all frames" in out
    assert "within the interval of 68 %, %" in out


def test_result_without_its_ends_keeps_its_spread(capsys, model, clip, tmp_path):
    points = clip.keypoints.points.copy()
    points[:7] = points[-5:] = np.nan
    seen = dataclasses.replace(clip.keypoints, points=points)
    arrays = {"skeleton": "h36m17", "image_size": seen.image_size, "fps": 30.0, "unit": "m"}
    np.savez(tmp_path / "mine.npz", points=points, poses_3d=clip.truth, **arrays)
    with Pose3DEngine(model, threads=1) as engine:
        engine(seen.trimmed()).save(tmp_path / "mine_3d.npz")
    mine = ("--data", tmp_path / "mine.npz", "--json")
    found = json.loads(run(capsys, tmp_path / "mine_3d.npz", *mine))["overall"]
    assert found["frames_scored"] == len(clip) - 12
    assert found["coverage"]["spread_mm"]["all"] > 0.0
