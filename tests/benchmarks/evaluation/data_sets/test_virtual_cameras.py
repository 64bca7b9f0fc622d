"""Virtual cameras are cameras, and where they are said to be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hot_sdk.benchmarks.evaluation.data_sets.virtual_cameras import IMAGE_SIZES, draw_camera


def a_clip(seed):
    random = np.random.default_rng(seed)
    path = np.cumsum(random.normal(0.0, 0.03, (40, 1, 3)), axis=0) * [1.0, 0.2, 1.0]
    return path + random.normal(0.0, 0.3, (1, 17, 3)) * [0.6, 1.5, 0.4] + [5.0, 0.9, -3.0]


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1))
def test_drawn_camera_sees_the_whole_clip(seed):
    world = a_clip(seed)
    camera = draw_camera(np.random.default_rng(seed), world)
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1.0)
    seen = camera.to_camera_axes(world)
    assert seen[..., 2].min() > 0.5
    points = camera.intrinsics.project(seen)
    halves = np.array(camera.image_size) / 2.0
    reach = np.abs((points - halves) / halves).max()
    assert 0.5 - 1e-9 <= reach <= 0.95 + 1e-9
    assert camera.image_size in IMAGE_SIZES


def test_distribution_of_drawn_cameras():
    world = a_clip(3)
    points = world.reshape(-1, 3)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2.0
    random = np.random.default_rng(0)
    cameras = [draw_camera(random, world) for _ in range(2000)]
    away = np.array([camera.position - middle for camera in cameras])
    distance = np.linalg.norm(away, axis=1)
    pitch = np.degrees(np.arcsin(away[:, 1] / distance))
    yaw = np.arctan2(away[:, 0], away[:, 2])
    assert 2.5 <= distance.min() < 2.6
    assert 6.4 < distance.max() <= 6.5
    assert -15.0 - 1e-9 <= pitch.min() < -14.0
    assert 44.0 < pitch.max() <= 45.0 + 1e-9
    assert np.histogram(yaw, 8, (-math.pi, math.pi))[0].min() > 150
    # Roll turns the world's up about the direction of sight: 15 degrees of spread, with a little
    # more from looking past the person.
    up = np.array([camera.rotation @ [0.0, 1.0, 0.0] for camera in cameras])
    lean = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    assert 13.0 < lean.std() < 18.0
    assert (up[:, 1] < 0.0).mean() > 0.99
    assert {camera.image_size for camera in cameras} == set(IMAGE_SIZES)


def test_camera_depends_on_the_seed_only():
    world = a_clip(1)
    one, other = (draw_camera(np.random.default_rng(7), world) for _ in range(2))
    np.testing.assert_array_equal(one.rotation, other.rotation)
    assert one.intrinsics == other.intrinsics
