"""Angles put back into the chains of ROS4HRI's URDF lead to the joints that they came from."""

import numpy as np
import pytest
from mocap import NAMES, body
from standing_person import standing

from hot_sdk.ros.kinematics import STRAIGHT, body_rotation, joint_angles
from hot_sdk.skeletons import H36M17

AT = {name: at for at, name in enumerate(H36M17.joints)}
DOWN = np.array([0.0, 0.0, -1.0])


def about(axis, angle):
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=float)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def limbs(angles, rotation):
    """Directions of upper arm, forearm, thigh and shin by the axes in human-tpl.xacro."""
    found = {}
    for short, side, reflect in (("l", "left", 1), ("r", "right", -1)):
        shoulder = (
            about((0, 0, -reflect), angles[f"{short}_y_shoulder"])
            @ about((reflect, 0, 0), angles[f"{short}_p_shoulder"])
            @ about((0, 0, reflect), angles[f"{short}_r_shoulder"])
        )
        hip = (
            about((0, 0, -1), angles[f"{short}_y_hip"])
            @ about((reflect, 0, 0), angles[f"{short}_p_hip"])
            @ about((0, -1, 0), angles[f"{short}_r_hip"])
        )
        for upper, lower, turn in (("shoulder", "elbow", shoulder), ("hip", "knee", hip)):
            bent = turn @ about((0, -1, 0), angles[f"{short}_{lower}"])
            found[f"{side}_{upper}"] = rotation @ turn @ DOWN
            found[f"{side}_{lower}"] = rotation @ bent @ DOWN
    return found


def direction(joints, start, end):
    bone = joints[AT[end]] - joints[AT[start]]
    return bone / np.linalg.norm(bone)


ENDS = {"shoulder": "elbow", "elbow": "wrist", "hip": "knee", "knee": "ankle"}


def check(joints):
    rotation, angles = body_rotation(joints), joint_angles(joints)
    for start, found in limbs(angles, rotation).items():
        side, _, part = start.partition("_")
        true = direction(joints, start, f"{side}_{ENDS[part]}")
        off = np.arccos(np.clip(found @ true, -1.0, 1.0))
        # Of a straight limb, the bend to the side is left out.
        assert off < (1e-6 if part in ("shoulder", "hip") else STRAIGHT + 1e-6), start
        yield off


def test_angles_lead_back_to_random_joints():
    numbers = np.random.default_rng(5)
    off = []
    for _ in range(150):
        joints = numbers.normal(size=(17, 3))
        off += check(joints)
    assert np.mean(np.array(off) < 1e-6) > 0.97


def test_angles_lead_back_to_recorded_motion_and_stay_in_human_ranges():
    frames = np.concatenate([body(name) for name in NAMES])
    off = [one for joints in frames for one in check(joints)]
    assert np.mean(np.array(off) < 1e-6) > 0.7
    angles = [joint_angles(joints) for joints in frames]
    for side in "lr":
        knees = np.array([one[f"{side}_knee"] for one in angles])
        assert np.median(knees) < 0.0  # They bend backward.
        assert (knees < np.radians(12.0)).all()
        elbows = np.array([one[f"{side}_elbow"] for one in angles])
        assert np.median(elbows) > 0.0
        assert (elbows > -STRAIGHT).all()
        hips = np.array([one[f"{side}_y_hip"] for one in angles])
        assert (np.abs(hips) <= np.pi / 2 + 1e-9).all()


def test_body_frame_is_that_of_rep_155():
    # Seen by a camera, and looking at it: forward is -z, up is -y, and the left hand is at +x.
    rotation = body_rotation(standing())
    np.testing.assert_allclose(rotation[:, 0], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(rotation[:, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotation[:, 2], [0, -1, 0], atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_signs_are_those_of_the_model():
    joints = standing()
    angles = joint_angles(joints)
    assert angles["waist"] == 0.0
    assert 1.0 < angles["l_elbow"] < 1.6  # The left forearm points forward.
    assert angles["r_p_shoulder"] > 1.6  # The right arm is raised above the shoulder,
    assert abs(angles["r_y_shoulder"]) < 0.1  # to the side.
    assert angles["r_r_hip"] > 0.0  # Knees are forward of the hips,
    assert angles["r_knee"] < 0.0  # and bent.
    mirrored = joints.copy()
    mirrored[:, 0] *= -1.0
    for one, other in zip(H36M17.left, H36M17.right, strict=True):
        mirrored[[one, other]] = mirrored[[other, one]]
    swapped = joint_angles(mirrored)
    for name, angle in angles.items():
        if name == "waist":
            continue
        other = {"l": "r", "r": "l"}[name[0]] + name[1:]
        # Both hips of the model turn about the same axis.
        sign = -1.0 if name.endswith("y_hip") else 1.0
        assert swapped[other] == pytest.approx(sign * angle, abs=1e-9), name


def test_joints_that_are_not_seen_have_no_angle():
    def without(*names):
        joints = standing()
        joints[[AT[name] for name in names]] = np.nan
        return joint_angles(joints)

    assert without("pelvis") == without("left_hip") == without("thorax") == {}
    whole = without()
    assert len(whole) == 17
    assert set(whole) - set(without("right_wrist")) == {"r_r_shoulder", "r_elbow"}
    assert set(whole) - set(without("right_elbow")) == {
        *("r_y_shoulder", "r_p_shoulder", "r_r_shoulder", "r_elbow"),
    }
    assert set(whole) - set(without("left_ankle")) == {"l_knee"}
    assert not any("head" in name for name in whole)  # 17 joints do not show where a head looks.
