"""Quaternions of bones, checked with matrices of another formula and poses that are known."""

import dataclasses

import numpy as np
import pytest
from mocap import NAMES, body, result_of

from hot_sdk.cameras import CameraPose
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.results.rotations import (
    REST_DIRECTIONS,
    bone_rotations,
    continuous,
    inverse,
    matrices,
    multiplied,
    rotated,
    shortest_arc,
)
from hot_sdk.skeletons import H36M17

LENGTHS = np.linspace(0.1, 0.4, 17) * (np.arange(17) > 0)
INDEX = {name: place for place, name in enumerate(H36M17.joints)}


def rest_pose():
    joints = np.zeros((1, 17, 3))
    for joint, parent in enumerate(H36M17.parents[1:], start=1):
        joints[:, joint] = joints[:, parent] + LENGTHS[joint] * REST_DIRECTIONS[joint]
    return joints


def random_quaternions(*shape):
    found = np.random.default_rng(0).normal(size=(*shape, 4))
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def test_rest_pose_is_a_t_pose_without_rotation():
    found = bone_rotations(rest_pose())
    np.testing.assert_allclose(found.local[0], np.tile([0.0, 0.0, 0.0, 1.0], (17, 1)), atol=1e-12)
    np.testing.assert_allclose(found.lengths[0], LENGTHS, atol=1e-12)
    joints = rest_pose()[0]
    assert joints[INDEX["left_wrist"], 0] > joints[INDEX["left_elbow"], 0] > 0.0
    assert joints[INDEX["head"], 1] > 0.0 > joints[INDEX["right_ankle"], 1]


@pytest.mark.parametrize("name", NAMES)
def test_composition_gives_back_the_joints(name):
    joints = body(name)
    relative = joints - joints[:, :1]
    found = bone_rotations(joints)
    np.testing.assert_allclose(found.positions(), relative, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found.local, axis=-1), 1.0, atol=1e-12)
    result = result_of(joints).with_constant_bones()
    constant = bone_rotations(result)
    np.testing.assert_allclose(constant.positions(constant.lengths[0]), result.poses, atol=1e-6)


def test_composition_by_matrices_of_ros_quaternions():
    joints = body("climb")[::8]
    found = bone_rotations(joints)
    world = matrices(found.world())
    for frame, local in enumerate(found.local):
        turned, placed = [], np.zeros((17, 3))
        for joint, parent in enumerate(H36M17.parents):
            matrix = CameraPose.from_quaternion(local[joint], np.zeros(3)).rotation
            turned.append(matrix if parent < 0 else turned[parent] @ matrix)
            bone = turned[joint] @ REST_DIRECTIONS[joint] * found.lengths[frame, joint]
            placed[joint] = (0.0 if parent < 0 else placed[parent]) + bone
        np.testing.assert_allclose(placed, joints[frame] - joints[frame, 0], atol=1e-9)
        np.testing.assert_allclose(world[frame], turned, atol=1e-9)


def test_bones_do_not_twist():
    found = bone_rotations(body("jump"))
    free = [joint for joint in range(1, 17) if joint != INDEX["thorax"]]
    # The axis of the smallest rotation is perpendicular to the bone at rest.
    along = (found.local[..., :3] * REST_DIRECTIONS).sum(axis=-1)[:, free]
    np.testing.assert_allclose(along, 0.0, atol=1e-12)


def test_pelvis_and_chest_are_turned_as_hips_and_shoulders():
    joints = body("climb")
    world = bone_rotations(joints).world()
    left = rotated(world[:, 0], np.array([1.0, 0.0, 0.0]))
    hips = joints[:, INDEX["left_hip"]] - joints[:, INDEX["right_hip"]]
    np.testing.assert_allclose(left, hips / np.linalg.norm(hips, axis=-1)[:, None], atol=1e-9)
    forward = rotated(world[:, INDEX["thorax"]], np.array([0.0, 0.0, 1.0]))
    shoulders = joints[:, INDEX["left_shoulder"]] - joints[:, INDEX["right_shoulder"]]
    np.testing.assert_allclose((forward * shoulders).sum(axis=-1), 0.0, atol=1e-9)


def test_signs_continue_through_whole_turns_and_gaps():
    turns = np.linspace(0.0, 4.0 * np.pi, 60)
    joints = np.empty((60, 17, 3))
    for frame, angle in enumerate(turns):
        cos, sin = np.cos(angle), np.sin(angle)
        about_y = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        joints[frame] = rest_pose()[0] @ about_y.T
    joints[20:22] = np.nan
    found = bone_rotations(joints)
    assert np.isnan(found.local[20:22, 1:]).all()
    for quaternions in (found.local, found.world()):
        known = np.delete(quaternions, [20, 21], axis=0)
        assert (known[1:] * known[:-1]).sum(axis=-1).min() > 0.8
        assert (known[0, :, 3] >= 0.0).all()
    # After one turn, the quaternion is that of the start with the other sign.
    assert found.local[30, 0, 3] < -0.99
    assert found.local[59, 0, 3] > 0.99


def test_what_is_not_known_is_nan_from_there_on():
    joints = body("walk")
    valid = np.ones((40, 17), dtype=bool)
    valid[4, INDEX["right_elbow"]] = False
    result = dataclasses.replace(result_of(joints), valid=valid)
    found = bone_rotations(result)
    missing = np.flatnonzero(np.isnan(found.local[4]).any(axis=-1)).tolist()
    assert missing == [INDEX["right_elbow"], INDEX["right_wrist"]]
    assert not np.isnan(found.local[np.arange(40) != 4]).any()
    assert len(found) == 40
    same = bone_rotations(result.poses, valid=valid)
    np.testing.assert_array_equal(same.local, found.local)


def test_axes_only_turn_the_pelvis():
    result = result_of(body("sit"))
    mounted = CameraPose.mounted(yaw=0.4, pitch=0.2)
    one, other = bone_rotations(result), bone_rotations(result.to_robot_frame(mounted))
    np.testing.assert_allclose(other.local[:, 1:], one.local[:, 1:], atol=1e-5)
    turned = matrices(other.local[:, 0])
    np.testing.assert_allclose(turned, mounted.rotation @ matrices(one.local[:, 0]), atol=1e-5)


def test_opposite_directions_have_an_arc():
    start = np.array([0.0, 1.0, 0.0])
    end = np.array([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [np.nan] * 3])
    found = shortest_arc(start, end)
    np.testing.assert_allclose(rotated(found[:3], start), end[:3], atol=1e-12)
    assert np.isnan(found[3]).all()


def test_quaternions():
    first, second = random_quaternions(2, 50)
    vectors = np.random.default_rng(1).normal(size=(50, 3))
    np.testing.assert_allclose(
        rotated(multiplied(first, second), vectors), rotated(first, rotated(second, vectors))
    )
    np.testing.assert_allclose(rotated(inverse(first), rotated(first, vectors)), vectors)
    found = np.einsum("fij,fj->fi", matrices(first), vectors)
    np.testing.assert_allclose(found, rotated(first, vectors))
    np.testing.assert_array_equal(np.abs(continuous(first)), np.abs(first))


def test_other_lengths_are_refused():
    found = bone_rotations(body("walk"))
    with pytest.raises(ResultError, match=r"lengths has shape \(16,\)"):
        found.positions(np.ones(16))
    with pytest.raises(UsageError, match="has its own"):
        bone_rotations(result_of(body("walk")), valid=np.ones((40, 17)))
    assert not found.local.flags.writeable
