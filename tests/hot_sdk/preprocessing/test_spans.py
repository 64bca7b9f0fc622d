"""A long clip is prepared in parts: the same values as at once, in memory that its result needs."""

import tracemalloc

import numpy as np
import pytest

from hot_sdk import InputPolicies, Keypoints
from hot_sdk.preprocessing import InputSpec, prepare_clip, spans
from hot_sdk.windows import Stitcher, plan

WINDOW = 27


def broken_clip(source, frames, seed):
    """A person's clip with gaps of many lengths, outliers, low scores and late joints."""
    rng = np.random.default_rng(seed)
    there_and_back = np.concatenate([np.arange(len(source)), np.arange(len(source))[::-1]])
    order = np.resize(there_and_back, frames)
    points, scores = source.points[order].copy(), source.scores[order].copy()
    joints = points.shape[1]
    for joint in range(joints):
        for _ in range(frames // 60):
            start, length = rng.integers(frames), rng.choice([1, 2, 5, 6, 20, 26, 200])
            points[start : start + length, joint] = np.nan
    chosen = rng.integers(frames, size=frames // 20), rng.integers(joints, size=frames // 20)
    points[chosen] += 400.0
    scores[rng.random(scores.shape) < 0.05] = 0.1
    points[:37] = np.nan
    points[:, 9] = np.nan
    points[: frames // 2, 3] = np.nan
    times = np.cumsum(rng.choice([1 / 25, 1 / 25, 1 / 25, 2 / 25], size=frames))
    return Keypoints(
        points,
        scores if seed % 3 else None,
        skeleton=source.skeleton,
        image_size=source.image_size,
        fps=25.0 if seed % 2 else None,
        timestamps=None if seed % 2 else times,
    )


def windows_of(prepared):
    count = len(prepared.inputs)
    starts = range(-5, count, 17)
    places = [np.clip(np.arange(start, start + WINDOW), 0, count - 1) for start in starts]
    return np.stack([prepared.inputs[each] for each in places])


@pytest.mark.parametrize("normalization", ["image_width", "bounding_box", "image_short_side"])
@pytest.mark.parametrize("seed", range(4))
def test_parts_are_those_of_the_whole(clips, monkeypatch, normalization, seed):
    source = clips["sports2d_demo"]
    clip = broken_clip(source, 500, seed)
    spec = InputSpec(normalization, 2 + seed % 2)
    policies = InputPolicies(
        interpolate_frames=3 * seed,
        hold_frames=20 - 6 * seed,
        outlier_threshold=(None, 1.0, 1.0, 0.5)[seed],
        rate_tolerance=None if seed == 1 else 0.05,
    )
    whole = prepare_clip(clip, spec, policies, frames=WINDOW, training_fps=50.0)
    assert isinstance(whole.inputs, np.ndarray)
    expected = windows_of(whole)
    for span in (7, 41):
        monkeypatch.setattr(spans, "SPAN", span)
        monkeypatch.setattr(spans, "BLOCK", 4 * span)
        parts = prepare_clip(clip, spec, policies, frames=WINDOW, training_fps=50.0)
        assert isinstance(parts.inputs, spans.LongInputs)
        np.testing.assert_array_equal(windows_of(parts), expected)
        np.testing.assert_array_equal(parts.valid, whole.valid)
        assert (parts.applied, parts.warnings) == (whole.applied, whole.warnings)


def peak_bytes(work):
    tracemalloc.start()
    try:
        kept = work()
        return tracemalloc.get_traced_memory()[1], kept
    finally:
        tracemalloc.stop()


def lift(clip):
    """Cut, and stitch again, the poses of a network that returns its input."""
    spec, policies = InputSpec("image_width", 3), InputPolicies()
    prepared = prepare_clip(clip, spec, policies, frames=81, training_fps=clip.fps)
    cut = plan(len(prepared.inputs), 81)
    stitcher = Stitcher(cut)
    for window in cut.windows:
        stitcher.add(prepared.inputs[window.source_frames(cut.frames)])
    poses = stitcher.result()
    return poses, stitcher.seams(poses, "m"), prepared.valid


@pytest.mark.parametrize("skeleton", ["h36m17", "mediapipe33"])
def test_memory_for_a_frame_is_that_of_its_pose(clips, skeleton):
    source = clips["sports2d_demo"]
    source = source.to_h36m17() if skeleton == "h36m17" else source
    peaks = {}
    for frames in (20_000, 40_000):
        clip = broken_clip(source, frames, 5)
        lift(clip)  # What is computed once.
        peaks[frames], _ = peak_bytes(lambda clip=clip: lift(clip))
    # A pose takes 204 bytes.
    assert (peaks[40_000] - peaks[20_000]) / 20_000 < 320


def test_reading_takes_twice_the_memory_of_the_arrays(clips, tmp_path):
    source = clips["sports2d_demo"].to_h36m17()
    path = broken_clip(source, 40_000, 5).save(tmp_path / "clip.npz")
    peak, read = peak_bytes(lambda: Keypoints.from_file(path))
    size = read.points.nbytes + read.scores.nbytes
    assert peak < 2 * size + path.stat().st_size + 10e6
