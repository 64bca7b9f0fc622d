"""``hot-eval`` from end to end: small real models, saved results, every data set."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exported_models import FRAMES, export_case
from published_layouts import save_3dhp, save_h36m

from hot_sdk import Pose3DEngine, Pose3DResult
from hot_sdk._base import progress
from hot_sdk.benchmarks.evaluation.cli import main
from hot_sdk.benchmarks.evaluation.data_sets import load_data
from hot_sdk.benchmarks.evaluation.metrics import evaluate_poses
from hot_sdk.cameras import CameraPose
from hot_sdk.results.result import CAMERA_AXES

CLIP = "14_05-1"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return export_case("mixste", "hot", tmp_path_factory).path


@pytest.fixture(scope="module")
def center_model(tmp_path_factory):
    return export_case("mixste", "tpc", tmp_path_factory).path


@pytest.fixture
def h36m(tmp_path):
    folder = tmp_path / "h36m"
    folder.mkdir()
    save_h36m(folder)
    return folder


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def report(capsys, *arguments):
    status, out, err = run(capsys, *arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def flat(record, name=""):
    """Numbers of nested dictionaries as one, which can be compared with a tolerance."""
    if not isinstance(record, dict):
        return {name: np.nan if record is None else record}
    found = {}
    for key, value in record.items():
        found |= flat(value, f"{name}/{key}")
    return found


def clip_of(name):
    return next(clip for clip in load_data("starter-val") if clip.name == name)


def perfect(clip, **changes):
    """What a lifter would save that is never wrong."""
    settings = {
        "poses": clip.truth,
        "valid": np.ones(clip.truth.shape[:2], dtype=bool),
        "unit": "m",
        "axes": CAMERA_AXES,
        "root": None,
        "root_error": None,
        "timestamps": np.arange(len(clip)) / 30.0,
        "track_id": None,
        "policies": (),
        "seams": None,
        "latency": None,
        "model": "perfect.onnx",
        "warnings": (),
    }
    return Pose3DResult(**{**settings, **changes})


class TestModel:
    def test_measures_what_the_engine_gives(self, capsys, model):
        arguments = [model, "--data", "starter-val", "--filter", CLIP, "--threads", 1]
        found = report(capsys, *arguments, "--cache-dir", "cache")
        clip = clip_of(CLIP)
        assert len(list(Path("cache").glob("*.onnx"))) == 1
        with Pose3DEngine(model, threads=1) as engine:
            expected = evaluate_poses(
                engine(clip.keypoints).poses * 1000.0, clip.truth_mm, fps=30, up=clip.up
            )
        assert flat(found["overall"]) == pytest.approx(
            flat(expected.to_dict()), rel=1e-3, nan_ok=True
        )
        assert found["clips"] == 1
        assert found["headline"] == "overall"
        assert found["by_action"].keys() == {"unscrew bottlecap"}
        assert found["by_subject"].keys() == {"14"}
        assert found["lifted_frames_per_s"] > 0.0
        assert found["settings"]["manifest"]["tokens"] == 14
        assert found["settings"]["device"] == "cpu"
        assert found["settings"]["threads"] == 1
        assert found["settings"]["policies"]["aspect"] == "pad_to_square"
        assert any("random weights" in text for text in found["warnings"])

    def test_text_and_report_file_agree(self, capsys, model, tmp_path):
        arguments = [
            model,
            "--data",
            "starter-val",
            "--filter",
            "14_3",
            "--views",
            1,
            "-o",
            "r.json",
        ]
        status, out, _ = run(capsys, *arguments)
        assert status == 0
        written = json.loads((tmp_path / "r.json").read_text())
        assert f"{written['overall']['mpjpe_mm']:.2f}" in out
        assert f"{written['overall']['per_joint_mm']['left_wrist']:.2f}" in out
        assert f"{written['by_action']['climb ladder']['p_mpjpe_mm']:.2f}" in out
        knee, thigh = written["overall"]["angles"]["knee"], written["overall"]["lengths"]["thigh"]
        for value in (*knee.values(), *thigh.values()):
            assert f"{value:.2f}" in out
        assert "Coverage" not in out
        assert written["overall"]["coverage"] is None
        assert "Warning: random weights" in out
        assert out.endswith("Made: r.json\n")
        assert written["settings"]["source"] == model.name
        assert written["clips"] == 8

    def test_terminal_shows_the_same_numbers_and_progress(self, capsys, monkeypatch, model):
        arguments = [model, "--data", "starter-val", "--filter", "14_05", "--threads", 1]
        expected = report(capsys, *arguments)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "60")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(progress, "_DELAY_S", 0.0)
        status, out, err = run(capsys, *arguments)
        assert status == 0
        for name in ("mpjpe_mm", "acceleration_error_mm_per_s2", "symmetry_error_mm"):
            assert f"{expected['overall'][name]:.2f}" in out
        assert "Accuracy, over all frames" in out
        assert "evaluating, 14_05-4" in err
        assert "3/4" in err
        assert err.endswith("\x1b[2K")  # The line of the bar is erased.

    def test_windows_flip_and_joints_are_passed_on(self, capsys, model):
        arguments = ["--data", "starter-val", "--filter", CLIP, "--threads", 1]
        plain = report(capsys, model, *arguments)["overall"]["mpjpe_mm"]
        mode = report(capsys, model, *arguments, "--windows", "mixste_last_overlap", "--joints", 14)
        flipped = report(capsys, model, *arguments, "--flip", "--overlap", 3)
        clip = clip_of(CLIP)
        with Pose3DEngine(model, windows="mixste_last_overlap") as engine:
            poses = engine(clip.keypoints).poses * 1000.0
        expected = evaluate_poses(poses, clip.truth_mm, joints=14).mpjpe_mm
        assert mode["overall"]["mpjpe_mm"] == pytest.approx(expected, rel=1e-3)
        with Pose3DEngine(model, flip=True, overlap=3) as engine:
            poses = engine(clip.keypoints).poses * 1000.0
        expected = evaluate_poses(poses, clip.truth_mm).mpjpe_mm
        assert flipped["overall"]["mpjpe_mm"] == pytest.approx(expected, rel=1e-3)
        assert plain != flipped["overall"]["mpjpe_mm"]

    def test_lifts_as_a_stream(self, capsys, model):
        arguments = ["--data", "starter-val", "--filter", CLIP, "--lookahead", 4, "--hop", 3]
        found = report(capsys, model, *arguments)
        assert found["settings"]["lookahead"] == 4
        assert found["settings"]["hop"] == 3
        overall = found["overall"]
        assert overall["frames_scored"] + overall["frames_without_prediction"] == len(clip_of(CLIP))

    def test_corruption_is_reproducible(self, capsys, model):
        arguments = [model, "--data", "starter-val", "--filter", CLIP, "--threads", 1]
        worse = [*arguments, "--noise", 5, "--missing", 0.2, "--resample-fps", 15]
        one, again = (report(capsys, *worse)["overall"] for _ in range(2))
        other = report(capsys, *worse, "--seed", 1)["overall"]
        assert one == again
        assert one["mpjpe_mm"] != other["mpjpe_mm"]
        assert one["frames_given"] == len(clip_of(CLIP)) // 2
        status, out, _ = run(capsys, *worse)
        assert status == 0
        assert "resampled to 15 frames per second; noise of 5 px; 20% of joints missing" in out

    def test_saved_results_measure_the_same(self, capsys, model, tmp_path):
        (tmp_path / "kept").mkdir()
        arguments = ["--data", "starter-val", "--filter", "14_05", "--save-results", "kept"]
        first = report(capsys, model, *arguments)
        files = sorted((tmp_path / "kept").iterdir())
        assert [file.name for file in files] == [f"14_05-{view}_3d.npz" for view in (1, 2, 3, 4)]
        again = report(capsys, *files, "--data", "starter-val")
        assert flat(again["overall"]) == pytest.approx(
            flat(first["overall"]), rel=1e-6, nan_ok=True
        )
        assert again["lifted_frames_per_s"] is None
        assert again["settings"]["manifest"] is again["settings"]["policies"] is None
        assert again["warnings"] == first["warnings"]


class TestProtocols:
    def test_padding_counts_only_by_protocol(self, capsys, model, h36m):
        arguments = ["--data", "h36m", "--data-root", h36m, "--detections", "gt"]
        found = report(capsys, model, *arguments, "--windows", "hot_centered_edge")
        frames = 4 * (31 + 54 + 20 + 83 + 54 + 83 + 27)
        assert found["overall"]["frames_given"] == frames
        counted = report(capsys, model, *arguments, "--protocol", "hot")
        assert counted["overall"]["frames_given"] > frames
        assert counted["overall"]["frames_given"] % FRAMES == 0
        assert counted["headline"] == "action_mean"
        assert counted["settings"]["policies"]["rate_tolerance"] is None
        assert counted["settings"]["policies"]["outlier_threshold"] is None
        assert counted["by_subject"].keys() == {"S9", "S11"}

    def test_center_model(self, capsys, center_model, h36m):
        arguments = ["--data", "h36m", "--data-root", h36m]
        found = report(capsys, center_model, *arguments, "--filter", "Walking")
        assert found["overall"]["frames_scored"] == 8 * 83
        status, _, err = run(capsys, center_model, *arguments, "--protocol", "hot")
        assert status == 2
        assert "--protocol frames" in err

    def test_whole_windows_need_the_models_frame_rate(self, capsys, model):
        status, _, err = run(capsys, model, "--data", "starter-val", "--protocol", "hot")
        assert status == 2
        assert "50 frames per second" in err


class TestOwnTruth:
    @pytest.fixture
    def own(self):
        """A clip with a gap that is longer than joints are held for, in millimeters."""
        clip = clip_of(CLIP)
        points = clip.keypoints.points.copy()
        points[100:150, 13] = np.nan
        np.savez(
            "mine.npz",
            points=points,
            skeleton="h36m17",
            image_size=clip.keypoints.image_size,
            fps=30.0,
            poses_3d=clip.truth_mm + np.array([100.0, -40.0, 3000.0]),
            action="reach",
        )
        return dataclasses.replace(clip.keypoints, points=points), clip.truth_mm

    def test_measures_what_the_engine_gives(self, capsys, model, own):
        keypoints, truth = own
        status, _, err = run(capsys, model, "--data", "mine.npz")
        assert status == 14
        assert "it looks like millimeters" in err
        found = report(capsys, model, "--data", "mine.npz", "--unit", "mm", "--threads", 1)
        with Pose3DEngine(model, threads=1) as engine:
            result = engine(keypoints)
        every = evaluate_poses(result, truth, fps=30, score_guesses=True)
        assert flat(found["overall"]) == pytest.approx(
            flat(every.to_dict()), rel=1e-4, abs=1e-6, nan_ok=True
        )
        assert found["settings"]["data"] == "mine.npz"
        assert found["by_action"].keys() == {"reach"}
        guessed = int((~result.valid).sum())
        assert 0 < guessed < 50
        assert any(
            f"{guessed} of {210 * 17} joints are only guesses" in t for t in found["warnings"]
        )
        certain = evaluate_poses(result, truth, fps=30)
        assert certain.frames_guessed == guessed
        assert certain.frames_scored == 210 - guessed

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["--data", "absent.csv"], 14, "There is no file"),
            (["--data", "mine.npz", "--data-root", "."], 2, "--data-root applies only to named"),
            (["--data", "mine.npz", "--detections", "gt"], 2, "no detections 'gt'"),
            (
                ["--data", "starter-val", "--unit", "mm"],
                2,
                "--unit applies only to files",
            ),
            (["--data", "mine.npz", "--unit", "cm"], 2, "m, mm"),
            (["--data", "mine.npz", "--unit", "m"], 14, "cannot be in m"),
        ],
    )
    def test_errors_are_one_line(self, capsys, model, own, arguments, status, said):
        found, out, err = run(capsys, model, *arguments)
        assert (found, out, err.count("\n")) == (status, "", 1)
        assert said in err


def test_mpi_inf_3dhp_scores_valid_frames_only(capsys, model, tmp_path):
    data, _ = save_3dhp(tmp_path)
    found = report(capsys, model, "--data", "mpi-inf-3dhp", "--data-root", tmp_path)
    valid = int(sum(held["valid"].sum() for held in data.values()))
    assert found["overall"]["frames_scored"] == valid
    assert found["overall"]["frames_without_truth"] == found["overall"]["frames_given"] - valid
    assert found["overall"]["mpjve_mm_per_s"] is None
    assert len(found["by_action"]) == 6
    assert any("frame rate is unknown" in text for text in found["warnings"])


class TestResults:
    @pytest.mark.parametrize("suffix", ["npz", "json", "csv"])
    @pytest.mark.parametrize("unit", ["m", "mm"])
    def test_perfect_poses_have_no_error(self, capsys, suffix, unit):
        result = perfect(clip_of(CLIP))
        if unit == "mm":
            result = result.to_millimeters()
        result.save(f"{CLIP}_3d.{suffix}")
        found = report(capsys, f"{CLIP}_3d.{suffix}", "--data", "starter-val")
        assert found["overall"]["mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
        assert found["overall"]["pck150_percent"] == 100.0

    def test_clip_can_be_named(self, capsys):
        perfect(clip_of(CLIP)).save("mine.npz")
        found = report(capsys, "mine.npz", "--data", "starter-val", "--clip", CLIP)
        assert found["overall"]["mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)

    def test_frames_without_a_pose_are_reported(self, capsys):
        clip = clip_of(CLIP)
        poses = clip.truth.copy()
        poses[:12] = np.nan
        perfect(clip, poses=poses).save(f"{CLIP}.npz")
        status, out, _ = run(capsys, f"{CLIP}.npz", "--data", "starter-val")
        assert status == 0
        assert "198 of 210 frames scored" in out
        assert "Warning: 12 of 210 frames have no predicted pose" in out

    @pytest.mark.parametrize(
        ("change", "status", "said"),
        [
            (lambda result: result.to_robot_frame(CameraPose.mounted()), 11, "robot"),
        ],
    )
    def test_poses_that_cannot_be_compared_are_refused(self, capsys, change, status, said):
        change(perfect(clip_of(CLIP))).save(f"{CLIP}.npz")
        found, out, err = run(capsys, f"{CLIP}.npz", "--data", "starter-val")
        assert (found, out) == (status, "")
        assert said in err

    def test_poses_without_a_scale_have_two_measures(self, capsys):
        clip = clip_of(CLIP)
        poses = clip.truth * np.float32(0.4)
        perfect(clip, poses=poses, unit="normalized_px").save(f"{CLIP}.npz")
        found = report(capsys, f"{CLIP}.npz", "--data", "starter-val")["overall"]
        assert found["frames_scored"] == 210
        assert found["p_mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
        assert found["n_mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
        assert found["mpjpe_mm"] is found["pck150_percent"] is found["symmetry_error_mm"] is None

    def test_part_that_shows_the_person_is_scored_in_its_place(self, capsys):
        """A result may begin and end with the frames in which the clip shows someone."""
        clip = clip_of(CLIP)
        points = clip.keypoints.points.copy()
        points[:20] = points[-9:] = np.nan
        keypoints = dataclasses.replace(clip.keypoints, points=points)
        np.savez(
            "mine.npz",
            points=points,
            skeleton="h36m17",
            image_size=keypoints.image_size,
            fps=30.0,
            poses_3d=clip.truth,
            unit="m",
        )
        part = slice(20, 202)
        seen = {"poses": clip.truth[part], "valid": np.ones((182, 17), dtype=bool)}
        seen |= {"timestamps": np.arange(182) / 30.0, "first_frame": 20}
        perfect(clip, **seen).save("mine_3d.npz")
        found = report(capsys, "mine_3d.npz", "--data", "mine.npz")
        assert found["overall"]["frames_scored"] == 182
        assert found["overall"]["frames_without_prediction"] == len(clip) - 182
        assert found["overall"]["mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
        perfect(clip, **{**seen, "first_frame": 18}).save("mine_3d.npz")
        status, _, err = run(capsys, "mine_3d.npz", "--data", "mine.npz")
        assert status == 11
        assert "has 182 frames, the clip 'mine' 210" in err

    def test_poses_in_another_unit_than_stated_are_reported(self, capsys):
        clip = clip_of(CLIP)
        perfect(clip, poses=clip.truth * np.float32(1000.0)).save(f"{CLIP}.npz")
        found = report(capsys, f"{CLIP}.npz", "--data", "starter-val")
        assert "1000 times as large as the truth" in found["warnings"][0]
        assert found["overall"]["mpjpe_mm"] > 1e5

    def test_result_of_another_clip_is_refused(self, capsys):
        perfect(clip_of("14_04-1")).save("x.npz")
        status, _, err = run(capsys, "x.npz", "--data", "starter-val", "--clip", CLIP)
        assert status == 11
        assert "has 188 frames, the clip '14_05-1' 210" in err

    def test_two_results_of_one_clip_are_refused(self, capsys):
        for suffix in ("npz", "json"):
            perfect(clip_of(CLIP)).save(f"{CLIP}.{suffix}")
        status, _, err = run(capsys, f"{CLIP}.npz", f"{CLIP}.json", "--data", "starter-val")
        assert status == 2
        assert "both of the clip" in err


VAL = ["--data", "starter-val"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["{model}"], 2, "--data"),
        (["{model}", "--data", "starter"], 2, "Did you mean 'starter-val'?"),
        (["{model}", "--data", "h36m"], 2, "--data-root DIR"),
        (["{model}", "--data", "h36m", "--data-root", "."], 14, "data_3d_h36m.npz"),
        (["{model}", "--data", "mpi-inf-3dhp", "--data-root", "."], 14, "data_test_3dhp.npz"),
        (["{model}", *VAL, "--data-root", "."], 14, "does not hold starter-val"),
        (["{model}", *VAL, "--detections", "gt"], 2, "no detections 'gt'"),
        (["{model}", *VAL, "--views", "9"], 14, "no 9 views"),
        (
            ["{broken}", "--data", "h36m", "--data-root", ".", "--views", "2"],
            2,
            "applies only to starter-val",
        ),
        (["{model}", *VAL, "--protocol", "hots"], 2, "Did you mean 'hot'?"),
        (["{model}", *VAL, "--joints", "16"], 2, "17, 14"),
        (["{model}", *VAL, "--windows", "overlp"], 2, "Did you mean 'overlap'?"),
        (["{model}", *VAL, "--windows", "overlap", "--protocol", "hot"], 2, "its own windows"),
        (["{model}", *VAL, "--protocol", "hot", "--save-results", "."], 2, "divides clips"),
        (["{model}", *VAL, "--protocol", "hot", "--lookahead", "3"], 2, "--protocol frames"),
        (["{model}", *VAL, "--overlap", "0", "--lookahead", "3"], 2, "its own windows"),
        (["{model}", *VAL, "--hop", "3"], 2, "--hop applies only to streams"),
        (["{model}", *VAL, "--lookahead", "3", "--hop", "0"], 2, "hop is 0"),
        (["{model}", *VAL, "--lookahead", "99", "--filter", "14_05-1"], 2, "lookahead"),
        (["{model}", *VAL, "--filter", "15_"], 2, "No clip's name contains '15_'"),
        (["{model}", *VAL, "--clip", "14_05-1"], 2, "--clip applies only to saved poses"),
        (["{model}", *VAL, "--missing", "1"], 2, "missing is 1.0; expected a share"),
        (["{model}", *VAL, "--noise", "-1"], 2, "noise_px is -1.0"),
        (["{model}", *VAL, "--resample-fps", "0"], 2, "fps is 0.0"),
        (["{model}", *VAL, "--up-error", "91"], 2, "up_degrees is 91.0"),
        (["{model}", *VAL, "--seed", "-1"], 2, "seed is -1"),
        (["{model}", *VAL, "--known", "gravty"], 2, "Did you mean 'gravity'?"),
        (["{model}", *VAL, "--known", "nothing,gravity"], 2, "Give --known nothing, or leave"),
        (["{model}", *VAL, "--known", "all", "--save-results", "."], 2, "the same names"),
        (["{model}", *VAL, "--up-error", "3"], 2, "Add --known gravity"),
        (["{result}", *VAL, "--known", "nothing"], 2, "--known needs a model"),
        (["{model}", *VAL, "--save-results", "no"], 2, "mkdir -p"),
        (["{model}", *VAL, "-o", "no/r.json"], 2, "mkdir -p"),
        (["{model}", "{model}", *VAL], 2, "by itself"),
        (["{model}", *VAL, "--device", "tpu"], 2, "device"),
        (["{model}", *VAL, "--flop"], 2, "Did you mean '--flip'?"),
        (["absent.onnx", *VAL], 2, "There is no file 'absent.onnx'"),
        (["{folder}", *VAL], 2, "neither a model nor saved poses"),
        (["{broken}", *VAL], 8, "broken.onnx"),
        (["{broken_result}", *VAL], 11, "broken.npz"),
        (["{result}", *VAL], 2, "no clip 'mine'"),
        (["{result}", *VAL, "--filter", "14"], 2, "--filter applies only to a model"),
        (["{result}", *VAL, "--flip"], 2, "--flip needs a model"),
        (["{result}", *VAL, "--noise", "3"], 2, "--noise needs a model"),
        (["{result}", *VAL, "--protocol", "hot"], 2, "beyond the clip"),
        (["{result}", "{broken_result}", *VAL, "--clip", "14_05-1"], 2, "several results"),
    ],
)
def test_errors_are_one_line(capsys, model, tmp_path, arguments, status, said):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04")
    perfect(clip_of(CLIP)).save("mine.npz")
    names = {
        "model": model,
        "folder": tmp_path,
        "broken": "broken.onnx",
        "broken_result": "broken.npz",
        "result": "mine.npz",
    }
    before = sorted(path.name for path in tmp_path.iterdir())
    found, out, err = run(capsys, *(argument.format(**names) for argument in arguments))
    assert (found, out) == (status, "")
    assert err.startswith("hot-eval: error: ")
    assert err.count("\n") == 1
    assert said in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_json_holds_the_error_too(capsys):
    status, out, _ = run(capsys, "absent.onnx", *VAL, "--json")
    assert status == 2
    assert json.loads(out)["error"]["code"] == "usage"


def test_starter_names_the_shipped_model(capsys):
    found = report(capsys, "starter", *VAL, "--filter", CLIP, "--views", 1, "--threads", 1)
    assert found["settings"]["source"] == "starter.onnx"
    assert 5.0 < found["overall"]["mpjpe_mm"] < 100.0


def test_help_lists_choices_protocols_and_exit_statuses(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert "--data {starter-val,h36m,h36m-motionbert,mpi-inf-3dhp}|FILE" in out
    assert "--protocol {frames,hot,mixste,motionbert,center}" in out
    assert "14 data set missing" in out
    assert "mixste      whole windows" in out
    assert "gravity     intrinsics and the direction of gravity" in out


def test_wrong_arguments_are_refused_before_an_engine_is_imported(tmp_path):
    code = (
        "import sys\n"
        "from hot_sdk.benchmarks.evaluation.cli import main\n"
        "status = main(['absent.onnx', '--data', 'starter-val'])\n"
        "heavy = ('torch', 'onnx', 'onnxruntime', 'rich')\n"
        "print(status, [name for name in heavy if name in sys.modules])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "2 []"


def test_command_is_installed():
    command = Path(sys.executable).with_name("hot-eval")
    if not os.access(command, os.X_OK):
        pytest.skip("the package is not installed with its scripts")
    found = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "exit status:" in found.stdout


def test_a_terminal_shows_the_first_warnings_only(capsys, tmp_path):
    texts = tuple(f"odd thing {number}" for number in range(20))
    perfect(clip_of(CLIP), warnings=texts).save(tmp_path / f"{CLIP}_3d.npz")
    arguments = [tmp_path / f"{CLIP}_3d.npz", "--data", "starter-val"]
    assert set(texts) <= set(report(capsys, *arguments)["warnings"])
    _, out, _ = run(capsys, *arguments)
    assert out.count("odd thing") == 12
    assert out.endswith("\nand 8 more warnings; --json has them all.\n")
