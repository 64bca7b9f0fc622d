"""Files may state the camera, the up direction and the person's height."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from hot_sdk import Intrinsics, Keypoints
from hot_sdk.errors import KeypointsError
from hot_sdk.people import read_tracked_people
from hot_sdk.skeletons import skeleton_format

LENS = Intrinsics(900.0, 910.0, 650.0, 350.0, (0.05, -0.02, 0.001, -0.002))
FISH = dataclasses.replace(LENS, fisheye=True)
UP = np.array([0.0, -1.0, 0.0])
POINTS = np.random.default_rng(0).uniform(100.0, 600.0, (3, 17, 2)).astype(np.float32)


def _clip(**known):
    return Keypoints(POINTS, skeleton="coco17", image_size=(1280, 720), fps=30.0, **known)


@pytest.mark.parametrize("camera", [LENS, FISH, LENS.without_distortion()])
@pytest.mark.parametrize("up", [None, UP, np.stack([UP, [np.nan] * 3, [0.6, -0.8, 0.0]])])
def test_an_archive_gives_back_what_was_saved(tmp_path, camera, up):
    clip = _clip(camera=camera, up=up, height_m=1.82)
    back = Keypoints.from_file(clip.save(tmp_path / "clip.npz"))
    assert (back.camera, back.height_m) == (camera, 1.82)
    if up is None:
        assert back.up is None
    else:
        np.testing.assert_array_equal(back.up, clip.up)


def test_a_table_cannot_hold_it(tmp_path):
    with pytest.raises(KeypointsError, match="intrinsics and the person's height"):
        _clip(camera=LENS, height_m=1.8).save(tmp_path / "clip.csv")


def _written(path, **about):
    """JSON of named points, one person in each frame, who moves little."""
    joints = skeleton_format("coco17").joints
    each = about.pop("each", [{}] * 3)
    frames = [
        {"frame": at, **each[at], "keypoints": [{"name": j, "x": x, "y": y} for j, (x, y) in pose]}
        for at, pose in enumerate([list(zip(joints, POINTS[0].tolist(), strict=True))] * 3)
    ]
    path.write_text(json.dumps({**about, "fps": 30, "frames": frames}))
    return path


def test_json_states_it_around_its_frames(tmp_path):
    given = {"fx": 900, "fy": 910, "cx": 650, "cy": 350, "distortion": list(LENS.distortion)}
    path = _written(tmp_path / "a.json", intrinsics=given, up=[0, -2, 0], height_m=1.7)
    clip = Keypoints.from_file(path, image_size=(1280, 720))
    assert (clip.camera, clip.height_m) == (LENS, 1.7)
    np.testing.assert_array_equal(clip.up, UP)
    matrix = [[900, 0, 650], [0, 910, 350], [0, 0, 1]]
    clip = Keypoints.from_file(_written(path, intrinsics=matrix), image_size=(1280, 720))
    assert clip.camera == LENS.without_distortion()


def test_json_states_up_in_each_frame(tmp_path):
    path = _written(
        tmp_path / "a.json",
        intrinsics=[900, 910, 650, 350],
        each=[{"up": [0, -1, 0]}, {}, {"up": [0.6, -0.8, 0]}],
    )
    expected = np.stack([UP, [np.nan] * 3, [0.6, -0.8, 0.0]])
    clip = Keypoints.from_file(path, image_size=(1280, 720))
    np.testing.assert_array_equal(clip.up, expected)
    # People without ids are tracked, and keep each frame's.
    (person,) = read_tracked_people(path, image_size=(1280, 720), min_frames=1).people
    np.testing.assert_array_equal(person.up, expected)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"intrinsics": [900, 910]}, r"shape \(2,\)"),
        ({"intrinsics": "wide"}, "intrinsics is 'wide'"),
        ({"intrinsics": {"fx": 900}}, "not numbers"),
        ({"intrinsics": [900, 910, 650, 350], "up": [0, -1]}, r"shape \(2,\)"),
        ({"up": [0, -1, 0]}, "without the camera's intrinsics"),
        ({"height_m": 170}, "give 1.7"),
    ],
)
def test_what_a_file_states_wrongly_is_named(tmp_path, about, says):
    with pytest.raises(KeypointsError, match=says):
        Keypoints.from_file(_written(tmp_path / "a.json", **about), image_size=(1280, 720))
