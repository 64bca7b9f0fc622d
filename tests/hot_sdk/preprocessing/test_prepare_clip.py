import dataclasses

import numpy as np
import pytest

from hot_sdk import InputPolicies
from hot_sdk._base.records import build
from hot_sdk.errors import KeypointsError, UsageError
from hot_sdk.preprocessing import InputSpec, prepare_clip
from hot_sdk.preprocessing.normalization import by_image_width
from hot_sdk.preprocessing.policies import AppliedPolicy

TWO = InputSpec("image_width", 2)


def prepare(keypoints, spec=TWO, frames=27, training_fps=50.0, **policies):
    return prepare_clip(
        keypoints, spec, InputPolicies(**policies), frames=frames, training_fps=training_fps
    )


def applied(prepared, name):
    (record,) = [record for record in prepared.applied if record.name == name]
    return record


def changed(keypoints, points=None, **changes):
    if points is not None:
        changes["points"] = points
    return dataclasses.replace(keypoints, **changes)


@pytest.fixture
def clip(clips):
    return clips["sports2d_demo"]


def test_clip_at_training_rate_is_only_normalized(clip):
    prepared = prepare(changed(clip, scores=None, fps=50.0), outlier_threshold=None)
    expected = by_image_width(clip.points, clip.image_size, "published")
    np.testing.assert_array_equal(prepared.inputs, expected)
    assert prepared.sample_times is None
    assert prepared.warnings == ()
    assert prepared.valid.all()
    assert applied(prepared, "missing_joints").count == 0
    assert "resampled" not in {record.name for record in prepared.applied}


def test_joints_that_no_frame_shows_are_named(clip):
    points = np.array(clip.points)
    points[:, 9:11] = np.nan
    (warning,) = prepare(changed(clip, points, scores=None, fps=50.0)).warnings
    assert warning.startswith("These joints were seen in no frame: neck_nose, head. They are")
    points[:, 0] = np.nan
    (warning,) = prepare(changed(clip, points, scores=None, fps=50.0)).warnings
    assert warning.startswith("The hips were not seen")


def test_resamples_another_rate_and_the_poses_back(clip):
    prepared = prepare(clip, min_score=0.0, outlier_threshold=None)
    assert len(prepared.inputs) == int(np.ceil(229 / 30 * 50)) + 1
    assert applied(prepared, "resampled").detail.startswith("from 30 to 50 frames per second")
    back = prepared.resample_to_frames(prepared.inputs)
    assert back.shape == (230, 17, 2)
    # A pixel of 1768, where joints move by three from frame to frame.
    expected = by_image_width(clip.points, clip.image_size, "published")
    assert np.abs(back - expected).mean() < 1.2 * 2 / 1768


@pytest.mark.parametrize(("fps", "resampled"), [(45.5, False), (54.5, False), (44.0, True)])
def test_tolerates_rates_within_a_tenth(clip, fps, resampled):
    assert (prepare(changed(clip, fps=fps)).sample_times is not None) == resampled


def test_resampling_can_be_disabled(clip):
    assert prepare(clip, rate_tolerance=None).sample_times is None


def test_single_frames_are_not_resampled(clip):
    assert prepare(clip, frames=1).sample_times is None


def test_warns_about_an_assumed_frame_rate(clip):
    prepared = prepare(changed(clip, fps=None))
    assert prepared.sample_times is None
    assert "50 frames per second, the model's, was assumed" in prepared.warnings[0]


def test_resamples_over_lost_frames(clip):
    keep = np.delete(np.arange(60), [20, 21])
    holed = changed(
        clip, clip.points[keep], scores=None, fps=None, timestamps=np.arange(60)[keep] / 50
    )
    prepared = prepare(holed)
    assert len(prepared.inputs) == 60
    assert prepared.resample_to_frames(prepared.inputs).shape == (58, 17, 2)


def test_rejects_a_gap_of_a_day(clip):
    times = np.r_[np.arange(59) / 30, 86400.0]
    with pytest.raises(KeypointsError, match="spans 86400 s"):
        prepare(changed(clip, clip.points[:60], scores=None, fps=None, timestamps=times))


def test_rejects_clips_without_people(clip):
    empty = changed(clip, np.full_like(clip.points, np.nan), scores=None)
    with pytest.raises(KeypointsError, match="None of the 230 frames shows"):
        prepare(empty)
    with pytest.raises(KeypointsError, match=r"at least 0\.3"):
        prepare(changed(clip, scores=np.full((230, 17), 0.2)))


def test_counts_empty_frames(clip):
    points = clip.points.copy()
    points[:3] = np.nan
    points[50:54] = np.nan
    prepared = prepare(changed(clip, points, scores=None))
    assert applied(prepared, "empty_frames").count == 7
    assert applied(prepared, "first_empty_frames").count == 3
    assert applied(prepared, "invalid_joints").count == 3 * 17
    assert not prepared.valid[:3].any()
    assert prepared.valid[3:].all()
    assert np.isfinite(prepared.inputs).all()


def test_low_scores_count_as_missing(clip):
    scores = np.ones((230, 17))
    scores[100, 5] = 0.29
    points = clip.points.copy()
    points[100, 5] = [0.0, 0.0]
    prepared = prepare(changed(clip, points, scores=scores, fps=50.0))
    assert applied(prepared, "missing_joints").count == 1
    expected = by_image_width(clip.points[[99, 101], 5][None].mean(axis=1)[None], (1768, 994), "x")
    np.testing.assert_allclose(prepared.inputs[100, 5], expected[0, 0], atol=1e-5)


def test_counts_outliers(clip):
    points = clip.points.copy()
    points[100, 13] += 900.0
    assert applied(prepare(changed(clip, points, scores=None)), "outlier_joints").count >= 1
    turned_off = prepare(changed(clip, points, scores=None), outlier_threshold=None)
    assert applied(turned_off, "outlier_joints").count == 0


def test_scores_are_the_third_channel(clip):
    scores = np.full((230, 17), 0.75)
    scores[100, 5] = 0.1
    scores[:, 9] = 0.0
    spec = InputSpec("image_width", 3)
    inputs = prepare(changed(clip, scores=scores, fps=50.0), spec).inputs
    assert inputs.shape == (230, 17, 3)
    assert inputs[100, 4, 2] == 0.75
    assert inputs[100, 5, 2] == np.float32(0.3)
    assert (inputs[:, 9, 2] == 0.0).all()
    assert (prepare(changed(clip, scores=None), spec).inputs[..., 2] == 1.0).all()


def test_records_portrait_images(clip):
    prepared = prepare(changed(clip, image_size=(1000, 1768)))
    assert "square image of 1768" in applied(prepared, "portrait").detail
    published = prepare(changed(clip, image_size=(1000, 1768)), aspect="published")
    assert "portrait" not in {record.name for record in published.applied}
    np.testing.assert_allclose(published.inputs, prepared.inputs * 1.768, atol=1e-5)


def test_records_wide_images(clip):
    assert applied(prepare(changed(clip, image_size=(5000, 1000))), "wide").count == 0


def test_records_short_clips_and_other_skeletons(clip):
    one = changed(clip, clip.points[:1], scores=None, skeleton="coco17")
    prepared = prepare(one)
    assert "one frame, but the model needs 27" in applied(prepared, "short_clip").detail
    assert applied(prepared, "skeleton").count == 1
    assert len(prepared.inputs) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"min_score": 1.5},
        {"interpolate_frames": -1},
        {"hold_frames": -1},
        {"outlier_threshold": 0.0},
        {"rate_tolerance": -0.1},
        {"aspect": "square"},
        {"min_score": float("nan")},
    ],
)
def test_rejects_policies_out_of_range(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        InputPolicies(**settings)


def test_reads_applied_policies_of_older_files():
    old = {"name": "resampled", "detail": "x", "count": 3, "of": 4, "item": "frames"}
    policy = AppliedPolicy("resampled", "x", 3, total=4, unit="frames")
    assert build(AppliedPolicy, old) == policy
    assert build(AppliedPolicy, dataclasses.asdict(policy)) == policy
