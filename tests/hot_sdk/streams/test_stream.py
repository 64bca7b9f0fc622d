import dataclasses

import numpy as np
import pytest

from hot_sdk import InputPolicies, Keypoints, Pose3DEngine
from hot_sdk.errors import KeypointsError, StreamError, UsageError

FPS = 50.0


@pytest.fixture
def clip(clips):
    return dataclasses.replace(clips["pose_1"], scores=None, fps=FPS)


@pytest.fixture
def engine(hot_file):
    # What a stream knows of later frames differs from what a clip knows, so nothing is mended.
    with Pose3DEngine(
        hot_file, threads=1, policies=InputPolicies(outlier_threshold=None)
    ) as engine:
        yield engine


def frame(clip, at, **changes):
    scores = None if clip.scores is None else clip.scores[at : at + 1]
    return dataclasses.replace(clip, points=clip.points[at : at + 1], scores=scores, **changes)


def pushed(stream, clip, frames=None, start=0.0, fps=FPS, **changes):
    poses = []
    for at in range(len(clip) if frames is None else frames):
        poses += stream.push(frame(clip, at, **changes), start + at / fps)
    return poses


@pytest.mark.parametrize(("lookahead", "hop"), [(0, 1), (5, 1), (3, 7), (13, 14)])
def test_each_frame_comes_once_in_order_and_when_it_is_final(engine, clip, lookahead, hop):
    stream = engine.stream("video", lookahead=lookahead, hop=hop, fps=FPS)
    given = []
    for at in range(60):
        poses = stream.push(frame(clip, at), at / FPS)
        due = at + 1 - lookahead - len(given)
        assert len(poses) == (hop if due == hop else 0)
        given += poses
    given += stream.flush()
    np.testing.assert_allclose([pose.timestamp for pose in given], np.arange(60) / FPS)
    assert stream.report().counters.poses == stream.report().counters.pushes == 60
    assert all(pose.valid.all() and pose.unit == "m" for pose in given)


def test_poses_are_those_of_the_window_that_ends_with_the_newest_frame(engine, clip):
    stream = engine.stream("video", lookahead=4, hop=3, fps=FPS)
    given = pushed(stream, clip, frames=60)
    # The last burst is frames 51 to 53, of the window that ends with frame 57.
    newest = round(given[-1].timestamp * FPS)
    assert newest == 53
    last = dataclasses.replace(clip, points=clip.points[newest + 4 - 26 : newest + 5])
    expected = engine(last).poses[-7:-4]
    np.testing.assert_allclose([pose.pose for pose in given[-3:]], expected, atol=1e-4)


def test_frames_of_another_rate_are_resampled(engine, clips):
    clip = dataclasses.replace(clips["pose_1"], scores=None)
    stream = engine.stream("video", lookahead=2, hop=1, fps=30.0)
    given = pushed(stream, clip, fps=30.0)
    report = stream.report()
    assert (report.fps, report.fps_measured, report.resampled_to_fps) == (30.0, False, 50.0)
    assert report.lookahead_ms == pytest.approx(1e3 * 2 / 30)
    # By hand: 27 points 1/50 s apart that end with frame 40, and the pose at frame 38 between two.
    times = np.arange(len(clip)) / 30.0
    grid = times[40] - np.arange(26, -1, -1) / 50.0
    points = np.stack(
        [np.interp(grid, times, column) for column in clip.points.reshape(len(clip), -1).T], -1
    ).reshape(27, 17, 2)
    window = Keypoints(points, skeleton="h36m17", image_size=clip.image_size, fps=50.0)
    poses = engine(window).poses
    flat = [np.interp(times[38], grid, column) for column in poses.reshape(27, -1).T]
    np.testing.assert_allclose(given[38].pose, np.reshape(flat, (17, 3)), atol=2e-4)


def test_frame_rate_is_measured_if_not_given(engine, clip):
    stream = engine.stream("video")
    pushed(stream, clip, frames=8, fps=25.0)
    assert stream.report().fps is None
    pushed(stream, clip, frames=2, start=8 / 25.0, fps=25.0)
    report = stream.report()
    assert report.fps == pytest.approx(25.0)
    assert report.fps_measured
    assert report.resampled_to_fps == 50.0


def test_center_frame_model_streams_its_center(tpc_file, clip):
    engine = Pose3DEngine(tpc_file, threads=1, policies=InputPolicies(outlier_threshold=None))
    with pytest.raises(UsageError, match="needs lookahead=13 and hop=1"):
        engine.stream("video")
    stream = engine.stream("video", lookahead=13, fps=FPS)
    given = pushed(stream, clip, frames=60) + list(stream.flush())
    assert len(given) == 60
    expected = engine(dataclasses.replace(clip, points=clip.points[:60])).poses
    np.testing.assert_allclose([pose.pose for pose in given], expected, atol=2e-3)


def test_people_are_kept_apart(engine, clips, clip):
    other = dataclasses.replace(
        clips["sports2d_demo"], points=clips["sports2d_demo"].points / 4, scores=None
    )
    other = dataclasses.replace(other, image_size=clip.image_size)
    alone = pushed(engine.stream("video", fps=FPS), clip, frames=40)
    stream = engine.stream("video", fps=FPS)
    together = []
    for at in range(40):
        both = [frame(clip, at, track_id=1), frame(other, at, track_id="b")]
        together += stream.push_people(both, at / FPS)
    assert [pose.track_id for pose in together] == [1, "b"] * 40
    mine = [pose.pose for pose in together if pose.track_id == 1]
    np.testing.assert_allclose(mine, [pose.pose for pose in alone], atol=1e-5)
    assert stream.report().people == 2


def test_late_joiner_starts_from_scratch(engine, clip):
    stream = engine.stream("video", fps=FPS)
    pushed(stream, clip, frames=30, track_id=1)
    late = stream.push(frame(clip, 0), 30 / FPS, track_id=2)
    (first,) = engine.stream("video", fps=FPS).push(frame(clip, 0), 0.0)
    np.testing.assert_allclose(late[0].pose, first.pose, atol=1e-5)
    assert stream.report().counters.joined == 2


@pytest.mark.parametrize("track_id", [-1, -1.0, np.int64(-1)])
def test_a_tracker_s_minus_one_is_no_id(engine, clip, track_id):
    stream = engine.stream("video", fps=FPS)
    (pose,) = stream.push(frame(clip, 0), 0.0, track_id=track_id)
    assert pose.track_id is None


def test_person_who_returns_after_a_gap_starts_from_scratch(engine, clip):
    stream = engine.stream("video", lookahead=2, fps=FPS, max_gap_frames=10)
    before = pushed(stream, clip, frames=30)
    assert len(before) == 28
    # The frames that waited for later ones come with what was known of them.
    back = stream.push(frame(clip, 0), 29 / FPS + 11 / FPS)
    assert [round(pose.timestamp * FPS) for pose in back] == [28, 29]
    assert stream.report().counters.resets == 1
    fresh = engine.stream("video", fps=FPS)
    (first,) = fresh.push(frame(clip, 0), 0.0)
    (again,) = stream.flush()
    np.testing.assert_allclose(again.pose, first.pose, atol=1e-5)


def test_short_absence_is_bridged(engine, clip):
    stream = engine.stream("video", fps=FPS, max_gap_frames=10)
    pushed(stream, clip, frames=30)
    assert len(stream.push(frame(clip, 39), 39 / FPS)) == 1
    assert stream.report().counters.resets == 0


def test_person_who_stays_away_is_forgotten(engine, clip):
    stream = engine.stream("video", lookahead=3, fps=FPS, time_to_live_s=0.5)
    pushed(stream, clip, frames=10, track_id="gone")
    left_over = []
    for at in range(10, 60):
        left_over += [
            pose
            for pose in stream.push(frame(clip, at), at / FPS, track_id="here")
            if pose.track_id == "gone"
        ]
    assert [round(pose.timestamp * FPS) for pose in left_over] == [7, 8, 9]
    report = stream.report()
    assert (report.people, report.counters.left) == (1, 1)


def test_time_passes_in_frames_without_people(engine, clip):
    stream = engine.stream("video", fps=FPS, time_to_live_s=0.5)
    pushed(stream, clip, frames=5)
    assert stream.push(None, 10.0) == ()
    assert stream.report().people == 0


def test_more_people_than_allowed_are_counted(engine, clip):
    stream = engine.stream("video", fps=FPS, max_people=1)
    given = stream.push_people([frame(clip, 0, track_id=n) for n in range(3)], 0.0)
    assert [pose.track_id for pose in given] == [0]
    assert stream.report().counters.refused == 2


def test_unseen_first_frames_give_nothing(engine, clip):
    empty = dataclasses.replace(frame(clip, 0), points=np.full((1, 17, 2), np.nan))
    stream = engine.stream("video", fps=FPS)
    assert stream.push(empty, 0.0) == ()
    assert len(stream.push(frame(clip, 0), 1 / FPS)) == 1
    counters = stream.report().counters
    assert (counters.unseen, counters.joined, counters.pushes) == (1, 1, 2)


def test_missing_joints_become_invalid(engine, clip):
    points = clip.points.copy()
    points[10:, 13] = np.nan
    stream = engine.stream("video", fps=FPS)
    given = pushed(stream, dataclasses.replace(clip, points=points), frames=40)
    valid = [bool(pose.valid[13]) for pose in given]
    # Held for fifteen frames, then invalid.
    assert valid == [True] * 25 + [False] * 15
    assert all(np.isfinite(pose.pose).all() for pose in given)


def test_pushed_arrays_equal_keypoints(engine, clip):
    expected = pushed(engine.stream("video", fps=FPS), clip, frames=5)
    stream = engine.stream("video", fps=FPS, skeleton="h36m17", image_size=clip.image_size)
    given = []
    for at in range(5):
        with_scores = np.concatenate([clip.points[at], np.ones((17, 1))], axis=1)
        given += stream.push(with_scores if at % 2 else clip.points[at], at / FPS)
    np.testing.assert_array_equal([p.pose for p in given], [p.pose for p in expected])


def test_pushed_arrays_of_another_skeleton_equal_keypoints(engine):
    chance = np.random.default_rng(0)
    points = (chance.normal(0.0, 1.0, (9, 17, 2)).cumsum(axis=0) + 50.0) * 8.0
    points[chance.random(points.shape) < 0.05] = np.nan
    scores = chance.uniform(-0.2, 1.2, (9, 17))
    known = {"skeleton": "coco17", "image_size": (900, 1600)}
    arrays, objects = (engine.stream("video", fps=FPS, **some) for some in (known, {}))
    for at in range(9):
        array = np.concatenate([points[at], scores[at, :, None]], axis=1)
        (given,) = arrays.push(array[None] if at % 2 else array, at / FPS, track_id=4.0)
        keypoints = Keypoints(points[at : at + 1], scores[at : at + 1], **known, track_id=4)
        (expected,) = objects.push(keypoints, at / FPS)
        assert given.track_id == expected.track_id == 4
        for name in ("pose", "valid", "keypoints"):
            np.testing.assert_array_equal(getattr(given, name), getattr(expected, name))


def test_callback_receives_the_poses(engine, clip):
    given = []
    stream = engine.stream("video", fps=FPS, callback=given.append)
    assert pushed(stream, clip, frames=7) == []
    assert len(given) == 7


def test_delay_is_lookahead_and_computing(engine, clip):
    stream = engine.stream("video", lookahead=5, fps=FPS)
    for pose in pushed(stream, clip, frames=20):
        assert 5 / FPS < pose.delay_s < 5 / FPS + 5.0
    report = stream.report()
    assert report.lookahead_ms == pytest.approx(100.0)
    assert report.latency.delay.count == 15
    assert report.latency.per_new_frame.count == 20
    assert report.latency.frames_per_s is None
    assert "delay of a pose = lookahead of 5 frames (100.0 ms) + compute" in str(report)
    assert report.to_json().startswith("{")


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (0.0, r"0\.000000 s is not later than 0\.000000 s"),
        (-0.1, r"-0\.100000 s is earlier than 0\.000000 s"),
        (float("nan"), "timestamp is nan"),
        ("1.0", "timestamp is a str; expected a number of seconds"),
        (None, "timestamp is a NoneType"),
        (1_700_000_000_000_000_000, "1.7e\\+18; it looks like nanoseconds, not seconds"),
        (1.7e12, "it looks like milliseconds"),
    ],
)
def test_time_goes_forward(engine, clip, second, said):
    stream = engine.stream("video", fps=FPS)
    stream.push(frame(clip, 0), 0.0)
    with pytest.raises(StreamError, match=said):
        stream.push(frame(clip, 1), second)
    # What was refused left nothing behind.
    assert len(stream.push(frame(clip, 1), 1 / FPS)) == 1


def test_rejects_frames_that_cannot_be_pushed(engine, clip):
    stream = engine.stream("video", fps=FPS)
    with pytest.raises(StreamError, match="120 frames were pushed at once"):
        stream.push(clip, 0.0)
    with pytest.raises(StreamError, match="neither which joints"):
        stream.push(clip.points[0], 0.0)
    with pytest.raises(StreamError, match="same track id"):
        stream.push_people([frame(clip, 0), frame(clip, 0)], 0.0)
    stream.push(frame(clip, 0), 0.0)
    with pytest.raises(StreamError, match="so far it was"):
        stream.push(frame(clip, 1, image_size=(64, 64)), 0.1)
    sized = engine.stream("video", skeleton="coco17", image_size=(640, 480))
    with pytest.raises(KeypointsError, match="shape"):
        sized.push(np.zeros((18, 2)), 0.0)
    stream.close()
    with pytest.raises(StreamError, match="closed"):
        stream.push(frame(clip, 2), 1.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mode": "offline"}, "mode is 'offline'"),
        ({"lookahead": -1}, "lookahead is -1"),
        ({"hop": 0}, "hop is 0"),
        ({"max_people": 0}, "max_people is 0"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"time_to_live_s": 0.0}, "time_to_live_s is 0.0"),
        ({"lookahead": 20, "hop": 8}, "reaches 26 of the stream's frames back"),
        ({"lookahead": 20, "hop": 8, "fps": 100.0}, None),
        ({"lookahead": 20, "fps": 25.0}, "reaches 13"),
    ],
)
def test_settings_are_checked(engine, settings, said):
    if said is None:
        engine.stream(**settings).close()
        return
    with pytest.raises(UsageError, match=said):
        engine.stream(**settings)


def test_rejects_unknown_skeleton_when_opened(engine):
    with pytest.raises(KeypointsError, match="Did you mean 'coco17'"):
        engine.stream(skeleton="coco-17")
