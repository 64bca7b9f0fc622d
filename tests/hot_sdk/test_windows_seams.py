import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hot_sdk._base import records
from hot_sdk.windows import MODES, SeamReport, Stitcher, plan, steps_at_seams


def lifted(cut, outputs, unit="m"):
    stitcher = Stitcher(cut)
    for poses in outputs:
        stitcher.add(poses)
    poses = stitcher.result()
    return poses, stitcher.seams(poses, unit)


def offsets(cut, values):
    """Windows with the same pose in every frame: one joint, at a distance along x."""
    outputs = [np.zeros((window.length, 1, 3), dtype=np.float32) for window in cut.windows]
    for poses, value in zip(outputs, values, strict=True):
        poses[:, :, 0] = value
    return outputs


def test_jump_between_adjacent_windows():
    cut = plan(20, 10, "hot_centered_edge")
    outputs = offsets(cut, (0.0, 10.0))
    for poses in outputs:
        poses[:, 0, 0] += 0.25 * np.arange(10)
    _, report = lifted(cut, outputs)
    assert (report.seams, report.unit) == (1, "m")
    assert report.mean_step == report.max_step == pytest.approx(10.0 - 9 * 0.25)
    assert report.mean_step_inside == report.max_step_inside == pytest.approx(0.25)
    assert report.mean_disagreement is report.max_disagreement is None
    assert str(report) == "1 seam: step 7.75 mean, 7.75 max; inside 0.25 mean, 0.25 max (m)"


def test_disagreement_is_the_distance_over_the_overlap():
    cut = plan(15, 10, overlap=5)
    outputs = np.zeros((2, 10, 2, 3), dtype=np.float32)
    outputs[1, :, 0] = [3.0, 4.0, 0.0]
    _, report = lifted(cut, outputs)
    # One of two joints is 5 away; a step of 2.5 is spread over the five shared frames' six steps.
    assert report.mean_disagreement == report.max_disagreement == pytest.approx(2.5)
    assert report.mean_step == pytest.approx(2.5 / 6)
    assert report.max_step == pytest.approx(2.5 / 6)
    assert report.mean_step_inside == report.max_step_inside == 0.0


def test_largest_disagreement_is_that_of_one_frame():
    cut = plan(15, 10, overlap=5)
    outputs = offsets(cut, (0.0, 1.0))
    outputs[1][2] = [9.0, 0.0, 0.0]
    _, report = lifted(cut, outputs)
    assert report.max_disagreement == pytest.approx(9.0)
    assert report.mean_disagreement == pytest.approx((4 * 1.0 + 9.0) / 5)


def test_steps_between_frames_of_equal_shares_are_inside():
    # The second window is moved back to frame 57: 186 frames are shared, and over those in the
    # middle both windows count alike. Only over 41 steps at either end do their shares change.
    _, report = lifted(plan(300, 243), offsets(plan(300, 243), (0.0, 1.0)))
    assert report.mean_step == pytest.approx(1.0 / 82, rel=1e-5)
    assert report.max_step_inside == 0.0


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=50)
@given(frames=st.integers(2, 120), length=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_constant_windows_move_at_seams_only(mode, frames, length, seed):
    cut = plan(frames, length, mode)
    values = np.random.default_rng(seed).uniform(0.5, 1.0, size=len(cut.windows)).cumsum()
    poses, report = lifted(cut, offsets(cut, values))
    if len(cut.windows) == 1:
        assert report is None
        return
    steps = np.abs(np.diff(poses[:, 0, 0]))
    moving = steps[steps > 1e-4]
    # Rising offsets: wherever shares change, so do the poses, and nowhere else.
    assert report.seams == len(cut.windows) - 1
    assert report.max_step == pytest.approx(steps.max())
    assert report.mean_step == pytest.approx(moving.mean(), rel=1e-3)
    if len(moving) == len(steps):
        assert report.mean_step_inside is report.max_step_inside is None
    else:
        assert report.max_step_inside < 1e-4


def test_window_about_every_frame_has_a_seam_at_every_step():
    cut = plan(4, 3, "mhformer_center")
    _, report = lifted(cut, offsets(cut, (0.0, 1.0, 3.0, 6.0)))
    assert (report.seams, report.mean_step, report.max_step) == (3, 2.0, 3.0)
    assert report.mean_step_inside is None
    assert str(report) == "3 seams: step 2 mean, 3 max (m)"


def test_one_window_has_no_seam():
    cut = plan(10, 10)
    assert lifted(cut, offsets(cut, (1.0,)))[1] is None


def test_steps_at_seams_by_hand():
    # Frames 0 to 6; the first window fades out over frames 2 to 4 while the second fades in.
    weights = [
        (0, np.array([1, 1, 3, 2, 1], dtype=np.float32)),
        (2, np.array([1, 2, 3, 1, 1], dtype=np.float32)),
    ]
    assert steps_at_seams(7, weights).tolist() == [False, True, True, True, True, False]
    assert steps_at_seams(3, [(0, np.ones(3, dtype=np.float32))]).tolist() == [False, False]


def test_round_trip_through_json():
    report = SeamReport(2, "m", 0.1, 0.2, None, None, 0.05, 0.3)
    assert records.build(SeamReport, json.loads(records.to_json(report))) == report
