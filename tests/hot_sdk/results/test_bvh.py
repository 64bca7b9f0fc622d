"""BVH files, read by a small reader that knows the format and nothing of how they are written."""

import dataclasses
import math

import numpy as np
import pytest
from mocap import NAMES, body, result_of

from hot_sdk.cameras import CameraPose
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.results.bvh import save_bvh
from hot_sdk.skeletons import H36M17

TO_BVH = [1.0, -1.0, -1.0]
"""A level camera's axes as those of a file: y up, z towards the camera."""


class Bvh:
    """A file: its nodes in order, each with the place of its parent, and its channels."""

    def __init__(self, path):
        words = iter(path.read_text(encoding="ascii").split())
        assert next(words) == "HIERARCHY"
        self.names, self.parents, self.offsets, self.channels = [], [], [], []
        self._node(words, -1, next(words))
        assert next(words) == "MOTION"
        assert next(words) == "Frames:"
        frames = int(next(words))
        assert [next(words), next(words)] == ["Frame", "Time:"]
        self.frame_s = float(next(words))
        self.motion = np.array([float(word) for word in words]).reshape(frames, -1)
        assert self.motion.shape[1] == sum(map(len, self.channels))

    def _node(self, words, parent, kind):
        name = next(words)
        assert (kind, name) == ("End", "Site") or kind in ("ROOT", "JOINT")
        assert [next(words), next(words)] == ["{", "OFFSET"]
        offset = [float(next(words)) for _ in range(3)]
        place = len(self.names)
        if kind != "End":
            self.names.append(name)
            self.parents.append(parent)
            self.offsets.append(np.array(offset))
            assert next(words) == "CHANNELS"
            self.channels.append([next(words) for _ in range(int(next(words)))])
        while (word := next(words)) != "}":
            self._node(words, place, word)

    def positions(self):
        """Forward kinematics: where each node is, by name, (frames, 3)."""
        place, turns, found = 0, [], []
        for parent, offset, channels in zip(self.parents, self.offsets, self.channels, strict=True):
            moved = np.tile(offset, (len(self.motion), 1))
            turn = np.tile(np.eye(3), (len(self.motion), 1, 1))
            for channel in channels:
                values, axis = self.motion[:, place], "XYZ".index(channel[0])
                place += 1
                if channel.endswith("position"):
                    moved[:, axis] += values
                    continue
                one = np.tile(np.eye(3), (len(values), 1, 1))
                cos, sin = np.cos(np.radians(values)), np.sin(np.radians(values))
                first, second = (axis + 1) % 3, (axis + 2) % 3
                one[:, first, first] = one[:, second, second] = cos
                one[:, second, first], one[:, first, second] = sin, -sin
                turn = turn @ one
            if parent >= 0:
                moved = found[parent] + np.einsum("fij,fj->fi", turns[parent], moved)
                turn = turns[parent] @ turn
            turns.append(turn)
            found.append(moved)
        return dict(zip(self.names, found, strict=True))

    def joints(self):
        where = self.positions()
        return np.stack([where[name] for name in H36M17.joints], axis=1)

    def rotations(self):
        return self.motion[:, 3:]


@pytest.mark.parametrize("name", NAMES)
def test_joints_of_a_file_are_those_of_the_result(name, tmp_path):
    result = result_of(body(name)).with_constant_bones()
    saved = save_bvh(result, tmp_path / "person.bvh")
    file = Bvh(saved.path)
    np.testing.assert_allclose(file.joints(), result.poses * TO_BVH, atol=1e-5)  # Meters.
    assert file.frame_s == pytest.approx(0.1)
    assert (saved.frames, saved.unit, saved.resampled, saved.held_frames) == (40, "m", False, 0)
    assert saved.moved_max < 1e-5
    assert set(H36M17.joints) < set(file.names)
    assert len(set(file.names)) == len(file.names)


def test_rest_pose_is_a_t_pose_in_median_lengths(tmp_path):
    result = result_of(body("walk")).with_constant_bones()
    file = Bvh(save_bvh(result, tmp_path / "a.bvh", unit="cm").path)
    file.motion = np.zeros((1, file.motion.shape[1]))
    where = file.positions()
    thigh = np.linalg.norm(result.joint("left_knee")[0] - result.joint("left_hip")[0])
    hip, knee = where["left_hip"][0], where["left_knee"][0]
    np.testing.assert_allclose(knee - hip, [0.0, -100.0 * thigh, 0.0], atol=1e-3)
    assert where["left_wrist"][0][0] > 50.0 > -50.0 > where["right_wrist"][0][0]
    assert where["head"][0][1] > 50.0
    assert where["head"][0][2] == where["left_wrist"][0][2] == 0.0


def test_bones_that_change_move_joints_by_as_much_as_is_said(tmp_path):
    joints = body("walk") + np.random.default_rng(2).normal(size=(40, 17, 3)) * 0.02
    result = result_of(joints)
    saved = save_bvh(result, tmp_path / "a.bvh", unit="mm")
    apart = np.linalg.norm(Bvh(saved.path).joints() - 1000.0 * result.poses * TO_BVH, axis=-1)
    assert saved.moved_mean == pytest.approx(apart.mean(), rel=1e-3)
    assert saved.moved_max == pytest.approx(apart.max(), rel=1e-3)
    assert saved.moved_mean > 5.0


def test_root_and_a_robots_axes(tmp_path):
    joints = body("jump")
    root = joints[:, 0].astype(np.float32)
    result = dataclasses.replace(
        result_of(joints), root=root, root_error=np.zeros(40, np.float32)
    ).with_constant_bones()
    there = (result.poses + root[:, None]) * TO_BVH
    np.testing.assert_allclose(
        Bvh(save_bvh(result, tmp_path / "a.bvh").path).joints(), there, atol=1e-5
    )
    # On a robot that looks along its x axis, which is z of a file; y to the left is x.
    robot = result.to_robot_frame(CameraPose.mounted((0.0, 0.0, 1.2)))
    file = Bvh(save_bvh(robot, tmp_path / "b.bvh").path)
    expected = (robot.poses + robot.root[:, None])[..., [1, 2, 0]]
    np.testing.assert_allclose(file.joints(), expected, atol=1e-5)
    with pytest.raises(UsageError, match="z is up"):
        save_bvh(robot, tmp_path / "b.bvh", up=(0.0, 0.0, 1.0))


def test_up_makes_a_leaning_cameras_person_upright(tmp_path):
    result = result_of(body("walk")).with_constant_bones()
    mounted = CameraPose.mounted(pitch=0.5, roll=0.2)
    level = CameraPose.mounted()
    seen = result.poses @ (level.rotation.T @ mounted.rotation).astype(np.float32)
    leaning = dataclasses.replace(result, poses=seen.astype(np.float32))
    heads = []
    for name, options in (("a", {"up": mounted}), ("b", {"up": mounted.rotation[2]}), ("c", {})):
        file = Bvh(save_bvh(leaning, tmp_path / f"{name}.bvh", **options).path)
        heads.append(file.positions()["head"][:, 1])
    expected = -result.joint("head")[:, 1]
    np.testing.assert_allclose(heads[0], expected, atol=1e-5)
    np.testing.assert_allclose(heads[1], expected, atol=1e-5)
    assert np.abs(heads[2] - expected).max() > 0.03


def test_frames_without_a_pose_hold_the_last(tmp_path):
    result = result_of(body("walk")).with_constant_bones()
    poses, root = result.poses.copy(), body("walk")[:, 0].astype(np.float32)
    poses[[0, 10, 11]], root[[0, 20]] = np.nan, np.nan
    broken = dataclasses.replace(
        result, poses=poses, root=root, root_error=np.zeros(40, np.float32)
    )
    saved = save_bvh(broken, tmp_path / "a.bvh")
    assert (saved.held_frames, saved.held_root_frames) == (3, 2)
    file = Bvh(saved.path)
    shown = np.arange(40)
    shown[[0, 10, 11]] = 1, 9, 9
    placed = np.arange(40)
    placed[[0, 20]] = 1, 19
    expected = (result.poses[shown] + root[placed][:, None]) * TO_BVH
    np.testing.assert_allclose(file.joints(), expected, atol=1e-5)
    with pytest.raises(ResultError, match="3 of 40 frames lack joints, and 2"):
        save_bvh(broken, tmp_path / "b.bvh", hold=False)
    assert not (tmp_path / "b.bvh").exists()


def with_knees(degrees):
    """A result of one who stands upright and bends both knees."""
    joints = np.repeat(body("walk")[:1], len(degrees), axis=0)
    for side, hip, knee, ankle in ((-0.1, 1, 2, 3), (0.1, 4, 5, 6)):
        joints[:, hip] = joints[:, 0] + [side, 0.0, 0.0]
        joints[:, knee] = joints[:, hip] + [0.0, 0.4, 0.0]
        bend = np.radians(degrees)
        shin = np.stack([0.0 * bend, np.cos(bend), np.sin(bend)], axis=-1)
        joints[:, ankle] = joints[:, knee] + 0.4 * shin
    for joint, height in ((7, 0.25), (8, 0.5)):
        joints[:, joint] = joints[:, 0] - [0.0, height, 0.0]
    return result_of(joints).with_constant_bones()


@pytest.mark.parametrize(
    "degrees",
    [
        70.0 * (1.0 - np.cos(np.linspace(0.0, 4.0 * math.pi, 120))),
        np.array([0.0, 90.0, 90.0, 90.0, 100.0, 90.0, 80.0]),
    ],
)
def test_angles_do_not_jump_where_knees_pass_a_right_angle(degrees, tmp_path):
    result = with_knees(degrees)
    file = Bvh(save_bvh(result, tmp_path / "a.bvh").path)
    np.testing.assert_allclose(file.joints(), result.poses * TO_BVH, atol=1e-5)
    most = np.abs(np.diff(degrees)).max()
    assert np.abs(np.diff(file.rotations(), axis=0)).max() < most + 1e-3


def test_heading_counts_on_through_whole_turns(tmp_path):
    turns = np.radians(np.arange(0.0, 800.0, 10.0))
    person = body("walk")[0] - body("walk")[0, 0]
    joints = np.stack(
        [
            person @ np.array([[np.cos(t), 0, -np.sin(t)], [0, 1, 0], [np.sin(t), 0, np.cos(t)]])
            for t in turns
        ]
    )
    result = result_of(joints).with_constant_bones()
    file = Bvh(save_bvh(result, tmp_path / "a.bvh").path)
    np.testing.assert_allclose(file.joints(), result.poses * TO_BVH, atol=1e-5)
    assert file.channels[0][-1] == "Yrotation"
    np.testing.assert_allclose(np.abs(np.diff(file.motion[:, 5])), 10.0, atol=0.5)
    assert abs(file.motion[72, 5] - file.motion[0, 5]) == pytest.approx(720.0, abs=1e-3)


def test_uneven_times_become_even(tmp_path):
    result = result_of(body("walk")).with_constant_bones()
    jitter = np.random.default_rng(0).uniform(-0.003, 0.003, 40)
    times = np.arange(40) / 30.0 + jitter
    saved = save_bvh(dataclasses.replace(result, timestamps=times), tmp_path / "a.bvh")
    assert (saved.resampled, saved.frames) == (False, 40)
    late = np.arange(40) / 30.0
    late[20:] += 0.5
    saved = save_bvh(dataclasses.replace(result, timestamps=late), tmp_path / "b.bvh")
    assert (saved.resampled, saved.frames) == (True, 55)
    file = Bvh(saved.path)
    assert file.frame_s == pytest.approx(1.0 / 30.0)
    joints = file.joints()
    np.testing.assert_allclose(joints[:20], result.poses[:20] * TO_BVH, atol=1e-5)
    np.testing.assert_allclose(joints[35:], result.poses[20:] * TO_BVH, atol=1e-5)
    # In the pause, the person moves from one pose to the next.
    steps = np.linalg.norm(np.diff(joints[19:36], axis=0), axis=-1)
    whole = np.linalg.norm(joints[35] - joints[19], axis=-1)
    assert (steps <= whole / 3 + 1e-6).all()


def test_poses_without_a_unit_need_a_height(tmp_path):
    result = dataclasses.replace(result_of(0.4 * body("walk")), unit="normalized_px")
    with pytest.raises(ResultError, match=r"scale is unknown.*height_m="):
        save_bvh(result, tmp_path / "a.bvh")
    file = Bvh(save_bvh(result, tmp_path / "a.bvh", height_m=1.75).path)
    leg = np.linalg.norm(file.offsets[file.names.index("left_knee")])
    assert 0.35 < leg < 0.55
    with pytest.raises(UsageError, match="in m already"):
        save_bvh(result_of(body("walk")), tmp_path / "b.bvh", height_m=1.75)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"unit": "inch"}, "Unknown unit 'inch'"),
        ({}, {"up": np.ones((40, 3))}, r"expected \(3,\)"),
        ({"timestamps": np.zeros(40)}, {}, "time of frame 1 is not after"),
        ({"poses": np.full((40, 17, 3), np.nan, np.float32)}, {}, "No frame"),
        ({"poses": np.zeros((40, 17, 3), np.float32)}, {}, "no direction"),
        ({"timestamps": np.append(np.arange(39) / 1e3, 1e6)}, {}, "frames.*between pauses"),
    ],
)
def test_what_makes_no_file(changes, options, message, tmp_path):
    result = dataclasses.replace(result_of(body("walk")), **changes)
    with pytest.raises((ResultError, UsageError), match=message):
        save_bvh(result, tmp_path / "a.bvh", **options)
    with pytest.raises(UsageError, match=r"does not end in \.bvh"):
        save_bvh(result, tmp_path / "a.fbx")
    assert list(tmp_path.iterdir()) == []


def test_one_frame(tmp_path):
    result = result_of(body("walk")[:1])
    saved = save_bvh(result, tmp_path / "a.bvh")
    assert Bvh(saved.path).joints().shape == (1, 17, 3)
