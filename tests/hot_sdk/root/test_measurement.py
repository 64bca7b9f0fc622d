import dataclasses

import numpy as np
import pytest
from mocap import CAMERA, NAMES, body, seen

from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import UsageError
from hot_sdk.root import measure_root

VALID = np.ones((40, 17), dtype=bool)
# Three errors: 95 % are inside this square of the distance.
WITHIN_95 = 7.815


def relative(joints):
    return joints - joints[:, :1]


def distances(errors, covariance):
    return (errors * np.linalg.solve(covariance, errors[..., None])[..., 0]).sum(axis=-1)


@pytest.mark.parametrize("name", NAMES)
def test_without_noise_the_root_is_exact(name):
    joints = body(name)
    found = measure_root(relative(joints), VALID, CAMERA.project(joints), None, CAMERA)
    np.testing.assert_allclose(found.root, joints[:, 0], atol=1e-8)
    assert found.residual_px.max() < 1e-6
    assert (found.misfit == 1.0).all()
    assert (found.pose_covariance == 0.0).all()


def test_distortion_is_removed_first():
    camera = dataclasses.replace(CAMERA, distortion=(-0.2, 0.05, 0.001, -0.001))
    joints = body("walk")
    found = measure_root(relative(joints), VALID, camera.project(joints), None, camera)
    np.testing.assert_allclose(found.root, joints[:, 0], atol=1e-5)


@pytest.mark.parametrize("noise", [2.0, 6.0])
def test_errors_are_as_large_as_stated_even_if_the_noise_is_not(noise):
    joints = body("walk")
    errors, covariances = [], []
    for seed in range(10):
        found = measure_root(
            relative(joints), VALID, seen(joints, noise, seed).points, None, CAMERA
        )
        errors.append(found.root - joints[:, 0])
        covariances.append(found.pixel_covariance * found.misfit[:, None, None])
    squares = distances(np.concatenate(errors), np.concatenate(covariances))
    assert 2.7 < squares.mean() < 3.5
    assert 0.91 < (squares < WITHIN_95).mean() < 0.98


def test_errors_of_poses_are_as_large_as_stated():
    joints = body("walk")
    random = np.random.default_rng(0)
    spread = np.broadcast_to([0.01, 0.01, 0.03], (40, 17, 3)).copy()
    spread[:, 0] = 0.0
    errors, covariances = [], []
    for _ in range(10):
        poses = relative(joints) + random.normal(size=spread.shape) * spread
        # Noise of the keypoints that does not count, of 0.1 px.
        points = CAMERA.project(joints) + random.normal(size=(40, 17, 2)) * 0.1
        found = measure_root(poses, VALID, points, None, CAMERA, spread=spread, pixel_noise=0.1)
        errors.append(found.root - joints[:, 0])
        # These are independent; those of networks are shared by three joints, in effect.
        covariances.append(found.pose_covariance / 3.0 + found.pixel_covariance)
    squares = distances(np.concatenate(errors), np.concatenate(covariances))
    assert squares.mean() == pytest.approx(3.0, rel=0.15)
    assert np.median(found.misfit) < 1.5


def test_frames_alone_are_measured_as_together():
    joints = body("walk")
    poses, points = relative(joints), seen(joints, 4.0).points
    spread, valid = np.full((40, 17, 3), 0.02), VALID.copy()
    valid[5:9, 12] = False
    together = measure_root(poses, valid, points, None, CAMERA, spread=spread)
    for at in range(0, 40, 3):
        part = slice(at, at + 1)
        alone = measure_root(
            poses[part], valid[part], points[part], None, CAMERA, spread=spread[part]
        )
        for name in ("pixel_covariance", "pose_covariance", "misfit", "residual_px"):
            expected = getattr(together, name)[part]
            np.testing.assert_allclose(getattr(alone, name), expected, rtol=2e-3)
        np.testing.assert_allclose(alone.root, together.root[part], atol=1e-3)


def test_a_joint_far_off_hardly_counts():
    joints = body("walk")
    points = seen(joints, 2.0).points.copy()
    before = measure_root(relative(joints), VALID, points, None, CAMERA)
    points[:, 6] += 400.0
    found = measure_root(relative(joints), VALID, points, None, CAMERA)
    apart = np.abs(found.root - before.root)
    assert apart[:, 2].mean() < 0.1
    everything = measure_root(relative(joints), VALID, points, np.ones((40, 17)), CAMERA)
    np.testing.assert_array_equal(everything.root, found.root)


def test_poses_may_be_relative_to_the_thorax():
    joints, valid = body("walk"), VALID.copy()
    valid[:, :7] = False
    poses = joints - joints[:, 8:9]
    found = measure_root(poses, valid, CAMERA.project(joints), None, CAMERA, origin=8)
    np.testing.assert_allclose(found.root, joints[:, 8], atol=1e-8)
    assert np.isnan(measure_root(poses, valid, CAMERA.project(joints), None, CAMERA).root).all()


def test_a_score_divides_the_variance():
    joints = body("walk")
    points = CAMERA.project(joints)
    sure = measure_root(relative(joints), VALID, points, np.ones((40, 17)), CAMERA)
    unsure = measure_root(relative(joints), VALID, points, np.full((40, 17), 0.25), CAMERA)
    np.testing.assert_allclose(unsure.pixel_covariance, 4.0 * sure.pixel_covariance, rtol=1e-6)


def test_root_is_nan_where_hips_or_depth_are_not_known():
    joints = body("walk")
    poses, points, valid = relative(joints), CAMERA.project(joints), VALID.copy()
    valid[0, 0] = False
    points[1, 3:] = np.nan
    poses[2] = np.nan
    valid[3, 4:] = False
    # Everyone in one point has no size, and so no distance.
    poses[4] = 0.0
    points[4] = points[4, 0]
    # A body upside down and mirrored is seen like one behind the camera.
    poses[5] = -poses[5]
    found = measure_root(poses, valid, points, None, CAMERA)
    unknown = np.isnan(found.root).all(axis=1)
    assert np.flatnonzero(unknown).tolist() == [0, 1, 2, 4, 5]
    assert np.isnan(found.pixel_covariance[unknown]).all()
    assert np.isnan(found.residual_px[unknown]).all()
    np.testing.assert_allclose(found.root[~unknown], joints[~unknown, 0], atol=1e-8)


def test_no_frame_may_have_a_pose():
    nothing = np.full((3, 17, 3), np.nan)
    valid = np.zeros((3, 17), dtype=bool)
    found = measure_root(nothing, valid, nothing[..., :2], None, CAMERA)
    assert np.isnan(found.root).all()
    assert len(found) == 3
    assert len(found.frame(1)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spread": np.zeros((40, 17))}, "spread has shape"),
        ({"scores": np.ones((3, 17))}, "scores has shape"),
        ({"valid": VALID[:3]}, "valid has shape"),
        ({"pixel_noise": 0.0}, "expected pixels above 0"),
        ({"pixel_noise": float("nan")}, "expected pixels above 0"),
    ],
)
def test_wrong_arguments(changes, message):
    joints = body("walk")
    given = {
        "poses": relative(joints),
        "valid": VALID,
        "points": CAMERA.project(joints),
        "scores": None,
        "intrinsics": Intrinsics(900.0, 900.0, 640.0, 360.0),
    }
    with pytest.raises(UsageError, match=message):
        measure_root(**{**given, **changes})
