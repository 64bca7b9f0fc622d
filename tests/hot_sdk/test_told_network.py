"""A network that is told about the camera lifts in virtual cameras, clip by clip and in streams."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from mocap import body
from told_model import FRAMES, expected, make_told_model

from hot_sdk import CameraPose, Intrinsics, Keypoints, Pose3DEngine, Pose3DResult
from hot_sdk.errors import ResultError, StreamError, UsageError
from hot_sdk.manifest import CONDITION_NAMES
from hot_sdk.offline import lift_stream
from hot_sdk.preprocessing import spans
from hot_sdk.preprocessing.virtual_view import conditions, virtual_views

LENS = Intrinsics(900.0, 910.0, 650.0, 350.0, (0.05, -0.02, 0.001, -0.002))
SIZE = (1280, 720)
FPS = 50.0
"""The network's rate, so that nothing is resampled."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The network, one with a look at the whole window, and one that is told nothing."""
    folder = tmp_path_factory.mktemp("told")
    return {
        "told": make_told_model(folder / "told.onnx"),
        "mean": make_told_model(folder / "mean.onnx", mean_share=0.3),
        "untold": make_told_model(folder / "untold.onnx", told=False),
    }


@pytest.fixture(scope="module")
def engines(files):
    """The same, loaded."""
    return {name: Pose3DEngine(path, threads=1) for name, path in files.items()}


def _walk(frames=60, *, turning=False, fps=FPS):
    """Someone who walks across a leaning camera's image, off its middle; the camera may turn."""
    chance = np.random.default_rng(7)
    # One pose of a real body, in axes forward, left and up.
    standing = body("walk")[0]
    standing = (standing - standing[0])[:, [2, 0, 1]] * [1.0, -1.0, -1.0]
    seconds = np.arange(frames) / fps
    moves = np.sin(seconds * 3.0)[:, None, None] * chance.normal(0.0, 0.02, (17, 3))
    people = standing + moves + [5.0, 0.0, 0.1]
    people[..., 1] += (1.6 - 2.2 * seconds / seconds[-1])[:, None]
    lean = 0.4 * np.sin(2.0 * seconds) if turning else np.full(frames, 0.2)
    cameras = [CameraPose.mounted(roll=angle, pitch=0.5 * angle) for angle in lean]
    seen = np.stack([one @ camera.rotation for one, camera in zip(people, cameras, strict=True)])
    ups = np.stack([camera.rotation[2] for camera in cameras])
    points = LENS.project(seen).astype(np.float32)
    return Keypoints(
        points,
        skeleton="h36m17",
        image_size=SIZE,
        fps=fps,
        camera=LENS,
        up=ups if turning else ups[0],
        height_m=1.8,
    )


def _by_hand(clip, *, gravity=True, height_m=1.8):
    """What the network returns for each frame, turned back."""
    slopes = LENS.slopes(clip.points)
    up = None if not gravity else clip.up
    views = virtual_views(slopes.mean(axis=1), up)
    told = conditions(CONDITION_NAMES, len(clip), views, height_m)
    poses, spread = expected(views.turned(slopes), told)
    return views.turned_back(poses), views.spread_turned_back(spread)


@pytest.mark.parametrize("turning", [False, True])
def test_each_frame_is_lifted_in_its_own_virtual_camera(engines, turning):
    clip = _walk(turning=turning)
    result = engines["told"](clip)
    poses, spread = _by_hand(clip)
    assert result.seams is not None
    np.testing.assert_allclose(result.poses, poses, atol=2e-6)
    np.testing.assert_allclose(result.spread, spread, atol=2e-6)
    assert result.warnings == ()
    done = {policy.name: policy for policy in result.policies}
    assert done["upright"].count == len(clip)
    assert "1 is 900 pixels" in done["normalized"].detail
    assert "1.8 m" in done["height"].detail


@pytest.mark.parametrize(("height_m", "told_m"), [(1.1, 1.5), (2.2, 2.0)])
def test_people_beyond_adults_are_adults_nearer_or_farther_away(engines, height_m, told_m):
    clip = dataclasses.replace(_walk(), height_m=height_m)
    poses, spread = _by_hand(clip, height_m=told_m)
    streamed = lift_stream(engines["told"], [clip], lookahead=2, hop=1).results[0]
    for result in (engines["told"](clip), streamed):
        np.testing.assert_allclose(result.poses, poses * height_m / told_m, atol=2e-6)
        np.testing.assert_allclose(result.spread, spread * height_m / told_m, atol=2e-6)


def test_intrinsics_alone(engines):
    clip = dataclasses.replace(_walk(), up=None, height_m=None)
    result = engines["told"](clip)
    poses, spread = _by_hand(clip, gravity=False, height_m=None)
    np.testing.assert_allclose(result.poses, poses, atol=2e-6)
    np.testing.assert_allclose(result.spread, spread, atol=2e-6)
    assert "upright" not in {policy.name for policy in result.policies}


def test_windows_meet_without_a_step(engines):
    seams = engines["mean"](_walk(200, turning=True)).seams
    assert seams.seams > 10
    assert seams.max_step < 1.5 * seams.max_step_inside


def test_nothing_known_is_the_input_as_ever(engines):
    clip = dataclasses.replace(_walk(), camera=None, up=None, height_m=None)
    result = engines["told"](clip)
    inputs = (clip.points - np.float32([640, 360])) * np.float32(2.0 / 1280)
    poses, _ = expected(inputs, np.zeros((len(clip), 5), np.float32))
    np.testing.assert_allclose(result.poses, poses, atol=1e-6)
    np.testing.assert_array_equal(result.poses, engines["untold"](clip).poses)
    tall = engines["told"](dataclasses.replace(clip, height_m=1.8))
    assert np.abs(tall.poses - result.poses)[..., 2].max() > 1e-3
    np.testing.assert_array_equal(tall.poses[..., :2], result.poses[..., :2])


def test_a_network_that_is_told_nothing_lifts_as_ever(engines):
    clip = _walk()
    (result,) = engines["untold"].lift([clip])
    bare = dataclasses.replace(clip, camera=None, up=None, height_m=None)
    np.testing.assert_array_equal(result.poses, engines["untold"](bare).poses)
    (warning,) = result.warnings
    assert "no use of the camera's intrinsics, the direction of gravity and the" in warning
    assert result.spread is None
    with engines["untold"].stream("video", fps=FPS, up=clip.up, intrinsics=LENS) as stream:
        stream.push(_frame(bare, 0), 0.0)
        assert any("no use of" in one for one in stream.report().warnings)


@pytest.mark.parametrize("fps", [FPS, 30.0])
def test_long_clips_are_lifted_in_parts(engines, monkeypatch, fps):
    clip = _walk(120, turning=True, fps=fps)
    points = clip.points.copy()
    points[20:24, 3] = np.nan
    points[70:110, 9] = np.nan
    clip = dataclasses.replace(clip, points=points)
    whole = engines["mean"](clip)
    monkeypatch.setattr(spans, "SPAN", 8)
    monkeypatch.setattr(spans, "BLOCK", 32)
    parts = engines["mean"](clip)
    np.testing.assert_allclose(parts.poses, whole.poses, atol=1e-6)
    np.testing.assert_allclose(parts.spread, whole.spread, atol=1e-6)
    np.testing.assert_array_equal(parts.valid, whole.valid)


def _frame(clip, at, **changes):
    up = clip.knowledge.up_of(slice(at, at + 1))
    one = dataclasses.replace(clip, points=clip.points[at : at + 1], up=up)
    return dataclasses.replace(one, **changes)


@pytest.mark.parametrize("turning", [False, True])
def test_streams_see_what_clips_see(engines, turning):
    clip = _walk(40, turning=turning)
    streamed = lift_stream(engines["told"], [clip], lookahead=2, hop=1).results[0]
    whole = engines["told"](clip)
    np.testing.assert_allclose(streamed.poses, whole.poses, atol=2e-6)
    np.testing.assert_allclose(streamed.spread, whole.spread, atol=2e-6)


def test_a_network_of_center_frames_and_fixed_batches(tmp_path):
    clip = _walk(20, turning=True)
    poses, spread = _by_hand(clip)
    model = make_told_model(tmp_path / "center.onnx", center=True, batch=3)
    with Pose3DEngine(model, threads=1) as engine:
        whole = engine(clip)
        streamed = lift_stream(engine, [clip], lookahead=FRAMES // 2, hop=1).results[0]
    for result in (whole, streamed):
        np.testing.assert_allclose(result.poses, poses, atol=2e-6)
        np.testing.assert_allclose(result.spread, spread, atol=2e-6)


def test_a_stream_is_opened_with_what_is_known(engines):
    clip = _walk(20)
    poses, _ = _by_hand(clip)
    options = {"skeleton": "h36m17", "image_size": SIZE, "fps": FPS}
    known = {"intrinsics": LENS, "up": clip.up, "height_m": 1.8}
    lifted = []
    with engines["told"].stream("video", **options, **known) as stream:
        for at, points in enumerate(clip.points):
            lifted += stream.push(points, at / FPS)
        assert stream.report().warnings == ()
    np.testing.assert_allclose([one.pose for one in lifted], poses, atol=2e-6)
    assert lifted[0].spread.shape == (17, 3)


def test_each_frame_of_a_stream_may_say_it_anew(engines):
    clip = _walk(20, turning=True)
    poses, _ = _by_hand(clip, height_m=1.6)
    lifted = []
    with engines["told"].stream("video", fps=FPS, height_m=1.9, up=(0, 1, 0), intrinsics=LENS) as s:
        for at in range(len(clip)):
            lifted += s.push(_frame(clip, at, camera=LENS, height_m=1.6), at / FPS)
        with pytest.raises(StreamError, match="another camera"):
            s.push(_frame(clip, 0, camera=Intrinsics(800.0, 800.0, 640.0, 360.0)), 1.0)
    np.testing.assert_allclose([one.pose for one in lifted], poses, atol=2e-6)


def test_a_frame_without_the_person_keeps_the_last_up(engines):
    clip = _walk(24, turning=True)
    poses, _ = _by_hand(clip)
    lifted = []
    with engines["told"].stream("video", fps=FPS, lookahead=2) as stream:
        for at in range(len(clip)):
            people = [] if at in (9, 10) else [_frame(clip, at)]
            lifted += stream.push_people(people, at / FPS)
        lifted += stream.flush()
    found = {round(one.timestamp * FPS): one.pose for one in lifted}
    assert sorted(found) == list(range(24))
    for at, pose in found.items():
        # The joints are held where they were, in a camera that has turned a little since.
        close = {"atol": 0.05} if at in (9, 10) else {"atol": 2e-6}
        np.testing.assert_allclose(pose, poses[at], **close)


def test_gravity_in_place_of_up_is_said(engines):
    clip = _walk(20)
    wrong = dataclasses.replace(clip, up=-np.asarray(clip.up))
    assert any("upside down" in one for one in engines["told"](wrong).warnings)
    streamed = lift_stream(engines["told"], [wrong], lookahead=0, hop=1).results[0]
    assert any("upside down" in one for one in streamed.warnings)
    with engines["told"].stream("video", fps=FPS) as stream:
        for at in range(12):
            stream.push(_frame(wrong, at), at / FPS)
        assert any("upside down" in one for one in stream.report().warnings)
    with pytest.raises(UsageError, match="without the camera's intrinsics"):
        engines["told"].stream(up=clip.up)
    with pytest.raises(UsageError, match=r"expected \(3,\)"):
        engines["told"].stream(intrinsics=LENS, up=np.tile(clip.up, (2, 1)))


def test_the_mirror_image_is_told_the_same(files, engines):
    clip = dataclasses.replace(_walk(FRAMES), camera=None, up=None)
    with Pose3DEngine(files["told"], threads=1, flip=True) as engine:
        both = engine(clip)
    plain = engines["told"](clip)
    # Depth is odd in x but for the mirror's own turn of x, so that only the even part stays.
    assert both.spread.shape == plain.spread.shape
    assert (both.spread[:, 1:] > 0.0).all()
    np.testing.assert_array_equal(both.spread[:, 0], 0.0)
    np.testing.assert_allclose(both.poses[..., :2], plain.poses[..., :2], atol=1e-6)


@pytest.mark.parametrize("kind", ["npz", "json", "csv"])
def test_files_hold_the_spread(engines, tmp_path, kind):
    result = engines["told"](_walk(12))
    back = Pose3DResult.load(result.save(tmp_path / f"poses.{kind}"))
    np.testing.assert_array_equal(back.spread, result.spread)
    np.testing.assert_array_equal(back.poses, result.poses)
    bare = dataclasses.replace(result, spread=None).save(tmp_path / f"bare.{kind}")
    assert Pose3DResult.load(bare).spread is None


def test_conversions_keep_the_spread_right_or_drop_it(engines):
    clip = _walk(12)
    result = engines["told"](clip)
    np.testing.assert_allclose(result.to_millimeters().spread, result.spread * 1000.0)
    across = CameraPose.mounted()
    turned = result.to_robot_frame(across).spread
    np.testing.assert_allclose(turned, result.spread[..., [2, 0, 1]], rtol=1e-6)
    assert result.with_constant_bones().spread is None
    rooted = result.with_root_from_reprojection(clip)
    np.testing.assert_array_equal(rooted.spread, result.spread)
    tall = result.with_root_from_height(clip)
    np.testing.assert_allclose(tall.spread, tall.scale * result.spread, rtol=1e-4)
    with pytest.raises(UsageError, match="intrinsics are not known"):
        result.with_root_from_reprojection(dataclasses.replace(clip, camera=None, up=None))
    with pytest.raises(ResultError, match="spread has shape"):
        dataclasses.replace(result, spread=result.spread[:5])
