from pathlib import Path

import numpy as np
import pytest
from mocap import CAMERA, NAMES, body

from hot_sdk import list_skeletons
from hot_sdk.errors import KeypointsError
from hot_sdk.skeletons import H36M17, NETWORK_SKELETONS, TO_H36M17, skeleton_format

# Where a face's parts are on a head, metres in front of and above the middle of the ears, and to
# the left; a foot's, from the ankle. Of a grown person, from anatomy and not from the data files.
FACE = {
    "nose": (0.11, -0.03, 0.0),
    "eye_inner": (0.085, 0.01, 0.015),
    "eye": (0.08, 0.01, 0.032),
    "eye_outer": (0.07, 0.01, 0.045),
    "ear": (0.0, 0.0, 0.075),
    "mouth": (0.09, -0.07, 0.025),
}
FOOT = {
    "big_toe": (0.17, -0.08, -0.02),
    "small_toe": (0.14, -0.08, 0.05),
    "heel": (-0.05, -0.07, 0.0),
    "foot_index": (0.17, -0.08, 0.0),
}
# Distance from a joint's true place, as a share of the trunk (pelvis to middle of the shoulders),
# mean over four motions and three views; measured, with a quarter of margin.
BOUNDS = {"pelvis": 0.005, "spine": 0.05, "thorax": 0.185, "neck_nose": 0.16, "head": 0.12}


def unit(vector):
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def anatomy(joints):
    """Every joint that a format names, from a body's 17, by name."""
    of = {name: joints[:, place] for place, name in enumerate(H36M17.joints)}
    shoulders = (of["left_shoulder"] + of["right_shoulder"]) / 2
    left = unit(of["left_shoulder"] - of["right_shoulder"])
    up = unit(of["head"] - shoulders)
    left = unit(left - (left * up).sum(-1, keepdims=True) * up)
    forward = np.cross(left, up)
    ears = of["head"] - 0.13 * up
    places = dict(of)
    for part, (ahead, above, aside) in FACE.items():
        for side, sign in (("left", 1.0), ("right", -1.0)):
            place = ears + ahead * forward + above * up + sign * aside * left
            places[f"{side}_{part}"] = place
        places[part] = ears + ahead * forward + above * up
    for part, (ahead, above, aside) in FOOT.items():
        for side, sign in (("left", 1.0), ("right", -1.0)):
            leg = of[f"{side}_ankle"]
            places[f"{side}_{part}"] = leg + ahead * forward + above * up + sign * aside * left
    for part in ("pinky", "index", "thumb"):
        for side in ("left", "right"):
            hand = unit(of[f"{side}_wrist"] - of[f"{side}_elbow"])
            places[f"{side}_{part}"] = of[f"{side}_wrist"] + 0.09 * hand
    places["neck"] = shoulders + 0.05 * up
    places["upper_neck"] = shoulders + 0.10 * up
    places["head_bottom"] = places["upper_neck"]
    places["head_top"] = places["head"]
    places["hip"] = places["mid_hip"] = (of["left_hip"] + of["right_hip"]) / 2
    places["pelvis"] = of["pelvis"]
    return places


def turned(joints, degrees):
    angle = np.radians(degrees)
    turn = np.array(
        [
            [np.cos(angle), 0, np.sin(angle)],
            [0, 1, 0],
            [-np.sin(angle), 0, np.cos(angle)],
        ]
    )
    middle = joints[:, 0].mean(axis=0)
    return (joints - middle) @ turn.T + middle


def views():
    for name in NAMES:
        for degrees in (0, 70, 160):
            yield turned(body(name), degrees)


# Of a data set's own joints of these names, which joint of the 17 has the same place. MPI-INF-3DHP
# states each of the 17 itself.
SAME_PLACE = {"mpi_inf_3dhp17": {"head": "neck_nose", "neck": "thorax", "spine": "spine"}}


def projected(skeleton, joints):
    """A format's keypoints of a body; what a lifter has no use for lies in its middle."""
    places = anatomy(joints)
    for name, same in SAME_PLACE.get(skeleton.name, {}).items():
        places[name] = joints[:, H36M17.joints.index(same)]
    middle = joints.mean(axis=1)
    named = [places.get(joint, middle) for joint in skeleton.joints]
    return CAMERA.project(np.stack(named, axis=1)).astype(np.float32)


@pytest.mark.parametrize("name", list_skeletons())
def test_known_body_is_mapped_to_its_joints(name):
    skeleton = skeleton_format(name)
    errors = []
    for joints in views():
        truth = CAMERA.project(joints)
        found, scores = skeleton.to_h36m17(projected(skeleton, joints), None)
        assert scores is None
        shoulders = (truth[:, 11] + truth[:, 14]) / 2
        trunk = np.linalg.norm(shoulders - truth[:, 0], axis=-1).mean()
        errors.append(np.linalg.norm(found - truth, axis=-1) / trunk)
    mean = np.concatenate(errors).mean(axis=0)
    for place, joint in enumerate(H36M17.joints):
        if name == "h36m17" or joint not in BOUNDS:
            assert mean[place] < 1e-5, joint
        else:
            assert mean[place] < BOUNDS[joint], (joint, mean[place])


@pytest.mark.parametrize("name", list_skeletons())
def test_mirror_image_is_mapped_to_the_mirror_image(name):
    skeleton = skeleton_format(name)
    points = projected(skeleton, body("walk"))
    order = list(range(len(skeleton.joints)))
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        a, b = skeleton.joints.index(left), skeleton.joints.index(right)
        order[a], order[b] = b, a
    mirrored = points[:, order] * np.float32([-1, 1])
    found = skeleton.to_h36m17(mirrored, None)[0][:, list(H36M17.mirror)] * np.float32([-1, 1])
    np.testing.assert_allclose(found, skeleton.to_h36m17(points, None)[0], atol=1e-3)


@pytest.mark.parametrize("name", list_skeletons())
def test_descriptions_are_complete(name):
    skeleton = skeleton_format(name)
    assert skeleton.name == name
    of_data_sets = name.removeprefix("h36m").removeprefix("mpi_inf_3dhp")
    number = int("".join(filter(str.isdecimal, of_data_sets)))
    assert len(set(skeleton.joints)) == len(skeleton.joints) == number
    assert tuple(derived.joint for derived in skeleton.derived) == H36M17.joints
    assert len(skeleton.source) > 20
    for derived in skeleton.derived:
        for recipe in derived.recipes:
            assert sum(term.weight for term in recipe.terms) == pytest.approx(1.0)
            assert recipe.why
    assert {end for link in skeleton.links for end in link} <= set(skeleton.joints)
    assert len(skeleton.link_indices) == len(skeleton.links)


@pytest.mark.parametrize("name", [name for name in list_skeletons() if name != "h36m17"])
def test_missing_joint_removes_only_joints_derived_from_it(name):
    skeleton = skeleton_format(name)
    points = projected(skeleton, body("sit")[:3])
    whole = skeleton.to_h36m17(points, None)[0]
    points[1, skeleton.joints.index("left_elbow")] = np.nan
    found = skeleton.to_h36m17(points, None)[0]
    gone = np.isnan(found).any(axis=-1)
    assert np.argwhere(gone).tolist() == [[1, 12]]
    np.testing.assert_array_equal(found[~gone], whole[~gone])


def test_hidden_ear_is_replaced_by_the_other():
    skeleton = skeleton_format("coco17")
    points = projected(skeleton, body("walk"))
    scores = np.full(points.shape[:2], 0.9, np.float32)
    scores[0, skeleton.joints.index("left_ear")] = 0.0
    scores[1:, skeleton.joints.index("right_ear")] = 0.4
    found, made = skeleton.to_h36m17(points, scores)
    shoulders = (points[0, 5] + points[0, 6]) / 2
    expected = 1.55 * points[0, 4] - 0.55 * shoulders
    np.testing.assert_allclose(found[0, 10], expected, rtol=1e-5)
    assert made[0, 10] == np.float32(0.9)
    # The lowest score of all that the joint is made of.
    assert (made[1:, 10] == np.float32(0.4)).all()


def test_empty_frames_stay_empty():
    skeleton = skeleton_format("coco17")
    points = np.full((2, 17, 2), np.nan, np.float32)
    found, scores = skeleton.to_h36m17(points, np.zeros((2, 17), np.float32))
    assert np.isnan(found).all()
    assert (scores == 0.0).all()


def test_two_detectors_agree_on_one_video(clips):
    """MoveNet's COCO joints and MediaPipe's landmarks, both brought to the 17."""
    with np.load(Path(__file__).parents[1] / "support" / "data" / "pose_1_coco17.npz") as arrays:
        coco = arrays["points"]
    found = skeleton_format("coco17").to_h36m17(coco, None)[0]
    other = clips["pose_1"].points
    shoulders = (other[:, 11] + other[:, 14]) / 2
    trunk = np.linalg.norm(shoulders - other[:, 0], axis=-1).mean()
    apart = (np.linalg.norm(found - other, axis=-1) / trunk).mean(axis=0)
    # The two do not agree about the knees, which bend towards the camera in this video.
    knees = [H36M17.joints.index(name) for name in ("left_knee", "right_knee")]
    assert np.delete(apart, knees).max() < 0.12
    made = [H36M17.joints.index(name) for name in BOUNDS]
    assert apart[made].mean() < 0.05


@pytest.mark.parametrize("name", ["COCO-17", "coco_17", "openpose", "", None, 17])
def test_rejects_unknown_names(name):
    with pytest.raises(KeypointsError, match="Unknown skeleton"):
        skeleton_format(name)


def test_suggests_the_nearest_name():
    with pytest.raises(KeypointsError, match="Did you mean 'coco17'"):
        skeleton_format("COCO-17")


@pytest.mark.parametrize("skeleton", NETWORK_SKELETONS.values(), ids=lambda each: each.name)
def test_orders_of_networks_have_the_same_joints(skeleton):
    described = skeleton_format(skeleton.name)
    order = TO_H36M17[skeleton.name]
    assert sorted(order) == list(range(17))
    assert described.joints == skeleton.joints
    assert [described.joints.index(name) for name in described.left] == list(skeleton.left)
    assert [described.joints.index(name) for name in described.right] == list(skeleton.right)
    points = np.random.default_rng(2).uniform(0, 500, (3, 17, 2)).astype(np.float32)
    np.testing.assert_array_equal(described.to_h36m17(points, None)[0], points[:, list(order)])
    # Bones and mirror images are the same in both orders.
    back = np.argsort(order)
    assert skeleton.parents[order[0]] == -1
    for joint in range(1, 17):
        assert back[skeleton.parents[order[joint]]] == H36M17.parents[joint]
        assert back[skeleton.mirror[order[joint]]] == H36M17.mirror[joint]
