"""People who come and go: each result begins and ends with its person, in clips and streams."""

import dataclasses

import numpy as np
import pytest

from hot_sdk import Intrinsics, Keypoints, Pose3DEngine, Pose3DResult
from hot_sdk.errors import KeypointsError, ResultError
from hot_sdk.offline import lift_at_once, lift_stream


@pytest.fixture(scope="module")
def engine(hot_file):
    with Pose3DEngine(hot_file, threads=1) as engine:
        yield engine


@pytest.fixture
def people(clips):
    """One person in frames 4 to 30, another in 12 to 20 (but for 15), a third in 40 to 49."""
    clip = clips["pose_1"]
    spans = {1: range(4, 31), 2: [*range(12, 15), *range(16, 21)], 3: range(40, 50)}
    found = []
    for name, frames in spans.items():
        points = np.full((60, 17, 2), np.nan, dtype=np.float32)
        points[list(frames)] = clip.points[: len(frames)]
        found.append(dataclasses.replace(clip, points=points, scores=None, track_id=name))
    return found


EXTENTS = [(4, 27), (12, 9), (40, 10)]


def extents(clips):
    return [(clip.first_frame, len(clip)) for clip in clips]


def test_clip_is_trimmed_to_the_frames_that_show_its_person(people):
    trimmed = [person.trimmed() for person in people]
    assert extents(trimmed) == EXTENTS
    for whole, part in zip(people, trimmed, strict=True):
        start, frames = part.first_frame, len(part)
        np.testing.assert_array_equal(part.points, whole.points[start : start + frames])
        np.testing.assert_allclose(part.times(30.0), (start + np.arange(frames)) / 30.0)
        assert extents([part.trimmed()]) == extents([part])
    stamped = dataclasses.replace(people[1], timestamps=100 + np.arange(60) ** 1.1 / 30, fps=None)
    np.testing.assert_array_equal(stamped.trimmed().timestamps, stamped.timestamps[12:21])
    empty = dataclasses.replace(people[0], points=np.full((60, 17, 2), np.nan))
    assert extents([empty.trimmed()]) == [(0, 60)]


@pytest.mark.parametrize("first", [-1, 1.5, "3", None, True])
def test_rejects_numbers_of_a_first_frame_that_are_none(clips, first):
    with pytest.raises(KeypointsError, match=r"first_frame is .*expected a whole number from 0"):
        dataclasses.replace(clips["pose_1"], first_frame=first)


def test_results_have_the_frames_times_and_warnings_of_their_clips(engine, people):
    trimmed = [dataclasses.replace(one.trimmed(), warnings=("a note",)) for one in people]
    lifted = lift_at_once(engine, trimmed)
    assert extents(lifted.results) == EXTENTS
    assert (lifted.first_frame, len(lifted.latency_ms)) == (4, 46)
    for clip, result in zip(trimmed, lifted.results, strict=True):
        np.testing.assert_allclose(result.timestamps, clip.times(clip.fps))
        assert result.warnings.count("a note") == 1
        assert result.valid.mean() > 0.95
        assert f"from frame {clip.first_frame} on" in str(result)


def test_a_stream_gives_each_person_the_same_frames(engine, people):
    trimmed = [dataclasses.replace(one.trimmed(), warnings=("a note",)) for one in people]
    lifted = lift_stream(engine, trimmed, lookahead=2, hop=1)
    assert extents(lifted.results) == EXTENTS
    assert (lifted.first_frame, len(lifted.latency_ms)) == (4, 46)
    for clip, result in zip(trimmed, lifted.results, strict=True):
        np.testing.assert_allclose(result.timestamps, clip.times(clip.fps))
        assert "a note" in result.warnings
        seen = ~np.isnan(clip.points).all(axis=(1, 2))
        assert np.isfinite(result.poses[seen]).all()
    # The same poses as from clips that are as long as the file; but the stream ends with the last
    # person, whose last frames wait for nothing.
    whole = lift_stream(engine, people, lookahead=2, hop=1)
    for part, result in zip(lifted.results[:2], whole.results[:2], strict=True):
        start = part.first_frame
        np.testing.assert_array_equal(part.poses, result.poses[start : start + len(part)])


@pytest.mark.parametrize("kind", ["npz", "json", "csv"])
def test_files_of_results_say_where_they_begin(engine, people, tmp_path, kind):
    result = engine(people[1].trimmed())
    path = result.save(tmp_path / f"a.{kind}")
    found = Pose3DResult.load(path)
    assert (found.first_frame, len(found)) == (12, 9)
    np.testing.assert_array_equal(found.timestamps, result.timestamps)
    if kind == "csv":
        frames = [int(line.split(",")[0]) for line in path.read_text().splitlines()[2:]]
        assert frames == list(range(12, 21))


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_files_of_keypoints_say_where_they_begin(people, tmp_path, suffix):
    part = people[1].trimmed()
    found = Keypoints.from_file(part.save(tmp_path / f"a.{suffix}"))
    assert extents([found]) == [(12, 9)]
    np.testing.assert_array_equal(found.points, part.points)


def test_keypoints_and_poses_of_other_frames_do_not_fit(engine, people):
    clip = people[2].trimmed()
    result = engine(clip)
    camera = Intrinsics.from_field_of_view(60.0, clip.image_size)
    moved = dataclasses.replace(clip, first_frame=0)
    with pytest.raises(ResultError, match="The keypoints begin at frame 0, the poses at 40"):
        result.with_root_from_reprojection(moved, camera)
    with pytest.raises(ResultError, match="first_frame is -1"):
        dataclasses.replace(result, first_frame=-1)
