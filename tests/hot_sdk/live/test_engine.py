"""A live network's file in the engine: clips and streams give the same poses, those of the network
over the clip at once."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from live_files import FPS, lifted_at_once, make_live_file

from hot_sdk import CameraPose, Intrinsics, Keypoints, Pose3DEngine
from hot_sdk.engines.caches import PreparedRun
from hot_sdk.errors import EngineError, KeypointsError, ManifestError, UsageError
from hot_sdk.inference import LiftedClip
from hot_sdk.latency import LatencyRecorder
from hot_sdk.live.runner import StepRunner
from hot_sdk.manifest import CONDITION_NAMES
from hot_sdk.preprocessing import prepare_clip
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.skeletons import H36M17
from hot_sdk.step_memory import StepMemory

MEMORY = "5+3x4"
FRAMES = 40
SIZE = (1280, 720)
FILES = {"0": (0, None), "4": (4, None), "4 by two": (4, 2)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Lookahead 0, 4 and 4 with a fixed batch: the file and its network."""
    folder = tmp_path_factory.mktemp("live")
    made = {}
    for name, (lookahead, batch) in FILES.items():
        path = folder / f"{lookahead}_{batch}.onnx"
        made[name] = path, make_live_file(path, lookahead=lookahead, memory=MEMORY, batch=batch)
    return made


@pytest.fixture(scope="module", params=FILES)
def live(request, files):
    """The engine, its network, and its lookahead."""
    path, network = files[request.param]
    with Pose3DEngine(path, threads=1) as engine:
        yield engine, network, FILES[request.param][0]


@pytest.fixture(scope="module")
def ahead(files):
    """The engine that looks ahead."""
    with Pose3DEngine(files["4"][0], threads=1) as engine:
        yield engine


def walk(seed=0, frames=FRAMES, **given):
    """Someone who moves at random about a place in the image."""
    chance = np.random.default_rng(seed)
    middle = np.array([500.0 + 60.0 * seed, 360.0])
    body = chance.normal(0.0, 70.0, (17, 2)) + middle
    moves = np.cumsum(chance.normal(0.0, 4.0, (frames, 17, 2)), axis=0)
    points = (body + moves).astype(np.float32)
    given = {"fps": FPS, "track_id": seed, **given}
    return Keypoints(points, skeleton="h36m17", image_size=SIZE, **given)


def with_points(person, change):
    points = person.points.copy()
    change(points)
    return dataclasses.replace(person, points=points)


def streamed(engine, people, *, starts=None, mode="video", fps=FPS, **options):
    """Push people frame by frame; return poses by track id and time, and the report."""
    starts = starts or [0] * len(people)
    found = {}
    last = max(start + len(one) for start, one in zip(starts, people, strict=True))
    with engine.stream(mode, fps=fps, **options) as stream:
        for number in range(last):
            shown = []
            for start, one in zip(starts, people, strict=True):
                at = slice(number - start, number - start + 1)
                if 0 <= number - start < len(one) and not np.isnan(one.points[at]).all():
                    frame = {"points": one.points[at], "timestamps": None, "fps": None}
                    up = one.knowledge.up_of(at)
                    shown.append(dataclasses.replace(one, up=up, **frame))
            for pose in stream.push_people(shown, number / fps):
                found[pose.track_id, round(pose.timestamp * fps)] = pose
        for pose in stream.flush():
            found[pose.track_id, round(pose.timestamp * fps)] = pose
        report = stream.report()
    return found, report


def assert_same(found, result, *, start=0, atol=1e-5):
    name = result.track_id
    numbers = [number for person, number in found if person == name]
    assert sorted(numbers) == list(range(start, start + len(result)))
    for frame in range(len(result)):
        pose = found[name, start + frame]
        np.testing.assert_allclose(pose.pose, result.poses[frame], atol=atol, rtol=0)
        np.testing.assert_allclose(pose.spread, result.spread[frame], atol=atol, rtol=0)
        np.testing.assert_array_equal(pose.valid, result.valid[frame])


def test_a_clip_is_lifted_as_the_network_lifts_it_at_once(live):
    engine, network, lookahead = live
    person = walk()
    result = engine(person)
    inputs = (person.points - np.float32([640, 360])) * np.float32(2 / 1280)
    expected = lifted_at_once(
        network,
        inputs,
        np.arange(FRAMES) / FPS,
        np.zeros((FRAMES, 5), np.float32),
        lookahead=lookahead,
        memory=StepMemory(5, 3, 4),
    )
    np.testing.assert_allclose(result.poses, expected, atol=1e-5, rtol=0)
    assert result.valid.all()
    assert result.spread[:, 1:].min() > 0.0
    record = next(one for one in result.policies if one.name == "frames")
    assert (record.count, record.total) == (FRAMES, FRAMES)
    assert f"a lookahead of {lookahead}" in record.detail


def test_the_past_matters_and_only_as_much_of_the_future_as_the_lookahead(live):
    engine, _, lookahead = live
    person, at = walk(), 20
    other = engine(with_points(person, lambda points: points.__setitem__(at, points[at] + 9)))
    same = engine(person)
    changed = np.abs(other.poses - same.poses).max(axis=(1, 2)) > 1e-6
    assert changed[at - lookahead : at + 3].all()
    assert not changed[: at - lookahead].any()


def test_people_lifted_together_are_lifted_as_alone(live):
    engine, _, _ = live
    people = [walk(0), walk(1, frames=17), walk(2, frames=29, fps=25.0)]
    for result, one in zip(engine.lift(people), people, strict=True):
        alone = engine(one)
        assert len(result) == len(one)
        np.testing.assert_allclose(result.poses, alone.poses, atol=2e-6, rtol=0)


def test_streams_give_the_poses_of_clips(live):
    """Of people who come at other times, with missing joints, absent frames and a jump."""
    engine, _, lookahead = live

    def damage(points):
        points[5:9, 16] = np.nan
        points[12:14] = np.nan
        points[20, 13] += 500.0
        points[:3, 3] = np.nan

    people = [with_points(walk(0), damage), walk(1, frames=25), walk(2, frames=12)]
    starts = [0, 6, 20]
    results = engine.lift(people)
    found, report = streamed(engine, people, starts=starts)
    assert_same({k: v for k, v in found.items() if k[0] == 0}, results[0])
    for start, result, one in zip(starts[1:], results[1:], people[1:], strict=True):
        # After they leave they are bridged, which comes after their clip's end.
        known = {k: v for k, v in found.items() if k[0] == one.track_id and k[1] < start + len(one)}
        settled = len(one) - lookahead
        for frame in range(settled):
            pose = known[one.track_id, start + frame]
            np.testing.assert_allclose(pose.pose, result.poses[frame], atol=2e-6, rtol=0)
    assert report.lookahead == lookahead
    assert report.lookahead_ms == pytest.approx(1e3 * lookahead / FPS)
    assert 0 < report.bytes_per_person < 200_000
    assert "MB remembered of each" in str(report)
    counters = {one.name: one.count for one in results[0].policies}
    assert counters["outlier_joints"] == 1
    assert counters["empty_frames"] == 2


def in_a_mirror(person):
    points = person.points[:, H36M17.mirror].copy()
    points[..., 0] = SIZE[0] - points[..., 0]
    return dataclasses.replace(person, points=points)


def test_flip_averages_with_the_mirror_image(files):
    """Of people who come and leave while others stay, whose mirror images are remembered, too."""
    people, starts = [walk(0), walk(1, frames=12), walk(2, frames=20)], [0, 3, 9]
    path = files["4"][0]
    with Pose3DEngine(path, threads=1) as engine:
        plain = engine.lift(people)
        back = engine.lift([in_a_mirror(one) for one in people])
        once = streamed(engine, people, starts=starts)[1].bytes_per_person
    with Pose3DEngine(path, threads=1, flip=True) as engine:
        results = engine.lift(people)
        found, report = streamed(engine, people, starts=starts)
    for result, one, other in zip(results, plain, back, strict=True):
        expected = (one.poses + other.poses[:, H36M17.mirror] * [-1.0, 1.0, 1.0]) / 2
        np.testing.assert_allclose(result.poses, expected, atol=2e-6, rtol=0)
        assert np.abs(result.poses - one.poses).max() > 1e-3
        wide = (one.spread + other.spread[:, H36M17.mirror]) / 2
        np.testing.assert_allclose(result.spread, wide, atol=2e-6, rtol=0)
    for start, result, one in zip(starts, results, people, strict=True):
        for frame in range(len(one) - 4):
            pose = found[one.track_id, start + frame].pose
            np.testing.assert_allclose(pose, result.poses[frame], atol=2e-6, rtol=0)
    assert report.bytes_per_person == 2 * once


def test_whoever_returns_after_a_long_gap_has_no_past(live):
    engine, _, _ = live
    gap = slice(10, 60)
    long = with_points(walk(0, frames=90), lambda points: points.__setitem__(gap, np.nan))
    result = engine(long)
    found, report = streamed(engine, [long])
    assert report.counters.resets == 1
    fresh = engine(
        dataclasses.replace(long, points=long.points[60:], first_frame=60, timestamps=None)
    )
    np.testing.assert_allclose(result.poses[60:], fresh.poses, atol=2e-6, rtol=0)
    for number in (*range(10), *range(60, 90)):
        np.testing.assert_allclose(found[0, number].pose, result.poses[number], atol=2e-6, rtol=0)
    # Bridged for 25 frames; the pose before stands for the rest, which a stream has none of.
    assert max(number for _, number in found if number < 60) == 34
    np.testing.assert_array_equal(result.poses[36:60], np.repeat(result.poses[34:35], 24, 0))
    assert not result.valid[30:60].any()


def test_whoever_is_forgotten_and_returns_has_no_past(ahead):
    person = walk(0, frames=12)
    alone = ahead(person)
    with ahead.stream("video", fps=FPS, skeleton="h36m17", image_size=SIZE) as stream:
        for again in range(3):
            found = []
            for number in range(12):
                found += stream.push(person.points[number], 5.0 * again + number / FPS, 0)
            found = [one for one in found if one.timestamp >= 5.0 * again]
            assert len(found) == 8
            for pose, expected in zip(found, alone.poses, strict=False):
                np.testing.assert_allclose(pose.pose, expected, atol=2e-6, rtol=0)
            # The last ones come when it is clear that nothing follows.
        rest = stream.flush()
        assert len(rest) == 4
        np.testing.assert_allclose([one.pose for one in rest], alone.poses[8:], atol=2e-6, rtol=0)
        report = stream.report()
    assert report.counters.poses == 36
    assert report.counters.dropped == 0


def test_reset_and_clock_jumps_start_from_scratch(ahead):
    person = walk(0, frames=12)
    alone = ahead(person)
    with ahead.stream("video", fps=FPS, skeleton="h36m17", image_size=SIZE) as stream:
        for number in range(6):
            stream.push(walk(3).points[number], 100.0 + number / FPS, 0)
        stream.reset()
        assert stream.report().counters.dropped == 4
        found = []
        for number in range(12):
            found += stream.push(person.points[number], number / FPS, 0)
        np.testing.assert_allclose([one.pose for one in found], alone.poses[:8], atol=2e-6, rtol=0)
        # The clock goes back: the pending poses come, and the person is new.
        back = list(stream.push(person.points[0], -50.0, 0))
        np.testing.assert_allclose([one.pose for one in back], alone.poses[8:], atol=2e-6, rtol=0)
        assert stream.report().counters.clock_jumps == 1


def test_what_the_network_is_told_and_sees(ahead):
    """In virtual cameras, as clips of window models are prepared; back along the camera's axes."""
    lens = Intrinsics(900.0, 910.0, 650.0, 350.0, (0.05, -0.02, 0.001, -0.002))
    angles = 0.3 * np.sin(np.arange(FRAMES) / 9.0)
    ups = np.stack([CameraPose.mounted(roll=one, pitch=0.2).rotation[2] for one in angles])
    # Held for a tenth of a second, as an IMU slower than the camera leaves it.
    ups[8:11] = ups[7]
    given = ups.copy()
    given[8:11] = np.nan
    reference = walk(0).with_camera(lens, up=ups, height_m=1.2)
    person = walk(0).with_camera(lens, up=given, height_m=1.2)
    runner = ahead._runner
    clip = prepare_clip(
        reference,
        runner.input_spec,
        InputPolicies(),
        frames=1,
        training_fps=FPS,
        conditions=CONDITION_NAMES,
    )
    told = clip.conditions_at(np.arange(FRAMES))
    states, recorder = runner.states(1), LatencyRecorder("clip")
    states.add()
    poses, spreads = [], []
    for step in range(FRAMES + 4):
        at, last = min(step, FRAMES - 1), step >= FRAMES
        when = np.array([np.nan if last else step / FPS])
        found = runner.run(states, when, clip.inputs[at : at + 1], told[at : at + 1], recorder)
        poses.append(found.poses[0])
        spreads.append(found.spread[0])
    lifted = LiftedClip(np.stack(poses[4:]), np.stack(spreads[4:]), None)
    clip.turn_back(lifted.poses, lifted.spread)
    result = ahead.lift([person])[0]
    np.testing.assert_allclose(result.poses, lifted.poses, atol=2e-6, rtol=0)
    np.testing.assert_allclose(result.spread, lifted.spread, atol=2e-6, rtol=0)
    upright = next(one for one in result.policies if one.name == "upright")
    assert upright.count == FRAMES
    found, _ = streamed(ahead, [person], height_m=1.2)
    for number in range(FRAMES):
        # At the size that the stream found; the network's own is not its to say.
        shape = found[0, number].pose / np.linalg.norm(found[0, number].pose)
        expected = result.poses[number] / np.linalg.norm(result.poses[number])
        np.testing.assert_allclose(shape, expected, atol=1e-5, rtol=0)


def test_live_mode_gives_the_same_poses(ahead):
    person = walk(0)
    expected = ahead(person).poses
    received = []
    with ahead.stream(
        "live", fps=FPS, skeleton="h36m17", image_size=SIZE, smoothing=False,
        callback=received.append,
    ) as stream:  # fmt: skip
        for number in range(FRAMES):
            stream.push(person.points[number], number / FPS, 0)
            stream._worker.settle()
        assert stream.flush() == ()
        report = stream.report()
    assert report.counters.dropped == 0
    assert [round(one.timestamp * FPS) for one in received] == list(range(FRAMES))
    np.testing.assert_allclose([one.pose for one in received], expected, atol=2e-6, rtol=0)
    assert received[0].delay_s > 4 / FPS


def test_frames_that_the_engine_is_too_slow_for_are_dropped(ahead):
    person = walk(0)
    with ahead.stream("live", fps=FPS, skeleton="h36m17", image_size=SIZE) as stream:
        # The worker waits for its turn while frames come.
        with stream._turn:
            for number in range(20):
                stream.push(person.points[number], number / FPS, 0)
        stream.flush()
        counters = stream.report().counters
    assert counters.dropped + counters.poses == 20
    assert counters.dropped >= 18
    assert counters.poses >= 1


def test_a_burst_is_spread_out(ahead):
    """Frames that waited in a queue are remembered at the times at which they were taken."""
    person = walk(0)
    regular = np.arange(FRAMES) / FPS
    late = regular.copy()
    late[20:23] = late[23] - np.array([3e-3, 2e-3, 1e-3])
    with ahead.stream("video", fps=FPS, skeleton="h36m17", image_size=SIZE) as stream:
        for points, seconds in zip(person.points[:27], late.tolist(), strict=False):
            stream.push(points, seconds, 0)
        (stay,) = stream._tracks.stays
        times = stream._live._people.times(stay, 10)
    np.testing.assert_allclose(times, regular[17:27], atol=1e-9, rtol=0)


def test_other_frame_rates_are_not_resampled(ahead):
    for fps, warned in ((15.0, False), (60.0, False), (120.0, True), (8.0, True)):
        result = ahead(walk(0, fps=fps))
        assert not any(one.name == "resampled" for one in result.policies)
        assert any("was trained with 15 to 60" in one for one in result.warnings) == warned
    _, report = streamed(ahead, [walk(0)], fps=120.0)
    assert any("120 frames per second" in one for one in report.warnings)
    assert report.resampled_to_fps is None


def test_frames_before_the_first_that_shows_the_person(ahead):
    late = with_points(walk(0), lambda points: points.__setitem__(slice(0, 6), np.nan))
    result = ahead(late)
    np.testing.assert_array_equal(result.poses[:6], np.repeat(result.poses[6:7], 6, axis=0))
    assert not result.valid[:6].any()
    assert result.valid[6:].all()
    counts = {one.name: one.count for one in result.policies}
    assert (counts["first_empty_frames"], counts["frames"]) == (6, FRAMES - 6)
    nobody = with_points(walk(0), lambda points: points.fill(np.nan))
    with pytest.raises(KeypointsError, match="None of the 40 frames shows a joint"):
        ahead(nobody)


@pytest.mark.parametrize("options", [{"lookahead": 3}, {"lookahead": 5}, {"hop": 2}])
def test_another_lookahead_names_that_of_the_file(ahead, options):
    with pytest.raises(UsageError, match="a lookahead of 4 that its file was exported with"):
        ahead.stream("video", **options)
    with ahead.stream("video", lookahead=4, hop=1) as stream:
        assert stream.report().lookahead == 4


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"windows": "overlap"}, "no windows"),
        ({"overlap": 2}, "no windows"),
    ],
)
def test_options_of_windows_are_refused(files, options, problem):
    with pytest.raises(UsageError, match=problem):
        Pose3DEngine(files["4"][0], **options)


def test_a_file_that_is_not_as_its_manifest_says(ahead):
    step = dataclasses.replace(ahead.manifest.step, recent=6)
    manifest = dataclasses.replace(ahead.manifest, step=step)
    with pytest.raises(ManifestError, match=r"inputs are not those of its manifest: ages"):
        StepRunner(ahead._session, manifest)
    boxed = dataclasses.replace(ahead.manifest, normalization="bounding_box")
    with pytest.raises(ManifestError, match="box about all of them"):
        StepRunner(ahead._session, boxed)


class Faulty:
    """A session whose run fails once, or returns NaN once."""

    def __init__(self, session, fault, at):
        self._session, self._fault, self._left = session, fault, at

    def __getattr__(self, name):
        return getattr(self._session, name)

    def prepare(self, arrays, caches, rows):
        prepared = self._session.prepare(arrays, caches, rows)

        def run():
            self._left -= 1
            outputs = dict(prepared())
            if self._left == 0:
                if self._fault == "raises":
                    raise EngineError("It failed.", hint="Try again.")
                outputs[self._fault] = np.full_like(outputs[self._fault], np.nan)
            return outputs

        return PreparedRun(run, caches, rows.start)


@pytest.mark.parametrize("fault", ["raises", "poses_3d", "new_keys"])
def test_a_run_that_fails_is_not_remembered(ahead, fault):
    runner = StepRunner(Faulty(ahead._session, fault, 6), ahead.manifest)
    states, recorder = runner.states(1), LatencyRecorder("clip")
    states.add()
    inputs = np.zeros((1, 17, 2), np.float32)
    for step in range(5):
        runner.run(states, np.array([step / FPS]), inputs, None, recorder)

    def fed():
        feeds = states.feeds(slice(0, 1), np.array([0.2]))
        return {**feeds, **states.caches.inputs(slice(0, 1))}

    before = {name: array.copy() for name, array in fed().items()}
    with pytest.raises(EngineError, match=r"failed|not finite"):
        runner.run(states, np.array([0.2]), inputs, None, recorder)
    assert states.steps(0) == 5
    for name, array in fed().items():
        np.testing.assert_array_equal(array, before[name])
    runner.run(states, np.array([0.2]), inputs, None, recorder)
    assert states.steps(0) == 6


def test_memory_does_not_grow(ahead):
    person = walk(0)
    frames = [
        dataclasses.replace(person, points=person.points[n : n + 1], track_id=k)
        for n, k in ((0, 0), (1, 1), (2, 0), (3, 1))
    ]
    with ahead.stream("video", fps=FPS) as stream:

        def push(first, last):
            for number in range(first, last):
                # Others each five seconds, the ones before forgotten.
                shown = [
                    dataclasses.replace(one, track_id=one.track_id + number // 150 * 2)
                    for one in frames[number % 2 * 2 : number % 2 * 2 + 2]
                ]
                stream.push_people(shown, number / FPS)

        push(0, 300)
        tracemalloc.start()
        push(300, 320)
        before = tracemalloc.get_traced_memory()[0]
        push(320, 1100)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert stream.report().counters.left >= 10
    # Running samples of the latency report are all that is kept, until there are 10,000.
    assert after - before < 300_000
