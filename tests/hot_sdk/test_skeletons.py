from __future__ import annotations

import pytest

from hot_sdk.skeletons import H36M17, Skeleton

JOINTS = range(len(H36M17.joints))


def other_side(name):
    return {"left": "right", "right": "left"}.get(name, name)


def test_names_are_those_of_17_different_joints():
    assert len(H36M17.joints) == len(set(H36M17.joints)) == 17


def test_mirror_is_an_involution():
    mirror = H36M17.mirror
    assert [mirror[mirror[joint]] for joint in JOINTS] == list(JOINTS)
    assert mirror != tuple(JOINTS)


def test_mirror_swaps_left_and_right_names():
    for joint in JOINTS:
        swapped = "_".join(other_side(word) for word in H36M17.joints[joint].split("_"))
        assert H36M17.joints[H36M17.mirror[joint]] == swapped


def test_sides_hold_every_joint_with_a_side():
    named = {
        side: tuple(j for j in JOINTS if H36M17.joints[j].startswith(side))
        for side in ("left", "right")
    }
    assert named == {"left": H36M17.left, "right": H36M17.right}


def test_parents_form_one_tree_in_order():
    assert len(H36M17.parents) == len(H36M17.joints)
    assert H36M17.parents[0] == -1
    assert all(0 <= H36M17.parents[joint] < joint for joint in JOINTS[1:])


def test_mirror_keeps_the_tree():
    for joint in JOINTS[1:]:
        mirrored_parent = H36M17.mirror[H36M17.parents[joint]]
        assert H36M17.parents[H36M17.mirror[joint]] == mirrored_parent


def test_bones_stay_in_their_limb():
    bones = {H36M17.joints[child]: H36M17.joints[H36M17.parents[child]] for child in JOINTS[1:]}
    assert bones["left_ankle"] == "left_knee"
    assert bones["left_knee"] == "left_hip"
    assert bones["left_wrist"] == "left_elbow"
    assert bones["left_elbow"] == "left_shoulder"
    assert bones["left_shoulder"] == bones["neck_nose"] == "thorax"
    assert bones["left_hip"] == bones["spine"] == "pelvis"


def test_rejects_unequal_sides():
    lopsided = Skeleton("lopsided", ("root", "a", "b"), (-1, 0, 0), left=(1, 2), right=())
    with pytest.raises(ValueError, match="zip"):
        _ = lopsided.mirror


def test_mirror_of_a_skeleton_without_sides_is_itself():
    assert Skeleton("line", ("root", "tip"), (-1, 0), (), ()).mirror == (0, 1)
