"""What is known of the camera and the person is checked where it is given."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from hot_sdk import CameraPose, Intrinsics, Keypoints
from hot_sdk.camera_knowledge import doubtful_up
from hot_sdk.errors import UsageError

CAMERA = Intrinsics(1000.0, 1000.0, 640.0, 360.0)
POINTS = np.full((4, 17, 2), 300.0)


def _clip(**known):
    return Keypoints(POINTS, skeleton="h36m17", image_size=(1280, 720), fps=30.0, **known)


def test_one_up_gets_length_1():
    clip = _clip(camera=CAMERA, up=(0.0, -9.81, 0.0), height_m=1.8)
    np.testing.assert_allclose(clip.up, [0.0, -1.0, 0.0], atol=1e-15)
    assert clip.height_m == 1.8
    assert not clip.up.flags.writeable


def test_up_of_each_frame_may_be_unknown():
    up = np.tile([0.0, -2.0, 0.0], (4, 1))
    up[1, 0] = np.nan
    clip = _clip(camera=CAMERA, up=up)
    assert np.isnan(clip.up[1]).all()
    np.testing.assert_array_equal(clip.up[[0, 2, 3]], np.tile([0.0, -1.0, 0.0], (3, 1)))


def test_a_camera_pose_gives_up():
    pitched = CameraPose.mounted((0.0, 0.0, 1.2), pitch=np.radians(10.0), yaw=0.3)
    # A camera that looks down has up ahead in part, away from its viewing direction.
    expected = [0.0, -np.cos(np.radians(10.0)), -np.sin(np.radians(10.0))]
    np.testing.assert_allclose(_clip(camera=CAMERA, up=pitched).up, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"camera": (1, 2, 3, 4)}, "expected Intrinsics"),
        ({"up": (0, -1, 0)}, "without the camera's intrinsics"),
        ({"camera": CAMERA, "up": (0, 0, 0)}, "no direction"),
        ({"camera": CAMERA, "up": (0, np.nan, 0)}, "NaN"),
        ({"camera": CAMERA, "up": (0, np.inf, 0)}, "no direction"),
        ({"camera": CAMERA, "up": (0, -1)}, r"shape \(2,\)"),
        ({"camera": CAMERA, "up": np.ones((3, 3))}, r"\(4, 3\)"),
        ({"camera": CAMERA, "up": np.eye(4, 3)}, "up of frame 3"),
        ({"camera": CAMERA, "up": "up"}, "no array"),
        ({"height_m": 0.4}, "0.5 to 2.5"),
        ({"height_m": np.nan}, "0.5 to 2.5"),
        ({"height_m": True}, "0.5 to 2.5"),
        ({"height_m": 175}, "give 1.75"),
        ({"camera": Intrinsics(30.0, 30.0, 640.0, 360.0)}, "do not fit an image"),
    ],
)
def test_what_cannot_be_is_refused(known, says):
    with pytest.raises(UsageError, match=says):
        _clip(**known)


def test_up_stays_in_step_with_the_frames():
    up = np.array([[0, -1, 0], [0.6, -0.8, 0], [0, -0.8, 0.6], [-1, 0, 0]])
    clip = _clip(camera=CAMERA, up=up)
    points = POINTS.copy()
    points[[0, 3]] = np.nan
    trimmed = dataclasses.replace(clip, points=points).trimmed()
    assert trimmed.first_frame == 1
    np.testing.assert_allclose(trimmed.up, up[1:3])
    assert trimmed.camera is CAMERA


def test_a_camera_is_added_later():
    clip = _clip().with_camera(CAMERA, up=(0, -1, 0))
    assert clip.with_camera(None, height_m=1.6).camera is CAMERA
    assert clip.knowledge.stated() == ("the camera's intrinsics", "the direction of gravity")


def _standing(frames, *, head_down=False):
    """A person of 400 pixels, along the image's y axis."""
    points = np.full((frames, 17, 2), 300.0)
    points[:, :, 1] = 500.0
    points[:, 8, 1] = 700.0 if head_down else 300.0
    return points


def test_gravity_in_place_of_up_is_noticed():
    up, points = np.tile([0.0, 1.0, 0.0], (3, 1)), _standing(3)
    assert "-up" in doubtful_up(up, points)[0]
    assert "-up" in doubtful_up(up[0], points)[0]
    # A camera that hangs upside down sees people so.
    assert not doubtful_up(up, _standing(3, head_down=True))
    up[0] = np.nan
    up[1] = 0.0, -1.0, 0.0
    assert not doubtful_up(up, points)
    points[:] = np.nan
    assert not doubtful_up(up, points)
    assert not doubtful_up(np.array([0.0, -1.0, 0.0]), _standing(3))
    assert not doubtful_up(None, _standing(3))


def test_an_up_along_the_axes_of_a_robot_is_noticed():
    # z up, as ROS has it, is the camera's viewing direction.
    assert "x right, y down" in doubtful_up(np.array([0.0, 0.0, 1.0]), _standing(3))[0]
    tilted = np.array([0.0, -0.6, 0.8])
    assert not doubtful_up(tilted, _standing(3))


@pytest.mark.parametrize("yaw", range(-180, 180, 15))
@pytest.mark.parametrize("pitch", [-10.0, 0.0, 20.0])
def test_an_inverted_pose_of_a_camera_is_noticed(yaw, pitch):
    pose = CameraPose.mounted(yaw=math.radians(yaw), pitch=math.radians(pitch))
    inverse = CameraPose(pose.rotation.T, pose.translation)
    assert not doubtful_up(pose.rotation[2], _standing(3))
    warnings = doubtful_up(inverse.rotation[2], _standing(3))
    # One that looks to the right stays upright if it is inverted.
    if not -150 <= yaw <= -30:
        assert "the camera's pose is inverted" in warnings[0]


def test_people_who_lie_and_cameras_that_do_are_no_inverted_pose():
    lying = _standing(3)[..., ::-1]
    level, aside = np.array([0.0, -1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    assert not doubtful_up(level, lying)
    assert not doubtful_up(-aside, lying)
    assert doubtful_up(aside, _standing(3))


@pytest.mark.parametrize(
    ("height", "hint"),
    [
        (175, "in centimeters, give 1.75"),
        (1750, "in millimeters, give 1.75"),
        (69, "in inches, give 1.753"),
        (5.9, "in feet, give 1.798"),
        (0, "without shoes"),
    ],
)
def test_heights_in_other_units_are_refused(height, hint):
    with pytest.raises(UsageError, match=hint):
        _clip(camera=CAMERA, height_m=height)
