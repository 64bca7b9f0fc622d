import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hot_sdk.errors import UsageError
from hot_sdk.windows import MODES, OVERLAP, Stitcher, plan

lengths = st.integers(1, 50)
clips = st.integers(1, 600)


def read(cut, poses):
    """Windows as an identity network would return them."""
    return [poses[window.source_frames(cut.frames)] for window in cut.windows]


def stitch(cut, outputs):
    stitcher = Stitcher(cut)
    for poses in outputs:
        stitcher.add(poses)
    return stitcher.result()


def poses_of(frames):
    return np.random.default_rng(frames).normal(size=(frames, 2, 3)).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=50)
@given(frames=clips, length=lengths)
def test_identity_network_returns_the_clip(mode, frames, length):
    cut = plan(frames, length, mode)
    poses = poses_of(frames)
    np.testing.assert_allclose(stitch(cut, read(cut, poses)), poses, rtol=0, atol=2e-6)


@settings(max_examples=50)
@given(frames=clips, length=lengths, overlap=st.integers(0, 49))
def test_identity_network_with_any_overlap(frames, length, overlap):
    cut = plan(frames, length, overlap=min(overlap, length - 1))
    poses = poses_of(frames)
    np.testing.assert_allclose(stitch(cut, read(cut, poses)), poses, rtol=0, atol=2e-6)
    assert all(window.length == length for window in cut.windows)


# By hand, for 7 frames in windows of 3 (and of 5): what each window reads, and what it gives.
PUBLISHED = {
    ("hot_centered_edge", 7, 3): [([0, 0, 1], (0, 2)), ([2, 3, 4], (2, 5)), ([5, 6, 6], (5, 7))],
    ("hot_centered_edge", 6, 3): [([0, 1, 2], (0, 3)), ([3, 4, 5], (3, 6))],
    ("hot_centered_edge", 2, 5): [([0, 0, 1, 1, 1], (0, 2))],
    ("hot_demo", 7, 3): [([0, 0, 1], (0, 2)), ([2, 3, 4], (2, 5)), ([5, 6, 6], (5, 7))],
    ("hot_demo", 6, 3): [([0, 0, 1], (0, 2)), ([2, 3, 4], (2, 5)), ([5, 5, 5], (5, 6))],
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


def edge(frames, index):
    return min(max(index, 0), frames - 1)


def loop_hot_centered_edge(frames, length):
    count = 1
    while count * length < frames:
        count += 1
    left = (count * length - frames) // 2
    found = []
    for chunk in range(count):
        at = [chunk * length + position - left for position in range(length)]
        given = [(t, position) for position, t in enumerate(at) if 0 <= t < frames]
        found.append(([edge(frames, t) for t in at], given))
    return found


def loop_hot_demo(frames, length):
    count = frames // length + 1
    left = (count * length - frames) // 2
    found = []
    for chunk in range(count):
        first = chunk * length - left
        at = list(range(first, first + length))
        given = [(t, position) for position, t in enumerate(at) if 0 <= t < frames]
        found.append(([edge(frames, t) for t in at], given))
    return found


def loop_mixste_last_overlap(frames, length):
    found, done, start = [], 0, 0
    while done < frames:
        start = done if done + length <= frames else max(frames - length, 0)
        reads = [edge(frames, start + position) for position in range(length)]
        end = min(start + length, frames)
        found.append((reads, [(t, t - start) for t in range(done, end)]))
        done = end
    return found


def loop_mhformer_center(frames, length):
    pad = length // 2
    return [
        ([edge(frames, t - pad + position) for position in range(length)], [(t, pad)])
        for t in range(frames)
    ]


def loop_motionbert_tail_short(frames, length):
    clips_ = [list(range(start, frames))[:length] for start in range(0, frames, length)]
    return [(clip, [(t, position) for position, t in enumerate(clip)]) for clip in clips_]


def loop_agformer_resample(frames, length):
    found = []
    for clip, _ in loop_motionbert_tail_short(frames, length):
        at = [position * len(clip) // length for position in range(length)]
        given = [(clip[0] + n, at.index(n)) for n in range(len(clip))]
        found.append(([clip[n] for n in at], given))
    return found


LOOPS = {
    "hot_centered_edge": loop_hot_centered_edge,
    "mixste_last_overlap": loop_mixste_last_overlap,
    "mhformer_center": loop_mhformer_center,
    "motionbert_tail_short": loop_motionbert_tail_short,
    "agformer_resample": loop_agformer_resample,
    "hot_demo": loop_hot_demo,
}


@pytest.mark.parametrize("mode", LOOPS)
@settings(max_examples=50)
@given(frames=st.integers(1, 150), length=lengths)
def test_windows_equal_a_plain_loop(mode, frames, length):
    found = [
        (
            window.source_frames(frames).tolist(),
            list(
                zip(range(*window.output_frames), window.output_positions().tolist(), strict=True)
            ),
        )
        for window in plan(frames, length, mode).windows
    ]
    assert found == LOOPS[mode](frames, length)


@pytest.mark.parametrize("length", [27, 81, 243])
def test_stretched_frames_are_those_of_the_published_formula(length):
    for frames in range(1, length):
        (window,) = plan(frames, length, "agformer_resample").windows
        expected = np.floor(np.linspace(0, frames, length, endpoint=False))
        assert window.source_frames(frames).tolist() == expected.tolist()


@settings(max_examples=50)
@given(frames=clips, length=lengths, overlap=st.integers(0, 49))
def test_every_frame_is_output_and_equal_windows_stay_equal(frames, length, overlap):
    cut = plan(frames, length, overlap=min(overlap, length - 1))
    # Windows that give 1 everywhere give 1 only where the weights sum to 1.
    ones = [np.ones((length, 1, 1), dtype=np.float32) for _ in cut.windows]
    np.testing.assert_allclose(stitch(cut, ones), 1.0, rtol=0, atol=1e-6)


@settings(max_examples=60)
@given(
    frames=st.integers(2, 150),
    length=st.integers(2, 50),
    overlap=st.integers(1, 49),
    seed=st.integers(0, 2**32 - 1),
)
def test_windows_that_disagree_are_blended_without_a_step(frames, length, overlap, seed):
    cut = plan(frames, length, overlap=min(overlap, length - 1))
    heights = np.random.default_rng(seed).uniform(0.0, 1.0, size=len(cut.windows))
    outputs = [np.full((length, 1, 1), height, dtype=np.float32) for height in heights]
    steps = np.abs(np.diff(stitch(cut, outputs)[:, 0, 0]))
    # A weight changes by 1 at most from a frame to the next, and all of a frame's sum to more than
    # the overlap: two windows move by one part of it, more windows by one part each at most.
    windows = np.zeros(frames - 1)
    for window in cut.windows:
        windows[max(window.output_frames[0] - 1, 0) : window.output_frames[1]] += 1
    parts = np.where(windows <= 2, 1, windows)
    assert (steps <= np.ptp(heights) * parts / (cut.overlap + 1) + 1e-5).all()


@pytest.mark.parametrize("frames", [244, 250, 300, 446, 447, 486])
def test_window_moved_back_begins_and_ends_without_a_step(frames):
    cut = plan(frames, 243)
    outputs = [np.full((243, 1, 1), number % 2) for number in range(len(cut.windows))]
    steps = np.abs(np.diff(stitch(cut, outputs)[:, 0, 0]))
    assert steps.max() < 1.5 / (cut.overlap + 1)


@pytest.mark.parametrize(("case", "expected"), PUBLISHED.items(), ids=str)
def test_windows_equal_those_worked_out_by_hand(case, expected):
    mode, frames, length = case
    cut = plan(frames, length, mode, overlap=1 if mode == OVERLAP else None)
    found = [
        (window.source_frames(frames).tolist(), window.output_frames) for window in cut.windows
    ]
    assert found == expected


def test_stretched_tail_counts_the_first_repetition():
    cut = plan(5, 3, "agformer_resample")
    outputs = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)
    # The second window reads frames 3, 3, 4 and gives 3, 4, 5: frame 3 is its position 0.
    assert stitch(cut, outputs).reshape(-1).tolist() == [0, 1, 2, 3, 5]


def test_center_is_the_middle_position():
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((10, 5, "overlapp"), "Did you mean 'overlap'"),
        ((10, 5, "x"), "Known: overlap, hot_centered_edge"),
        ((10, 5, None), "Unknown mode of windows None"),
        ((2.5, 5), "frames is 2.5"),
        ((10, True), "length is True"),
        ((0, 5), "0 frames"),
        ((5, 0), "windows of 0"),
    ],
)
def test_rejects_what_cannot_be_cut(arguments, said):
    with pytest.raises(UsageError, match=said):
        plan(*arguments)


def test_overlap_is_checked():
    with pytest.raises(UsageError, match="expected 0 to 4"):
        plan(10, 5, overlap=5)
    with pytest.raises(UsageError, match=r"overlap is 2\.5"):
        plan(10, 5, overlap=2.5)
    with pytest.raises(UsageError, match="have a fixed overlap"):
        plan(10, 5, "mhformer_center", overlap=2)


def test_rejects_wrong_number_of_windows():
    with pytest.raises(UsageError, match="1 of the plan's 2 windows were given"):
        stitch(plan(10, 5, overlap=0), np.zeros((1, 5, 1, 3), dtype=np.float32))


def test_rejects_windows_of_another_shape():
    cut = plan(10, 5, overlap=0)
    for wrong in ((2, 6, 1, 3), (2, 4, 1, 3), (2, 5, 3)):
        with pytest.raises(UsageError, match="expected 5 frames"):
            stitch(cut, np.zeros(wrong, dtype=np.float32))
    with pytest.raises(UsageError, match=r"Window 1 has shape \(5, 2, 3\)"):
        stitch(cut, [np.zeros((5, 1, 3)), np.zeros((5, 2, 3))])


def test_rejects_too_few_and_too_many_windows():
    stitcher = Stitcher(plan(10, 5, overlap=0))
    with pytest.raises(UsageError, match="0 of the plan's 2 windows"):
        stitcher.result()
    poses = np.zeros((5, 1, 3), dtype=np.float32)
    stitcher.add(poses)
    stitcher.add(poses)
    with pytest.raises(UsageError, match="More windows were given than the 2"):
        stitcher.add(poses)


def test_memory_is_that_of_the_clip_not_of_its_windows():
    cut = plan(20_000, 243, "mhformer_center")
    stitcher = Stitcher(cut)
    poses = np.zeros((243, 17, 3), dtype=np.float32)
    tracemalloc.start()
    for _ in cut.windows:
        stitcher.add(poses)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1.2 * 20_000 * 17 * 3 * 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_poses_are_float32(mode, dtype):
    cut = plan(9, 4, mode)
    poses = poses_of(9).astype(dtype)
    found = stitch(cut, read(cut, poses))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, poses, rtol=0, atol=2e-6)


def test_outputs_may_be_overwritten_after_they_were_added():
    cut = plan(15, 10, overlap=5)
    buffer = np.zeros((10, 1, 3), dtype=np.float32)
    stitcher = Stitcher(cut)
    for value in (1.0, 3.0):
        buffer[:] = value
        stitcher.add(buffer)
    report = stitcher.seams(stitcher.result(), "m")
    assert report.mean_disagreement == pytest.approx(2.0 * 3**0.5)
