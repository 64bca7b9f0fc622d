"""A person whose poses are exact but for the size, in a frame whose z axis points up."""

import dataclasses

import numpy as np
import pytest
from mocap import CAMERA, SIZE, body

from hot_sdk.cameras import CameraPose
from hot_sdk.contacts import ANKLE_HEIGHT_M, FEET
from hot_sdk.errors import UsageError
from hot_sdk.root import ADULT_SPREAD, Floor
from hot_sdk.root.clips import place_clip
from hot_sdk.root.depth import checked_depth, depth_at
from hot_sdk.root.frames import LiftedFrames, PlaceOptions
from hot_sdk.root.origin import PELVIS, THORAX
from hot_sdk.root.placement import Placement
from hot_sdk.root.placing import PersonPlacer
from hot_sdk.skeletons import H36M17

MOUNTED = CameraPose.mounted((0.2, 0.1, 1.1), yaw=0.3, pitch=0.1)
WRIST = H36M17.joints.index("right_wrist")
HIPS = [H36M17.joints.index(name) for name in ("pelvis", "right_hip", "left_hip")]
LEGS = [1, 2, 3, 4, 5, 6]
TIMES = np.arange(40) / 10.0


def lifted(joints, size=1.0, noise=1.0, intrinsics=CAMERA, **changes):
    """Frames of someone at joints along the camera's axes, lifted at another size."""
    random = np.random.default_rng(0)
    settings = {
        "times": TIMES[: len(joints)],
        "poses": (joints - joints[:, :1]) / size,
        "valid": np.ones(joints.shape[:2], dtype=bool),
        "points": intrinsics.project(joints) + random.normal(size=(*joints.shape[:2], 2)) * noise,
        "cameras": MOUNTED,
        **changes,
    }
    return LiftedFrames(**settings)


def in_robot(joints, camera=MOUNTED):
    return joints @ camera.rotation.T + camera.translation


def one_by_one(frames, options, lookahead=0, **known):
    """Place frames as a stream does: each with those after it that are there by then."""
    placer, placed = PersonPlacer(options), []
    count = len(frames.times)
    for newest in range(lookahead, count):
        span = slice(newest - lookahead, newest + 1)
        part = {
            name: value[span]
            for name, value in vars(frames).items()
            if value is not None and name != "cameras"
        }
        part = dataclasses.replace(frames, **part)
        placed.append(placer.place(part, 1, CAMERA, **known))
    return placed


def test_joints_are_in_the_frame():
    joints = body("walk")
    placed = place_clip(lifted(joints), CAMERA, PlaceOptions())
    apart = np.linalg.norm(placed.joints - in_robot(joints), axis=-1)
    assert np.median(apart) < 0.02
    np.testing.assert_allclose(
        placed.poses, (joints - joints[:, :1]) @ MOUNTED.rotation.T, atol=1e-5
    )
    velocity = np.gradient(in_robot(joints), 0.1, axis=0)
    rms = np.sqrt(((placed.velocity - velocity)[2:-2, PELVIS] ** 2).sum(axis=-1).mean())
    assert rms < 0.25
    assert placed.covariance is None
    # Nothing is known of the errors of these poses, nor then of where they are.
    assert np.isnan(placed.joints_covariance).all()
    assert np.isnan(placed.velocity_covariance).all()


@pytest.mark.parametrize("lookahead", [0, 5])
def test_frame_by_frame_with_what_comes_after(lookahead):
    joints = body("sit")
    frames = lifted(joints, noise=2.0, spread=np.full((40, 17, 3), 0.003))
    placed = one_by_one(frames, PlaceOptions(), lookahead)
    found = np.concatenate([one.root for one in placed])
    true = in_robot(joints[: len(found), 0])
    apart = np.linalg.norm(found - true, axis=-1)[5:]
    assert apart.mean() < (0.05 if lookahead == 0 else 0.035)
    spread = np.array([np.trace(one.joints_covariance[0, PELVIS]) for one in placed])
    assert np.isfinite(spread).all()
    # The size that is not known is the most of it.
    assert spread[-1] > (0.8 * ADULT_SPREAD * 4.5) ** 2


def test_hips_that_are_not_seen():
    joints = body("sit")
    frames = lifted(joints)
    frames.valid[:, [*HIPS, *LEGS]] = False
    frames.points[:, [*HIPS, *LEGS]] = np.nan
    # Someone says that an ankle is seen all the same.
    frames.valid[:, 3] = True
    nowhere = place_clip(frames, CAMERA, PlaceOptions())
    assert not nowhere.valid.any()
    assert np.isnan(nowhere.root).all()
    for root in ("thorax", "auto"):
        placed = place_clip(frames, CAMERA, PlaceOptions(root=root))
        assert (placed.origins == THORAX).all()
        assert not placed.valid[:, [*HIPS, *LEGS]].any()
        assert placed.valid[:, WRIST].all()
        # Half a body shows half as well how far it is.
        assert np.abs(placed.root - in_robot(joints[:, THORAX])).mean() < 0.05
        np.testing.assert_allclose(placed.poses[:, THORAX], 0.0, atol=1e-6)
        apart = np.linalg.norm(placed.joints - in_robot(joints), axis=-1)[:, WRIST]
        assert apart.mean() < 0.08


def test_the_root_changes_while_someone_sits_down():
    joints = body("sit")
    frames = lifted(joints, spread=np.full((40, 17, 3), 0.003))
    frames.valid[20:, HIPS] = False
    frames.points[20:, HIPS] = np.nan
    placed = one_by_one(frames, PlaceOptions(root="auto"))
    assert [int(one.origins[0]) for one in placed] == [PELVIS] * 20 + [THORAX] * 20
    wrist = np.concatenate([one.joints[:, WRIST] for one in placed])
    apart = np.linalg.norm(wrist - in_robot(joints[:, WRIST]), axis=-1)
    assert apart[15:].max() < 0.15
    # The track goes on: no velocity of someone who has just come.
    sure = [np.trace(one.velocity_covariance[0, one.origins[0]]) for one in placed]
    assert max(sure[20:]) < 2.0 * sure[19] + 0.2


@pytest.mark.parametrize("known", ["height", "bones"])
def test_someone_small_is_placed_at_the_own_size(known):
    joints = body("walk")
    tall = place_clip(lifted(joints, noise=0.5), CAMERA, PlaceOptions(), height_m=1.75)
    length = float(np.linalg.norm(joints[0, 3] - joints[0, 2]))
    options = PlaceOptions(bones={"right_ankle": length} if known == "bones" else {})
    placed = place_clip(
        lifted(joints, size=0.85, noise=0.5),
        CAMERA,
        options,
        height_m=1.75 if known == "height" else None,
    )
    expected = 0.85 * (tall.scale[0] if known == "height" else 1.0)
    assert placed.scale[0] == pytest.approx(expected, rel=0.02 if known == "height" else 0.08)
    assert placed.scale_spread[0] < ADULT_SPREAD
    alone = place_clip(lifted(joints, size=0.85, noise=0.5), CAMERA, PlaceOptions())
    assert alone.scale[0] == pytest.approx(1.0, abs=0.01)
    assert alone.scale_spread[0] == pytest.approx(ADULT_SPREAD, rel=0.05)


def test_depth_tells_the_size():
    joints = body("walk")
    depths = np.full((40, 17), np.nan)
    depths[:, PELVIS] = joints[:, 0, 2] - 0.10
    placed = place_clip(lifted(joints, size=0.85, depths=depths), CAMERA, PlaceOptions())
    assert placed.scale[-1] == pytest.approx(0.85, abs=0.03)
    # A child in all frames, though the first are not believed to be of one.
    placed = place_clip(lifted(joints, size=0.6, depths=depths), CAMERA, PlaceOptions())
    np.testing.assert_allclose(placed.scale, 0.6, atol=0.03)


def test_spread_is_turned_and_grows_while_a_joint_is_not_seen():
    joints = body("walk")[:10]
    aside = CameraPose.mounted((0.0, 0.0, 1.0), yaw=np.pi / 2)
    spread = np.broadcast_to([0.01, 0.02, 0.05], (10, 17, 3)).copy()
    spread[:, 0] = 0.0
    unseen = np.zeros((10, 17))
    unseen[4, WRIST] = 0.5
    frames = lifted(joints, cameras=aside, spread=spread, unseen_s=unseen)
    placed = place_clip(frames, CAMERA, PlaceOptions())
    # Seen to the left: the depth is along y, right along x, and down along z.
    np.testing.assert_allclose(placed.covariance[0, 5], np.diag([0.01, 0.05, 0.02]) ** 2, atol=1e-7)
    np.testing.assert_allclose(placed.spread[0, 5], [0.01, 0.05, 0.02], atol=1e-5)
    assert placed.covariance[4, WRIST, 0, 0] > 0.2**2
    assert placed.covariance[5, WRIST, 0, 0] == pytest.approx(0.01**2, rel=1e-3)
    # Where a joint is holds the errors of the root, and of the size.
    alone, whole = placed.covariance[0, 5], placed.joints_covariance[0, 5]
    assert np.trace(whole) > np.trace(alone) + 0.5 * np.trace(placed.joints_covariance[0, PELVIS])
    assert (np.diagonal(placed.velocity_covariance[2], axis1=-2, axis2=-1) > 0.0).all()


def test_a_moving_camera_with_a_lens():
    lens = dataclasses.replace(CAMERA, distortion=(-0.2, 0.05, 0.001, -0.001))
    world = in_robot(body("walk"))
    aside = np.array([0.0, 0.05, 0.0])
    cameras = [CameraPose(MOUNTED.rotation, MOUNTED.translation + at * aside) for at in range(40)]
    pairs = zip(world, cameras, strict=True)
    joints = np.stack([(one - camera.translation) @ camera.rotation for one, camera in pairs])
    frames = lifted(joints, intrinsics=lens, cameras=cameras)
    placed = place_clip(frames, lens, PlaceOptions())
    assert np.abs(placed.root - world[:, 0]).mean() < 0.03


def test_smoothing_takes_jitter_out():
    joints = body("sit")
    random = np.random.default_rng(1)
    frames = lifted(joints)
    shaken = frames.poses + random.normal(size=frames.poses.shape) * 0.01
    frames = dataclasses.replace(frames, poses=shaken, times=np.arange(40) / 30.0)
    rough, smooth = (
        place_clip(frames, None, PlaceOptions(smoothing=smoothing)) for smoothing in (False, True)
    )

    def jitter(placed):
        return np.abs(np.diff(placed.poses[:, 5], n=3, axis=0)).mean()

    assert jitter(smooth) < 0.5 * jitter(rough)
    assert np.isnan(smooth.root).all()


def test_a_foot_that_is_kept_in_place_has_the_velocity_of_one():
    joints = body("sit")
    frames = lifted(joints, spread=np.full((40, 17, 3), 0.02))
    low = float(np.median(in_robot(joints)[:, FEET, 2])) - ANKLE_HEIGHT_M
    floor = Floor(np.array([0.0, 0.0, 1.0]), low)
    free, held = (
        one_by_one(frames, PlaceOptions(floor=floor, contacts=contacts))
        for contacts in (False, True)
    )
    kept = 0
    for before, after in zip(free, held, strict=True):
        likely = np.where(after.contacts[0] >= 0.5, after.contacts[0], 0.0)
        kept += int((likely > 0.0).sum())
        np.testing.assert_allclose(
            after.velocity[0, FEET], (1.0 - likely)[:, None] * before.velocity[0, FEET], atol=1e-9
        )
        sure = np.trace(after.velocity_covariance[0, FEET], axis1=1, axis2=2)
        unsure = np.trace(before.velocity_covariance[0, FEET], axis1=1, axis2=2)
        certain = (likely > 0.99) & np.isfinite(unsure)
        assert (sure[certain] < unsure[certain]).all()
    assert kept > 20


def test_frames_without_a_pose():
    frames = lifted(body("walk"))
    frames.poses[10:13] = np.nan
    placed = place_clip(frames, CAMERA, PlaceOptions())
    assert np.isnan(placed.root[10:13]).all()
    assert np.isfinite(placed.root[14:]).all()
    assert np.isfinite(placed.velocity[20:, WRIST]).all()


def test_depth_images():
    image = np.full((72, 128), np.nan, dtype=np.float32)
    image[30:50, 60:80] = 2.5
    points = np.array([[700.0, 400.0], [100.0, 100.0], [np.nan, np.nan], [5000.0, 0.0]])
    found = depth_at(checked_depth(image), points, SIZE)
    np.testing.assert_allclose(found, [2.5, np.nan, np.nan, np.nan])
    assert np.isnan(checked_depth(0.0))
    for wrong, message in (
        (2500.0, "Divide millimeters"),
        (np.zeros((4, 4), dtype=np.uint16), "look like millimeters"),
        (np.zeros((2, 2, 3)), "float meters"),
    ):
        with pytest.raises(UsageError) as caught:
            checked_depth(wrong)
        assert message in caught.value.hint


def test_an_image_of_depth_in_millimeters_is_refused():
    image = np.zeros((72, 128), dtype=np.float32)
    image[20:] = 2500.0
    with pytest.raises(UsageError, match="depth has readings up to 2500"):
        checked_depth(image)
    # No reading at all, and some of the sky.
    for value in (0.0, np.nan, np.inf):
        assert checked_depth(np.full((72, 128), value, dtype=np.float32)) is not None
    image[20:] = 3.0
    image[:40] = 500.0
    image[:40, ::2] = np.inf
    assert checked_depth(image) is image


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": CAMERA}, "camera is a Intrinsics"),
        ({"root": "hip"}, "Unknown root 'hip'"),
        ({"ground": -1.0}, "ground is -1.0"),
        ({"bones": {"shin": 0.4}}, "bones has 'shin'"),
        ({"bones": {"right_ankle": 41.0}}, "meters up to 1"),
        ({"frame_id": ""}, "expected a name"),
    ],
)
def test_wrong_placement(changes, message):
    with pytest.raises(UsageError, match=message):
        Placement(**changes)


def test_the_floor():
    assert Placement().floor(None, None) is None
    above = Placement(ground=1.0).floor(MOUNTED, None)
    assert above.height_m == pytest.approx(0.1)
    level = Placement(ground=1.0).floor(None, np.array([0.0, -1.0, 0.0]))
    assert (level.height_m, level.up[1]) == (-1.0, -1.0)
    with pytest.raises(UsageError, match="nothing says where up is"):
        Placement(ground=1.0).floor(None, None)


def test_where_the_camera_is():
    asked = []

    def lookup(time):
        asked.append(time)
        return MOUNTED if time < 1.0 else None

    moving = Placement(camera=lookup)
    assert moving.pose_at(0.5, None) is MOUNTED
    assert asked == [0.5]
    with pytest.raises(UsageError, match="a NoneType"):
        moving.pose_at(1.5, None)
    with pytest.raises(UsageError, match="was given before"):
        moving.pose_at(0.6, MOUNTED)
    assert Placement().pose_at(0.0, MOUNTED) is MOUNTED
    assert Placement().pose_at(0.0, None) is None
