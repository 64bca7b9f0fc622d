"""Worse detectors and other cameras, reproducibly."""

import dataclasses

import numpy as np
import pytest

from hot_sdk.benchmarks.evaluation.corruption import (
    Corruption,
    with_frame_rate,
    with_missing_joints,
    with_noise,
)
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.errors import UsageError


@pytest.fixture(scope="module")
def clip():
    return load_starter_val(views=1)[4]


def gaps(missing):
    """Lengths of the runs of missing frames, over all joints."""
    lengths = []
    for joint in range(missing.shape[1]):
        edges = np.diff(np.concatenate([[0], missing[:, joint].astype(int), [0]]))
        lengths += list(np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1))
    return np.array(lengths)


def test_default_changes_nothing(clip):
    assert Corruption().apply(clip) is clip


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("gap", [2.0, 5.0, 20.0])
def test_share_and_length_of_gaps(clip, share, gap):
    drawn = [
        np.isnan(
            with_missing_joints(clip, share, seed=seed, mean_gap_frames=gap).keypoints.points[
                ..., 0
            ]
        )
        for seed in range(20)
    ]
    missing = np.stack(drawn)
    assert missing.mean() == pytest.approx(share, rel=0.08)
    # Also at once, and not only after a while.
    assert missing[:, 0].mean() == pytest.approx(share, abs=0.08)
    lengths = np.concatenate([gaps(one) for one in drawn])
    assert lengths.mean() == pytest.approx(gap, rel=0.1)
    # Joints go by themselves.
    both = (missing[..., 3] & missing[..., 16]).mean()
    assert both < 0.5 * share or both == pytest.approx(share**2, rel=0.5)


def test_both_coordinates_are_removed_and_the_rest_stays(clip):
    points = with_missing_joints(clip, 0.2).keypoints.points
    gone = np.isnan(points)
    assert (gone[..., 0] == gone[..., 1]).all()
    np.testing.assert_array_equal(points[~gone], clip.keypoints.points[~gone])


def test_gaps_too_short_for_the_share_are_refused(clip):
    with pytest.raises(UsageError, match=r"10\.00 or more"):
        with_missing_joints(clip, 0.9, mean_gap_frames=5.0)
    missing = np.isnan(with_missing_joints(clip, 0.9, mean_gap_frames=10.0).keypoints.points)
    assert missing.mean() == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("sigma", [1.0, 10.0])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_noise_has_its_deviation_and_correlation(clip, sigma, correlation):
    found = with_noise(clip, sigma, correlation=correlation)
    noise = found.keypoints.points.astype(float) - clip.keypoints.points
    assert noise.std() == pytest.approx(sigma, rel=0.05)
    assert noise.mean() == pytest.approx(0.0, abs=0.1 * sigma)
    along = (noise[1:] * noise[:-1]).mean() / noise.var()
    assert along == pytest.approx(correlation, abs=0.03)
    np.testing.assert_array_equal(found.truth, clip.truth)


@pytest.mark.parametrize("fps", [10.0, 15.0, 24.0, 25.0, 30.0, 50.0, 60.0])
def test_frames_of_another_rate_are_frames_of_the_clip(clip, fps):
    found = with_frame_rate(clip, fps)
    assert found.keypoints.effective_fps == fps
    seconds = (len(clip) - 1) / 30.0
    assert 0.0 <= seconds - (len(found) - 1) / fps < 1.0 / fps
    assert len(found.truth) == len(found.keypoints) == len(found.valid) == len(found.root)
    assert found.truth.dtype == np.float32
    # What was a frame of the clip still is.
    every = {10.0: (1, 3), 15.0: (1, 2), 30.0: (1, 1), 60.0: (2, 1), 50.0: (5, 3), 24.0: (4, 5)}
    ours, theirs = every.get(fps, (5, 6))
    few = min(len(found.truth[::ours]), len(clip.truth[::theirs]))
    np.testing.assert_allclose(found.truth[::ours][:few], clip.truth[::theirs][:few], atol=2e-5)
    np.testing.assert_allclose(
        found.keypoints.points[::ours][:few], clip.keypoints.points[::theirs][:few], atol=0.05
    )


def test_poses_between_frames_are_interpolated_linearly(clip):
    found = with_frame_rate(clip, 60.0)
    middle = (clip.truth[:-1] + clip.truth[1:]) / 2.0
    np.testing.assert_allclose(found.truth[1::2], middle, atol=1e-5)


def test_frames_without_truth_stay_invalid(clip):
    valid = np.arange(len(clip)) % 4 != 0
    scale = np.linspace(3.0, 5.0, len(clip))
    found = with_frame_rate(dataclasses.replace(clip, valid=valid, mm_per_px=scale), 15.0)
    np.testing.assert_array_equal(found.valid, valid[::2])
    np.testing.assert_array_equal(found.mm_per_px, scale[::2])


def test_direction_of_gravity_stays_with_its_frames(clip):
    turning = np.random.default_rng(0).normal(size=(len(clip), 3))
    found = with_frame_rate(dataclasses.replace(clip, up=turning), 15.0)
    np.testing.assert_array_equal(found.up, turning[::2])
    np.testing.assert_array_equal(with_frame_rate(clip, 15.0).up, clip.up)


def test_clip_of_unknown_rate_cannot_be_resampled(clip):
    timeless = dataclasses.replace(clip, keypoints=dataclasses.replace(clip.keypoints, fps=None))
    with pytest.raises(UsageError, match="frame rate of '14_12-1' is unknown"):
        with_frame_rate(timeless, 15.0)


def test_clip_depends_on_seed_and_name(clip):
    one, again, other = (Corruption(25.0, 2.0, 0.1, seed).apply(clip) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.keypoints.points, again.keypoints.points)
    assert not np.array_equal(one.keypoints.points, other.keypoints.points, equal_nan=True)
    renamed = dataclasses.replace(clip, name="another")
    assert not np.array_equal(
        one.keypoints.points,
        Corruption(25.0, 2.0, 0.1, 3).apply(renamed).keypoints.points,
        equal_nan=True,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": 0.0},
        {"fps": 1e6},
        {"noise_px": -1.0},
        {"noise_px": float("nan")},
        {"missing": 0.81},
        {"missing": -0.1},
        {"up_degrees": -1.0},
        {"seed": -1},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Corruption(**wrong)
