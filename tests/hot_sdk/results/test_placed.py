"""Results that say where a person is, of a perfect lifter."""

import dataclasses

import numpy as np
import pytest
from mocap import CAMERA, body, result_of, seen

from hot_sdk import CameraPose, Pose3DResult, save_bvh
from hot_sdk.contacts import FEET
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.preprocessing.policies import AppliedPolicy
from hot_sdk.results.result import ROBOT_AXES
from hot_sdk.root import Floor
from hot_sdk.skeletons import H36M17

MOUNTED = CameraPose.mounted((0.1, 0.0, 1.1), yaw=0.2, pitch=0.05)
LEGS = [1, 2, 3, 4, 5, 6]
WRIST = H36M17.joints.index("right_wrist")


def in_robot(joints):
    return joints @ MOUNTED.rotation.T + MOUNTED.translation


def placed(name="walk", noise=1.0, spread=0.02, **options):
    joints = body(name)
    wide = np.full((40, 17, 3), spread, dtype=np.float32)
    wide[:, 0] = 0.0
    return result_of(joints, spread=wide).placed(seen(joints, noise), CAMERA, **options)


def test_a_place_in_the_robots_frame():
    result = placed(camera=MOUNTED)
    assert (result.axes, result.frame_id, result.root_joint) == (ROBOT_AXES, "base_link", "pelvis")
    apart = np.linalg.norm(result.joints - in_robot(body("walk")), axis=-1)
    assert np.median(apart) < 0.03
    assert result.velocity.shape == (40, 17, 3)
    assert result.policies[-1].name == "placed"
    assert result.scale == pytest.approx(1.0, abs=0.01)


def test_to_turn_a_place_is_to_place_it_there():
    turned, there = placed().to_robot_frame(MOUNTED), placed(camera=MOUNTED)
    for name in ("root", "velocity", "covariance", "joints_covariance", "velocity_covariance"):
        np.testing.assert_allclose(
            getattr(turned, name), getattr(there, name), atol=2e-4, err_msg=name
        )
    assert turned.frame_id == "base_link"
    np.testing.assert_allclose(turned.spread, there.spread, atol=1e-5)


def test_millimeters_scale_variances_by_the_square():
    meters = placed()
    result = meters.to_millimeters()
    np.testing.assert_allclose(result.velocity, 1e3 * meters.velocity, rtol=1e-5)
    np.testing.assert_allclose(result.joints_covariance, 1e6 * meters.joints_covariance, rtol=1e-5)


def test_constant_bones_leave_what_is_known_of_the_root():
    result = placed().with_constant_bones()
    assert result.covariance is None
    assert np.isfinite(result.joints_covariance[:, 0]).all()
    assert np.isnan(result.joints_covariance[:, 1:]).all()


def test_a_camera_for_each_frame_or_time():
    joints = body("walk")
    cameras = [
        CameraPose(MOUNTED.rotation, MOUNTED.translation + at * np.array([0.0, 0.02, 0.0]))
        for at in range(40)
    ]
    result, keypoints = result_of(joints), seen(joints)
    listed = result.placed(keypoints, CAMERA, camera=cameras, frame_id="odom")
    asked = result.placed(
        keypoints, CAMERA, camera=lambda time: cameras[round(10.0 * time)], frame_id="odom"
    )
    np.testing.assert_array_equal(listed.root, asked.root)
    assert listed.frame_id == "odom"
    with pytest.raises(UsageError, match="camera has 39 entries"):
        result.placed(keypoints, CAMERA, camera=cameras[:39])
    with pytest.raises(UsageError, match="depth has shape"):
        result.placed(keypoints, CAMERA, depth=np.ones(39))


def test_half_a_body_is_placed_by_its_thorax():
    joints = body("sit")
    points = seen(joints).points.copy()
    hidden = [0, *LEGS]
    points[:, hidden] = np.nan
    seen_joints = np.ones((40, 17), dtype=bool)
    seen_joints[:, hidden] = False
    valid = np.zeros((40, 17), dtype=bool)
    keypoints = dataclasses.replace(seen(joints), points=points)
    result = result_of(joints, valid=valid).placed(keypoints, CAMERA, root="auto", seen=seen_joints)
    assert result.root_joint == "thorax"
    assert "relative to the thorax" in str(result)
    assert not result.valid[:, hidden].any()
    thorax = H36M17.joints.index("thorax")
    assert np.abs(result.root - joints[:, thorax]).mean() < 0.05
    assert np.isnan(result.joints[:, 3]).all()
    with pytest.raises(ResultError, match="relative to the thorax"):
        save_bvh(result, "half.bvh")
    with pytest.raises(ResultError, match="relative to the thorax"):
        result.placed(keypoints, CAMERA)


def test_standing_feet_stay():
    times = np.arange(40) / 10.0
    joints = body("sit")
    # Someone who stands still, whose feet are lifted with errors that change.
    still = np.repeat(joints[:1], 40, axis=0)
    random = np.random.default_rng(0)
    shaken = still.copy()
    shaken[:, [3, 6]] += np.cumsum(random.normal(size=(40, 2, 3)), axis=0) * 0.004
    result = result_of(
        shaken,
        timestamps=times,
        root=still[:, 0].astype(np.float32),
        root_error=np.zeros(40, dtype=np.float32),
    )
    held = result.with_standing_feet(up=(0.0, -1.0, 0.0))

    def slide(one):
        return np.linalg.norm(np.diff(one.joints[:, [3, 6]], axis=0), axis=-1).mean()

    assert slide(held) < 0.5 * slide(result)
    assert held.contacts.shape == (40, 2)
    with pytest.raises(UsageError, match="Nothing says where up is"):
        result.with_standing_feet()
    with pytest.raises(ResultError, match="was not looked for"):
        result_of(joints).with_standing_feet(up=(0.0, -1.0, 0.0))


def test_the_floor_says_where_up_is():
    joints = body("walk")
    floor = Floor(np.array([0.0, -1.0, 0.0]), -1.1)
    found = result_of(joints).placed(seen(joints), CAMERA, ground=floor, contacts=True)
    plain = result_of(joints).placed(seen(joints), CAMERA, ground=floor)
    expected = plain.with_standing_feet(up=floor.up, floor_m=floor.height_m)
    np.testing.assert_array_equal(found.contacts, expected.contacts)


def test_a_height_wins_over_the_one_that_the_network_was_told():
    joints = body("walk")
    told = dataclasses.replace(seen(joints), camera=CAMERA, height_m=1.8)
    lifted = AppliedPolicy("height", "the network was told 1.8 m", 40, 40, "frames")
    result = result_of(joints, policies=(lifted,))
    same, other = result.placed(told), result.placed(told, height_m=1.3)
    assert other.scale == pytest.approx(1.3 / 1.8 * same.scale, rel=0.02)


def test_scores_below_the_least_are_not_seen():
    joints = body("walk")
    scores = np.ones((40, 17), dtype=np.float32)
    scores[10:30, WRIST] = 0.4
    keypoints = dataclasses.replace(seen(joints, 1.0), scores=scores)
    wide = np.full((40, 17, 3), 0.02, dtype=np.float32)
    result = result_of(joints, spread=wide)
    sure, unsure = (result.placed(keypoints, CAMERA, min_score=least) for least in (0.3, 0.5))
    assert sure.spread[20, WRIST].max() < 0.03
    assert unsure.spread[20, WRIST].min() > 0.3


def test_an_inverted_pose_is_noticed():
    joints = body("walk")
    inverse = CameraPose(MOUNTED.rotation.T, -MOUNTED.rotation.T @ MOUNTED.translation)
    result, keypoints = result_of(joints), seen(joints)
    for found in (
        result.placed(keypoints, CAMERA, camera=inverse),
        result.placed(keypoints, CAMERA, camera=[inverse] * 40),
        result.to_robot_frame(inverse),
    ):
        assert len(found.warnings) == 2
        assert "the camera's pose is inverted" in found.warnings[1]
    assert result.placed(keypoints, CAMERA, camera=MOUNTED).warnings == ("made up",)
    assert result.to_robot_frame(MOUNTED).warnings == ("made up",)


def test_files_hold_it(tmp_path):
    result = placed(camera=MOUNTED, ground=1.1, contacts=True)
    for suffix in ("npz", "json"):
        found = Pose3DResult.load(result.save(tmp_path / f"placed.{suffix}"))
        for name in ("velocity", "joints_covariance", "velocity_covariance", "covariance"):
            np.testing.assert_array_equal(getattr(found, name), getattr(result, name))
        np.testing.assert_array_equal(found.contacts, result.contacts)
        assert (found.frame_id, found.scale) == (result.frame_id, result.scale)
    certain = result.contacts > 0.99
    assert certain.any()
    assert np.abs(result.velocity[:, FEET][certain]).max() < 0.05
    assert np.abs(placed(camera=MOUNTED).velocity[:, FEET][certain]).max() > 0.1


def test_what_a_clip_needs_to_be_placed(hot_engine, clips):
    clip = clips["pose_1"]
    assert hot_engine(clip).root is None
    with pytest.raises(UsageError, match="camera is given without the camera's intrinsics"):
        hot_engine(clip, camera=MOUNTED)
    with pytest.raises(UsageError, match="Unknown root"):
        hot_engine(clip, intrinsics=CAMERA, root="hips")
    with pytest.raises(UsageError, match="contacts is given without"):
        hot_engine(clip, contacts=True)
