"""A person of another size than the poses', with each kind of knowledge of it."""

import dataclasses

import numpy as np
import pytest

from hot_sdk.cameras import CameraPose
from hot_sdk.errors import UsageError
from hot_sdk.root import (
    ADULT_SPREAD,
    DepthReading,
    Floor,
    LengthReading,
    RootEstimate,
    RootMeasurements,
    RootTracker,
    ScalePrior,
    track_clip,
)
from hot_sdk.root.estimate import estimate
from hot_sdk.root.model import STATES
from hot_sdk.root.scale import standing_foot

SIZE = 0.9
FRAMES = 60
TIMES = np.arange(FRAMES) / 30.0
CAMERA = CameraPose.mounted((0.0, 0.0, 1.1), pitch=0.1)
FLOOR = Floor(np.array([0.0, 0.0, 1.0]))
ALONG = CAMERA.rotation.T @ np.array([3.0, 0.2, -0.22])
NOISE = np.diag([0.003, 0.003, 0.015]) ** 2


def standing_pose():
    """Ankles 0.9 m below the pelvis, at the size of the poses, along the camera's axes."""
    pose = np.zeros((17, 3))
    pose[[3, 6]] = [[0.0, -0.1, -0.9], [0.0, 0.1, -0.9]]
    pose[10] = [0.0, 0.0, 0.7]
    return pose @ CAMERA.rotation


def true_root(size=SIZE):
    """The pelvis of someone who stands on the floor."""
    return np.array([3.0, 0.2, size * (0.9 + 0.075)])


def measured(cameras, size=SIZE, seed=0):
    random = np.random.default_rng(seed)
    roots = np.stack(
        [(true_root(size) - camera.translation) @ camera.rotation / size for camera in cameras]
    )
    frames = len(roots)
    return RootMeasurements(
        root=roots + random.multivariate_normal(np.zeros(3), NOISE, size=frames),
        pixel_covariance=np.broadcast_to(NOISE, (frames, 3, 3)),
        pose_covariance=np.zeros((frames, 3, 3)),
        misfit=np.ones(frames),
        residual_px=np.ones(frames),
    )


def tracked(size=SIZE, cameras=None, **knowledge):
    cameras = [CAMERA] * FRAMES if cameras is None else cameras
    found = measured(cameras, size)
    return track_clip(found, TIMES, cameras=cameras, lag=0, **knowledge)[FRAMES - 1]


def along(found):
    """The stated deviation along the ray, meters."""
    ray = true_root() - CAMERA.translation
    ray /= np.linalg.norm(ray)
    return float(np.sqrt(ray @ found.position_covariance @ ray))


def with_poses(**more):
    return {"floor": FLOOR, "poses": np.broadcast_to(standing_pose(), (FRAMES, 17, 3)), **more}


def depth_readings(cameras=None):
    depth = float(((true_root() - CAMERA.translation) @ CAMERA.rotation)[2])
    return [DepthReading(depth - 0.1)] * FRAMES


KNOWLEDGE = {
    "height": {"prior": ScalePrior.of_height(1.53, 1.7)},
    "bone": {"lengths": [[LengthReading(0.36, 0.4)]] * FRAMES},
    "floor": with_poses(),
    "depth": {"depths": depth_readings()},
}


def test_without_knowledge_the_error_holds_the_spread_of_adults():
    found = tracked()
    distance = np.linalg.norm(true_root() - CAMERA.translation)
    assert found.scale == pytest.approx(1.0, abs=0.01)
    assert found.scale_spread == pytest.approx(ADULT_SPREAD, rel=0.02)
    assert along(found) == pytest.approx(ADULT_SPREAD * distance / SIZE, rel=0.05)
    # A tenth smaller than assumed: as much farther, inside two of the stated deviations.
    error = found.position - true_root()
    away = true_root() - CAMERA.translation
    np.testing.assert_allclose(error, away * (1.0 / SIZE - 1.0), atol=0.03)
    assert error @ np.linalg.solve(found.position_covariance, error) < 7.8
    common = found.size_position / np.linalg.norm(found.size_position)
    np.testing.assert_allclose(common, away / np.linalg.norm(away), atol=0.02)


@pytest.mark.parametrize("kind", KNOWLEDGE)
def test_each_kind_of_knowledge_shrinks_the_error(kind):
    before, found = tracked(), tracked(**KNOWLEDGE[kind])
    assert along(found) < 0.6 * along(before)
    assert found.scale == pytest.approx(SIZE, abs=2.5 * found.scale_spread * SIZE)
    assert abs(found.scale / SIZE - 1.0) < 0.6 * abs(before.scale / SIZE - 1.0)
    error = found.position - true_root()
    assert np.linalg.norm(error) < 0.5 * np.linalg.norm(before.position - true_root())
    assert error @ np.linalg.solve(found.position_covariance, error) < 7.8


@pytest.mark.parametrize("size", [0.55, 0.7])
@pytest.mark.parametrize("kind", ["depth", "floor"])
def test_a_child_is_believed_to_be_one_if_readings_say_so(kind, size):
    """Far outside of the spread of adults, within which readings are looked at first."""
    knowledge = with_poses()
    if kind == "depth":
        depth = float(((true_root(size) - CAMERA.translation) @ CAMERA.rotation)[2])
        knowledge = {"depths": [DepthReading(depth - 0.1)] * FRAMES}
    found = tracked(size, **knowledge)
    assert found.scale == pytest.approx(size, abs=3.0 * found.scale_spread * size)
    assert found.scale == pytest.approx(size, rel=0.06)
    error = found.position - true_root(size)
    assert error @ np.linalg.solve(found.position_covariance, error) < 11.3


def test_readings_of_something_else_now_and_then_change_no_size():
    cameras = [CAMERA] * FRAMES
    depths = depth_readings()
    depths[::2] = [DepthReading(1.2)] * len(depths[::2])
    path = track_clip(measured(cameras), TIMES, cameras=cameras, lag=0, depths=depths)
    assert np.abs(path.scale[10:] / SIZE - 1.0).max() < 0.06


def test_a_hundred_readings_do_not_remove_errors_that_they_share():
    readings = KNOWLEDGE["bone"]["lengths"]
    few, many = (
        track_clip(
            measured([CAMERA] * FRAMES),
            TIMES,
            cameras=CAMERA,
            lengths=[*readings[:count], *[[]] * (FRAMES - count)],
        ).covariance[-1, 6, 6]
        for count in (30, FRAMES)
    )
    assert 0.9 * few < many < few
    # A bone's share of a body differs by 3 %.
    assert np.sqrt(many) > 0.025


def test_size_and_error_are_those_of_everything_known_together():
    both = tracked(**{**KNOWLEDGE["height"], **KNOWLEDGE["depth"], **KNOWLEDGE["floor"]})
    for kind in ("height", "depth", "floor"):
        assert along(both) < along(tracked(**KNOWLEDGE[kind]))


def test_a_camera_that_drives_around_someone_who_stands_sees_the_size():
    # At constant speed, someone of another size could walk along.
    swing, steady = (
        [CameraPose(CAMERA.rotation, CAMERA.translation + np.array([0.0, y, 0.0])) for y in aside]
        for aside in (0.5 * np.sin(4.0 * TIMES), 0.5 * TIMES)
    )
    found = tracked(cameras=swing)
    assert found.scale_spread < 0.75 * ADULT_SPREAD
    assert found.scale == pytest.approx(SIZE, abs=2.0 * found.scale_spread)
    assert tracked(cameras=steady).scale_spread > 0.9 * ADULT_SPREAD


def test_size_is_kept_when_someone_leaves_and_returns():
    found = measured([CAMERA] * FRAMES)
    root = found.root.copy()
    root[20:40] = np.nan
    changed = dataclasses.replace(found, root=root)
    depths = [*KNOWLEDGE["depth"]["depths"][:20], *[None] * 40]
    path = track_clip(changed, TIMES, cameras=CAMERA, depths=depths, lag=0)
    assert np.isnan(path.position[36:40]).all()
    assert path.restarts[-1] == 2
    assert path.scale[-1] == pytest.approx(path.scale[19], abs=1e-3)
    assert path.covariance[38, 6, 6] == pytest.approx(path.covariance[-1, 6, 6], rel=0.01)
    assert np.linalg.norm(path.position[-1] - true_root()) < 0.15


def test_a_foot_in_the_air_is_no_contact():
    up = np.array([0.0, 0.0, 1.0])
    poses = np.stack([standing_pose() @ CAMERA.rotation.T] * 2)
    times = np.array([0.0, 1.0 / 30.0])
    assert standing_foot(poses, times, up, np.zeros(3)) in (3, 6)
    assert standing_foot(poses, times, up) in (3, 6)
    poses[1, 6] += [0.1, 0.0, 0.1]
    assert standing_foot(poses, times, up) == 3
    # The pelvis falls, and the feet with it.
    assert standing_foot(poses, times, up, np.array([0.0, 0.0, -2.0])) is None
    poses[1, 3] -= [0.0, 0.0, 0.1]
    assert standing_foot(poses, times, up) is None
    assert standing_foot(poses[:1], times[:1], up) is None
    assert standing_foot(poses * np.nan, times, up) is None


def test_no_depth_reading_is_none():
    nothing = tracked(depths=[DepthReading(float("nan"))] * FRAMES)
    np.testing.assert_array_equal(nothing.position, tracked().position)


def test_a_reading_far_from_what_is_possible_is_left_out():
    for knowledge in (
        {"depths": [DepthReading(1.0)] * FRAMES},
        {"lengths": [[LengthReading(0.25, 0.9)]] * FRAMES},
        with_poses(floor=Floor(np.array([0.0, 0.0, 1.0]), height_m=-1.5)),
    ):
        found = tracked(**knowledge)
        assert found.scale == pytest.approx(1.0, abs=0.02)
        assert found.measured


def test_joints_share_the_errors_of_root_and_size():
    random = np.random.default_rng(0)
    mean = np.zeros(STATES)
    mean[:6], mean[9] = [0.1, -0.2, 3.0, 0.5, 0.0, -0.3], 0.95
    mixed = random.normal(size=(STATES, STATES)) * 0.004
    covariance = mixed @ mixed.T
    origin = np.array([1.0, 2.0, 3.0])
    found = estimate(mean, covariance, origin, 0.0, known=True, measured=True, restarts=1)
    pose = random.normal(size=(17, 3)) * 0.4
    spread = np.full((17, 3), 0.001)
    joints, unsure = found.joints(pose, CAMERA.rotation, spread)
    drawn = random.multivariate_normal(mean, covariance, size=20000)
    turned = (pose[16] + random.normal(size=(20000, 3)) * 0.001) @ CAMERA.rotation.T
    wrist = origin + (drawn[:, :3] + turned) / drawn[:, 9:10]
    np.testing.assert_allclose(joints[16], wrist.mean(axis=0), atol=3e-3)
    largest = np.abs(unsure[16]).max()
    np.testing.assert_allclose(unsure[16], np.cov(wrist.T), atol=0.05 * largest)
    np.testing.assert_allclose(found.velocity, mean[3:6] / 0.95)
    moving = drawn[:, 3:6] / drawn[:, 9:10]
    largest = np.abs(found.velocity_covariance).max()
    np.testing.assert_allclose(found.velocity_covariance, np.cov(moving.T), atol=0.05 * largest)
    alone, _ = found.joints(pose, CAMERA.rotation)
    np.testing.assert_array_equal(alone, joints)
    np.testing.assert_allclose(joints[0] - found.position, CAMERA.rotation @ pose[0] / 0.95)


def test_nothing_is_known_of_someone_who_is_away():
    tracker = RootTracker()
    empty = dataclasses.replace(measured([CAMERA]), root=np.full((1, 3), np.nan))
    found = tracker.push(empty, 0.0, camera=CAMERA)
    assert isinstance(found, RootEstimate)
    assert np.isnan(found.position).all()
    assert np.isnan(found.covariance[:6]).all()
    assert found.scale == 1.0
    assert found.scale_spread == pytest.approx(ADULT_SPREAD)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScalePrior(0.0), "expected 0.2 to 5"),
        (lambda: ScalePrior(1.0, 0.0), "a share above 0"),
        (lambda: ScalePrior.of_height(170.0, 0.0), "expected meters above 0"),
        (lambda: Floor(np.array([0.0, 0.0, 2.0])), "of length 1"),
        (lambda: Floor(np.array([0.0, 0.0, 1.0]), spread_m=0.0), "one above 0"),
    ],
)
def test_wrong_knowledge(make, message):
    with pytest.raises(UsageError, match=message):
        make()
