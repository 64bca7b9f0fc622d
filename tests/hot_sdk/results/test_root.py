import dataclasses

import numpy as np
import pytest
from mocap import CAMERA, NAMES, SIZE, body, result_of, seen

from hot_sdk import Keypoints
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.skeletons import H36M17, skeleton_format
from hot_sdk.windows import SeamReport

SMOOTHED_M = 0.05

PARTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


@pytest.mark.parametrize("name", NAMES)
def test_reprojection_finds_the_root(name):
    joints = body(name)
    found = result_of(joints).with_root_from_reprojection(seen(joints), CAMERA)
    # Of exact keypoints, the smoother takes a part of each turn for noise.
    np.testing.assert_allclose(found.root, joints[:, 0], atol=SMOOTHED_M)
    assert found.root_error.max() < 0.01
    assert found.policies[-1].count == 40


@pytest.mark.parametrize("name", NAMES)
def test_noise_moves_it_along_the_line_of_sight(name):
    joints = body(name)
    found = result_of(joints).with_root_from_reprojection(seen(joints, noise=2.0), CAMERA)
    apart = np.abs(found.root - joints[:, 0])
    assert apart[:, :2].mean() < 0.01
    assert apart[:, 2].mean() < 0.06
    # Two pixels along each of two axes, less what three unknowns take up.
    assert found.root_error.mean() == pytest.approx(2.0 * 2**0.5, rel=0.15)


def test_error_is_the_distance_in_pixels():
    joints = body("walk")
    points = seen(joints)
    # Every second joint 3 px right, the others 3 px left: nothing that a root could mend.
    shift = np.where(np.arange(17) % 2, 3.0, -3.0)
    moved = points.points.copy()
    moved[..., 0] += shift
    found = result_of(joints).with_root_from_reprojection(
        dataclasses.replace(points, points=moved), CAMERA
    )
    assert found.root_error.mean() == pytest.approx(3.0, rel=0.03)


def test_focal_lengths_may_differ():
    camera = Intrinsics(900.0, 1000.0, 610.0, 380.0)
    joints = body("jump")
    keypoints = dataclasses.replace(seen(joints), points=camera.project(joints))
    found = result_of(joints).with_root_from_reprojection(keypoints, camera)
    np.testing.assert_allclose(found.root, joints[:, 0], atol=SMOOTHED_M)


def test_missing_and_invalid_joints_are_ignored():
    joints = body("walk")
    points = seen(joints).points.copy()
    points[:, 3] = np.nan
    points[:, 6] += 500.0
    valid = np.ones((40, 17), dtype=bool)
    valid[:, 6] = False
    keypoints = dataclasses.replace(seen(joints), points=points)
    found = result_of(joints, valid=valid).with_root_from_reprojection(keypoints, CAMERA)
    np.testing.assert_allclose(found.root, joints[:, 0], atol=SMOOTHED_M)


def test_scores_weigh_joints():
    joints = body("walk")
    points = seen(joints).points.copy()
    points[:, 3] += 40.0
    scores = np.ones((40, 17))
    apart = []
    for score in (1.0, 0.01):
        scores[:, 3] = score
        keypoints = dataclasses.replace(seen(joints), points=points, scores=scores)
        found = result_of(joints).with_root_from_reprojection(keypoints, CAMERA)
        apart.append(np.abs(found.root - joints[:, 0]).max())
    # A joint far off its keypoint hardly counts, whatever its score.
    assert apart[1] < apart[0] < 0.03


def test_joints_without_pose_are_ignored():
    joints = body("walk")
    poses = result_of(joints).poses.copy()
    poses[2, 16] = np.nan
    poses[7] = np.nan
    result = result_of(joints, poses=poses)
    found = result.with_root_from_reprojection(seen(joints), CAMERA)
    assert np.isnan(found.root[7]).all()
    np.testing.assert_allclose(
        np.delete(found.root, 7, axis=0), np.delete(joints[:, 0], 7, axis=0), atol=SMOOTHED_M
    )
    tall = result.with_root_from_height(seen(joints), CAMERA, 1.75)
    whole = result_of(joints).with_root_from_height(seen(joints), CAMERA, 1.75)
    np.testing.assert_allclose(tall.root[8:], whole.root[8:], atol=0.01)
    with pytest.raises(ResultError, match="no size"):
        result_of(joints, poses=np.full_like(poses, np.nan)).with_root_from_height(
            seen(joints), CAMERA, 1.75
        )


def test_height_scales_the_seams_with_the_poses():
    joints = body("walk")
    seams = SeamReport(1, "m", 0.02, 0.02, None, None, None, None)
    small = result_of(joints / 2 - joints[:, :1] / 2 + joints[:, :1], seams=seams)
    tall = small.with_root_from_height(seen(joints), CAMERA, 1.75)
    factor = np.linalg.norm(tall.poses[0, 10]) / np.linalg.norm(small.poses[0, 10])
    assert factor > 1.5
    assert tall.seams.mean_step == pytest.approx(0.02 * factor, rel=1e-4)


def test_root_from_another_skeleton():
    # COCO's joints lie elsewhere than the motion capture's; the person does not.
    joints = body("walk")
    order = H36M17.joints.index
    named = {
        name: joints[:, order(name)]
        for side in ("left", "right")
        for name in (f"{side}_{part}" for part in PARTS)
    }
    coco = np.full((40, 17, 3), np.nan)
    for index, name in enumerate(skeleton_format("coco17").joints):
        coco[:, index] = named.get(name, np.nan)
    keypoints = Keypoints(CAMERA.project(coco), skeleton="coco17", image_size=SIZE)
    found = result_of(joints).with_root_from_reprojection(keypoints, CAMERA)
    # The pelvis, spine and thorax that are derived differ from the captured ones.
    np.testing.assert_allclose(found.root, joints[:, 0], atol=0.15)


def test_rejects_keypoints_of_another_person():
    joints = body("walk")
    other = dataclasses.replace(seen(joints), track_id=4)
    with pytest.raises(ResultError, match="keypoints are of 4, the poses of 3"):
        result_of(joints).with_root_from_reprojection(other, CAMERA)
    result_of(joints, track_id=4).with_root_from_reprojection(other, CAMERA)


def test_frames_with_too_few_joints_are_bridged():
    joints = body("walk")
    points = seen(joints).points.copy()
    points[5, 3:] = np.nan
    keypoints = dataclasses.replace(seen(joints), points=points)
    spread = np.full((40, 17, 3), 0.003, dtype=np.float32)
    found = result_of(joints, spread=spread).with_root_from_reprojection(keypoints, CAMERA)
    np.testing.assert_allclose(found.root[5], joints[5, 0], atol=SMOOTHED_M)
    assert np.isfinite(found.root_error).sum() == 39
    assert np.isnan(found.root_error[5])
    depth = found.joints_covariance[:, 0, 2, 2]
    assert depth[5] > 1.02 * depth[20]


def test_person_behind_the_camera_has_no_root():
    joints = body("walk")
    mirrored = seen(joints).points * -1.0 + 2.0 * np.array([CAMERA.cx, CAMERA.cy])
    keypoints = dataclasses.replace(seen(joints), points=mirrored.astype(np.float32))
    upside_down = result_of(joints).with_root_from_reprojection(keypoints, CAMERA)
    assert np.isnan(upside_down.root).all()


@pytest.mark.parametrize("name", NAMES)
def test_height_gives_the_scale(name):
    joints = body(name)
    truth = result_of(joints)
    small = dataclasses.replace(truth, poses=truth.poses * np.float32(0.5))
    one = small.with_root_from_height(seen(joints), CAMERA, 1.75)
    other = truth.with_root_from_height(seen(joints), CAMERA, 1.75)
    np.testing.assert_allclose(one.poses, other.poses, atol=2e-3)
    np.testing.assert_allclose(one.root, other.root, atol=0.03)
    assert one.scale == pytest.approx(2.0 * other.scale, rel=2e-3)
    assert 0.02 < one.scale_spread < 0.035
    # The body of this motion capture is about 1.75 m tall in every pose.
    scale = np.linalg.norm(one.poses[:, 10], axis=-1) / np.linalg.norm(truth.poses[:, 10], axis=-1)
    assert 0.9 < scale.mean() < 1.1
    np.testing.assert_allclose(one.root[:, 2], joints[:, 0, 2], rtol=0.1)
    assert [record.name for record in one.policies] == ["placed"]


def test_root_of_poses_in_millimeters():
    joints = body("walk")
    in_mm = result_of(joints).to_millimeters()
    found = in_mm.with_root_from_reprojection(seen(joints), CAMERA)
    np.testing.assert_allclose(found.root, 1000.0 * joints[:, 0], atol=1000.0 * SMOOTHED_M)
    tall = in_mm.with_root_from_height(seen(joints), CAMERA, 1.75)
    in_meters = result_of(joints).with_root_from_height(seen(joints), CAMERA, 1.75)
    np.testing.assert_allclose(tall.poses, 1000.0 * in_meters.poses, atol=0.01)


def test_rejects_keypoints_and_poses_that_do_not_fit():
    joints = body("walk")
    result = result_of(joints)
    with pytest.raises(ResultError, match="The keypoints have 39 frames, the poses 40"):
        result.with_root_from_reprojection(seen(joints[:39]), CAMERA)
    with pytest.raises(ResultError, match="needs metric poses"):
        result_of(joints, unit="normalized_px").with_root_from_reprojection(seen(joints), CAMERA)
    with pytest.raises(ResultError, match="other axes"):
        result_of(joints, axes="robot: x forward, y left, z up").with_root_from_height(
            seen(joints), CAMERA, 1.7
        )
    with pytest.raises(UsageError, match=r"height_m is 175; expected 0\.5 to 2\.5 m"):
        result.with_root_from_height(seen(joints), CAMERA, 175)
    with pytest.raises(ResultError, match="no size"):
        dataclasses.replace(result, poses=result.poses * 0).with_root_from_height(
            seen(joints), CAMERA, 1.7
        )


@pytest.mark.parametrize("values", [(0, 1, 1, 1), (1, -1, 1, 1), (1, 1, float("nan"), 1)])
def test_intrinsics_are_checked(values):
    with pytest.raises(UsageError, match="The intrinsics are"):
        Intrinsics(*values)


def test_field_of_view_spans_the_width():
    camera = Intrinsics.from_field_of_view(90.0, (640, 480))
    assert camera.project(np.array([1.0, 0.0, 1.0])).tolist() == pytest.approx([640.0, 240.0])
    with pytest.raises(UsageError, match="180"):
        Intrinsics.from_field_of_view(180.0, (640, 480))
