import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot_sdk.errors import UsageError
from hot_sdk.windows import MODES, OVERLAP, Stitcher, plan, stitch

lengths = st.integers(1, 50)
clips = st.integers(1, 300)


def read(cut, poses):
    """What a network that returns its input would return for each window."""
    return [poses[window.reads(cut.frames)] for window in cut.windows]


def poses_of(frames):
    return np.random.default_rng(frames).normal(size=(frames, 2, 3)).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
@given(frames=clips, length=lengths)
def test_a_network_that_changes_nothing_gives_the_clip(mode, frames, length):
    cut = plan(frames, length, mode)
    poses = poses_of(frames)
    np.testing.assert_allclose(stitch(cut, read(cut, poses)), poses, rtol=0, atol=2e-6)


@given(frames=clips, length=lengths, overlap=st.integers(0, 49))
def test_any_overlap_gives_the_clip(frames, length, overlap):
    cut = plan(frames, length, overlap=min(overlap, length - 1))
    poses = poses_of(frames)
    np.testing.assert_allclose(stitch(cut, read(cut, poses)), poses, rtol=0, atol=2e-6)
    assert all(window.length == length for window in cut.windows)


# By hand, for 7 frames in windows of 3 (and of 5): what each window reads, and what it gives.
PUBLISHED = {
    ("hot_centered_edge", 7, 3): [([0, 0, 1], (0, 2)), ([2, 3, 4], (2, 5)), ([5, 6, 6], (5, 7))],
    ("hot_centered_edge", 6, 3): [([0, 1, 2], (0, 3)), ([3, 4, 5], (3, 6))],
    ("hot_centered_edge", 2, 5): [([0, 0, 1, 1, 1], (0, 2))],
    ("mixste_last_overlap", 7, 3): [([0, 1, 2], (0, 3)), ([3, 4, 5], (3, 6)), ([4, 5, 6], (6, 7))],
    ("mixste_last_overlap", 6, 3): [([0, 1, 2], (0, 3)), ([3, 4, 5], (3, 6))],
    ("mixste_last_overlap", 2, 4): [([0, 1, 1, 1], (0, 2))],
    ("mhformer_center", 3, 3): [([0, 0, 1], (0, 1)), ([0, 1, 2], (1, 2)), ([1, 2, 2], (2, 3))],
    ("motionbert_tail_short", 7, 3): [([0, 1, 2], (0, 3)), ([3, 4, 5], (3, 6)), ([6], (6, 7))],
    ("agformer_resample", 5, 3): [([0, 1, 2], (0, 3)), ([3, 3, 4], (3, 5))],
    ("agformer_resample", 6, 3): [([0, 1, 2], (0, 3)), ([3, 4, 5], (3, 6))],
    ("agformer_resample", 2, 5): [([0, 0, 0, 1, 1], (0, 2))],
    ("overlap", 7, 4): [([0, 1, 2, 3], (0, 4)), ([3, 4, 5, 6], (3, 7))],
    ("overlap", 2, 5): [([0, 0, 1, 1, 1], (0, 2))],
}


@pytest.mark.parametrize(("case", "expected"), PUBLISHED.items(), ids=str)
def test_windows_are_those_worked_out_by_hand(case, expected):
    mode, frames, length = case
    cut = plan(frames, length, mode, overlap=1 if mode == OVERLAP else None)
    found = [(window.reads(frames).tolist(), window.gives) for window in cut.windows]
    assert found == expected


def test_stretched_tail_counts_the_first_repetition():
    cut = plan(5, 3, "agformer_resample")
    outputs = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)
    # The second window reads frames 3, 3, 4 and gives 3, 4, 5: frame 3 is its position 0.
    assert stitch(cut, outputs).reshape(-1).tolist() == [0, 1, 2, 3, 5]


def test_centre_is_the_middle_position():
    cut = plan(9, 5, "mhformer_center")
    outputs = np.broadcast_to(np.arange(5, dtype=np.float32)[:, None, None], (9, 5, 1, 1))
    assert (stitch(cut, outputs) == 2.0).all()


def test_blending_turns_a_step_into_a_ramp():
    cut = plan(30, 20, overlap=10)
    outputs = np.stack([np.zeros((20, 1, 1)), np.ones((20, 1, 1))]).astype(np.float32)
    poses = stitch(cut, outputs)[:, 0, 0]
    assert (poses[:10] == 0.0).all()
    assert (poses[20:] == 1.0).all()
    np.testing.assert_allclose(np.diff(poses[9:21]), 1 / 11, atol=1e-6)


def test_last_window_ends_with_the_clip_and_is_not_padded():
    cut = plan(500, 243)
    assert cut.windows[-1].start + 243 == 500
    assert cut.overlap == 40


def test_seams_are_measured():
    cut = plan(20, 10, "hot_centered_edge")
    outputs = np.zeros((2, 10, 1, 3), dtype=np.float32)
    outputs[:, :, 0, 0] = 0.25 * np.arange(10)
    outputs[1, :, 0, 0] += 10.0
    stitcher = Stitcher(cut)
    for poses in outputs:
        stitcher.add(poses)
    report = stitcher.seams(stitcher.result(), "m")
    assert (report.seams, report.unit) == (1, "m")
    assert report.mean_step == report.max_step == pytest.approx(10.0 - 9 * 0.25)
    assert report.mean_step_inside == report.max_step_inside == pytest.approx(0.25)
    assert report.mean_disagreement is None
    assert "1 seams" in str(report)


def test_disagreement_is_the_distance_over_the_overlap():
    cut = plan(15, 10, overlap=5)
    outputs = np.zeros((2, 10, 2, 3), dtype=np.float32)
    outputs[1, :, 0] = [3.0, 4.0, 0.0]
    stitcher = Stitcher(cut)
    for poses in outputs:
        stitcher.add(poses)
    report = stitcher.seams(stitcher.result(), "m")
    assert report.mean_disagreement == report.max_disagreement == pytest.approx(2.5)
    # A step of 2.5 spread over the five shared frames and both of their ends.
    assert report.max_step == pytest.approx(2.5 / 6)
    assert report.max_step_inside == 0.0


def test_one_window_has_no_seam():
    stitcher = Stitcher(plan(10, 10))
    stitcher.add(np.zeros((10, 1, 3), dtype=np.float32))
    assert stitcher.seams(stitcher.result(), "m") is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((10, 5, "overlapp"), "Did you mean 'overlap'"),
        ((10, 5, "x"), "Use one of"),
        ((0, 5), "0 frames"),
        ((5, 0), "windows of 0"),
    ],
)
def test_what_cannot_be_cut_is_refused(arguments, said):
    with pytest.raises(UsageError, match=said):
        plan(*arguments)


def test_overlap_is_checked():
    with pytest.raises(UsageError, match="expected 0 to 4"):
        plan(10, 5, overlap=5)
    with pytest.raises(UsageError, match="overlap of their own"):
        plan(10, 5, "mhformer_center", overlap=2)


def test_wrong_number_of_windows_is_refused():
    with pytest.raises(UsageError, match="1 windows were given to a plan of 2"):
        stitch(plan(10, 5, overlap=0), np.zeros((1, 5, 1, 3), dtype=np.float32))
