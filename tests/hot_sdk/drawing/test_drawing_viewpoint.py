"""The viewpoint of the 3D view, and what keeps still in it."""

import math

import numpy as np
import pytest

from hot_sdk.drawing import PersonFrame
from hot_sdk.drawing.scene_3d import Stage, Viewpoint, grid_step, joints_m, viewpoint_of
from hot_sdk.drawing.style import Style

TARGET = np.array([0.5, -0.2, 4.0])
POINTS = TARGET + np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [-0.4, 0.1, -0.7]])
X, Y, Z = np.moveaxis(POINTS - TARGET, -1, 0)


def view(angle, elevation=0.0, distance=math.inf):
    return Viewpoint(angle, elevation, TARGET, distance, 100.0, (320.0, 180.0))


@pytest.mark.parametrize(
    ("quarters", "right", "depth"), [(0, X, Z), (1, Z, -X), (2, -X, -Z), (3, -Z, X)]
)
def test_quarter_turns_without_perspective(quarters, right, depth):
    pixels, found = view(quarters * math.pi / 2).project(POINTS)
    np.testing.assert_allclose(pixels, np.stack([320 + 100 * right, 180 + 100 * Y], -1), atol=1e-9)
    np.testing.assert_allclose(found, depth, atol=1e-12)


def test_looking_straight_down_shows_the_ground_plan():
    pixels, depth = view(0.0, math.pi / 2).project(POINTS)
    np.testing.assert_allclose(pixels, np.stack([320 + 100 * X, 180 - 100 * Z], -1), atol=1e-9)
    np.testing.assert_allclose(depth, Y, atol=1e-12)


def test_perspective_is_a_pinhole_camera_behind_the_target():
    pixels, _ = view(0.0, distance=5.0).project(POINTS)
    expected = np.stack([320 + 500 * X / (5 + Z), 180 + 500 * Y / (5 + Z)], -1)
    np.testing.assert_allclose(pixels, expected, atol=1e-9)


def test_points_behind_the_viewer_stay_finite():
    pixels, _ = view(0.0, distance=2.0).project(
        TARGET + np.array([[0.5, 0.5, -2.0], [0.5, 0.5, -90.0]])
    )
    assert np.isfinite(pixels).all()


def test_turning_keeps_distances():
    for angle in (0.3, 1.9, 5.0):
        turned = view(angle, 0.4).turned(POINTS)
        expected = np.linalg.norm(POINTS - TARGET, axis=-1)
        np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), expected, atol=1e-12)


def standing(feet=0.9, reach=0.3, **changes):
    pose = np.zeros((17, 3))
    pose[[3, 6], 1], pose[10, 1] = feet, -0.7
    pose[13, 0], pose[16, 0] = reach, -reach
    return PersonFrame(pose=pose, **{"track_id": 1, **changes})


def test_whole_body_is_in_the_picture_from_every_side():
    for person in (standing(), standing(reach=1.5), standing(root=np.array([2.0, 0.3, 6.0]))):
        (scene,) = Stage().update([person], 0.0)
        for size in ((640, 376), (106, 376), (640, 120)):
            for angle in np.linspace(0, 2 * math.pi, 13):
                seen, _ = viewpoint_of(scene, size, angle, Style()).project(joints_m(person))
                assert (seen >= 0).all()
                assert (seen <= size).all()


def test_ground_is_at_the_feet_and_follows_slowly():
    stage = Stage(time_constant_s=1.0)
    (scene,) = stage.update([standing(feet=0.9)], 0.0)
    assert scene.center[1] == pytest.approx(0.9)
    (scene,) = stage.update([standing(feet=0.5)], 0.1)
    assert scene.center[1] == pytest.approx(0.5 + 0.4 * math.exp(-0.1))
    for number in range(2, 100):
        (scene,) = stage.update([standing(feet=0.5)], number * 0.1)
    assert scene.center[1] == pytest.approx(0.5 + 0.4 * math.exp(-9.9))


def test_noise_of_the_feet_hardly_moves_the_ground():
    random, stage = np.random.default_rng(0), Stage()
    feet = 0.9 + 0.03 * random.standard_normal(300)
    ground = [stage.update([standing(feet=f)], i / 30)[0].center[1] for i, f in enumerate(feet)]
    assert np.abs(np.diff(ground)).mean() < 0.05 * np.abs(np.diff(feet)).mean()


def test_ground_starts_again_after_a_jump_in_time():
    for later in (-1.0, 60.0):
        stage = Stage()
        stage.update([standing(feet=0.9)], 10.0)
        (scene,) = stage.update([standing(feet=0.5)], later)
        assert scene.center[1] == pytest.approx(0.5)


def test_person_who_is_lost_for_a_moment_keeps_the_place():
    stage = Stage()
    stage.update([standing(track_id=1), standing(track_id=2)], 0.0)
    scenes = stage.update([standing(track_id=2)], 0.5)
    assert [(scene.track_id, len(scene.people)) for scene in scenes] == [(1, 0), (2, 1)]
    scenes = stage.update([standing(track_id=2)], 1.4)
    assert [scene.track_id for scene in scenes] == [2]


def test_known_roots_share_a_scene():
    roots = np.array([[-1.0, 0.0, 4.0], [3.0, 0.2, 8.0]])
    people = [standing(track_id=i, root=root) for i, root in enumerate(roots)]
    (scene,) = Stage().update([*people, PersonFrame(track_id=9)], 0.0)
    assert scene.people == tuple(people)
    np.testing.assert_allclose(scene.center, [1.0, 1.1, 6.0])
    assert scene.radius == pytest.approx(math.hypot(2.3, 2.0))
    assert grid_step(scene) == 1.0


def test_joints_that_are_not_finite_or_far_away_are_left_out():
    person = standing()
    person.pose[5], person.pose[6] = np.inf, 1e9
    assert np.flatnonzero(np.isnan(joints_m(person)[:, 0])).tolist() == [5, 6]
    assert joints_m(PersonFrame(pose=np.full((17, 3), np.nan))) is None
    assert Stage().update([PersonFrame(pose=np.full((17, 3), np.nan))], 0.0) == ()
