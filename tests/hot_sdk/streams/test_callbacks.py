"""What a callback may do with its own stream, and what is refused instead of waiting for ever."""

import dataclasses

import pytest

from hot_sdk import Pose3DEngine
from hot_sdk.errors import StreamError

FPS = 50.0


@pytest.fixture
def engine(hot_file):
    with Pose3DEngine(hot_file, threads=1) as engine:
        yield engine


@pytest.fixture
def frame(clips):
    clip = dataclasses.replace(clips["pose_1"], scores=None, fps=FPS)
    return dataclasses.replace(clip, points=clip.points[:1])


@pytest.mark.parametrize(
    "call",
    [
        lambda stream, frame: stream.push(frame, 9.0),
        lambda stream, frame: stream.push_people([frame], 9.0),
        lambda stream, frame: stream.flush(),
        lambda stream, frame: stream.reset(),
    ],
)
def test_callback_cannot_use_its_own_stream(engine, frame, call):
    stream = engine.stream("video", fps=FPS, callback=lambda pose: call(stream, frame))
    with pytest.raises(StreamError, match="its own stream") as raised:
        stream.push(frame, 0.0)
    assert "after push() has returned" in raised.value.hint
    # The stream goes on, and refuses it again.
    with pytest.raises(StreamError, match="its own stream"):
        stream.push(frame, 0.1)


def test_two_streams_that_push_to_each_other_are_refused(engine, frame):
    first = engine.stream("video", fps=FPS, callback=lambda pose: second.push(frame, 1.0))
    second = engine.stream("video", fps=FPS, callback=lambda pose: first.push(frame, 1.0))
    with pytest.raises(StreamError, match="its own stream"):
        first.push(frame, 0.0)


def test_callback_may_use_another_stream_and_close_its_own(engine, frame):
    given = []
    other = engine.stream("video", fps=FPS, callback=given.append)

    def use(pose):
        other.push(frame, pose.timestamp)
        stream.close()

    stream = engine.stream("video", fps=FPS, callback=use)
    stream.push(frame, 0.0)
    assert len(given) == 1


def test_flush_in_live_mode_refuses_a_callback_that_flushes(engine, frame):
    stream = engine.stream("live", fps=FPS, lookahead=5, callback=lambda pose: stream.flush())
    stream.push(frame, 0.0)
    with pytest.raises(StreamError, match="its own stream"):
        stream.flush()
    stream.close()
