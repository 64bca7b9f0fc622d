import dataclasses

import numpy as np
import pytest

from hot_sdk import InputPolicies
from hot_sdk.errors import KeypointsError, UsageError
from hot_sdk.preprocessing import NetworkInput, prepare_clip
from hot_sdk.preprocessing.normalization import by_image_width

TWO = NetworkInput("image_width", 2)


def prepare(keypoints, network=TWO, frames=27, training_fps=50.0, **policies):
    return prepare_clip(
        keypoints, network, InputPolicies(**policies), frames=frames, training_fps=training_fps
    )


def said(prepared, name):
    (record,) = [record for record in prepared.applied if record.name == name]
    return record


def changed(keypoints, points=None, **changes):
    if points is not None:
        changes["points"] = points
    return dataclasses.replace(keypoints, **changes)


@pytest.fixture
def clip(clips):
    return clips["sports2d_demo"]


def test_clip_at_the_right_rate_is_only_normalised(clip):
    prepared = prepare(changed(clip, scores=None, fps=50.0), outlier_size=None)
    expected = by_image_width(clip.points, clip.image_size, "published")
    np.testing.assert_array_equal(prepared.inputs, expected)
    assert prepared.sample_times is None
    assert prepared.warnings == ()
    assert prepared.valid.all()
    assert said(prepared, "missing_joints").count == 0
    assert "resampled" not in {record.name for record in prepared.applied}


def test_other_rate_is_resampled_and_back(clip):
    prepared = prepare(clip, min_score=0.0, outlier_size=None)
    assert len(prepared.inputs) == int(np.ceil(229 / 30 * 50)) + 1
    assert said(prepared, "resampled").detail.startswith("from 30 to 50 frames a second")
    back = prepared.at_frames(prepared.inputs)
    assert back.shape == (230, 17, 2)
    # A pixel of 1768, where joints move by three from frame to frame.
    expected = by_image_width(clip.points, clip.image_size, "published")
    assert np.abs(back - expected).mean() < 1.2 * 2 / 1768


@pytest.mark.parametrize(("fps", "resampled"), [(45.5, False), (54.5, False), (44.0, True)])
def test_a_tenth_is_tolerated(clip, fps, resampled):
    assert (prepare(changed(clip, fps=fps)).sample_times is not None) == resampled


def test_resampling_can_be_turned_off(clip):
    assert prepare(clip, rate_tolerance=None).sample_times is None


def test_time_plays_no_part_for_single_frames(clip):
    assert prepare(clip, frames=1).sample_times is None


def test_unknown_rate_is_assumed_and_said(clip):
    prepared = prepare(changed(clip, fps=None))
    assert prepared.sample_times is None
    assert "50 frames a second, the model's, was assumed" in prepared.warnings[0]


def test_lost_frame_is_made_up_for(clip):
    keep = np.delete(np.arange(60), [20, 21])
    holed = changed(
        clip, clip.points[keep], scores=None, fps=None, timestamps=np.arange(60)[keep] / 50
    )
    prepared = prepare(holed)
    assert len(prepared.inputs) == 60
    assert prepared.at_frames(prepared.inputs).shape == (58, 17, 2)


def test_hole_of_a_day_is_refused(clip):
    times = np.r_[np.arange(59) / 30, 86400.0]
    with pytest.raises(KeypointsError, match="spans 86400 s"):
        prepare(changed(clip, clip.points[:60], scores=None, fps=None, timestamps=times))


def test_nobody_is_refused(clip):
    nobody = changed(clip, np.full_like(clip.points, np.nan), scores=None)
    with pytest.raises(KeypointsError, match="None of the 230 frames shows"):
        prepare(nobody)
    with pytest.raises(KeypointsError, match=r"at least 0\.3"):
        prepare(changed(clip, scores=np.full((230, 17), 0.2)))


def test_frames_with_nobody_are_counted(clip):
    points = clip.points.copy()
    points[:3] = np.nan
    points[50:54] = np.nan
    prepared = prepare(changed(clip, points, scores=None))
    assert said(prepared, "frames_with_nobody").count == 7
    assert said(prepared, "first_frames_with_nobody").count == 3
    assert said(prepared, "invalid_joints").count == 3 * 17
    assert not prepared.valid[:3].any()
    assert prepared.valid[3:].all()
    assert np.isfinite(prepared.inputs).all()


def test_low_scores_count_as_missing(clip):
    scores = np.ones((230, 17))
    scores[100, 5] = 0.29
    points = clip.points.copy()
    points[100, 5] = [0.0, 0.0]
    prepared = prepare(changed(clip, points, scores=scores, fps=50.0))
    assert said(prepared, "missing_joints").count == 1
    expected = by_image_width(clip.points[[99, 101], 5][None].mean(axis=1)[None], (1768, 994), "x")
    np.testing.assert_allclose(prepared.inputs[100, 5], expected[0, 0], atol=1e-5)


def test_outliers_are_counted(clip):
    points = clip.points.copy()
    points[100, 13] += 900.0
    assert said(prepare(changed(clip, points, scores=None)), "outlier_joints").count >= 1
    turned_off = prepare(changed(clip, points, scores=None), outlier_size=None)
    assert said(turned_off, "outlier_joints").count == 0


def test_scores_are_the_third_channel(clip):
    scores = np.full((230, 17), 0.75)
    scores[100, 5] = 0.1
    scores[:, 9] = 0.0
    network = NetworkInput("image_width", 3)
    inputs = prepare(changed(clip, scores=scores, fps=50.0), network).inputs
    assert inputs.shape == (230, 17, 3)
    assert inputs[100, 4, 2] == 0.75
    assert inputs[100, 5, 2] == np.float32(0.3)
    assert (inputs[:, 9, 2] == 0.0).all()
    assert (prepare(changed(clip, scores=None), network).inputs[..., 2] == 1.0).all()


def test_portrait_is_said(clip):
    prepared = prepare(changed(clip, image_size=(1000, 1768)))
    assert "square image of 1768" in said(prepared, "portrait").detail
    published = prepare(changed(clip, image_size=(1000, 1768)), aspect="published")
    assert "portrait" not in {record.name for record in published.applied}
    np.testing.assert_allclose(published.inputs, prepared.inputs * 1.768, atol=1e-5)


def test_panorama_is_said(clip):
    assert said(prepare(changed(clip, image_size=(5000, 1000))), "wide").count == 0


def test_short_clip_and_foreign_skeleton_are_said(clip):
    one = changed(clip, clip.points[:1], scores=None, skeleton="coco17")
    prepared = prepare(one)
    assert "one frame where the model takes 27" in said(prepared, "short_clip").detail
    assert said(prepared, "skeleton").count == 1
    assert len(prepared.inputs) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"min_score": 1.5},
        {"interpolate_frames": -1},
        {"hold_frames": -1},
        {"outlier_size": 0.0},
        {"rate_tolerance": -0.1},
        {"aspect": "square"},
        {"min_score": float("nan")},
    ],
)
def test_policies_are_checked(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        InputPolicies(**settings)
