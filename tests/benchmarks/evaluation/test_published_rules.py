"""``hot-eval`` against the authors' rules, written again in plain numpy."""

import json

import numpy as np
import pytest
from authors_rules import (
    H36M_LEFT,
    H36M_RIGHT,
    MPI_LEFT,
    MPI_RIGHT,
    MotionBERTRules,
    MpiInf3dhpRules,
    Network,
    VideoPose3DRules,
)
from exported_models import export_case, small_request
from published_layouts import save_3dhp, save_h36m, save_h36m_motionbert

from hot_sdk.benchmarks.evaluation.cli import main
from hot_sdk.benchmarks.evaluation.data_sets.human36m import load_human36m
from hot_sdk.export import export_model
from hot_sdk.results.result import CAMERA_AXES, Pose3DResult

WITH_OR_WITHOUT_FLIP = pytest.mark.parametrize("flip", [False, True], ids=["plain", "flip"])


@pytest.fixture(scope="module")
def mixste(tmp_path_factory):
    return export_case("mixste", "hot", tmp_path_factory).path


@pytest.fixture(scope="module")
def agformer_3dhp(tmp_path_factory):
    path = tmp_path_factory.mktemp("3dhp") / "agformer.onnx"
    request = small_request("motionagformer", trained_on="mpi-inf-3dhp", output=path)
    export_model(request)
    return path


def evaluated(capsys, *arguments):
    status = main([*map(str, arguments), "--threads", "1", "--json"])
    captured = capsys.readouterr()
    assert (status, captured.err) == (0, "")
    return json.loads(captured.out)


def compare(found, expected, fields):
    assert {name: found[name] for name in fields} == pytest.approx(expected, rel=2e-5)


class TestVideoPose3DLayout(VideoPose3DRules):
    @WITH_OR_WITHOUT_FLIP
    @pytest.mark.parametrize("name", ["hot", "mixste"])
    def test_agrees(self, capsys, mixste, tmp_path, name, flip):
        save_h36m(tmp_path, detections=("gt", "mine"))
        options = ["--data", "h36m", "--data-root", tmp_path, "--detections", "mine"]
        found = evaluated(
            capsys, mixste, *options, "--protocol", name, *(["--flip"] if flip else [])
        )
        network = Network(mixste, flip, H36M_LEFT, H36M_RIGHT)
        expected = self.by_hand(network, load_human36m(tmp_path, detections="mine"), name)
        compare(found["action_mean"], expected, self.FIELDS)
        assert found["settings"]["keypoints"] == "mine"


class TestMotionBERTLayout(MotionBERTRules):
    def test_saved_poses_have_the_scale_of_their_frames(self, capsys, tmp_path):
        test = save_h36m_motionbert(tmp_path)
        name, rows = "s_11_act_02_subact_01_ca_02", slice(54, 54 + 31)
        pixels = test["joint3d_image"][rows] / 500.0
        poses = (pixels - pixels[:, :1]).astype(np.float32)
        result = Pose3DResult(
            poses=poses,
            valid=np.ones((31, 17), dtype=bool),
            unit="normalized_px",
            axes=CAMERA_AXES,
            root=None,
            root_error=None,
            timestamps=np.arange(31) / 50.0,
            track_id=None,
            policies=(),
            seams=None,
            latency=None,
            model="perfect.onnx",
        )
        result.save(tmp_path / f"{name}_3d.npz")
        arguments = ["--data", "h36m-motionbert", "--data-root", tmp_path, "--json"]
        assert main([*map(str, [tmp_path / f"{name}_3d.npz", *arguments])]) == 0
        found = json.loads(capsys.readouterr().out)["overall"]
        assert found["mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)

    @WITH_OR_WITHOUT_FLIP
    @pytest.mark.parametrize("family", ["motionbert", "motionagformer"])
    def test_agrees(self, capsys, tmp_path, tmp_path_factory, family, flip):
        path = export_case(family, "plain", tmp_path_factory).path
        test = save_h36m_motionbert(tmp_path)
        arguments = [path, "--data", "h36m-motionbert", "--data-root", tmp_path]
        arguments += ["--protocol", "motionbert", *(["--flip"] if flip else [])]
        network = Network(path, flip, H36M_LEFT, H36M_RIGHT)
        for detections in ("sh_conf_cam_source_final", "gt"):
            found = evaluated(capsys, *arguments, "--detections", detections)
            expected, frames = self.by_hand(network, test, truth_2d=detections == "gt")
            compare(found["action_mean"], expected, self.FIELDS)
            assert found["headline"] == "action_mean"
            assert found["overall"]["frames_scored"] == frames == 54 + 27 + 20 + 81 + 27
            assert found["frames_left_out"] == 4 + 2
            assert any("at random" in text for text in found["warnings"])


class TestMpiInf3dhp(MpiInf3dhpRules):
    @WITH_OR_WITHOUT_FLIP
    def test_network_of_its_own_order(self, capsys, agformer_3dhp, tmp_path, flip):
        data, _ = save_3dhp(tmp_path, frames=14)
        arguments = [agformer_3dhp, "--data", "mpi-inf-3dhp", "--data-root", tmp_path]
        arguments += ["--protocol", "center", *(["--flip"] if flip else [])]
        found = evaluated(capsys, *arguments)
        network = Network(agformer_3dhp, flip, MPI_LEFT, MPI_RIGHT)
        expected = self.by_hand(network, data, confidence=True, normalized=True)
        compare(found["overall"], expected, tuple(expected))
        assert found["settings"]["manifest"]["joints"]["skeleton"] == "mpi_inf_3dhp17"
        assert not any("a little away" in warning for warning in found["warnings"])
        assert found["headline"] == "overall"

    def test_whole_clips_in_centered_windows_are_the_same(self, capsys, agformer_3dhp, tmp_path):
        save_3dhp(tmp_path, frames=12)
        arguments = [agformer_3dhp, "--data", "mpi-inf-3dhp", "--data-root", tmp_path]
        fields = ("mpjpe_mm", "p_mpjpe_mm", "auc_percent", "mpjve_mm_per_frame", "frames_scored")
        one = evaluated(capsys, *arguments, "--protocol", "center")
        all_ = evaluated(capsys, *arguments, "--windows", "mhformer_center")
        compare(one["overall"], {name: all_["overall"][name] for name in fields}, fields)
        assert one["frames_left_out"] == all_["overall"]["frames_without_truth"]


class TestScale:
    def test_pixels_of_another_data_set_have_no_scale(self, capsys, agformer_3dhp, tmp_path):
        """Only what needs no scale is measured, and a warning says so."""
        save_h36m_motionbert(tmp_path)
        arguments = ["--data", "h36m-motionbert", "--data-root", tmp_path, "--filter", "ca_02"]
        found = evaluated(capsys, agformer_3dhp, *arguments)
        overall = found["overall"]
        assert overall["frames_scored"] == 31
        assert overall["p_mpjpe_mm"] > 0.0
        assert overall["n_mpjpe_mm"] > 0.0
        nothing = ("mpjpe_mm", "pck150_percent", "auc_percent", "mpjve_mm_per_s")
        assert {overall[name] for name in nothing} == {None}
        assert set(overall["per_joint_mm"].values()) == {None}
        assert "no scale" in found["warnings"][0]
        assert "trained on mpi-inf-3dhp" in found["warnings"][1]
        assert main([*map(str, (agformer_3dhp, *arguments))]) == 0
        written = capsys.readouterr()
        assert "unknown" in written.out
        assert written.err.startswith("hot-eval: warning: The model returns 'normalized_px'")
