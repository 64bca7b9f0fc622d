"""The command line says what is known of the camera and the person."""

from __future__ import annotations

import numpy as np
import pytest
from mocap import CAMERA, SIZE, body
from told_model import make_told_model

from hot_sdk import CameraPose, Keypoints, Pose3DEngine, Pose3DResult
from hot_sdk.infer.batch_job import Job
from hot_sdk.infer.cli import main
from hot_sdk.infer.inputs import EngineOptions, InputOptions

LENS = f"{CAMERA.fx},{CAMERA.fy},{CAMERA.cx},{CAMERA.cy}"


@pytest.fixture
def clip(tmp_path):
    """A clip that states nothing, and its file."""
    points = CAMERA.project(body("walk")[:12])
    keypoints = Keypoints(points, skeleton="h36m17", image_size=SIZE, fps=50.0)
    keypoints.save(tmp_path / "clip.npz")
    return keypoints


@pytest.mark.parametrize("stream", [[], ["--lookahead", "1"]])
def test_the_poses_are_those_of_keypoints_that_know_it(clip, tmp_path, stream):
    model = make_told_model(tmp_path / "told.onnx")
    said = ["--intrinsics", LENS, "--up", "-0.6,-0.8,0", "--height", "1.7"]
    assert main(["clip.npz", "--model", str(model), *said, *stream]) == 0
    found = Pose3DResult.load("clip_3d.npz")
    with Pose3DEngine(model) as engine:
        known = clip.with_camera(CAMERA, up=(-0.6, -0.8, 0.0), height_m=1.7)
        expected = engine(known)

    def at_one_size(result):
        # A stream learns frame by frame how large someone of this height is.
        return result.poses / np.linalg.norm(result.poses, axis=(1, 2), keepdims=True)

    np.testing.assert_allclose(at_one_size(found), at_one_size(expected), atol=2e-6)
    assert (found.spread > 0.0).any()


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (["--up", "0,-1,0"], "without the camera's intrinsics"),
        (["--up=0,-1"], "has 2 numbers"),
        (["--intrinsics", "900,900"], "has 2 numbers"),
        (["--intrinsics", "a,b,c,d"], "FX,FY,CX,CY"),
        (["--intrinsics", "9,9,1,1,0.1"], "distortion"),
        (["--height", "170"], "give 1.7"),
        (["--camera", "0,0,1"], "needs its lens, too"),
        (["--camera", "0,0"], "has 2 numbers"),
        (["--camera", "0,0,1", "--intrinsics", LENS, "--up", "0,-1,0"], "Remove --up"),
        (["--ground", "-1"], "ground is -1"),
        (["--intrinsics", "9000000,9000000,640,360"], "do not fit an image"),
    ],
)
def test_what_cannot_be_is_refused(clip, capsys, said, says):
    assert main(["clip.npz", *said]) == 2
    assert says in capsys.readouterr().err


def test_results_are_in_the_robots_frame_and_for_animation(clip, tmp_path):
    said = ["--intrinsics", LENS, "--camera", "-0.1,0,1.2,20,10", "--format", "npz,bvh"]
    assert main(["clip.npz", *said, "--threads", "1"]) == 0
    found = Pose3DResult.load("clip_3d.npz")
    camera = CameraPose.mounted((-0.1, 0.0, 1.2), yaw=np.radians(20), pitch=np.radians(10))
    with Pose3DEngine("starter", threads=1) as engine:
        expected = engine(clip, intrinsics=CAMERA, camera=camera)
    assert (found.axes, found.frame_id) == (expected.axes, "base_link")
    np.testing.assert_allclose(found.joints, expected.joints, atol=1e-3)
    np.testing.assert_allclose(found.velocity, expected.velocity, atol=1e-3)
    assert (tmp_path / "clip_3d.bvh").read_text().startswith("HIERARCHY")


def test_a_file_that_says_otherwise_is_not_overruled(clip, tmp_path, capsys):
    clip.with_camera(CAMERA, height_m=1.6).save(tmp_path / "clip.npz")
    assert main(["clip.npz", "--height", "1.8"]) == 2
    assert "states another value" in capsys.readouterr().err


def test_a_height_is_one_persons(tmp_path, capsys):
    rows = [f"{at},{who}" + ",50" * 34 for at in range(60) for who in (1, 2)]
    joints = Keypoints(
        np.zeros((1, 17, 2)), skeleton="coco17", image_size=(9, 9)
    ).skeleton_format.joints
    header = "frame,track_id," + ",".join(f"{joint}_{axis}" for joint in joints for axis in "xy")
    (tmp_path / "two.csv").write_text("\n".join([header, *rows]))
    assert main(["two.csv", "--image-size", "99x99", "--fps", "30", "--height", "1.8"]) == 2
    assert "2 people" in capsys.readouterr().err


def test_a_batch_remembers_it_only_where_it_is_known():
    settings = [
        Job("", "", "", "", EngineOptions(), InputOptions(**known)).settings
        for known in ({}, {"up": (0.0, -1.0, 0.0), "intrinsics": (900.0, 900.0, 640.0, 360.0)})
    ]
    assert "intrinsics" not in settings[0]
    assert '"up": [0.0, -1.0, 0.0]' in settings[1]
