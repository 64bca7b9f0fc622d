import numpy as np
import pytest

from hot_sdk.preprocessing.cleaning import find_outliers


@pytest.fixture
def walk(clips):
    return clips["pose_1"].points[:60].copy()


def find(points, present=None, fps=30.0, size=1.0):
    present = np.ones(points.shape[:2], dtype=bool) if present is None else present
    return find_outliers(points, present, fps=fps, size=size)


def spread(points):
    return np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=-1).mean())


def test_real_movement_is_none(clips):
    for clip in clips.values():
        found = find(clip.points, fps=clip.rate)
        assert found.mean() < 0.002


@pytest.mark.parametrize("frames", [1, 2])
def test_jump_away_and_back_is_found(walk, frames):
    walk[20 : 20 + frames, 13] += 2.0 * spread(walk[20])
    expected = np.zeros(walk.shape[:2], dtype=bool)
    expected[20 : 20 + frames, 13] = True
    np.testing.assert_array_equal(find(walk), expected)


def test_jump_that_stays_is_none(walk):
    walk[20:, 13] += 2.0 * spread(walk[20])
    assert not find(walk).any()


def test_smaller_jump_passes(walk):
    walk[20, 13] += 0.4 * spread(walk[20])
    assert not find(walk).any()
    assert find(walk, size=0.3)[20, 13]


def test_slow_video_looks_at_one_neighbour(walk):
    walk[20:22, 13] += 2.0 * spread(walk[20])
    assert find(walk, fps=30.0).sum() == 2
    assert not find(walk, fps=5.0).any()


def test_last_and_first_frame_are_not_judged(walk):
    walk[[0, -1], 13] += 5.0 * spread(walk[20])
    assert not find(walk).any()


def test_missing_neighbours_are_left_out(walk):
    present = np.ones(walk.shape[:2], dtype=bool)
    present[19, 13] = False
    walk[19, 13] = np.nan
    walk[20, 13] += 2.0 * spread(walk[21])
    found = find(walk, present)
    assert found[20, 13]
    assert found.sum() == 1


def test_two_frames_tell_nothing():
    assert not find(np.random.default_rng(0).uniform(0, 1e4, (2, 17, 2))).any()
