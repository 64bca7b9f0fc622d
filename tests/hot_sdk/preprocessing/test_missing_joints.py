import numpy as np
import pytest

from hot_sdk import InputPolicies
from hot_sdk.preprocessing.cleaning import fill_missing
from hot_sdk.skeletons import H36M17

FRAMES = 40


def track():
    """Joints that move evenly, so that a straight line in time is the truth."""
    time = np.arange(FRAMES, dtype=np.float32)[:, None, None]
    start = np.arange(34, dtype=np.float32).reshape(17, 2) * 10
    return start + time * np.array([2.0, -1.0], dtype=np.float32)


def fill(points, present, interpolate=5, hold=3, times=None):
    holes = points.copy()
    holes[~present] = np.nan
    times = np.arange(FRAMES, dtype=float) if times is None else times
    policies = InputPolicies(interpolate_frames=interpolate, hold_frames=hold)
    return fill_missing(holes, present, times, policies)


def there(*gaps, joint=3):
    present = np.ones((FRAMES, 17), dtype=bool)
    for first, end in gaps:
        present[first:end, joint] = False
    return present


def test_complete_joints_are_unchanged():
    points = track()
    filled, valid = fill(points, there())
    np.testing.assert_array_equal(filled, points)
    assert valid.all()


@pytest.mark.parametrize("length", [1, 5])
def test_short_gap_is_interpolated_and_valid(length):
    points = track()
    filled, valid = fill(points, there((10, 10 + length)))
    np.testing.assert_allclose(filled, points, atol=1e-4)
    assert valid.all()


def test_longer_gap_is_held_then_invalid():
    points = track()
    filled, valid = fill(points, there((10, 16)))
    assert (filled[10:16, 3] == points[9, 3]).all()
    assert valid[:, 3].tolist() == [True] * 13 + [False] * 3 + [True] * 24
    np.testing.assert_array_equal(np.delete(filled, 3, axis=1), np.delete(points, 3, axis=1))


def test_first_frames_hold_the_first_position_and_are_invalid():
    points = track()
    filled, valid = fill(points, there((0, 4)))
    assert (filled[:4, 3] == points[4, 3]).all()
    assert valid[:5, 3].tolist() == [False] * 4 + [True]


def test_last_frames_are_held_then_invalid():
    points = track()
    filled, valid = fill(points, there((34, 40)))
    assert (filled[34:, 3] == points[33, 3]).all()
    assert valid[33:, 3].tolist() == [True] * 4 + [False] * 3


def test_gaps_are_interpolated_in_time_not_in_frames():
    points = track()
    times = np.arange(FRAMES, dtype=float)
    times[11:] += 2.0
    filled, _ = fill(points, there((10, 11)), times=times)
    expected = points[9, 3] + (points[11, 3] - points[9, 3]) * (1 / 4)
    np.testing.assert_allclose(filled[10, 3], expected, atol=1e-4)


def test_unseen_joint_is_placed_at_its_parent():
    points = track()
    present = there((0, FRAMES)) & there((0, FRAMES), joint=2)
    filled, valid = fill(points, present)
    assert (H36M17.parents[3], H36M17.parents[2]) == (2, 1)
    np.testing.assert_array_equal(filled[:, 3], points[:, 1])
    np.testing.assert_array_equal(filled[:, 2], points[:, 1])
    assert not valid[:, [2, 3]].any()


def test_unseen_root_is_placed_in_the_middle():
    points = track()
    filled, valid = fill(points, there((0, FRAMES), joint=0))
    np.testing.assert_allclose(filled[:, 0], points[:, 1:].mean(axis=1), rtol=1e-6)
    assert not valid[:, 0].any()


def test_one_joint_in_one_frame_is_enough():
    points = track()
    present = np.zeros((FRAMES, 17), dtype=bool)
    present[20, 9] = True
    filled, valid = fill(points, present)
    assert (filled == points[20, 9]).all()
    assert valid.sum() == 4  # Seen once, held for three frames.
