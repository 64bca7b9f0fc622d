"""From keypoints and results to what is drawn of a frame."""

import numpy as np
import pytest

from hot_sdk import Keypoints, Pose3DResult
from hot_sdk.cameras import CameraPose
from hot_sdk.drawing import PersonClip
from hot_sdk.errors import UsageError
from hot_sdk.results.result import CAMERA_AXES
from hot_sdk.skeletons import H36M17

FRAMES = 5


def clip(**changes):
    random = np.random.default_rng(0)
    fields = {
        "poses": random.normal(size=(FRAMES, 17, 3)).astype(np.float32),
        "valid": np.ones((FRAMES, 17), dtype=bool),
        "unit": "m",
        "axes": CAMERA_AXES,
        "root": random.normal(size=(FRAMES, 3)).astype(np.float32),
        "root_error": np.zeros(FRAMES, dtype=np.float32),
        "timestamps": np.arange(FRAMES) / 30,
        "track_id": 4,
        "policies": (),
        "seams": None,
        "latency": None,
        "model": "made up",
        **changes,
    }
    return Pose3DResult(**fields)


def keypoints(frames=FRAMES, skeleton="coco17", **changes):
    points = np.random.default_rng(1).uniform(0, 500, (frames, 17, 2))
    return Keypoints(points, skeleton=skeleton, image_size=(640, 480), fps=30.0, **changes)


def test_frame_has_the_skeleton_of_the_keypoints():
    frame = PersonClip(keypoints(track_id="b")).frame(2)
    assert frame.track_id == "b"
    assert frame.pose is None
    names = keypoints().skeleton_format.joints
    assert {names[joint].split("_")[0] for joint in frame.left} == {"left"}
    assert {names[joint].split("_")[0] for joint in frame.right} == {"right"}
    np.testing.assert_array_equal(frame.keypoints_2d, keypoints().points[2])


@pytest.mark.parametrize(("own", "given"), [(0, 10), (10, None), (7, 10)])
def test_clip_that_begins_later(own, given):
    person = PersonClip(keypoints(first_frame=own), clip(), first_frame=given)
    assert person.start == 10
    assert person.frame(9) is None
    assert person.frame(15) is None
    np.testing.assert_allclose(person.frame(12).pose, clip().poses[2], rtol=1e-6)


def test_pose_without_a_valid_joint_is_not_drawn():
    valid = np.ones((FRAMES, 17), dtype=bool)
    valid[1] = False
    valid[2, :16] = False
    person = PersonClip(keypoints(), clip(valid=valid))
    assert person.frame(1).pose is None
    assert person.frame(2).valid.sum() == 1
    assert person.track_id == 4


def test_units_and_axes_become_meters_along_the_camera():
    plain = PersonClip(keypoints(), clip())
    for other in (clip().to_millimeters(), clip().to_robot_frame(CameraPose.mounted())):
        frame = PersonClip(keypoints(), other).frame(3)
        np.testing.assert_allclose(frame.pose, plain.frame(3).pose, atol=1e-5)
        np.testing.assert_allclose(frame.root, plain.frame(3).root, atol=1e-5)


def test_poses_without_a_metric_unit_are_drawn_at_an_adults_size():
    joint = H36M17.joints.index
    poses = np.zeros((FRAMES, 17, 3), dtype=np.float32)
    for side in ("left", "right"):
        poses[:, joint(f"{side}_knee"), 1] = 0.1
        poses[:, joint(f"{side}_ankle"), 1] = 0.2
    frame = PersonClip(
        keypoints(), clip(poses=poses, unit="normalized_px", root=None, root_error=None)
    ).frame(0)
    assert frame.pose[joint("left_ankle"), 1] == pytest.approx(0.86)
    collapsed = clip(poses=0 * poses, unit="normalized_px", root=None, root_error=None)
    assert np.isfinite(PersonClip(keypoints(), collapsed).frame(0).pose).all()


def test_root_that_was_not_found_is_none():
    root = clip().root.copy()
    root[3] = np.nan
    person = PersonClip(keypoints(), clip(root=root))
    assert person.frame(3).root is None
    assert person.frame(2).root is not None


def test_rejects_clips_of_other_lengths():
    with pytest.raises(UsageError, match="4 frames of keypoints and 5 poses"):
        PersonClip(keypoints(4), clip())
