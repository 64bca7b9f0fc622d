"""Models that lift each frame separately, and models that return the middle of a window only."""

import dataclasses

import numpy as np
import pytest
from exported_models import export_case, small_request

from hot_sdk import InputPolicies, Keypoints, Pose3DEngine
from hot_sdk.engines import open_session
from hot_sdk.errors import UsageError
from hot_sdk.export import export_model
from hot_sdk.inference import SINGLE_FRAMES
from hot_sdk.preprocessing.normalization import by_image_width
from hot_sdk.windows import MODES, MOTIONBERT_TAIL_SHORT

FPS = 50.0


def exported(tmp_path_factory, batch):
    path = tmp_path_factory.mktemp("single") / "htnet.onnx"
    export_model(small_request("htnet", output=path, batch=batch, config={"depth": 1}))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A single-frame model that accepts any number of frames in a run."""
    return exported(tmp_path_factory, None)


@pytest.fixture(scope="module")
def one_at_a_time(tmp_path_factory):
    """The same model, for one frame in a run."""
    return exported(tmp_path_factory, 1)


@pytest.fixture
def clip(clips):
    return dataclasses.replace(clips["pose_1"], scores=None)


@pytest.fixture
def engine(model):
    with Pose3DEngine(model, threads=1, policies=InputPolicies(outlier_threshold=None)) as engine:
        yield engine


def part(clip, *frames):
    return dataclasses.replace(clip, points=clip.points[slice(*frames)])


def by_session(path, clip):
    """Poses of all frames in one run of the session."""
    inputs = by_image_width(clip.points, clip.image_size, "published")[:, None]
    with open_session(path) as session:
        poses = session.run({"keypoints_2d": inputs})["poses_3d"][:, 0]
    poses[:, 0] = 0.0
    return poses


def test_clip_is_one_run(model, engine, clip):
    result = engine(clip)
    np.testing.assert_allclose(result.poses, by_session(model, clip), atol=1e-5)
    assert (result.latency.windows, result.latency.inference.count) == (120, 1)


def test_several_people_share_a_run(engine, clips):
    people = [dataclasses.replace(clip, scores=None) for clip in clips.values()]
    together = engine.lift(people)
    total = sum(map(len, people))
    assert together[0].latency.inference.count == -(-total // SINGLE_FRAMES)
    for person, result in zip(people, together, strict=True):
        np.testing.assert_allclose(result.poses, engine(person).poses, atol=1e-5)


def test_long_clip_is_cut(engine, clip):
    points = np.tile(clip.points, (5, 1, 1))
    result = engine(dataclasses.replace(clip, points=points))
    assert result.latency.inference.count == 3
    np.testing.assert_allclose(result.poses[480:], engine(clip).poses, atol=1e-5)


def test_file_of_fixed_batch_runs_once_per_frame(engine, one_at_a_time, clip):
    with Pose3DEngine(one_at_a_time, threads=1, policies=engine.policies) as single:
        result = single(part(clip, 20))
    assert result.latency.inference.count == 20
    np.testing.assert_allclose(result.poses, engine(part(clip, 20)).poses, atol=1e-5)


def test_frames_are_independent(engine, clip):
    order = np.random.default_rng(3).permutation(len(clip))
    shuffled = dataclasses.replace(clip, points=clip.points[order])
    np.testing.assert_allclose(engine(shuffled).poses, engine(clip).poses[order], atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_all_windows_are_the_frames(model, engine, clip, mode):
    with Pose3DEngine(model, threads=1, policies=engine.policies, windows=mode) as other:
        result = other(part(clip, 7))
    np.testing.assert_allclose(result.poses, engine(part(clip, 7)).poses, atol=1e-6)
    assert mode == MOTIONBERT_TAIL_SHORT or result.seams is None


@pytest.mark.parametrize("fps", [None, 7.0, 1000.0])
def test_frame_rate_is_ignored(engine, clip, fps):
    result = engine(dataclasses.replace(clip, fps=fps))
    np.testing.assert_allclose(result.poses, engine(clip).poses, atol=1e-6)
    assert not any("frame rate" in warning for warning in result.warnings)
    assert result.seams is None
    (windows,) = (record for record in result.policies if record.name == "windows")
    assert (windows.detail, windows.count) == ("'overlap', one frame each", 120)
    assert {"resampled", "short_clip"}.isdisjoint(record.name for record in result.policies)


def test_flip_averages_in_as_many_frames(engine, model, clip):
    with Pose3DEngine(model, threads=1, policies=engine.policies, flip=True) as flipping:
        result = flipping(clip)
    assert result.latency.inference.count == 2
    assert np.abs(result.poses - engine(clip).poses).max() > 1e-3


def test_rejects_overlap(model):
    with pytest.raises(UsageError, match="expected 0 to 0"):
        Pose3DEngine(model, overlap=1)


# Streams


def frame(clip, at, **changes):
    return dataclasses.replace(clip, points=clip.points[at : at + 1], **changes)


@pytest.mark.parametrize("fps", [None, FPS, 30.0])
def test_stream_returns_each_frame_at_once(engine, clip, fps):
    stream = engine.stream("video", fps=fps)
    expected = engine(clip).poses
    for at in range(30):
        (pose,) = stream.push(frame(clip, at), at / 30.0)
        assert pose.timestamp == at / 30.0
        np.testing.assert_allclose(pose.pose, expected[at], atol=1e-5)
    assert stream.flush() == ()
    report = stream.report()
    assert (report.counters.poses, report.resampled_to_fps) == (30, None)


def test_people_of_a_frame_share_a_run(engine, clip):
    stream = engine.stream("video", max_people=5)
    for at in range(4):
        people = [frame(clip, at + 10 * number, track_id=number) for number in range(5)]
        assert len(stream.push_people(people, at / FPS)) == 5
    assert stream.report().latency.inference.count == 4


def test_live_stream_leaves_nothing_waiting(engine, clip):
    given = []
    with engine.stream("live", fps=FPS, callback=given.append) as stream:
        for at in range(20):
            stream.push(frame(clip, at), at / FPS)
        stream.flush()
        counters = stream.report().counters
    assert counters.poses + counters.dropped == 20
    assert given[-1].timestamp == 19 / FPS


@pytest.mark.parametrize("options", [{"lookahead": 1}, {"hop": 2}, {"lookahead": 3, "hop": 4}])
def test_rejects_lookahead_and_hop(engine, options):
    with pytest.raises(UsageError, match="each frame separately") as caught:
        engine.stream("video", **options)
    assert "lookahead=0 and hop=1" in caught.value.hint


def test_missing_joint_is_held_as_in_a_longer_window(engine, clip):
    """Although the network sees one frame, earlier frames show where a joint was."""
    points = clip.points[:30].copy()
    points[10:, 16] = np.nan
    hidden = dataclasses.replace(clip, points=points)
    stream = engine.stream("video", fps=clip.fps)
    poses = [stream.push(frame(hidden, at), at / clip.fps)[0] for at in range(30)]
    assert [bool(pose.valid[16]) for pose in poses] == [True] * 25 + [False] * 5
    held = points.copy()
    held[10:, 16] = points[9, 16]
    expected = engine(dataclasses.replace(clip, points=held)).poses
    np.testing.assert_allclose([pose.pose for pose in poses[:25]], expected[:25], atol=1e-5)


# The middle of a window


@pytest.fixture(scope="module")
def middle_model(tmp_path_factory):
    """A model whose poses are those of the middle 5 of 27 frames."""
    return export_case("nanohtnet", "plain", tmp_path_factory).path


def test_only_the_middle_frame_is_used(middle_model, clips):
    clip = part(dataclasses.replace(clips["pose_1"], scores=None, fps=FPS), 40)
    with Pose3DEngine(middle_model, threads=1) as engine:
        assert (engine.manifest.frames, engine.manifest.output_frames) == (27, 5)
        result = engine(clip)
    inputs = by_image_width(clip.points, clip.image_size, "published")
    with open_session(middle_model) as session:
        runs = [session.run({"keypoints_2d": inputs[None, at : at + 27]}) for at in range(14)]
    expected = np.stack([run["poses_3d"][0, 2] for run in runs])
    expected[:, 0] = 0.0
    np.testing.assert_allclose(result.poses[13:27], expected, atol=1e-5)
    assert result.latency.windows == 40


def test_stream_of_middle_frames_looks_ahead(middle_model, clips):
    clip = part(dataclasses.replace(clips["pose_1"], scores=None, fps=FPS), 40)
    with Pose3DEngine(
        middle_model, threads=1, policies=InputPolicies(outlier_threshold=None)
    ) as engine:
        with pytest.raises(UsageError, match="needs lookahead=13 and hop=1"):
            engine.stream("video")
        with pytest.raises(UsageError, match="returns only the center frame of a window"):
            Pose3DEngine(middle_model, windows="overlap")
        stream = engine.stream("video", lookahead=13, fps=FPS)
        poses = [pose for at in range(40) for pose in stream.push(frame(clip, at), at / FPS)]
        poses += stream.flush()
        np.testing.assert_allclose([pose.pose for pose in poses], engine(clip).poses, atol=2e-3)


def test_one_frame_alone(engine, middle_model, clip):
    alone = Keypoints(clip.points[:1], skeleton="h36m17", image_size=clip.image_size, fps=clip.fps)
    assert engine(alone).poses.shape == (1, 17, 3)
    with Pose3DEngine(middle_model, threads=1) as other:
        assert other(alone).poses.shape == (1, 17, 3)
