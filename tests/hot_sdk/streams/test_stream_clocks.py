"""Streams with the clocks that people have, against the same clip with a perfect clock."""

import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Pose3DEngine
from hot_sdk.errors import KeypointsError, StreamError, UsageError
from hot_sdk.streams.rate import FrameRate, spread_bursts

CLIP = Path(__file__).parents[3] / "examples" / "data" / "jump_mediapipe33.npz"
SIZE = (1768, 994)
FRAMES = 80
TIMES = np.arange(FRAMES) / 30


@pytest.fixture(scope="module")
def points():
    with np.load(CLIP) as file:
        return file["kp"][5 : 5 + FRAMES].astype(float)


@pytest.fixture(scope="module")
def engine():
    with Pose3DEngine(threads=1) as engine:
        yield engine


def opened(engine, mode="video", **options):
    return engine.stream(mode, skeleton="mediapipe33", image_size=SIZE, **options)


def run(engine, points, times, frames=None, **options):
    """The poses by frame, the frames that were refused, and the report."""
    given, refused = [], []
    with opened(engine, **{"lookahead": 5, **options}) as stream:
        for at, timestamp in enumerate(times):
            try:
                given += stream.push(points[at if frames is None else frames[at]], timestamp)
            except StreamError as error:
                refused.append((at, str(error)))
        given += stream.flush()
        return {round(pose.timestamp, 9): pose.pose for pose in given}, refused, stream.report()


@pytest.fixture(scope="module")
def perfect(engine, points):
    poses, refused, report = run(engine, points, TIMES)
    assert (len(poses), refused, report.warnings) == (FRAMES, [], ())
    assert report.fps == pytest.approx(30.0)
    return list(poses.values())


def error_mm(poses, times, perfect):
    far = [
        np.linalg.norm(poses[round(at, 9)] - truth, axis=-1).mean()
        for at, truth in zip(times, perfect, strict=True)
        if round(at, 9) in poses
    ]
    return 1e3 * np.mean(far)


@pytest.mark.parametrize("fps", [None, 30.0])
@pytest.mark.parametrize("burst", [4, 6, 10, 30])
def test_a_queue_delivered_at_once_has_poses_with_context(engine, points, perfect, burst, fps):
    queued = np.arange(burst) * 0.001
    times = np.r_[queued, queued[-1] + np.arange(1, FRAMES - burst + 1) / 30]
    poses, refused, report = run(engine, points, times, fps=fps)
    assert (len(poses), refused) == (FRAMES, [])
    assert report.fps == pytest.approx(30.0)
    assert report.counters.resets == 0
    assert error_mm(poses, times, perfect) < 2.0


def test_a_queue_in_the_middle_shares_the_time_since_the_frame_before(engine, points, perfect):
    times = TIMES.copy()
    times[30:40] = times[39] + np.arange(-9, 1) * 0.001
    poses, refused, report = run(engine, points, times)
    assert (len(poses), refused) == (FRAMES, [])
    assert report.fps == pytest.approx(30.0)
    assert error_mm(poses, times, perfect) < 2.0


def test_the_live_stream_of_the_readme_survives_a_queue(engine, points):
    with opened(engine, "live", lookahead=5) as stream:
        given = []
        for at in range(60):
            stamp = 50.0 + at * 0.0002 if at < 10 else 50.0 + (at - 9) / 30
            given += stream.push(points[at], stamp, track_id=1)
            given += stream._worker.settle()
        assert len(given) == 55
        assert stream.report().fps == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("times", "fps"),
    [
        (np.r_[np.arange(10) / 7.5, 9 / 7.5 + np.arange(1, 71) / 30], 30.0),
        (np.r_[np.arange(40) / 30, 39 / 30 + np.arange(1, 41) / 15], 15.0),
        (TIMES * 1001 / 1000, 30 / 1.001),
        (TIMES * 30 / 240, 240.0),
        ((TIMES + 86400).astype(np.float32).astype(float), 30.0),
        (TIMES + np.random.default_rng(0).uniform(-0.008, 0.008, FRAMES), 30.0),
        (np.repeat(np.arange(20) / 7.5, 4) + np.tile(np.arange(4) * 0.001, 20), 30.0),
    ],
    ids=["dim start", "light goes out", "29.97", "240", "single precision", "jitter", "packets"],
)
def test_the_rate_is_measured_for_as_long_as_the_stream_runs(times, fps):
    rate = FrameRate(None, 30.0, 0.1)
    for timestamp in times:
        rate.check(timestamp)
        rate.observe(timestamp, timestamp)
    assert rate.fps == pytest.approx(fps, rel=0.08)


def test_bursts_are_spread_backwards():
    times = np.array([0.0, 0.1, 0.2, 0.499, 0.5, 0.6])
    assert spread_bursts(times, 0.1).tolist() == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.5, 0.6])
    late = np.array([0.0, 0.1, 0.101, 0.102])
    assert (np.diff(spread_bursts(late, 0.1)) >= 0.05 - 1e-9).all()
    assert spread_bursts(times[:3], 0.1) is not None


@pytest.mark.parametrize("fps", [None, 30.0])
@pytest.mark.parametrize(
    ("times", "unit", "most"),
    [
        (TIMES * 1e3, "milliseconds, not seconds. .* timestamp / 1e\\+03", 3),
        (TIMES * 1e6, "microseconds", 3),
        (TIMES * 1e9, "nanoseconds", 3),
        (1.7e12 + TIMES * 1e3, "milliseconds", 0),
        (1.7e18 + TIMES * 1e9, "nanoseconds, not seconds. .* timestamp / 1e\\+09", 0),
        (9e13 + TIMES * 1e9, "microseconds or nanoseconds", 0),
    ],
)
def test_other_units_than_seconds_are_refused_by_name(engine, points, times, unit, most, fps):
    poses, refused, _ = run(engine, points, times[:12], fps=fps, lookahead=0)
    assert len(poses) == most
    assert [at for at, _ in refused] == list(range(most, 12))
    assert all(re.search(unit, said) for _, said in refused)


def test_minutes_are_refused_if_frames_come_slower():
    rate = FrameRate(None, 30.0, 0.1)
    for timestamp in TIMES[:32]:
        rate.observe(timestamp / 60, timestamp)
    with pytest.raises(StreamError, match="look like minutes"):
        rate.observe(TIMES[32] / 60, TIMES[32])


@pytest.mark.parametrize("step", [-10.0, -0.7, 3600.0])
def test_after_a_jump_of_the_clock_everyone_starts_from_scratch(engine, points, perfect, step):
    times = TIMES.copy()
    times[40:] += step
    poses, refused, report = run(engine, points, times, lookahead=0)
    assert (len(poses), refused) == (FRAMES if step != -0.7 else len(poses), [])
    assert report.counters.clock_jumps == 1
    assert report.warnings == (
        "The timestamps jumped once, back or ahead by more than the time to live; everyone"
        " started from scratch.",
    )
    assert "Warning: The timestamps jumped once" in str(report)
    fresh, _, _ = run(engine, points[40:], TIMES[: FRAMES - 40], lookahead=0)
    # The rate is known already, so that it does not have to be the model's for the first frames.
    np.testing.assert_allclose(poses[round(times[-1], 9)], list(fresh.values())[-1], atol=1e-4)


def test_one_stamp_an_hour_ahead_costs_no_later_frame(engine, points):
    times = TIMES.copy()
    times[40] += 3600
    poses, refused, report = run(engine, points, times)
    assert (len(poses), refused) == (FRAMES, [])
    assert report.counters.clock_jumps == 2


def test_a_frame_out_of_order_costs_that_frame(engine, points):
    times = TIMES.copy()
    times[[40, 41]] = times[[41, 40]]
    poses, refused, report = run(engine, points, times)
    assert (len(poses), [at for at, _ in refused]) == (FRAMES - 1, [41])
    assert report.counters.clock_jumps == 0


def test_a_clock_set_back_a_little_is_followed_from_the_second_frame(engine, points):
    times = TIMES.copy()
    times[40:] -= 0.3
    _, refused, report = run(engine, points, times)
    assert [at for at, _ in refused] == [40]
    assert report.counters.clock_jumps == 1


def test_reset_forgets_people_and_the_clock(engine, points):
    stream = opened(engine, lookahead=2)
    for at in range(20):
        stream.push(points[at], 100.0 + at / 30)
    stream.reset()
    report = stream.report()
    assert (report.people, report.fps, report.counters.dropped) == (0, None, 2)
    assert stream.push(points[0], 99.9) == ()
    assert stream.report().counters.clock_jumps == 0
    stream.close()


def test_a_rate_that_the_timestamps_contradict_is_reported(engine, points):
    _, _, report = run(engine, points, TIMES * 4, fps=30.0)
    assert report.warnings == (
        "The stream was opened with fps=30, but the timestamps say 7.5. Leave fps out, or check"
        " the timestamps.",
    )


def test_rates_of_no_camera_are_refused(engine):
    for rate in (0.033, 33_333.0):
        with pytest.raises(UsageError, match="frames per second, 1 to 1000"):
            opened(engine, fps=rate)


def test_sizes_and_arrays_as_other_libraries_give_them(engine, points):
    with engine.stream("video", skeleton="mediapipe33", image_size=list(SIZE)) as stream:
        assert len(stream.push(points[:1], np.float32(0.0))) == 1
        assert stream.push([], 0.1)[0].timestamp == 0.1
        assert stream.push(np.zeros((0, 33, 3)), np.int64(1)) == ()
        with pytest.raises(StreamError, match="3 people or frames"):
            stream.push(points[:3], 1.2)
        with pytest.raises(StreamError, match="expected Keypoints"):
            stream.push_people([points[0]], 1.2)
    with pytest.raises(KeypointsError, match="image_size is \\(0, 0\\)"):
        engine.stream("video", image_size=(0, 0))


def test_numbers_of_frames_as_times_are_warned_of(engine, points):
    with opened(engine, lookahead=0) as stream:
        for frame in range(10):
            stream.push(points[frame], frame, track_id=1)
        assert "whole numbers of frames" in stream.report().warnings[0]


def test_ticks_of_a_video_are_named(engine, points):
    with opened(engine, lookahead=0) as stream:
        for frame in range(3):
            stream.push(points[frame], 3003 * frame, track_id=1)
        with pytest.raises(StreamError, match="90 kHz") as raised:
            stream.push(points[3], 3003 * 3, track_id=1)
    assert raised.value.hint.endswith("timestamp / 9e+04.")


def test_rates_of_other_libraries(engine):
    for rate in (np.float32(30), Decimal(30), np.array(30.0), np.array([30])):
        assert opened(engine, fps=rate).report().fps == 30.0
    with pytest.raises(UsageError, match=r"fps is 0\.04") as raised:
        opened(engine, fps=0.04)
    assert raised.value.hint == "It looks like seconds per frame: give fps=25."
    for rate in (True, Decimal("NaN"), "30", np.array([30.0, 30.0])):
        with pytest.raises(UsageError, match="expected frames per second"):
            opened(engine, fps=rate)


def test_values_that_are_no_array_or_masked(engine, points):
    hidden = np.ma.masked_array(points[0], mask=np.zeros_like(points[0]))
    hidden.mask[23:25] = True
    with opened(engine) as stream:
        with pytest.raises(KeypointsError, match="not an array"):
            stream.push([[1.0, 2.0], [3.0]], 0.0)
        masked = stream.push(hidden, 0.0, track_id=1) + stream.flush()
    assert not masked[0].valid.any()
