import json
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Pose3DResult
from hot_sdk.engines import list_engines
from hot_sdk.infer.cli import _default_model, build_parser, main


@pytest.fixture
def clip_file(clips, tmp_path):
    clip = clips["pose_1"]
    path = tmp_path / "clip.npz"
    np.savez(
        path,
        points=clip.points,
        scores=clip.scores,
        skeleton="h36m17",
        image_size=clip.image_size,
        fps=clip.fps,
    )
    return path


@pytest.fixture
def people_file(tmp_path):
    random = np.random.default_rng(0)
    people = [
        {
            "image_id": f"{frame}.jpg",
            "keypoints": random.uniform(1, 400, 51).tolist(),
            "idx": name,
        }
        for frame in range(30)
        for name in (4, 9)
        if not (name == 9 and frame < 5)
    ]
    path = tmp_path / "two.json"
    path.write_text(json.dumps(people))
    return path


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_saves_the_poses_of_the_engine(capsys, hot_file, hot_engine, clip_file, clips):
    arguments = [clip_file, "--model", hot_file, "--format", "npz,csv", "--threads", 1]
    status, out, _ = run(capsys, *arguments, "--cache-dir", "cache")
    assert status == 0
    assert len(list(Path("cache").glob("*.onnx"))) == 1
    assert "120 poses over 3.97 s" in out
    assert "Made: clip_3d.npz\nMade: clip_3d.csv" in out
    found = Pose3DResult.load("clip_3d.npz")
    np.testing.assert_allclose(found.poses, hot_engine(clips["pose_1"]).poses, atol=1e-5)
    assert "random weights" in found.warnings[0]


def test_the_engine_that_auto_chose_is_named_and_remembered(capsys, hot_file, clip_file):
    options = ["--engine", "auto", "--cache-dir", "cache", "--threads", 1, "--json"]
    status, out, _ = run(capsys, clip_file, "--model", hot_file, *options)
    assert status == 0
    named = json.loads(out)["results"][0]["latency"]["engine"].partition(" ")[0]
    (entry,) = Path("cache").glob("*.choice.json")
    assert json.loads(entry.read_text())["engine"] == named
    assert named in list_engines()


def test_fast_math_and_a_provider_reach_the_engine(capsys, hot_file, clip_file):
    options = ["--fast-math", "--provider", "CPUExecutionProvider"]
    assert run(capsys, clip_file, "--model", hot_file, *options)[0] == 0


def test_starter_names_the_shipped_model(capsys, clip_file):
    Path("starter").write_text("not a model")
    results = []
    for model in (["--model", "starter"], []):
        assert run(capsys, clip_file, *model)[0] == 0
        results.append(Pose3DResult.load("clip_3d.npz"))
    np.testing.assert_array_equal(results[0].poses, results[1].poses)
    assert results[0].model == "starter.onnx"


def test_one_result_for_each_person(capsys, hot_file, people_file, tmp_path):
    (tmp_path / "out").mkdir()
    known = ["--image-size", "640x480", "--fps", 25, "-o", "out", "--json"]
    status, out, _ = run(capsys, people_file, "--model", hot_file, *known)
    assert status == 0
    (record,) = json.loads(out)["results"]
    assert record["files"] == ["out/two_4_3d.npz", "out/two_9_3d.npz"]
    assert [person["track_id"] for person in record["people"]] == [4, 9]
    assert record["latency"]["kind"] == "clip"
    assert [person["first_frame"] for person in record["people"]] == [0, 5]
    late = Pose3DResult.load("out/two_9_3d.npz")
    assert (late.first_frame, len(late)) == (5, 25)
    np.testing.assert_allclose(late.timestamps, np.arange(5, 30) / 25)
    status, _, _ = run(capsys, people_file, "--model", hot_file, *known, "--track-id", 9)
    assert status == 0
    assert (tmp_path / "out" / "two_3d.npz").exists()


def test_a_note_of_the_reader_is_written_once_and_is_a_warning(capsys, hot_file, people_file):
    rows = [one for one in json.loads(people_file.read_text()) if one["image_id"] != "7.jpg"]
    people_file.write_text(json.dumps(rows))
    known = ["--image-size", "640x480", "--fps", 25, "--track-id", 4]
    status, out, _ = run(capsys, people_file, "--model", hot_file, *known)
    assert status == 0
    assert out.count("1 of 30 frames are not in the file") == 1
    assert "1 of 30" in " ".join(Pose3DResult.load("two_3d.npz").warnings)


def test_as_a_stream(capsys, hot_file, people_file):
    known = ["--image-size", "640x480", "--fps", 25]
    options = ["--lookahead", 3, "--hop", 2, "--json", "--constant-bones"]
    status, out, _ = run(capsys, people_file, "--model", hot_file, *known, *options)
    assert status == 0
    (record,) = json.loads(out)["results"]
    assert record["latency"]["lookahead"] == 3
    late = Pose3DResult.load("two_9_3d.npz")
    assert (late.first_frame, len(late)) == (5, 25)
    np.testing.assert_allclose(late.timestamps, np.arange(5, 30) / 25)
    assert np.isfinite(late.poses).all()
    assert [policy.name for policy in late.policies] == ["streamed", "constant_bones"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere.json"], 2, "There is no file 'nowhere.json'"),
        (["{clip}", "--image-size", "640"], 2, "not of the form WxH"),
        (
            ["{clip}", "--format", "cvs"],
            2,
            "unknown format 'cvs'; expected npz, json, csv or bvh. Run",
        ),
        (["{clip}", "--hop", "2"], 2, "--hop applies only to streams. Add --lookahead N."),
        (["{clip}", "--windows", "x"], 2, "--windows is 'x'; expected one of overlap, hot_c"),
        (["{clip}", "--engine", "onnxruntme"], 2, "Did you mean 'onnxruntime'"),
        (["{clip}", "--provider", "NoProvider"], 8, "has no provider 'NoProvider'"),
        (["{clip}", "--device", "npu"], 8, "engine='openvino'"),
        (["{clip}", "-o", "nowhere"], 2, "mkdir -p"),
        (["{clip}", "--fps", "25"], 9, "says fps 30.0"),
        (["{clip}", "--track-id", "3"], 9, "3 is none of them"),
        (["{clip}", "--lookahead", "26", "--hop", "9"], 2, "reaches"),
        (["{clip}", "{clip}"], 2, "the same name"),
        (["{clip}", "--orbit", "24"], 2, "applies only to --save-video"),
        (["{clip}", "--orbit", "0", "--save-video", "x.mp4"], 2, "seconds above 0"),
        (["{clip}", "--lookahed", "3"], 2, "Did you mean '--lookahead'"),
    ],
)
def test_errors_are_one_line(capsys, hot_file, clip_file, arguments, status, message):
    given = [argument.format(clip=clip_file) for argument in arguments]
    found, out, err = run(capsys, *given, "--model", hot_file)
    assert (found, out) == (status, "")
    assert err.startswith("hot-infer: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not list(clip_file.parent.glob("*_3d*"))


def test_failed_input_is_named_and_finished_ones_are_kept(capsys, hot_file, clip_file, tmp_path):
    (tmp_path / "broken.json").write_text("[1")
    status, _, err = run(capsys, clip_file, "broken.json", "--model", hot_file)
    assert status == 9
    assert err.count("'broken.json'") == 1
    assert (tmp_path / "clip_3d.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        (["0"], "starter-live"),
        (["rtsp://robot/front", "1"], "starter-live"),
        (["0", "--lookahead", "0"], "starter-live"),
        (["clip.npz"], "starter"),
        (["0", "clip.npz"], "starter"),
        (["0", "--lookahead", "5"], "starter"),
        (["0", "--lookahead", "0", "--hop", "2"], "starter"),
        (["0", "--overlap", "0"], "starter"),
        (["0", "--flip"], "starter-live"),
        (["0", "--policies", "published"], "starter"),
    ],
)
def test_a_camera_has_the_live_network(arguments, model):
    """Unless an option asks for what it has not."""
    assert _default_model(build_parser().parse(arguments)) == model
