"""The second opinion on bodies whose answer is known, and on the clip that ships."""

import json
from pathlib import Path

import body_checks
import numpy as np
import pytest
import second_opinion
from second_opinion_figures import Opinion, compare, read_opinion

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.benchmarks.evaluation import load_starter_val
from hot_sdk.skeletons import H36M17, skeleton_format

CLIP = Path(__file__).parents[3] / "examples" / "data" / "jump_mediapipe33.npz"
MIRROR = list(H36M17.mirror)

# Faces the camera, left on the image's right; knees and elbows a little bent, as they can be.
BODY = {
    "pelvis": (0.0, 0.0, 0.0),
    "hip": (0.13, 0.0, 0.0),
    "knee": (0.14, 0.43, -0.1),
    "ankle": (0.14, 0.82, 0.18),
    "spine": (0.0, -0.25, 0.0),
    "thorax": (0.0, -0.5, 0.0),
    "neck_nose": (0.0, -0.6, -0.08),
    "head": (0.0, -0.72, -0.02),
    "shoulder": (0.16, -0.47, 0.0),
    "elbow": (0.3, -0.24, 0.05),
    "wrist": (0.34, -0.15, -0.17),
}


def body(**moved):
    """(1, 17, 3), meters along the camera's axes; both sides alike but for the signs of x."""
    joints = {**BODY, **moved}
    pose = []
    for name in H36M17.joints:
        side, _, joint = name.rpartition("_")
        right = -1.0 if side == "right" else 1.0
        pose.append(np.multiply(joints[name if name in joints else joint], (right, 1.0, 1.0)))
    return np.array(pose)[None]


def moving(frames=8):
    """A body that turns and sways, (frames, 17, 3)."""
    turned = []
    for angle in np.linspace(0.0, 5.0, frames):
        cos, sin = np.cos(angle), np.sin(angle)
        knee = (0.14, 0.43, -0.1 - 0.05 * cos)
        turned.append(body(knee=knee)[0] @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T)
    return np.array(turned)


def opinion_of(poses):
    points = 500.0 + 200.0 * poses[..., :2]
    keypoints = Keypoints(points, skeleton="h36m17", image_size=(1000, 1000), fps=30)
    everywhere = np.ones(len(poses), dtype=np.bool_)
    return Opinion("made", keypoints, points, 1000.0 * poses, everywhere, everywhere)


def compared(poses, truth):
    return compare(opinion_of(truth), poses, np.ones(poses.shape[:2], dtype=np.bool_))


def landmarks(poses):
    """MediaPipe's 33 (frames, 33, 3) of which the recipes make these poses' limbs and head."""
    at = {name: poses[:, number] for number, name in enumerate(H36M17.joints)}
    middle = (at["left_shoulder"] + at["right_shoulder"]) / 2
    ears = (at["head"] + 0.55 * middle) / 1.55
    face = {"nose": (at["neck_nose"] - 0.25 * middle) / 0.75, "left_ear": ears, "right_ear": ears}
    names = skeleton_format("mediapipe33").joints
    return np.stack([at.get(name, face.get(name, middle)) for name in names], axis=1)


@pytest.mark.parametrize("size", [1.0, 0.37, 1000.0])
def test_same_poses_of_any_size_agree(size):
    found = compared(size * moving(), moving())
    agreement = found.agreement
    assert agreement.scale == pytest.approx(1000.0 / size)
    for distance in (agreement.mpjpe_mm, agreement.n_mpjpe_mm, agreement.p_mpjpe_mm):
        assert distance == pytest.approx(0.0, abs=1e-6)
    assert max(agreement.limb_degrees.values()) == pytest.approx(0.0, abs=1e-4)
    assert agreement.left_is_left_percent == 100.0
    for sanity in (found.model, found.blazepose):
        assert sanity.stands_percent == sanity.knees_percent == sanity.elbows_percent == 100.0
        assert sanity.knees == 16
        assert sanity.off_in_image_degrees == pytest.approx(0.0, abs=1e-4)
        assert sanity.length_asymmetry_percent == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("mirrored", "left_is_left"),
    [
        (moving()[:, MIRROR], 0.0),
        (body() * (-1.0, 1.0, 1.0), 0.0),
        # Near and far exchanged: of a body that faces the camera, left stays left.
        (body() * (1.0, 1.0, -1.0), 100.0),
    ],
    ids=["sides", "image", "depth"],
)
def test_mirror_images_are_detected(mirrored, left_is_left):
    found = compared(mirrored, moving()[: len(mirrored)])
    assert found.agreement.left_is_left_percent == left_is_left
    assert found.model.knees_percent == 0.0
    assert found.blazepose.knees_percent == 100.0
    assert found.agreement.p_mpjpe_mm > 30.0


def test_turned_body_is_measured_in_degrees():
    cos, sin = np.cos(np.radians(25.0)), np.sin(np.radians(25.0))
    turned = moving() @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T
    agreement = compared(turned, moving()).agreement
    assert agreement.turned_degrees == pytest.approx(25.0, abs=1e-3)
    assert agreement.p_mpjpe_mm == pytest.approx(0.0, abs=1e-3)
    assert agreement.n_mpjpe_mm > 30.0


def test_knee_bent_backwards_is_detected():
    broken = body()
    broken[0, H36M17.joints.index("left_ankle")] = (0.14, 0.75, -0.4)
    bends = body_checks.knee_bends(broken)
    assert bends.counted.tolist() == [[True, True]]
    assert bends.possible.tolist() == [[False, True]]
    assert bends.percent == 50.0


@pytest.mark.parametrize(
    ("knee", "ankle"),
    [
        ((0.13, 0.05, -0.43), (0.13, 0.45, -0.4)),  # on a chair
        ((0.13, -0.2, -0.38), (0.13, 0.1, -0.1)),  # in a deep squat
        ((0.13, 0.43, 0.05), (0.13, 0.2, 0.42)),  # heel to the buttocks
        ((0.4, 0.2, -0.25), (0.35, 0.6, -0.1)),  # legs apart
    ],
)
def test_knees_may_bend_with_the_thigh_lifted(knee, ankle):
    bends = body_checks.knee_bends(body(knee=knee, ankle=ankle))
    assert bends.counted.all()
    assert bends.possible.all()


def test_straight_limbs_are_not_counted():
    straight = body(knee=(0.13, 0.43, 0.0), ankle=(0.13, 0.86, 0.0))
    bends = body_checks.knee_bends(straight)
    assert bends.count == 0
    assert np.isnan(bends.percent)
    assert bends.degrees == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(
    ("elbow", "wrist", "possible"),
    [
        ((0.16, -0.19, 0.0), (0.16, -0.19, -0.24), True),  # hanging, forearm ahead
        ((0.16, -0.19, 0.0), (-0.05, -0.19, -0.1), True),  # before the belly
        ((0.2, -0.2, 0.1), (0.0, -0.15, 0.2), True),  # behind the back
        ((0.16, -0.19, 0.0), (0.25, -0.19, 0.22), False),  # hanging, forearm back and out
        ((0.44, -0.47, 0.0), (0.44, -0.71, 0.0), True),  # upper arm level, forearm up
        ((0.44, -0.47, 0.0), (0.44, -0.47, 0.24), False),  # upper arm level, forearm back
    ],
)
def test_elbows_that_can_bend_so_and_cannot(elbow, wrist, possible):
    bends = body_checks.elbow_bends(body(elbow=elbow, wrist=wrist))
    assert bends.counted.all()
    assert bends.possible.tolist() == [[possible, possible]]


def test_raised_upper_arms_are_not_counted():
    bends = body_checks.elbow_bends(body(elbow=(0.2, -0.75, 0.0), wrist=(0.2, -0.75, 0.2)))
    assert bends.count == 0


def test_motion_capture_passes_and_its_mirror_image_does_not():
    poses = np.concatenate([clip.truth_mm[::10] for clip in load_starter_val()])
    assert body_checks.knee_bends(poses).percent > 99.0
    assert body_checks.elbow_bends(poses).percent > 99.0
    inside_out = poses * (1.0, 1.0, -1.0)
    assert body_checks.knee_bends(inside_out).percent < 1.0
    assert body_checks.elbow_bends(inside_out).percent < 10.0


def test_standing_and_hanging_bodies():
    down = np.concatenate([body(), body() * (1.0, -1.0, 1.0)])[..., 1]
    assert body_checks.stands(down).tolist() == [True, False]


def test_world_landmarks_become_the_poses(tmp_path):
    poses = moving()
    world = landmarks(poses).astype(np.float32)
    seen = 300.0 + 200.0 * world
    seen[..., 2] = 1.0
    seen[2] = np.nan
    np.savez(tmp_path / "made.npz", kp=seen, world=world + 0.3, wh=(600, 600), fps=30.0)
    opinion = read_opinion(tmp_path / "made.npz")
    assert opinion.person.tolist() == [frame != 2 for frame in range(8)]
    limbs = [*H36M17.left, *H36M17.right, H36M17.joints.index("head")]
    np.testing.assert_allclose(opinion.poses_mm[:, limbs], 1000.0 * poses[:, limbs], atol=0.01)


@pytest.fixture
def clip(tmp_path):
    """The clip that ships; its second opinion is made of the model's own poses."""
    with np.load(CLIP) as arrays:
        held = dict(arrays)
    with Pose3DEngine() as engine:
        world = landmarks(engine(Keypoints.from_file(CLIP)).poses)
    world[np.isnan(held["kp"]).any(axis=(1, 2))] = np.nan
    path = tmp_path / "jump.npz"
    np.savez(path, **held, world=world.astype(np.float32))
    return path


def test_shipped_clip(clip, tmp_path, capsys):
    pytest.importorskip("cv2", reason="OpenCV is not installed (extra viz)")
    report = tmp_path / "report.json"
    options = ["--output", str(report), "--pictures", str(tmp_path)]
    options += ["--sheet", str(tmp_path / "sheet.png"), "--beside", "starter"]
    assert second_opinion.main([str(clip), *options]) == 0
    out = capsys.readouterr().out
    assert "CPUs busy before the start" in out
    assert out.count("not the truth") == 2
    record = json.loads(report.read_text())
    assert record["caveat"] == second_opinion.CAVEAT
    (found,) = record["clips"]
    assert (found["clip"], found["frames"], found["with_person"]) == ("jump", 230, 221)
    agreement = found["agreement"]
    assert agreement["scale"] == pytest.approx(1000.0, rel=0.01)
    # Its pelvis, spine and thorax are other points than the model's.
    assert agreement["p_mpjpe_mm"] < 40.0
    assert max(agreement["limb_degrees"].values()) < 0.1
    assert agreement["left_is_left_percent"] == 100.0
    assert found["model"]["stands_percent"] > 80.0
    assert found["model"]["knees_percent"] > 80.0
    assert (tmp_path / "jump.png").stat().st_size > 20_000
    assert (tmp_path / "sheet.png").stat().st_size > 5_000


def test_clip_without_a_second_opinion_is_refused(capsys):
    assert second_opinion.main([str(CLIP)]) == 9
    error = capsys.readouterr().err
    assert "has no array world; it holds fps, kp, wh." in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (np.zeros((230, 17, 3), dtype=np.float32), "of shape (230, 17, 3)"),
        (np.zeros((230, 33, 3), dtype=np.int64), "is int64"),
        (np.full((230, 33, 3), np.nan, dtype=np.float32), "No frame"),
        (np.array([None] * 230), "cannot be read"),
    ],
    ids=["shape", "type", "no person", "pickle"],
)
def test_other_world_landmarks_are_refused(world, said, tmp_path, capsys):
    with np.load(CLIP) as arrays:
        np.savez(tmp_path / "broken.npz", **arrays, world=world)
    assert second_opinion.main([str(tmp_path / "broken.npz")]) == 9
    assert said in capsys.readouterr().err


def test_unwritable_outputs_are_refused_first(tmp_path, capsys):
    assert second_opinion.main([str(CLIP), "--beside", "starter"]) == 2
    assert "--sheet" in capsys.readouterr().err
    twice = [str(CLIP), str(CLIP), "--pictures", str(tmp_path)]
    assert second_opinion.main(twice) == 2
    assert second_opinion.main([str(CLIP), "--output", str(tmp_path / "no" / "report.json")]) == 2
    assert "does not exist" in capsys.readouterr().err
