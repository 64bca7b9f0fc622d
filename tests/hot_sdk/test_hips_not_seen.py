"""Someone behind a table: the detector sees the upper body only."""

from pathlib import Path

import numpy as np
import pytest
from mocap import body, seen

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.cameras import Intrinsics
from hot_sdk.preprocessing.cleaning import placed_by_ancestors
from hot_sdk.root import solve_root

CLIP = Path(__file__).parents[2] / "examples" / "data" / "jump_mediapipe33.npz"
HIPS = (23, 24)
CAMERA = Intrinsics(fx=1500.0, fy=1500.0, cx=884.0, cy=497.0)


@pytest.fixture(scope="module")
def clip():
    with np.load(CLIP) as file:
        return file["kp"][60:120].astype(float)


def behind_a_table(points, start=0, hips=HIPS):
    """The lower body is missing from a frame on, or has scores of a guess."""
    cut = points.copy()
    cut[start:, [*hips, *range(25, 33)], 2] = 0.05
    return Keypoints(
        cut[..., :2], cut[..., 2], skeleton="mediapipe33", image_size=(1768, 994), fps=30.0
    )


@pytest.mark.parametrize("hips", [HIPS, HIPS[:1]])
def test_no_joint_is_valid_and_there_is_no_root(clip, hips):
    keypoints = behind_a_table(clip, hips=hips)
    with Pose3DEngine(threads=1) as engine:
        result = engine(keypoints)
    assert not result.valid.any()
    assert result.warnings == (
        "The hips were not seen in 60 of 60 frames; no joint is valid there, because poses are"
        " relative to the pelvis.",
    )
    placed = result.with_root_from_reprojection(keypoints, CAMERA)
    assert np.isnan(placed.root).all()
    assert np.isnan(placed.root_error).all()


def test_hips_are_held_and_then_everything_is_invalid(clip):
    keypoints = behind_a_table(clip, start=20)
    with Pose3DEngine(threads=1) as engine:
        result = engine(keypoints)
    wrist = result.valid[:, 16].tolist()
    assert wrist == [True] * 35 + [False] * 25
    placed = result.with_root_from_reprojection(keypoints, CAMERA)
    assert np.isfinite(placed.root[:35]).all()
    assert np.isnan(placed.root[35:]).all()
    invalid = next(one for one in result.policies if one.name == "invalid_joints")
    assert invalid.count == 25 * 17


def test_an_invalid_pelvis_has_no_root_whatever_else_is_valid(clip):
    with Pose3DEngine(threads=1) as engine:
        keypoints = behind_a_table(clip, start=60)
        result = engine(keypoints)
    assert result.valid.all()
    valid = result.valid.copy()
    valid[10, 0] = False
    points, scores = keypoints.h36m17_arrays()
    root, _ = solve_root(result.poses, valid, points, scores, CAMERA)
    assert np.flatnonzero(np.isnan(root[:, 0])).tolist() == [10]


def test_someone_behind_a_table_is_taken_to_stand():
    clip = seen(body("walk"), noise=0.0)
    known = np.ones(17, dtype=bool)
    known[:8] = False
    points = np.asarray(clip.points, dtype=np.float32)
    hidden = np.where(known[:, None], points, np.float32(0.0))
    placed = placed_by_ancestors(hidden, known)
    np.testing.assert_array_equal(placed[:, known], points[:, known])
    # Within a third of the body's height; at the thorax it would be more than a half.
    height = np.linalg.norm(points[:, 10] - points[:, 3], axis=-1).mean()
    apart = np.linalg.norm(placed - points, axis=-1)[:, :8].mean(axis=0)
    assert apart[:7].max() < height / 3.0
    # Of someone without a head, nothing is made up.
    known[10] = False
    low = placed_by_ancestors(hidden, known)
    np.testing.assert_array_equal(low[:, 3], low[:, 0])
