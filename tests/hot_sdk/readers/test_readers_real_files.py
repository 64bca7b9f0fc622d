"""Files that real tools wrote; see data/README.md."""

import json
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.errors import KeypointsError
from hot_sdk.readers import sniff

DATA = Path(__file__).parent / "data"
SQUATS = (720, 1280)


def test_points_by_name():
    path = DATA / "coco17_by_name.json"
    clip = Keypoints.from_file(path, image_size=(576, 576), fps=30.0)
    assert (clip.skeleton, len(clip), clip.scores) == ("coco17", 20, None)
    third = json.loads(path.read_text())[2]
    expected = [[third[joint]["x"], third[joint]["y"]] for joint in clip.skeleton_format.joints]
    np.testing.assert_array_equal(clip.points[2], np.float32(expected))


def test_landmarks_in_pixels():
    path = DATA / "squats_mediapipe33.json"
    clip = Keypoints.from_file(path, "mediapipe", image_size=SQUATS)
    expected = np.float32(json.loads(path.read_text()))[..., :2]
    np.testing.assert_array_equal(clip.points, expected)
    assert sniff(path) == "MediaPipe landmarks"


def test_archive_of_landmarks_says_its_size_and_rate():
    clip = Keypoints.from_file(DATA / "squats_mediapipe33.npz")
    assert (clip.image_size, clip.fps, clip.skeleton) == (SQUATS, 5.0, "mediapipe33")
    with np.load(DATA / "squats_mediapipe33.npz") as file:
        np.testing.assert_array_equal(clip.points, file["kp"][..., :2])
        np.testing.assert_array_equal(clip.scores, file["kp"][..., 2].clip(0.0, 1.0))


def test_two_detectors_agree_through_two_formats():
    first = Keypoints.from_file(DATA / "squats_mediapipe33.json", image_size=SQUATS)
    second = Keypoints.from_file(DATA / "squats_mediapipe33.npz")
    apart = np.linalg.norm(first.points - second.points, axis=-1)
    assert np.median(apart) < 25.0


def test_rejects_world_landmarks():
    with pytest.raises(KeypointsError, match="world landmarks"):
        Keypoints.from_file(DATA / "squats_world.json", image_size=SQUATS)
