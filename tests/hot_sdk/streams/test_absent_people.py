"""People whom a frame does not show: left out, None, or an array of NaN."""

import dataclasses

import numpy as np
import pytest

from hot_sdk import Pose3DEngine

FPS = 50.0


@pytest.fixture
def clip(clips):
    return dataclasses.replace(clips["pose_1"], scores=None, fps=FPS)


@pytest.fixture
def engine(hot_file):
    with Pose3DEngine(hot_file, threads=1) as engine:
        yield engine


def frame(clip, at, **changes):
    return dataclasses.replace(clip, points=clip.points[at : at + 1], **changes)


def unseen(clip, **changes):
    return dataclasses.replace(clip, points=np.full((1, 17, 2), np.nan), **changes)


WAYS = {
    "none": lambda stream, clip, time: stream.push(None, time),
    "left out": lambda stream, clip, time: stream.push_people([], time),
    "nan": lambda stream, clip, time: stream.push(unseen(clip), time),
}


@pytest.mark.parametrize("lookahead", [0, 4])
def test_all_ways_to_say_that_someone_is_away_give_the_same_poses(engine, clip, lookahead):
    ways = {}
    for name, push_absent in WAYS.items():
        stream = engine.stream("video", lookahead=lookahead, fps=FPS)
        poses = []
        for at in range(60):
            if at in (20, 35, 36, 37):
                poses += push_absent(stream, clip, at / FPS)
            else:
                poses += stream.push(frame(clip, at), at / FPS)
        poses += stream.flush()
        assert [round(pose.timestamp * FPS) for pose in poses] == list(range(60))
        assert all(pose.valid.all() for pose in poses)
        assert stream.report().counters.bridged == 4
        ways[name] = np.array([pose.pose for pose in poses])
    np.testing.assert_array_equal(ways["none"], ways["nan"])
    np.testing.assert_array_equal(ways["left out"], ways["nan"])


@pytest.mark.parametrize("mode", ["video", "live"])
@pytest.mark.parametrize("push_absent", WAYS.values(), ids=WAYS)
def test_last_frames_are_final_with_the_first_frame_without_the_person(
    engine, clip, mode, push_absent
):
    stream = engine.stream(mode, lookahead=5, fps=FPS)
    given = []
    for at in range(30):
        given += stream.push(frame(clip, at), at / FPS)
        given += stream._worker.settle() if mode == "live" else ()
    assert len(given) == 25
    last = list(push_absent(stream, clip, 30 / FPS))
    last += stream._worker.settle() if mode == "live" else ()
    assert [round(pose.timestamp * FPS) for pose in last] == list(range(25, 30))
    assert all(pose.valid.all() and pose.delay_s < 5 / FPS + 5.0 for pose in last)
    stream.close()
    assert stream.report().counters.dropped == 0


def test_who_is_away_for_long_is_invalid_then_not_lifted(engine, clip):
    stream = engine.stream("video", fps=FPS)
    for at in range(10):
        stream.push(frame(clip, at), at / FPS)
    away = [stream.push(None, at / FPS) for at in range(10, 60)]
    assert [len(poses) for poses in away] == [1] * 25 + [0] * 25
    # Held for fifteen frames.
    assert [poses[0].valid.all() for poses in away[:25]] == [True] * 15 + [False] * 10
    assert not away[20][0].valid.any()


def test_who_is_left_out_of_a_frame_of_several_is_bridged(engine, clip):
    stream = engine.stream("video", fps=FPS)
    given = []
    for at in range(12):
        people = [frame(clip, at, track_id=name) for name in (1, 2) if (at, name) != (8, 2)]
        given += stream.push_people(people, at / FPS)
    assert [pose.track_id for pose in given if round(pose.timestamp * FPS) == 8] == [1, 2]


def test_who_is_left_out_of_pushes_one_by_one_is_bridged_with_the_next_frame(engine, clip):
    stream = engine.stream("video", fps=FPS)
    given = []
    for at in range(12):
        for name in (1, 2):
            if (at, name) != (8, 2):
                given += stream.push(frame(clip, at), at / FPS, track_id=name)
    assert [pose.track_id for pose in given if round(pose.timestamp * FPS) == 8] == [1, 2]
    assert len(given) == 24


def test_no_joint_is_valid_without_the_pelvis(engine, clip):
    points = clip.points.copy()
    points[10:, [0, 1, 4]] = np.nan
    stream = engine.stream("video", fps=FPS)
    given = []
    for at in range(40):
        given += stream.push(frame(dataclasses.replace(clip, points=points), at), at / FPS)
    assert [bool(pose.valid.all()) for pose in given] == [True] * 25 + [False] * 15
    assert not any(pose.valid.any() for pose in given[25:])
