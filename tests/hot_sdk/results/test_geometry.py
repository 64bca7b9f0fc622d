import dataclasses
import math

import numpy as np
import pytest
from mocap import NAMES, body, result_of

from hot_sdk.bones import bone_lengths
from hot_sdk.cameras import CameraPose
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.results.result import ROBOT_AXES
from hot_sdk.skeletons import H36M17
from hot_sdk.windows import SeamReport


def at(point):
    """A result whose only frame has its root at a point of the camera's frame."""
    joints = np.zeros((1, 17, 3))
    joints[0, 10] = [0.0, -0.7, 0.0]
    result = result_of(joints)
    return dataclasses.replace(result, root=np.float32([point]), root_error=np.float32([0.0]))


def test_to_millimeters_scales_every_distance():
    seams = SeamReport(2, "m", 0.1, 0.2, None, None, 0.05, 0.3)
    result = dataclasses.replace(at([1.0, 2.0, 3.0]), seams=seams)
    found = result.to_millimeters()
    assert found.unit == found.seams.unit == "mm"
    np.testing.assert_allclose(found.poses, 1000.0 * result.poses)
    assert found.root.tolist() == [[1000.0, 2000.0, 3000.0]]
    assert (found.seams.mean_step, found.seams.max_disagreement) == (100.0, 300.0)
    assert (found.seams.seams, found.seams.mean_step_inside) == (2, None)
    np.testing.assert_array_equal(found.to_millimeters().poses, found.poses)
    assert result.unit == "m"


def test_rejects_unit_without_scale():
    with pytest.raises(ResultError, match="scale is unknown"):
        dataclasses.replace(at([0, 0, 1]), unit="normalized_px").to_millimeters()


def test_person_ahead_of_a_level_camera_stands_ahead_and_upright():
    # 3 m ahead, half a meter to the right and 0.2 m below a camera 1.1 m above the ground.
    found = at([0.5, 0.2, 3.0]).to_robot_frame(CameraPose.mounted((0.1, 0.0, 1.1)))
    assert found.axes == ROBOT_AXES
    np.testing.assert_allclose(found.root, [[3.1, -0.5, 0.9]], atol=1e-6)
    np.testing.assert_allclose(found.joint("head"), [[0.0, 0.0, 0.7]], atol=1e-6)


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        ({"yaw": math.pi / 2}, [0.0, 3.0, 0.0]),  # Looks left: the person is to the left.
        ({"pitch": math.pi / 2}, [0.0, 0.0, -3.0]),  # Looks down: the person is below.
        ({"roll": 1.0}, [3.0, 0.0, 0.0]),  # Turned about its own line of sight.
    ],
)
def test_rotated_cameras(turn, expected):
    found = at([0.0, 0.0, 3.0]).to_robot_frame(CameraPose.mounted(**turn))
    np.testing.assert_allclose(found.root[0], expected, atol=1e-6)


def test_leaning_camera_sees_the_head_lean_the_other_way():
    # Leaning to its right by 90 degrees, up in its image is to the robot's right.
    found = at([0.0, 0.0, 3.0]).to_robot_frame(CameraPose.mounted(roll=math.pi / 2))
    np.testing.assert_allclose(found.joint("head"), [[0.0, -0.7, 0.0]], atol=1e-6)


def test_quaternion_as_ros_gives_it_for_an_optical_frame():
    # The rotation from camera_link to camera_optical_frame: roll -90, yaw -90 degrees.
    camera = CameraPose.from_quaternion([-0.5, 0.5, -0.5, 0.5], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(camera.rotation, CameraPose.mounted().rotation, atol=1e-12)
    assert camera.translation.tolist() == [0.1, 0.2, 0.3]
    longer = CameraPose.from_quaternion([-2, 2, -2, 2], [0, 0, 0])
    np.testing.assert_allclose(longer.rotation, camera.rotation, atol=1e-12)


def test_rotation_keeps_distances():
    result = result_of(body("walk"))
    turned = result.to_robot_frame(CameraPose.mounted(yaw=0.3, pitch=-0.2, roll=0.1))
    np.testing.assert_allclose(bone_lengths(turned.poses), bone_lengths(result.poses), atol=1e-5)
    with pytest.raises(ResultError, match="other axes"):
        turned.to_robot_frame(CameraPose.mounted())


def test_poses_without_scale_can_be_rotated_but_not_placed():
    flat = dataclasses.replace(at([0, 0, 1]), unit="normalized_px")
    with pytest.raises(ResultError, match="metric"):
        flat.to_robot_frame(CameraPose.mounted())
    turned = dataclasses.replace(flat, root=None, root_error=None).to_robot_frame(
        CameraPose.mounted()
    )
    np.testing.assert_allclose(turned.joint("head"), [[0.0, 0.0, 0.7]], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_bones_become_constant_and_directions_stay(name):
    joints = body(name)
    noisy = joints + np.random.default_rng(1).normal(size=joints.shape) * 0.01
    result = result_of(noisy)
    found = result.with_constant_bones()
    lengths = bone_lengths(found.poses)
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[:1], lengths.shape), atol=1e-5)
    np.testing.assert_allclose(lengths[0], lengths[0, list(H36M17.mirror)], atol=1e-5)
    truth = np.median(bone_lengths(result_of(joints).poses), axis=0)
    np.testing.assert_allclose(lengths[0], (truth + truth[list(H36M17.mirror)]) / 2, atol=0.02)
    for joint, parent in enumerate(H36M17.parents[1:], start=1):
        before = result.poses[:, joint] - result.poses[:, parent]
        after = found.poses[:, joint] - found.poses[:, parent]
        cosine = (before * after).sum(-1) / np.linalg.norm(before, axis=-1)
        np.testing.assert_allclose(cosine / np.linalg.norm(after, axis=-1), 1.0, atol=1e-4)
    assert (found.poses[:, 0] == 0.0).all()


@pytest.mark.parametrize("joint", [12, 13])  # An elbow, where two bones meet, and a wrist.
def test_invalid_joints_do_not_count_in_bone_lengths(joint):
    joints = body("walk")
    valid = np.ones((40, 17), dtype=bool)
    broken = result_of(joints)
    poses = broken.poses.copy()
    poses[:30, joint] += 5.0
    valid[:30, joint] = False
    found = dataclasses.replace(broken, poses=poses, valid=valid).with_constant_bones()
    expected = broken.with_constant_bones()
    np.testing.assert_allclose(
        bone_lengths(found.poses)[0], bone_lengths(expected.poses)[0], atol=1e-3
    )


def test_frames_without_pose_stay_nan():
    joints = body("walk")
    joints[3] = np.nan
    found = result_of(joints).with_constant_bones()
    assert np.isnan(found.poses[3]).all()
    lengths = np.delete(bone_lengths(found.poses), 3, axis=0)
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[:1], lengths.shape), atol=1e-5)
    empty = result_of(np.full((2, 17, 3), np.nan)).with_constant_bones()
    assert np.isnan(empty.poses).all()


@pytest.mark.parametrize("unit", ["m", "mm"])
def test_bone_of_zero_length_stays_zero(unit):
    joints = body("walk")
    joints[0, 13] = joints[0, 12]
    result = result_of(joints)
    found = (result if unit == "m" else result.to_millimeters()).with_constant_bones()
    assert bone_lengths(found.poses)[0, 13] == 0.0
    assert bone_lengths(found.poses)[1, 13] > 0.1


def test_robot_frame_agrees_with_rotations_composed_one_by_one():
    # A step for each turn in elementary trigonometry, in place of matrices.
    yaw, pitch, roll = 0.4, 0.25, -0.15
    joints = body("climb")
    placed = dataclasses.replace(
        result_of(joints),
        root=joints[:, 0].astype(np.float32),
        root_error=np.zeros(40, dtype=np.float32),
    )
    camera = CameraPose.mounted((0.2, -0.1, 1.4), yaw=yaw, pitch=pitch, roll=roll)
    turned = placed.to_robot_frame(camera)
    found = turned.poses + turned.root[:, None]
    x, y, z = joints[..., 2], -joints[..., 0], -joints[..., 1]
    y, z = y * math.cos(roll) - z * math.sin(roll), y * math.sin(roll) + z * math.cos(roll)
    x, z = x * math.cos(pitch) + z * math.sin(pitch), z * math.cos(pitch) - x * math.sin(pitch)
    x, y = x * math.cos(yaw) - y * math.sin(yaw), x * math.sin(yaw) + y * math.cos(yaw)
    np.testing.assert_allclose(found, np.stack([x + 0.2, y - 0.1, z + 1.4], axis=-1), atol=1e-5)
    in_millimeters = placed.to_millimeters().to_robot_frame(camera)
    np.testing.assert_allclose(in_millimeters.root, 1000.0 * turned.root, atol=1e-2)


def test_camera_pose_is_read_only():
    translation = np.zeros(3)
    camera = CameraPose(np.eye(3), translation)
    translation[0] = 5.0
    assert camera.translation[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        camera.rotation[0, 0] = 2.0
    with pytest.raises(UsageError, match="not an array of numbers"):
        CameraPose.mounted(("left", 0, 0))


@pytest.mark.parametrize(
    ("rotation", "translation"),
    [
        (np.eye(3) * 2, np.zeros(3)),
        (np.diag([1, 1, -1]), np.zeros(3)),
        (np.eye(4), np.zeros(3)),
        (np.eye(3), np.zeros(2)),
        (np.eye(3), np.full(3, np.nan)),
        (np.full((3, 3), np.nan), np.zeros(3)),
    ],
)
def test_rejects_matrix_that_is_no_rotation(rotation, translation):
    with pytest.raises(UsageError, match="not a rotation matrix"):
        CameraPose(rotation, translation)
    with pytest.raises(UsageError, match="quaternion"):
        CameraPose.from_quaternion([0, 0, 0, 0], [0, 0, 0])
