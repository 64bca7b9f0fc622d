"""Anatomical angles of bodies that are put together from known rotations."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from mocap import body, result_of

from hot_sdk.cameras import CameraPose
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.results.angles import (
    ANGLE_NAMES,
    NO_PLANE_DEGREES,
    bends,
    joint_angles,
)
from hot_sdk.skeletons import H36M17

UP = (0.0, -1.0, 0.0)
# The axes of ISB (forward, up, right) of one who faces the camera, along the camera's axes.
FACING = np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]]).T


def about(axis, degrees):
    """The matrix of a rotation about an axis of ISB."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = [(1, 2), (2, 0), (0, 1)]["XYZ".index(axis)]
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = cos
    matrix[second, first], matrix[first, second] = sin, -sin
    return matrix


def person(
    *,
    side="right",
    hip=(0.0, 0.0),
    knee=0.0,
    shoulder=(0.0, 0.0),
    elbow=0.0,
    turn=0.0,
    forward=0.0,
    aside=0.0,
):
    """Joints along the camera's axes: one side is bent in the sequences that ISB recommends."""
    joints = np.zeros((17, 3))
    mirror = 1.0 if side == "right" else -1.0
    joints[7], joints[8] = [0, 0.25, 0], [0, 0.5, 0]
    joints[9], joints[10] = [0, 0.62, 0], [0, 0.75, 0]
    twist = about("Y", turn)
    for at, sign in ((1, 1.0), (4, -1.0)):
        bent = sign == mirror
        thigh = about("Z", hip[0] * bent) @ about("X", sign * hip[1] * bent)
        shin = thigh @ about("Z", -knee * bent)
        joints[at] = [0, 0, 0.1 * sign]
        joints[at + 1] = joints[at] + thigh @ [0, -0.4, 0]
        joints[at + 2] = joints[at + 1] + shin @ [0, -0.4, 0]
    for at, sign in ((14, 1.0), (11, -1.0)):
        bent = sign == mirror
        # Y-X-Y: the plane of elevation, and elevation, which counts as negative.
        plane = about("Y", sign * shoulder[1] * bent)
        arm = twist @ plane @ about("X", -sign * shoulder[0] * bent)
        fore = arm @ about("Z", elbow * bent)
        joints[at] = joints[8] + twist @ [0, 0, 0.18 * sign]
        joints[at + 1] = joints[at] + arm @ [0, -0.3, 0]
        joints[at + 2] = joints[at + 1] + fore @ [0, -0.25, 0]
    # To the right is about X forward, positive from Y to Z.
    lean = about("Z", -forward) @ about("X", aside)
    joints[7:] = joints[7:] @ lean.T
    return (joints @ FACING.T)[None]


def angles_of(joints, up=UP, **options):
    found = joint_angles(joints, up=up, **options)
    return dict(zip(found.names, found.degrees[0], strict=True))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("bent", "expected"),
    [
        ({}, {}),
        ({"knee": 70.0}, {"knee_flexion": 70.0}),
        ({"elbow": 130.0}, {"elbow_flexion": 130.0}),
        ({"hip": (95.0, 0.0)}, {"hip_flexion": 95.0}),
        ({"hip": (-20.0, 0.0)}, {"hip_flexion": -20.0}),
        ({"hip": (60.0, -25.0)}, {"hip_flexion": 60.0, "hip_adduction": -25.0}),
        ({"hip": (0.0, 15.0), "knee": 10.0}, {"hip_adduction": 15.0, "knee_flexion": 10.0}),
        ({"shoulder": (80.0, 0.0)}, {"shoulder_elevation": 80.0, "shoulder_elevation_plane": 0.0}),
        (
            {"shoulder": (95.0, 90.0)},
            {"shoulder_elevation": 95.0, "shoulder_elevation_plane": 90.0},
        ),
        (
            {"shoulder": (40.0, -90.0)},
            {"shoulder_elevation": 40.0, "shoulder_elevation_plane": -90},
        ),
        (
            {"shoulder": (60.0, 30.0)},
            {"shoulder_elevation": 60.0, "shoulder_elevation_plane": 30.0},
        ),
    ],
)
def test_angles_are_those_that_the_body_was_bent_by(side, bent, expected):
    found = angles_of(person(side=side, **bent))
    wanted = {f"{side}_{name}": value for name, value in expected.items()}
    for name in ANGLE_NAMES:
        if name.endswith("_plane") and name not in wanted:
            assert np.isnan(found[name])  # The arm hangs.
        else:
            assert found[name] == pytest.approx(wanted.get(name, 0.0), abs=1e-9), name


@pytest.mark.parametrize(
    ("forward", "aside"), [(30.0, 0.0), (-15.0, 0.0), (0.0, 20.0), (40.0, -10.0)]
)
def test_trunk_leans_forward_and_to_the_right(forward, aside):
    found = angles_of(person(forward=forward, aside=aside))
    assert found["trunk_lean_forward"] == pytest.approx(forward)
    assert found["trunk_lean_right"] == pytest.approx(aside)
    whole = np.degrees(np.arccos(np.cos(np.radians(forward)) * np.cos(np.radians(aside))))
    assert found["trunk_lean"] == pytest.approx(whole)
    if aside == 0.0:  # The legs stay upright.
        assert found["right_hip_flexion"] == found["left_hip_flexion"] == pytest.approx(forward)


def test_shoulders_turn_to_the_left():
    found = angles_of(person(turn=25.0, shoulder=(70.0, 40.0)))
    assert found["trunk_rotation"] == pytest.approx(25.0)
    # An arm's plane is counted from the shoulders, not from the hips.
    assert found["right_shoulder_elevation_plane"] == pytest.approx(40.0)


def test_camera_and_scale_do_not_matter():
    joints = person(hip=(50.0, -10.0), knee=40.0, shoulder=(60.0, 20.0), forward=20.0)
    result = result_of(joints)
    mounted = CameraPose.mounted((1.0, 2.0, 3.0), yaw=0.5, pitch=0.3, roll=-0.2)
    seen = joints @ mounted.rotation  # As if the joints were along a robot's axes.
    robot = result_of(seen).to_robot_frame(mounted)
    base = angles_of(joints)
    lying = np.array([0.0, 0.0, 1.0])
    again = angles_of(100.0 * seen + 7.0, up=mounted.rotation.T @ UP)
    turned = angles_of(robot, up=UP)
    for name in ANGLE_NAMES:
        assert again[name] == pytest.approx(base[name], abs=1e-6, nan_ok=True)
        assert turned[name] == pytest.approx(base[name], abs=1e-3, nan_ok=True)
    # z is up along a robot's axes.
    assert angles_of(robot, up=None) == pytest.approx(angles_of(robot, up=lying), nan_ok=True)
    level = angles_of(result, up=CameraPose.mounted())
    assert level == pytest.approx(angles_of(result), nan_ok=True)


def test_parts_of_hip_and_lean_are_those_that_are_evaluated():
    joints = body("climb")
    found = joint_angles(joints, up=UP)
    whole = bends(joints)
    for place, side in enumerate(("right", "left")):
        parts = [np.radians(found.angle(f"{side}_hip_{part}")) for part in ("flexion", "adduction")]
        cosine = np.cos(parts[0]) * np.cos(parts[1])
        np.testing.assert_allclose(cosine, np.cos(np.radians(whole[:, 4 + place])), atol=1e-12)
        for name, column in (("knee_flexion", 0), ("elbow_flexion", 2), ("shoulder_elevation", 6)):
            np.testing.assert_array_equal(found.angle(f"{side}_{name}"), whole[:, column + place])


def test_mirror_image_has_the_angles_of_the_other_side():
    joints = body("jump")
    mirrored = (joints * [-1.0, 1.0, 1.0])[:, list(H36M17.mirror)]
    one, other = joint_angles(joints, up=UP), joint_angles(mirrored, up=UP)
    for name in ANGLE_NAMES:
        side, _, rest = name.partition("_")
        partner = {"right": f"left_{rest}", "left": f"right_{rest}"}.get(side, name)
        sign = -1.0 if name in ("trunk_rotation", "trunk_lean_right") else 1.0
        np.testing.assert_allclose(other.angle(name), sign * one.angle(partner), atol=1e-9)


def test_what_is_not_known_is_nan():
    result = result_of(body("walk"))
    valid = result.valid.copy()
    valid[3, 2] = False  # A knee.
    poses = result.poses.copy()
    poses[5] = np.nan
    found = joint_angles(dataclasses.replace(result, valid=valid, poses=poses), up=UP)
    missing = {name for name in ANGLE_NAMES if np.isnan(found.angle(name)[3])}
    assert missing == {"right_hip_flexion", "right_hip_adduction", "right_knee_flexion"}
    assert np.isnan(found.degrees[5]).all()
    assert not np.isnan(found.angle("right_knee_flexion")[4])
    same = joint_angles(poses, valid=valid, up=UP)
    np.testing.assert_array_equal(same.degrees, found.degrees)
    unknown = joint_angles(result)
    lean = [name for name in ANGLE_NAMES if np.isnan(unknown.angle(name)).all()]
    assert lean == ["trunk_lean", "trunk_lean_forward", "trunk_lean_right"]
    up = np.full((40, 3), UP)
    up[7] = np.nan
    each = joint_angles(result, up=up).angle("trunk_lean")
    assert np.flatnonzero(np.isnan(each)).tolist() == [7]
    point = joint_angles(np.zeros((1, 17, 3)), up=UP)
    assert np.isnan(point.degrees).all()


@pytest.mark.parametrize("elevation", [NO_PLANE_DEGREES - 1.0, 181.0 - NO_PLANE_DEGREES])
def test_an_arm_along_the_trunk_is_in_no_plane(elevation):
    found = angles_of(person(shoulder=(elevation, 45.0)))
    assert found["right_shoulder_elevation"] == pytest.approx(elevation)
    assert np.isnan(found["right_shoulder_elevation_plane"])


def test_files_and_dictionaries(tmp_path):
    poses = result_of(body("sit")).poses.copy()
    poses[1] = np.nan
    result = dataclasses.replace(result_of(body("sit")), poses=poses, first_frame=30)
    found = joint_angles(result, up=UP)
    path = found.save(tmp_path / "angles.csv")
    first, *rest = path.read_text().splitlines()
    assert json.loads(first[2:]) == {"unit": "degrees"}
    rows = list(csv.DictReader(rest))
    assert [rows[0]["frame"], rows[2]["timestamp"]] == ["30", "0.2"]
    assert {rows[1][name] for name in ANGLE_NAMES} == {""}
    read = [float(row["left_knee_flexion"]) for row in rows[2:]]
    np.testing.assert_allclose(read, found.angle("left_knee_flexion")[2:], atol=1e-4)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["angles"]["trunk_lean"][1] is None
    assert data["angles"]["trunk_lean"][0] == found.angle("trunk_lean")[0]
    assert (data["unit"], data["first_frame"], data["timestamps"][1]) == ("degrees", 30, 0.1)
    plain = joint_angles(result.poses)
    assert plain.save(tmp_path / "plain.csv").read_text().splitlines()[1].startswith("frame,right_")
    assert plain.to_dict()["timestamps"] is None
    np.testing.assert_array_equal(found.radians, np.radians(found.degrees))
    assert len(found) == 40
    with pytest.raises(UsageError, match=r"does not end in \.csv"):
        found.save(tmp_path / "angles.txt")
    with pytest.raises(UsageError, match="Did you mean 'left_knee_flexion'"):
        found.angle("left_knee")


@pytest.mark.parametrize(
    ("poses", "options", "message"),
    [
        (np.zeros((17, 3)), {}, r"shape \(17, 3\).*pose\[None\]"),
        (np.zeros((2, 16, 3)), {}, r"shape \(2, 16, 3\)"),
        ([[1.0], [1.0, 2.0]], {}, "no array of numbers"),
        (np.zeros((2, 17, 3)), {"valid": np.ones(17)}, r"valid has shape \(17,\)"),
        (np.zeros((2, 17, 3)), {"up": np.ones((3, 3))}, r"up has shape \(3, 3\)"),
        (np.zeros((2, 17, 3)), {"up": np.zeros(3)}, "no direction"),
    ],
)
def test_other_arrays_are_refused(poses, options, message):
    with pytest.raises((ResultError, UsageError), match=message):
        joint_angles(poses, **options)


def test_contradictions_are_refused():
    result = result_of(body("sit"))
    with pytest.raises(UsageError, match="has its own"):
        joint_angles(result, valid=result.valid)
    with pytest.raises(UsageError, match="robot's axes already"):
        joint_angles(result.to_robot_frame(CameraPose.mounted()), up=CameraPose.mounted())
