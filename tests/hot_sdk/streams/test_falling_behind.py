"""Streams of a live network whose engine falls behind: which frames the poses are of."""

import numpy as np
import pytest
from live_files import FPS, make_live_file

from hot_sdk import Pose3DEngine

LOOKAHEAD = 4
BEHIND = 60


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    path = tmp_path_factory.mktemp("live") / "live.onnx"
    make_live_file(path, lookahead=LOOKAHEAD, memory="5+3x4")
    with Pose3DEngine(path, threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def points():
    """Someone who moves a little in each frame."""
    chance = np.random.default_rng(0)
    body = chance.uniform(200.0, 600.0, (17, 2))
    return (body + chance.normal(0.0, 1.0, (200, 17, 2))).astype(np.float32)


def opened(engine, callback, **options):
    given = {"fps": FPS, "skeleton": "h36m17", "image_size": (1280, 720), **options}
    return engine.stream("live", callback=callback, **given)


def test_a_pose_is_of_its_own_frame_however_many_were_dropped_after_it(engine, points):
    received = []
    with opened(engine, received.append) as stream:
        for number in range(8):
            stream.push(points[number], number / FPS)
            stream._worker.settle()
        # The worker waits for its turn while frames come.
        with stream._turn:
            for number in range(8, BEHIND):
                stream.push(points[number], number / FPS)
        stream._worker.settle()
        for number in range(BEHIND, BEHIND + 8):
            stream.push(points[number], number / FPS)
            stream._worker.settle()
        stream.flush()
        counters = stream.report().counters
    numbers = [round(pose.timestamp * FPS) for pose in received]
    assert numbers[:8] == list(range(8))
    assert numbers[-8:] == list(range(BEHIND, BEHIND + 8))
    # It may have taken one of the others before it had to wait, and the newest.
    assert BEHIND - 1 in numbers
    assert len(numbers) <= 8 + 2 + 8
    for pose, number in zip(received, numbers, strict=True):
        np.testing.assert_array_equal(pose.keypoints[:, :2], points[number])
    assert counters.poses + counters.dropped == counters.pushes == BEHIND + 8


def test_the_clock_jumps_back_while_the_engine_is_behind(engine, points):
    """More stays end than there is memory for at a time, and each with many frames."""
    received = []
    with opened(engine, received.append, max_people=2) as stream:
        with stream._turn:
            for _ in range(5):
                for number in range(BEHIND):
                    for person in range(2):
                        stream.push(points[number], number / FPS, person)
        stream.flush()
        counters = stream.report().counters
    assert counters.clock_jumps == 4
    assert counters.joined == 2 * 5
    # The newest frame of each stay, at least.
    assert counters.poses == len(received) >= 2 * 5
    assert counters.poses + counters.dropped == counters.pushes
