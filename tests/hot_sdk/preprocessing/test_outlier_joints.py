import numpy as np
import pytest

from hot_sdk.preprocessing.cleaning import find_outliers


@pytest.fixture
def walk(clips):
    return clips["pose_1"].points[:60].copy()


def find(points, present=None, fps=30.0, threshold=1.0):
    present = np.ones(points.shape[:2], dtype=bool) if present is None else present
    return find_outliers(points, present, fps=fps, threshold=threshold)


def spread(points):
    return np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=-1).mean())


def test_real_movement_has_no_outliers(clips):
    for clip in clips.values():
        found = find(clip.points, fps=clip.effective_fps)
        assert found.mean() < 0.002


@pytest.mark.parametrize("frames", [1, 2])
def test_jump_away_and_back_is_found(walk, frames):
    walk[20 : 20 + frames, 13] += 2.0 * spread(walk[20])
    expected = np.zeros(walk.shape[:2], dtype=bool)
    expected[20 : 20 + frames, 13] = True
    np.testing.assert_array_equal(find(walk), expected)


def test_jump_that_stays_is_no_outlier(walk):
    walk[20:, 13] += 2.0 * spread(walk[20])
    assert not find(walk).any()


def test_smaller_jump_is_accepted(walk):
    walk[20, 13] += 0.4 * spread(walk[20])
    assert not find(walk).any()
    assert find(walk, threshold=0.3)[20, 13]


def test_slow_video_uses_one_neighbor(walk):
    walk[20:22, 13] += 2.0 * spread(walk[20])
    assert find(walk, fps=30.0).sum() == 2
    assert not find(walk, fps=5.0).any()


def test_first_and_last_frame_have_no_outliers(walk):
    walk[[0, -1], 13] += 5.0 * spread(walk[20])
    assert not find(walk).any()


def test_missing_neighbors_are_ignored(walk):
    present = np.ones(walk.shape[:2], dtype=bool)
    present[19, 13] = False
    walk[19, 13] = np.nan
    walk[20, 13] += 2.0 * spread(walk[21])
    found = find(walk, present)
    assert found[20, 13]
    assert found.sum() == 1


def test_two_frames_have_no_outliers():
    assert not find(np.random.default_rng(0).uniform(0, 1e4, (2, 17, 2))).any()
