import dataclasses
import multiprocessing
import os
import threading
import time

import numpy as np
import pytest

from hot_sdk import Pose3DEngine
from hot_sdk.errors import EngineError, StreamError

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


class SlowSession:
    """A session that waits for a gate before each run."""

    def __init__(self, session, gate):
        self._session, self._gate = session, gate

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run(self, arrays):
        assert self._gate.wait(30)
        return self._session.run(arrays)


def slowed(engine):
    gate = threading.Event()
    engine._runner._session = SlowSession(engine._runner._session, gate)
    return gate


def test_live_mode_equals_video_mode_if_each_push_is_awaited(engine, clip):
    video, live = (
        engine.stream(mode, lookahead=2, fps=FPS, smoothing=False) for mode in ("video", "live")
    )
    expected, given = [], []
    for at in range(30):
        expected += video.push(frame(clip, at), at / FPS)
        given += live.push(frame(clip, at), at / FPS)
        given += live._worker.settle()
    expected += video.flush()
    given += live.flush()
    live.close()
    assert [pose.timestamp for pose in given] == [pose.timestamp for pose in expected]
    np.testing.assert_array_equal([p.pose for p in given], [p.pose for p in expected])
    assert live.report().counters.dropped == 0


def test_push_never_waits_and_the_newest_frame_is_next(engine, clip):
    gate = slowed(engine)
    with engine.stream("live", fps=FPS) as stream:
        stream.push(frame(clip, 0), 0.0)
        while not stream._worker._busy:
            time.sleep(0.001)
        # The engine is at frame 0 and stands still; these pushes return all the same.
        for at in range(1, 20):
            assert stream.push(frame(clip, at), at / FPS) == ()
        gate.set()
        given = stream._worker.settle()
        assert [round(pose.timestamp * FPS) for pose in given] == [0, 19]
        report = stream.report()
        assert report.counters.dropped == 18
        assert report.latency.dropped == 18


def test_callback_gets_the_poses_in_the_engines_thread(engine, clip):
    threads, given = set(), []

    def take(pose):
        threads.add(threading.current_thread())
        given.append(pose)

    with engine.stream("live", fps=FPS, callback=take) as stream:
        for at in range(10):
            assert stream.push(frame(clip, at), at / FPS) == ()
            assert stream._worker.settle() == ()
    assert len(given) == 10
    assert threading.current_thread() not in threads


def test_engine_error_is_raised_by_the_next_push(engine, clip):
    stream = engine.stream("live", fps=FPS)
    engine.close()
    stream.push(frame(clip, 0), 0.0)
    with pytest.raises(EngineError, match="closed"):
        stream._worker.settle()
    stream.push(frame(clip, 1), 0.1)
    while stream._worker._error is None:
        time.sleep(0.001)
    with pytest.raises(EngineError, match="closed"):
        stream.close()


def test_callback_error_is_raised_too(engine, clip):
    def fail(pose):
        raise ValueError("the robot's own")

    stream = engine.stream("live", fps=FPS, callback=fail)
    stream.push(frame(clip, 0), 0.0)
    with pytest.raises(ValueError, match="the robot's own"):
        stream._worker.settle()
    stream.close()


def test_callback_cannot_wait_for_its_own_stream(engine, clip):
    stream = engine.stream("live", fps=FPS, callback=lambda pose: stream.flush())
    stream.push(frame(clip, 0), 0.0)
    with pytest.raises(StreamError, match="cannot wait for its own"):
        stream._worker.settle()
    stream.close()


def test_push_from_several_threads(engine, clip):
    stream = engine.stream("live", fps=FPS, max_people=8)
    errors = []
    clock = iter(range(10_000))
    lock = threading.Lock()

    def camera(number):
        for at in range(25):
            try:
                # Cameras of one stream share a clock.
                with lock:
                    stream.push(frame(clip, at, track_id=number), next(clock) / 1000)
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=camera, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream.flush()
    stream.close()
    assert errors == []
    counters = stream.report().counters
    assert counters.pushes == 100
    assert counters.poses + counters.dropped == 100


def test_closing_ends_the_thread(engine, clip):
    before = threading.active_count()
    stream = engine.stream("live")
    assert threading.active_count() == before + 1
    stream.close()
    stream.close()
    assert threading.active_count() == before
    with pytest.raises(StreamError, match="closed"):
        stream.push(frame(clip, 0), 0.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("mode", ["live", "video"])
def test_a_stream_that_was_forked_says_so(engine, clip, mode):
    """The engine's thread is not forked: no pose would ever come."""

    def push(pipe):
        said = []
        for call in (lambda: stream.push(frame(clip, 1), 0.1), stream.flush):
            try:
                call()
                said.append("nothing")
            except EngineError as error:
                said.append(error.message)
        stream.close()
        pipe.send(said)

    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    with engine.stream(mode, fps=FPS) as stream:
        stream.push(frame(clip, 0), 0.0)
        child = context.Process(target=push, args=(theirs,))
        child.start()
        assert mine.poll(60)
        said = mine.recv()
        child.join()
    assert len(said) == 2
    assert all("this is its fork" in one for one in said)
