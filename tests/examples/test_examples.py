"""Every example runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import export_case

from hot_sdk import Pose3DResult
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


def run(name, *arguments):
    command = [sys.executable, EXAMPLES / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def robot_loop(*arguments):
    out = run("robot_loop.py", "starter", *arguments)
    assert "live stream, 30 frames/s, smoothed" in out
    acted, stood = map(int, re.findall(r"(\d+) acted, (\d+) stood still", out)[0])
    assert stood > 0  # The first frames show no person.
    wrist = re.search(r"in base_link, placed by the (\w+): ([\d.-]+) m forward", out)
    return out, acted, wrist


def test_robot_loop():
    _, acted, wrist = robot_loop()
    assert acted > 20
    assert wrist[1] == "pelvis"
    assert 1.0 < float(wrist[2]) < 15.0


def test_robot_loop_behind_a_table(tmp_path):
    with np.load(EXAMPLES / "data" / "jump_mediapipe33.npz") as file:
        arrays = dict(file)
    arrays["kp"] = arrays["kp"][:157].copy()
    arrays["kp"][:, 23:, 2] = 0.0  # Neither hips nor legs.
    np.savez(tmp_path / "table.npz", **arrays)
    _, acted, wrist = robot_loop(tmp_path / "table.npz")
    assert acted > 10
    assert wrist[1] == "thorax"
    assert 1.0 < float(wrist[2]) < 15.0


def test_robot_loop_with_a_network_that_knows_no_body(hot_model):
    out = run("robot_loop.py", hot_model)
    acted, _ = map(int, re.findall(r"(\d+) acted, (\d+) stood still", out)[0])
    # What lies nowhere near the keypoints is no pose to act on.
    assert acted == 0
    assert "right wrist: not known in any pose" in out


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
