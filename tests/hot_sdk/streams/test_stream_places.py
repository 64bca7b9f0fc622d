"""Where people are, of streams. A random network's poses are no bodies: nothing places them."""

import dataclasses

import numpy as np
import pytest
from mocap import body, seen

from hot_sdk import CameraPose, Intrinsics, Pose3DEngine
from hot_sdk.errors import StreamError, UsageError
from hot_sdk.results.result import CAMERA_AXES, ROBOT_AXES
from hot_sdk.skeletons import H36M17

LENS = Intrinsics(900.0, 900.0, 500.0, 500.0)
CAMERA = CameraPose.mounted((0.1, 0.0, 1.2), yaw=0.4, pitch=0.2)
FRAMES = 12


@pytest.fixture(scope="module")
def engine(hot_file):
    with Pose3DEngine(hot_file, threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def starter():
    with Pose3DEngine("starter", threads=1) as engine:
        yield engine


@pytest.fixture
def frames(clips):
    clip = clips["pose_1"]
    return [
        dataclasses.replace(
            clip, points=clip.points[at : at + 1], scores=clip.scores[at : at + 1], fps=None
        )
        for at in range(FRAMES)
    ]


def pushed(stream, frames, **with_each):
    poses = []
    for at, frame in enumerate(frames):
        given = {name: value(at) for name, value in with_each.items()}
        poses += stream.push(frame, at / 50.0, **given)
    return poses


def test_without_a_camera_nothing_is_known(engine, frames):
    with engine.stream("video", fps=50.0) as stream:
        pose = pushed(stream, frames)[-1]
    assert (pose.axes, pose.frame_id, pose.root_joint) == (
        CAMERA_AXES,
        "camera_optical_frame",
        "pelvis",
    )
    for values in (pose.root, pose.joints, pose.velocity, pose.joints_covariance):
        assert np.isnan(values).all()
    assert pose.covariance is None
    np.testing.assert_allclose(pose.keypoints[:, :2], frames[-1].h36m17_arrays()[0][0])


def test_an_inverted_pose_of_the_camera_is_noticed_once(engine):
    clip = seen(body("walk"))
    inverse = CameraPose(CAMERA.rotation.T, -CAMERA.rotation.T @ CAMERA.translation)
    for pose, notices in ((CAMERA, 0), (inverse, 1)):
        with engine.stream(
            "video", fps=10.0, skeleton="h36m17", image_size=clip.image_size
        ) as stream:
            for at, points in enumerate(clip.points):
                stream.push(points, at / 10.0, camera=pose)
                stream.report()
            found = [one for one in stream.report().warnings if "pose is inverted" in one]
        assert len(found) == notices


def test_poses_and_joints_are_in_the_robots_frame(starter, frames):
    with (
        starter.stream("video", fps=50.0, intrinsics=LENS, up=CAMERA) as plain,
        starter.stream("video", fps=50.0, intrinsics=LENS, camera=CAMERA) as placed,
    ):
        alone, found = pushed(plain, frames), pushed(placed, frames)
    for before, after in zip(alone, found, strict=True):
        assert (after.axes, after.frame_id) == (ROBOT_AXES, "base_link")
        np.testing.assert_allclose(after.pose, before.pose @ CAMERA.rotation.T, atol=1e-5)
        turned = CAMERA.rotation @ before.root + CAMERA.translation
        np.testing.assert_allclose(after.root, turned, atol=1e-6)
        np.testing.assert_allclose(after.joints, after.root + after.pose, atol=1e-5)
        assert after.root_error == pytest.approx(before.root_error, rel=1e-4)
        np.testing.assert_array_equal(after.root_covariance, after.joints_covariance[0])
        np.testing.assert_array_equal(after.root_velocity, after.velocity[0])


def test_a_camera_that_comes_with_each_frame_or_from_a_function(engine, frames):
    def moved(time):
        return CameraPose(CAMERA.rotation, CAMERA.translation + time * np.array([0.5, 0.0, 0.0]))

    with (
        engine.stream("video", fps=50.0, intrinsics=LENS, frame_id="odom") as one,
        engine.stream("video", fps=50.0, intrinsics=LENS, camera=moved, frame_id="odom") as other,
    ):
        first = pushed(one, frames, camera=lambda at: moved(at / 50.0))
        second = pushed(other, frames)
    for pushed_one, looked_up in zip(first, second, strict=True):
        np.testing.assert_array_equal(pushed_one.joints, looked_up.joints)
        assert pushed_one.frame_id == "odom"


def test_a_frame_that_does_not_say_where_the_camera_is(engine, frames):
    with engine.stream("video", fps=50.0, intrinsics=LENS) as stream:
        stream.push(frames[0], 0.0, camera=CAMERA)
        with pytest.raises(StreamError, match="say where the camera is"):
            stream.push(frames[1], 0.02)
        stream.push(frames[1], 0.02, camera=CAMERA)
        stream.reset()
        stream.push(frames[2], 0.04)
        with pytest.raises(StreamError, match="do not say where the camera is"):
            stream.push(frames[3], 0.06, camera=CAMERA)
        with pytest.raises(UsageError, match="a tuple"):
            stream.push(frames[3], 0.06, camera=(0.0, 0.0, 1.0))


def test_depth_moves_the_root_and_wrong_depth_is_refused(starter, frames):
    def last(**with_each):
        with starter.stream("video", fps=50.0, intrinsics=LENS) as stream:
            return pushed(stream, frames, **with_each)[-1]

    alone = last()
    depth = float(alone.root[2]) * 1.05
    read = last(depth=lambda at: depth)
    image = last(depth=lambda at: np.full((100, 100), depth, dtype=np.float32))
    assert read.root[2] > alone.root[2]
    assert read.scale > 1.0
    assert read.scale_spread < 0.9 * alone.scale_spread
    assert image.root[2] == pytest.approx(read.root[2], rel=1e-4)
    with starter.stream("video", fps=50.0, intrinsics=LENS) as stream:
        with pytest.raises(UsageError, match="expected meters"):
            stream.push(frames[0], 0.0, depth=2500)
        people = [dataclasses.replace(frames[0], track_id=name) for name in (1, 2)]
        with pytest.raises(UsageError, match="one reading, and the frame shows 2 people"):
            stream.push_people(people, 0.0, depth=2.0)
        stream.push_people(people, 0.0, depth=[2.0, np.nan])


def test_a_later_pose_is_surer(starter, frames):
    spreads = []
    for lookahead in (0, 4):
        with starter.stream("video", fps=50.0, intrinsics=LENS, lookahead=lookahead) as stream:
            poses = pushed(stream, frames)
        assert len(poses) == FRAMES - lookahead
        spreads.append(np.trace(poses[5].velocity_covariance[0]))
    assert spreads[1] < 0.7 * spreads[0]


def test_hips_that_are_not_seen(engine, frames):
    hips = [H36M17.joints.index(name) for name in ("pelvis", "right_hip", "left_hip")]
    shown = []
    for frame in frames:
        points = frame.points.copy()
        points[:, hips] = np.nan
        shown.append(dataclasses.replace(frame, points=points))
    with engine.stream("video", fps=50.0) as stream:
        assert not pushed(stream, shown)[-1].valid.any()
    with engine.stream("video", fps=50.0, root="auto") as stream:
        pose = pushed(stream, shown)[-1]
    assert pose.root_joint == "thorax"
    assert pose.valid[H36M17.joints.index("right_wrist")]
    assert not pose.valid[[*hips, 2, 3, 5, 6]].any()
    np.testing.assert_array_equal(pose.pose[pose.root_index], 0.0)


def test_live_streams_are_smoothed_and_others_on_request(engine, frames):
    poses = {}
    for mode, smoothing in (("live", None), ("live", False), ("video", None), ("video", True)):
        with engine.stream(mode, fps=50.0, smoothing=smoothing) as stream:
            for at, frame in enumerate(frames[:6]):
                found = stream.push(frame, at / 50.0)
                found += stream.flush() if mode == "live" and at == 5 else ()
            wanted = mode == "live" if smoothing is None else smoothing
            assert stream.report().smoothed == wanted
            poses[mode, smoothing] = found[-1].pose
    assert np.abs(poses["video", True] - poses["video", None]).max() > 1e-4


def test_values_out_of_range(engine):
    with pytest.raises(UsageError, match="camera is a Intrinsics"):
        engine.stream(camera=LENS)
    stream = engine.stream("video", intrinsics=LENS, ground=1.2)
    with pytest.raises(UsageError, match="nothing says where up is"):
        stream.push(None, 0.0)
