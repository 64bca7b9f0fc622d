import numpy as np
import pytest

from hot_sdk.preprocessing import resampling


def test_line_is_sampled_exactly():
    times = np.array([0.0, 0.1, 0.4, 0.5])
    values = np.stack([times, 3.0 - 2.0 * times], axis=-1)
    at = np.array([0.0, 0.05, 0.25, 0.45, 0.5])
    expected = np.stack([at, 3.0 - 2.0 * at], axis=-1)
    np.testing.assert_allclose(resampling.sample(values, times, at), expected, atol=1e-12)


def test_ends_are_held():
    found = resampling.sample(np.array([1.0, 2.0]), np.array([0.0, 1.0]), np.array([-5.0, 9.0]))
    assert found.tolist() == [1.0, 2.0]


def test_one_value_is_held_everywhere():
    found = resampling.sample(np.array([[7.0]]), np.array([3.0]), np.array([0.0, 3.0, 9.0]))
    assert found.tolist() == [[7.0]] * 3


@pytest.mark.parametrize("fps", [24.0, 25.0, 29.97, 120.0])
def test_there_and_back_is_close_to_the_original(clips, fps):
    points = clips["sports2d_demo"].points
    times = np.arange(len(points)) / 30.0
    grid = resampling.even_times(times, fps)
    assert grid[-1] >= times[-1] - 1e-9
    assert grid[-1] - times[-1] < 1 / fps
    back = resampling.sample(resampling.sample(points, times, grid), grid, times)
    apart = np.linalg.norm(back - points, axis=-1)
    moved = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    assert apart.mean() < 0.35 * moved.mean()


def test_rate_differs_beyond_the_tolerance_only():
    assert not resampling.differs(54.9, 50.0, 0.1)
    assert resampling.differs(55.1, 50.0, 0.1)
    assert resampling.differs(44.9, 50.0, 0.1)


def test_a_lost_frame_makes_frames_uneven():
    times = np.arange(20) / 30.0
    assert not resampling.uneven(times + np.random.default_rng(0).uniform(0, 0.005, 20), 30.0)
    assert resampling.uneven(np.delete(times, 7), 30.0)
