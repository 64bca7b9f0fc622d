"""What a child process does with live networks on the fake GPU; see ``fake_gpu_checks``.

The arguments name a check and the folder of the files that ``test_tensorrt_fake_live.py`` made.
"""

import dataclasses
import functools
import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fake_gpu_checks import (
    DEVICE_MEMORY,
    GRAPHS,
    assert_all_released,
    driver,
    live,
    messages,
    refused,
)

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.latency import LatencyRecorder
from hot_sdk.manifest import POSES
from hot_sdk.step_graph import NEW_KEYS

TO_DEVICE, TO_HOST, ON_DEVICE = range(3)
FPS = 30.0
FRAMES = 40
FOLDER = Path(sys.argv[2])
AHEAD, PAIRS, ODD, SHIPPED = "ahead.onnx", "pairs.onnx", "odd.onnx", "starter-live.onnx"
FILES = (AHEAD, PAIRS, SHIPPED)


def on_gpu(name, **options):
    return Pose3DEngine(FOLDER / name, engine="tensorrt", device="cuda", **options)


def walk(seed, frames=FRAMES):
    """Someone who moves at random about a place in the image."""
    chance = np.random.default_rng(seed)
    body = chance.normal((500.0 + 60.0 * seed, 360.0), 70.0, (17, 2))
    points = body + np.cumsum(chance.normal(0.0, 4.0, (frames, 17, 2)), axis=0)
    return Keypoints(
        points.astype(np.float32),
        skeleton="h36m17",
        image_size=(1280, 720),
        fps=FPS,
        track_id=seed,
    )


PEOPLE = {0: range(FRAMES), 1: range(FRAMES), 2: range(7, 19), 3: range(22, FRAMES)}
"""Frames in which each is seen: the third leaves, and the fourth is given the row."""
AWAY = {1: {11, 12, 13}}
"""Frames in which one is not seen though nobody forgets them."""


def streamed(engine):
    """Poses of people who come, leave and are away, by person and time."""
    people = {number: walk(number) for number in PEOPLE}
    found = {}
    with engine.stream("video", fps=FPS, max_gap_frames=5) as stream:
        for number in range(FRAMES):
            shown = [
                dataclasses.replace(people[one], points=people[one].points[number : number + 1])
                for one, frames in PEOPLE.items()
                if number in frames and number not in AWAY.get(one, ())
            ]
            found |= {
                (one.track_id, one.timestamp): one.pose
                for one in stream.push_people(shown, number / FPS)
            }
        found |= {(one.track_id, one.timestamp): one.pose for one in stream.flush()}
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert len(found) > 100
    for key, pose in expected.items():
        np.testing.assert_allclose(found[key], pose, atol=2e-6)


def on_cpu(name, **options):
    with Pose3DEngine(FOLDER / name, threads=1, **options) as engine:
        return streamed(engine)


def a_stream_has_the_poses_of_the_cpu():
    for name in FILES:
        with on_gpu(name) as engine:
            assert_same(streamed(engine), on_cpu(name))
        assert_all_released()
    assert not any("uploaded" in text for text in messages)


def a_mirrored_stream_has_the_poses_of_the_cpu():
    with on_gpu(AHEAD, flip=True) as engine:
        assert_same(streamed(engine), on_cpu(AHEAD, flip=True))
    assert_all_released()


def a_clip_has_the_poses_of_the_cpu():
    with on_gpu(AHEAD) as engine, Pose3DEngine(FOLDER / AHEAD, threads=1) as exact:
        for seed in range(3):
            clip = walk(seed)
            np.testing.assert_allclose(engine(clip).poses, exact(clip).poses, atol=2e-6)
    assert_all_released()


def a_graph_that_cannot_be_captured_changes_no_pose():
    driver.fake_fail_captures(1)
    with on_gpu(AHEAD) as engine:
        assert_same(streamed(engine), on_cpu(AHEAD))
        assert live()[GRAPHS] == 0
    assert_all_released()


def memory_that_is_shared_has_the_same_poses():
    with on_gpu(AHEAD) as engine:
        assert_same(streamed(engine), on_cpu(AHEAD))
        assert driver.fake_copied(TO_DEVICE) == driver.fake_copied(TO_HOST) == 0
    assert_all_released()


def a_frame_copies_nothing_of_the_size_of_a_cache():
    with on_gpu(SHIPPED) as engine, engine.stream("video", fps=FPS) as stream:
        person = walk(0)

        def push(number):
            points = person.points[number : number + 1]
            stream.push_people([dataclasses.replace(person, points=points)], number / FPS)

        push(0)
        assert "Captured a CUDA graph of one run." in messages
        assert live()[GRAPHS] == 1
        before = [driver.fake_copied(kind) for kind in range(3)]
        calls = driver.fake_copies(ON_DEVICE)
        for number in range(1, FRAMES):
            push(number)
        frames = FRAMES - 1
        graph = engine.manifest.step
        # Keypoints, conditions and ages up; poses, spread, and what is new of a frame down.
        assert (driver.fake_copied(TO_DEVICE) - before[TO_DEVICE]) / frames < 2000
        kept = 2 * 4 * graph.layers * 17 * graph.width
        assert kept < (driver.fake_copied(TO_HOST) - before[TO_HOST]) / frames < kept + 2000
        # One strided copy of the keys, and one of the values.
        assert driver.fake_copies(ON_DEVICE) - calls == 2 * frames
        assert driver.fake_copied(ON_DEVICE) - before[ON_DEVICE] == kept * frames
        per_person = stream.report().bytes_per_person
        assert per_person > 1.8e6


def rows_of_an_odd_size_are_uploaded_and_said():
    with on_gpu(ODD) as engine:
        assert_same(streamed(engine), on_cpu(ODD))
    assert any("uploaded in each run: the rows of 5 slots" in text for text in messages)
    assert_all_released()


def what_a_stream_held_is_freed():
    with on_gpu(AHEAD) as engine:
        sizes = []
        for _ in range(4):
            streamed(engine)
            gc.collect()
            sizes.append(live())
        assert sizes[1:] == sizes[:1] * 3
        engine(walk(0))
        gc.collect()
        engine(walk(0))
        assert live()[DEVICE_MEMORY] <= sizes[0][DEVICE_MEMORY]
    assert_all_released()


def an_engine_is_closed_before_its_stream():
    engine = on_gpu(AHEAD)
    stream = engine.stream("video", fps=FPS)
    person = walk(0)
    first = [dataclasses.replace(person, points=person.points[:1])]
    stream.push_people(first, 0.0)
    engine.close()
    assert_all_released()
    error = refused(functools.partial(stream.push_people, first, 1.0 / FPS))
    assert "closed" in error.message
    del stream, error
    assert_all_released()


def streams_of_one_engine_run_in_threads():
    expected = on_cpu(AHEAD)
    start = threading.Barrier(3)

    def run(_):
        start.wait()
        return streamed(engine)

    with on_gpu(AHEAD) as engine, ThreadPoolExecutor(3) as pool:
        for found in pool.map(run, range(3)):
            assert_same(found, expected)
    assert_all_released()


def caches_that_do_not_fit_are_an_error():
    with on_gpu(SHIPPED) as engine:
        error = refused(lambda: engine.stream("video", fps=FPS, max_people=1000))
        assert "out of memory" in error.message
        assert "Free GPU memory" in error.hint
        # What was left is enough for fewer.
        with engine.stream("video", fps=FPS) as stream:
            stream.push_people([dataclasses.replace(walk(0), points=walk(0).points[:1])], 0.0)
    assert_all_released()


def a_run_that_is_not_finite_is_not_remembered():
    with on_gpu(AHEAD) as engine:
        runner, recorder = engine._runner, LatencyRecorder("clip")
        states = runner.states(1)
        states.add()
        inputs = np.zeros((1, 17, 2), np.float32)

        def step(number):
            return runner.run(states, np.array([number / FPS]), inputs, None, recorder)

        for number in range(6):
            step(number)
        expected = step(6).poses
        states.remove(0)
        states.add()
        for number in range(6):
            step(number)
        (one,) = states._runs.values()
        lost = one.run._run

        def spoilt():
            outputs = dict(lost())
            outputs[NEW_KEYS] = np.full_like(outputs[NEW_KEYS], np.nan)
            return outputs

        one.run._run = spoilt
        assert "not finite" in refused(lambda: step(6)).message
        one.run._run = lost
        np.testing.assert_array_equal(step(6).poses, expected)
    assert_all_released()


def items_are_as_many_as_rows():
    with on_gpu(AHEAD) as engine:
        session, graph = engine._runner._session, engine.manifest.step
        caches = session.caches(graph.caches(17), 4, None)
        fed = {
            spec.name: np.zeros((2, *spec.shape[1:]), np.float32)
            for spec in session.inputs
            if spec.name not in {name for one in graph.caches(17) for name in one.inputs}
        }
        run = session.prepare(fed, caches, slice(1, 3))
        assert run()[POSES].shape == (2, 1, 17, 3)
        error = refused(functools.partial(session.prepare, fed, caches, slice(1, 4)))
        assert "do not have 3 items" in error.message
        with pytest.raises(NotImplementedError):
            caches.write(0, 0, {}, 0)
        # As soon as nobody refers to them, without a search for cycles.
        gc.disable()
        held = live()
        del run, caches, error
        session.caches(graph.caches(17), 4, None)
        assert live()[GRAPHS] == held[GRAPHS] - 1
        assert live()[DEVICE_MEMORY] < held[DEVICE_MEMORY]


if __name__ == "__main__":
    globals()[sys.argv[1]]()
