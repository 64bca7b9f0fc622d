"""Every example runs as it stands."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import export_case

from hot_sdk import Keypoints, Pose3DEngine, Pose3DResult
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.models import create_model
from hot_sdk.video import open_video

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def checkpoint(tmp_path):
    network = create_model("mixste", frames=30, width=32, depth=2, mlp_hidden=48)
    path = tmp_path / "trained.pth"
    torch.save({key: value.float() for key, value in random_state_dict(network).items()}, path)
    return path


@pytest.fixture(scope="session")
def hot_model(tmp_path_factory):
    return export_case("mixste", "hot", tmp_path_factory).path


def test_export_and_run(checkpoint):
    command = [sys.executable, EXAMPLES / "export_and_run.py", checkpoint]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Verifying on" in run.stdout
    assert run.stdout.splitlines()[-1].startswith("right wrist, relative to the pelvis: [")
    assert "m (camera: x right, y down, z forward" in run.stdout


SCRIPTS = [path for path in sorted(EXAMPLES.glob("*.py")) if "__main__" in path.read_text()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_has_help(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    monkeypatch.syspath_prepend(EXAMPLES)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 0
    assert f"usage: {script.name}" in capsys.readouterr().out


def run(name, *arguments):
    command = [sys.executable, EXAMPLES / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("hidden", [False, True], ids=["whole", "behind a table"])
def test_robot_acts_on_absolute_joints(hidden):
    loop = runpy.run_path(EXAMPLES / "robot_loop.py")
    with np.load(EXAMPLES / "data" / "jump_mediapipe33.npz") as file:
        keypoints, size, fps = file["kp"][40:80].copy(), file["wh"].tolist(), float(file["fps"])
    if hidden:
        keypoints[:, 23:, 2] = 0.0  # Neither hips nor legs.
    clip = Keypoints(
        keypoints[..., :2], keypoints[..., 2], skeleton="mediapipe33", image_size=size, fps=fps
    )
    poses = []
    # Not live, so that a slow machine does not end the test: its watchdog would do its duty.
    with Pose3DEngine("starter") as engine, loop["opened"](engine, clip, "video") as stream:
        for at in range(len(clip)):
            one = Keypoints(
                clip.points[[at]], clip.scores[[at]], skeleton="mediapipe33", image_size=size
            )
            poses += stream.push(one, at / fps)
    assert [pose.root_joint for pose in poses] == ["thorax" if hidden else "pelvis"] * 40
    acted = [pose for pose in poses if loop["may_act"](pose, pose.timestamp)]
    assert len(acted) > 20
    forward, left, up = np.mean([pose.joints[loop["WRIST"]] for pose in acted], axis=0)
    assert 5.0 < forward < 9.0
    assert abs(left) < 3.0
    assert 0.0 < up < 2.5
    assert not loop["may_act"](acted[-1], acted[-1].timestamp + 1.0)
    assert not loop["may_act"](None, 0.0)


def test_robot_loop(hot_model):
    out = run("robot_loop.py", hot_model)
    acted, stood = map(int, re.findall(r"(\d+) acted, (\d+) stood still", out)[0])
    # What a random network says lies nowhere near the keypoints.
    assert acted == 0
    assert stood > 50
    assert "right wrist: not known in any pose" in out
    assert re.search("live stream, 30 frames/s.*, smoothed: ", out)


def test_multi_person(hot_model):
    out = run("multi_person.py", hot_model)
    assert "poses of 'first'" in out
    assert "poses of 'second'" in out
    assert len(Pose3DResult.load("second_3d.npz")) == 230


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="mediapipe 0.10.14 has no wheel for it")
def test_video_to_3d(hot_model):
    pytest.importorskip("mediapipe")
    out = run("video_to_3d.py", hot_model)
    assert "1 found in 120 frames by mediapipe 0.10.14" in out
    assert len(Pose3DResult.load("exercise_1_3d.npz")) == 120
    with open_video("exercise_3d.mp4") as video:
        assert video.size == (1280, 480)
        assert sum(1 for _ in video) == 120


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="mediapipe 0.10.14 has no wheel for it")
def test_webcam_without_a_camera(hot_model):
    pytest.importorskip("mediapipe")
    out = run("webcam.py", hot_model, "99")
    assert "Camera 99 cannot be opened" in out
    assert "Reading exercise.mp4 instead." in out
    assert "1: right wrist, relative to the pelvis: " in out
    processed = int(re.findall(r"(\d+) frames were processed", out)[0])
    with open_video("webcam_3d.mp4") as video:
        assert sum(1 for _ in video) == processed > 2


def test_every_example_is_tested():
    tested = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    examples = list(EXAMPLES.glob("*.py"))
    imports = "".join(path.read_text() for path in examples)
    for example in examples:
        # What another example imports is tested with that one.
        assert f'"{example.name}"' in tested or f"from {example.stem} import" in imports
