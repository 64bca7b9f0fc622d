"""The starter model that ships: its manifest and the quality of its poses."""

from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Pose3DEngine
from hot_sdk._base.files import sha256_of
from hot_sdk.benchmarks.evaluation import evaluate_poses, load_starter_val
from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.manifest import read_manifest
from hot_sdk.starter import resolve_model, starter_checkpoint, starter_model

_MOST_BYTES = 8_000_000


@pytest.fixture(scope="module")
def starter():
    with Pose3DEngine() as engine:
        yield engine


@pytest.mark.parametrize(
    ("name", "meant"), [("starter_live", "starter-live"), ("Starter", "starter")]
)
def test_a_name_that_is_nearly_the_starters_is_explained(name, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"Did you mean '{meant}'") as raised:
        resolve_model(name)
    assert f"no model '{name}'" in raised.value.message
    Path(name).touch()
    assert resolve_model(name) == Path(name)


def test_starter_is_small_and_described_by_its_manifest():
    manifest = read_manifest(starter_model())
    assert starter_model().stat().st_size <= _MOST_BYTES
    assert (manifest.frames, manifest.training_fps, manifest.tokens) == (81, 30.0, 41)
    assert not manifest.weights.random
    assert manifest.weights.sha256 == sha256_of(starter_checkpoint())
    assert "mocap.cs.cmu.edu" in manifest.weights.credit
    assert "virtual cameras" in manifest.weights.limits
    assert "Apache-2.0" in manifest.license


def test_starter_lifts_real_keypoints_without_a_warning(starter, clips):
    for clip in clips.values():
        result = starter(clip)
        assert not starter.warnings
        height = np.nanmedian(np.ptp(result.poses[..., 1], axis=1))
        # Meters, from the head to the feet of a person who stands, squats or jumps.
        assert 0.9 < height < 2.2
        head, feet = result.poses[:, 10, 1], result.poses[:, [3, 6], 1].mean(axis=1)
        assert np.mean(head < feet) > 0.95


def test_starter_beats_the_mean_pose_by_far_on_unseen_people(starter):
    """The mean pose is 214 mm off; the model card has the exact figures."""
    clips = load_starter_val(views=1)[::4]
    found = [
        evaluate_poses(1000.0 * starter(clip.keypoints).poses, clip.truth_mm, fps=30.0)
        for clip in clips
    ]
    assert np.mean([one.mpjpe_mm for one in found]) < 60.0
    assert np.mean([one.p_mpjpe_mm for one in found]) < 45.0


@pytest.mark.parametrize(("ratio", "tokens"), [(0.33, 27), (1.0, None)])
def test_export_uses_starter_if_no_checkpoint_is_given(tmp_path, ratio, tokens):
    # Weights for PyTorch need no tracing; test_engines_agree exports the graph.
    target = tmp_path / "model.safetensors"
    export_model(ExportRequest("mixste", ratio=ratio, output=target, engine="torch"))
    manifest = read_manifest(target)
    assert (manifest.tokens, manifest.frames) == (tokens, 81)
    assert manifest.weights.file == "starter.safetensors"


def test_export_rejects_other_window_length():
    with pytest.raises(CheckpointError, match="frames = 81, but 243"):
        export_model(ExportRequest("mixste", frames=243))


def test_name_starter_resolves_to_shipped_model():
    assert resolve_model("starter") == starter_model()
    with Pose3DEngine("starter") as engine:
        assert engine.model_name == "starter.onnx"


@pytest.mark.parametrize("model", ["./starter", Path("starter"), "folder/starter", "starter.onnx"])
def test_file_named_starter_is_reached_by_a_path(model):
    assert resolve_model(model) == Path(model)


def test_installation_without_starter_raises(monkeypatch, tmp_path):
    monkeypatch.setattr("hot_sdk.starter._FOLDER", tmp_path)
    with pytest.raises(UsageError, match="missing from this installation"):
        Pose3DEngine()
