"""The filter and the smoother, against what they approximate: exact inference in a linear model."""

import numpy as np
import pytest

from hot_sdk.cameras import CameraPose
from hot_sdk.errors import UsageError
from hot_sdk.root import RootMeasurements, RootOptions, RootTracker, ScalePrior, model, track_clip
from hot_sdk.root.filter import first_state, smooth, step
from hot_sdk.root.states import RootFrame

NOISE = np.diag([0.003, 0.003, 0.02]) ** 2
POSE = np.diag([0.002, 0.002, 0.03]) ** 2
OPTIONS = RootOptions()
KNOWN = ScalePrior(1.0, 1e-3)
TIMES = np.arange(90) / 30.0


def measured(roots, pose=0.0):
    """What frames measure, with covariances as above."""
    frames = len(roots)
    return RootMeasurements(
        root=np.asarray(roots, dtype=float),
        pixel_covariance=np.broadcast_to(NOISE, (frames, 3, 3)),
        pose_covariance=np.broadcast_to(POSE * pose, (frames, 3, 3)),
        misfit=np.ones(frames),
        residual_px=np.ones(frames),
    )


def walked(random, times, options=OPTIONS):
    """A course of the filter's own kind: constant velocity with white acceleration."""
    place, speed = np.array([0.0, 0.3, 4.0]), random.normal(size=3) * 0.5
    places, speeds = [], []
    for seconds in np.diff(times, prepend=times[0]):
        noise = model.advance(options, seconds, np.zeros((3, 3))).noise[:6, :6]
        moved = np.concatenate([place + speed * seconds, speed])
        moved += random.multivariate_normal(np.zeros(6), noise, method="eigh")
        place, speed = moved[:3], moved[3:]
        places.append(place)
        speeds.append(speed)
    return np.array(places), np.array(speeds)


def noisy(random, places):
    return places + random.multivariate_normal(np.zeros(3), NOISE, size=len(places))


def frames_of(roots, times, pose=0.0, cameras=None):
    found = measured(roots, pose)
    return [
        RootFrame(
            timestamp=times[at],
            root=found.root[at],
            pixel_covariance=found.pixel_covariance[at],
            pose_covariance=found.pose_covariance[at],
            misfit=1.0,
            rotation=np.eye(3) if cameras is None else cameras[at].rotation,
            position=np.zeros(3) if cameras is None else cameras[at].translation,
        )
        for at in range(len(times))
    ]


def test_smoother_is_the_least_squares_of_all_frames(monkeypatch):
    # In the filter a person may be anywhere, which is too far for the arithmetic of this test.
    monkeypatch.setattr(model, "_ANYWHERE_M", 1.0)
    random = np.random.default_rng(0)
    times = np.array([0.0, 0.03, 0.07, 0.10, 0.17, 0.20, 0.23])
    roots = noisy(random, walked(random, times)[0])
    roots[3] = np.nan
    places = [CameraPose(np.eye(3), np.array([0.1, 0.0, 0.2]) * at) for at in range(len(times))]
    state = first_state(ScalePrior())
    first_mean, first_covariance = state.mean, state.covariance
    steps, mean, blocks = [], [], []
    for frame in frames_of(roots, times, 1.0, places):
        before = state
        one = step(state, frame, OPTIONS)
        steps.append(one)
        state = one.state
        if len(steps) == 1:
            # Where the filter starts from: anywhere, about what it measures.
            motion = model.restart(OPTIONS, POSE)
            middle = np.zeros(model.STATES)
            middle[model.SIZE] = first_mean[model.SIZE]
            middle[model.PLACE] = roots[0]
            mean.append(middle)
            blocks.append([motion.transition @ first_covariance @ motion.transition + motion.noise])
            continue
        seconds = frame.timestamp - before.timestamp
        slow = POSE if frame.measured else before.covariance[6:9, 6:9]
        motion = model.advance(OPTIONS, seconds, slow, before.agility)
        mean.append(motion.transition @ mean[-1])
        row = [motion.transition @ block for block in blocks[-1]]
        own = motion.transition @ blocks[-1][-1] @ motion.transition.T + motion.noise
        blocks.append([*row, own])
    # All states of all frames, jointly normal, given everything that was measured.
    count, size = len(times), model.STATES
    joint = np.zeros((count * size, count * size))
    for i, row in enumerate(blocks):
        for j, block in enumerate(row):
            joint[i * size : (i + 1) * size, j * size : (j + 1) * size] = block
            joint[j * size : (j + 1) * size, i * size : (i + 1) * size] = block.T
    rows, values, noise = [], [], []
    for at in np.flatnonzero(np.isfinite(roots[:, 0])):
        moved = places[at].translation
        observed = model.observe_root(roots[at], NOISE, np.eye(3), moved)
        wide = np.zeros((3, count * size))
        wide[:, at * size : (at + 1) * size] = observed.rows
        rows.append(wide)
        values.append(observed.values)
        noise.append(observed.noise)
    rows, values = np.concatenate(rows), np.concatenate(values)
    spread = rows @ joint @ rows.T + np.kron(np.eye(len(noise)), NOISE)
    gain = joint @ rows.T @ np.linalg.inv(spread)
    expected = np.concatenate(mean) + gain @ (values - rows @ np.concatenate(mean))
    covariance = joint - gain @ rows @ joint
    for at, (found, unsure) in enumerate(smooth(steps)):
        part = slice(at * size, (at + 1) * size)
        np.testing.assert_allclose(found, expected[part], atol=1e-6)
        np.testing.assert_allclose(unsure, covariance[part, part], atol=1e-6)
    # The last frame has nothing after it.
    np.testing.assert_allclose(steps[-1].state.mean, expected[-size:], atol=1e-6)


@pytest.mark.parametrize("lag", [0, 5, None])
def test_stated_covariances_are_those_of_the_errors(lag):
    squares = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        # Irregular times, and every tenth frame without a measurement.
        times = np.cumsum(random.uniform(0.01, 0.06, 40))
        places, speeds = walked(random, times)
        roots = noisy(random, places)
        roots[::10] = np.nan
        path = track_clip(measured(roots), times, prior=KNOWN, lag=lag)
        errors = np.concatenate([path.position - places, path.velocity - speeds], axis=1)[1::4]
        covariance = path.covariance[1::4, :6, :6]
        solved = np.linalg.solve(covariance, errors[..., None])[..., 0]
        squares.append((errors * solved).sum(axis=1))
    # Six errors each; jumps that are none make the filter a little unsure.
    assert np.mean(squares) == pytest.approx(6.0, abs=1.2)
    assert (np.array(squares) < 12.59).mean() > 0.9


def test_slow_errors_of_poses_stay_in_the_covariance():
    squares = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        places, _ = walked(random, TIMES[:60])
        kept = np.exp(-np.diff(TIMES)[0] / OPTIONS.pose_error_s)
        slow = [random.multivariate_normal(np.zeros(3), POSE)]
        for _ in TIMES[1:60]:
            fresh = random.multivariate_normal(np.zeros(3), POSE * (1.0 - kept**2))
            slow.append(kept * slow[-1] + fresh)
        path = track_clip(measured(noisy(random, places) + slow, 1.0), TIMES[:60], prior=KNOWN)
        errors = (path.position - places)[::8]
        solved = np.linalg.solve(path.covariance[::8, :3, :3], errors[..., None])[..., 0]
        squares.append((errors * solved).sum(axis=1))
    assert np.mean(squares) == pytest.approx(3.0, abs=0.8)


def test_smoothing_halves_the_error_and_velocity_is_far_better_than_differences():
    random = np.random.default_rng(3)
    places, speeds = walked(random, TIMES)
    roots = noisy(random, places)
    differences = np.diff(roots, axis=0) * 30.0
    apart = {lag: track_clip(measured(roots), TIMES, prior=KNOWN, lag=lag) for lag in (0, 5, None)}
    depth = {lag: np.sqrt(((p.position - places)[15:, 2] ** 2).mean()) for lag, p in apart.items()}
    moving = {lag: np.sqrt(((p.velocity - speeds)[15:] ** 2).mean()) for lag, p in apart.items()}
    alone = np.sqrt(((roots - places)[15:, 2] ** 2).mean())
    assert depth[None] <= depth[5] * 1.1 < depth[0] < alone
    assert depth[None] < 0.55 * alone
    assert moving[None] < moving[0] < 0.4 * np.sqrt(((differences - speeds[1:])[15:] ** 2).mean())


def test_a_lag_is_the_smoother_over_the_frames_so_far():
    random = np.random.default_rng(4)
    roots = noisy(random, walked(random, TIMES)[0])
    lagged, whole = RootTracker(lag=3), RootTracker(lag=89)
    first = [lagged.push(one, time) for one, time in zip(each(roots), TIMES, strict=True)]
    assert first[:3] == [None] * 3
    assert first[3].timestamp == 0.0
    rest = lagged.flush()
    assert [one.timestamp for one in rest] == TIMES[-3:].tolist()
    until = track_clip(measured(roots[:44]), TIMES[:44])
    np.testing.assert_allclose(first[43].position, until.position[40], atol=1e-9)
    for one, time in zip(each(roots), TIMES, strict=True):
        oldest = whole.push(one, time)
    np.testing.assert_allclose(oldest.position, track_clip(measured(roots), TIMES).position[0])
    np.testing.assert_allclose(rest[-1].position, whole.newest().position)
    assert RootTracker().newest() is None


def each(roots):
    found = measured(roots)
    return [found.frame(at) for at in range(len(roots))]


def test_gaps_are_bridged_while_they_are_short():
    random = np.random.default_rng(5)
    places, _ = walked(random, TIMES)
    roots = noisy(random, places)
    roots[:5] = roots[30:40] = roots[50:80] = np.nan
    path = track_clip(measured(roots), TIMES, prior=KNOWN, lag=0)
    unknown = np.isnan(path.position).any(axis=1)
    assert np.isnan(path.velocity[unknown]).all()
    # Half a second after the last measurement, at frame 49.
    assert np.flatnonzero(unknown).tolist() == [*range(5), *range(65, 80)]
    assert path.measured.tolist() == np.isfinite(roots[:, 0]).tolist()
    assert path.restarts.tolist() == [0] * 5 + [1] * 75 + [2] * 10
    spread = path.covariance[:, 2, 2]
    assert (np.diff(spread[30:40]) > 0.0).all()
    assert spread[40] < 0.5 * spread[39]
    smoothed = track_clip(measured(roots), TIMES, prior=KNOWN)
    inside = slice(30, 40)
    apart, before = (
        np.abs(one.position[inside] - places[inside]).mean() for one in (smoothed, path)
    )
    assert apart < 0.7 * before


def test_someone_elses_keypoints_are_left_out_until_they_stay():
    random = np.random.default_rng(6)
    places, _ = walked(random, TIMES)
    roots = noisy(random, places)
    roots[40:43] += [1.0, 0.0, 0.5]
    roots[70:] += [1.0, 0.0, 0.5]
    path = track_clip(measured(roots), TIMES, prior=KNOWN, lag=0)
    assert np.abs(path.position - places)[:70].max() < 0.1
    assert np.flatnonzero(~path.measured).tolist() == [40, 41, 42, *range(70, 80)]
    # They leave no doubt about the frames after them.
    clean = track_clip(measured(noisy(np.random.default_rng(6), places)), TIMES, prior=KNOWN, lag=0)
    np.testing.assert_allclose(path.covariance[60], clean.covariance[60], rtol=0.2, atol=1e-4)
    # Then the person is believed to be there.
    assert path.restarts[-1] == 2
    np.testing.assert_allclose(path.position[-1], places[-1] + [1.0, 0.0, 0.5], atol=0.1)


def test_jumps_make_the_filter_follow_faster():
    random = np.random.default_rng(7)
    places = np.tile([0.0, 0.0, 4.0], (90, 1))
    flight = np.clip(np.minimum(TIMES - 1.5, 2.0 - TIMES), 0.0, None)
    places[:, 1] = -0.5 * np.sin(flight * 2.0 * np.pi) ** 2
    path = track_clip(measured(noisy(random, places)), TIMES, prior=KNOWN, lag=0)
    assert path.measured.all()
    assert path.covariance[55, 4, 4] > 1.5 * path.covariance[40, 4, 4]
    assert np.abs(path.position - places)[:, 1].max() < 0.04


def test_a_moving_camera_finds_the_same_root():
    random = np.random.default_rng(8)
    places, speeds = walked(random, TIMES)
    seen = noisy(random, places) - places
    cameras = [
        CameraPose.mounted((0.3 * time, -0.2 * time, 1.1), yaw=0.4 * time, pitch=0.1)
        for time in TIMES
    ]
    at_rest = CameraPose.mounted((0.0, 0.0, 1.1))
    world = places @ at_rest.rotation.T + at_rest.translation
    moved = [
        (one - camera.translation) @ camera.rotation + error
        for one, camera, error in zip(world, cameras, seen, strict=True)
    ]
    path = track_clip(measured(moved), TIMES, cameras=cameras, prior=KNOWN)
    assert np.abs(path.position - world)[10:-10].max() < 0.03
    assert np.abs(path.velocity - speeds @ at_rest.rotation.T)[10:-10].max() < 0.3
    still = track_clip(measured(places + seen), TIMES, cameras=at_rest, prior=KNOWN)
    np.testing.assert_allclose(still.position, path.position, atol=0.03)


def test_what_is_known_of_now():
    random = np.random.default_rng(9)
    roots = noisy(random, walked(random, TIMES)[0])
    tracker = RootTracker(prior=KNOWN, lag=5)
    assert np.isnan(tracker.predict(0.0).position).all()
    for one, time in zip(each(roots), TIMES, strict=True):
        tracker.push(one, time)
    last = tracker.newest()
    same, later, late = (tracker.predict(TIMES[-1] + after) for after in (0.0, 0.2, 0.6))
    np.testing.assert_allclose(same.covariance, last.covariance, atol=1e-15)
    np.testing.assert_allclose(later.position, last.position + 0.2 * last.velocity)
    np.testing.assert_array_equal(later.velocity, last.velocity)
    assert (np.diag(later.covariance)[:6] > np.diag(last.covariance)[:6]).all()
    assert not later.measured
    assert np.isnan(late.position).all()
    assert tracker.newest().timestamp == TIMES[-1]
    with pytest.raises(UsageError, match="before the last frame"):
        tracker.predict(TIMES[-1] - 0.01)


def test_times_have_to_increase():
    tracker = RootTracker()
    one = each(np.array([[0.0, 0.0, 4.0]]))[0]
    tracker.push(one, 1.0)
    for time in (1.0, 0.5, float("nan")):
        with pytest.raises(UsageError, match="order of their time"):
            tracker.push(one, time)


@pytest.mark.parametrize("lag", [-1, 0.5, "1"])
def test_wrong_lag(lag):
    with pytest.raises(UsageError, match="lag is"):
        RootTracker(lag=lag)


@pytest.mark.parametrize("name", ["acceleration", "max_gap_s", "gate"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "1"])
def test_wrong_options(name, value):
    with pytest.raises(UsageError, match=f"{name} is"):
        RootOptions(**{name: value})


def test_everything_has_the_same_frames():
    roots = np.tile([0.0, 0.0, 4.0], (3, 1))
    with pytest.raises(UsageError, match="cameras has 2 frames, the measurements 3"):
        track_clip(measured(roots), TIMES[:3], cameras=[CameraPose.mounted()] * 2)
    with pytest.raises(UsageError, match="timestamps has 90 frames"):
        track_clip(measured(roots), TIMES)


def test_a_clip_of_no_frames_has_an_empty_path():
    path = track_clip(measured(np.zeros((0, 3))), TIMES[:0])
    assert len(path) == 0
    assert path.covariance.shape == (0, 7, 7)
