"""The clips that ship: where they lie, and that they are what they say."""

import json
import shutil

import numpy as np
import pytest

from hot_sdk.benchmarks.evaluation.data_sets.starter_val import (
    ARRAYS,
    INDEX,
    default_folder,
    load_starter_val,
)
from hot_sdk.errors import DatasetError
from hot_sdk.skeletons import H36M17


@pytest.fixture(scope="module")
def clips():
    return load_starter_val()


@pytest.fixture
def copied(tmp_path):
    for name in (INDEX, ARRAYS):
        shutil.copy(default_folder() / name, tmp_path)
    return tmp_path


def test_contents(clips):
    assert len(clips) == 88
    assert sum(map(len, clips)) == 4 * 10572
    assert len({clip.name for clip in clips}) == 88
    assert {clip.subject for clip in clips} == {"14"}
    assert len({clip.action for clip in clips}) == 9
    assert {clip.keypoints.fps for clip in clips} == {30.0}
    sizes = {clip.keypoints.image_size for clip in clips}
    assert any(width > height for width, height in sizes)
    assert any(width < height for width, height in sizes)
    assert sum(path.stat().st_size for path in default_folder().iterdir()) < 1_000_000


def test_license_and_credit_ship_with_it():
    names = {path.name for path in default_folder().iterdir()}
    assert {"README.md", "TERMS-CMU-mocap.txt"} <= names
    assert "NSF EIA-0196217" in (default_folder() / "README.md").read_text()


def test_keypoints_are_the_projected_truth(clips):
    for clip in clips:
        placed = clip.truth + clip.root[:, None]
        seen = clip.intrinsics.project(placed.astype(np.float64))
        np.testing.assert_allclose(seen, clip.keypoints.points, atol=2e-2)
        assert (clip.truth[:, 0] == 0.0).all()
        assert (placed[..., 2] > 0.4).all()


def test_every_joint_is_in_the_image(clips):
    for clip in clips:
        assert (clip.keypoints.points > 0.0).all()
        assert (clip.keypoints.points < clip.keypoints.image_size).all()


def test_people_stand_upright_and_left_is_left(clips):
    """Knees bend forward: what a camera that mirrored, or left named right, would turn round."""
    left, up = (H36M17.joints.index(name) for name in ("left_hip", "head"))
    for clip in clips:
        poses = clip.truth.astype(np.float64)
        assert (poses[:, up, 1] < 0.0).mean() > 0.9, "the head is above the pelvis"
        across = poses[:, left] - poses[:, 1]
        forward = np.cross(across, poses[:, 8])
        for hip, knee, ankle in ((1, 2, 3), (4, 5, 6)):
            bent = poses[:, knee] - (poses[:, hip] + poses[:, ankle]) / 2.0
            assert (bent * forward).sum(axis=1).mean() > 0.0


def test_up_points_away_from_the_ground(clips):
    """Feet that stand are on one level of the world, whichever way the camera leans."""
    for clip in clips:
        assert np.linalg.norm(clip.up) == pytest.approx(1.0, abs=1e-6)
        heights = (clip.truth + clip.root[:, None]).astype(np.float64) @ clip.up
        assert (heights[:, 10] - heights[:, [3, 6]].min(axis=1)).mean() > 0.7
    # All cameras of a sequence find the same heights over its lowest joint.
    for first in range(0, 88, 4):
        seen = [
            (clip.truth + clip.root[:, None]) @ clip.up - (clip.root @ clip.up).min()
            for clip in clips[first : first + 4]
        ]
        for other in seen[1:]:
            np.testing.assert_allclose(other, seen[0], atol=1e-4)


def test_body_has_the_stated_height(clips):
    """From the soles to the top of the head, which are beyond the ankles and the head's joint."""
    tallest = []
    for clip in clips[::4]:
        assert clip.height_m == 1.6912
        height = (clip.truth[:, 10] - clip.truth[:, [3, 6]].mean(axis=1)) @ clip.up
        tallest.append(height.max())
    assert max(tallest) == pytest.approx(1.54, abs=0.01)


def test_legs_are_straight_when_people_stand(clips):
    """Those of the figure before its correction are bent by more than 15 degrees."""
    poses = np.concatenate([clip.truth for clip in clips[::4]]).astype(np.float64)
    for near, middle, far in ((1, 2, 3), (4, 5, 6)):
        upper, lower = poses[:, middle] - poses[:, near], poses[:, far] - poses[:, middle]
        cosine = (upper * lower).sum(axis=-1) / np.linalg.norm(upper, axis=-1)
        bent = np.degrees(np.arccos(np.clip(cosine / np.linalg.norm(lower, axis=-1), -1, 1)))
        assert np.quantile(bent, 0.05) < 8.0


def test_views_of_a_sequence_show_the_same_poses(clips):
    """Distances between joints do not depend on the camera."""
    for first in range(0, 88, 4):
        spans = [
            np.linalg.norm(clip.truth[:, :, None] - clip.truth[:, None], axis=-1)[::20]
            for clip in clips[first : first + 4]
        ]
        for other in spans[1:]:
            np.testing.assert_allclose(other, spans[0], atol=1e-5)


def test_bones_are_those_of_a_person(clips):
    thigh = np.linalg.norm(clips[0].truth[:, 2] - clips[0].truth[:, 1], axis=-1)
    np.testing.assert_allclose(thigh, 0.4035, atol=0.002)


def test_fewer_views_are_the_first(clips):
    few = load_starter_val(views=2)
    assert [clip.name for clip in few] == [
        clip.name for clip in clips if clip.name.endswith(("-1", "-2"))
    ]
    np.testing.assert_array_equal(few[1].keypoints.points, clips[1].keypoints.points)
    for views in (0, 5):
        with pytest.raises(DatasetError, match=f"no {views} views"):
            load_starter_val(views=views)


def test_loads_from_another_folder(copied, clips):
    np.testing.assert_array_equal(load_starter_val(copied)[7].truth, clips[7].truth)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="does not hold starter-val"):
        load_starter_val(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda index: index.update(schema=2), "its version"),
        (lambda index: index.pop("fps"), "fps"),
        (lambda index: index["sequences"][3].update(frames=10**7), "other frames"),
        (lambda index: index["sequences"][0].update(start=-5), "other frames"),
        (lambda index: index["sequences"][0].update(start="0"), "broken"),
        (lambda index: index["sequences"][0]["cameras"][0].update(focal_px=-1), "focal"),
        (lambda index: index["sequences"][0]["cameras"][0].update(rotation=[1]), "reshape"),
        (lambda index: index["sequences"][0]["cameras"][0].update(image_size=[0, 4]), "image_size"),
        (lambda index: index.update(sequences=4), "broken"),
    ],
)
def test_damaged_index_is_refused(copied, change, said):
    index = json.loads((copied / INDEX).read_text())
    change(index)
    (copied / INDEX).write_text(json.dumps(index))
    with pytest.raises(DatasetError, match=said):
        load_starter_val(copied)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"{}"])
def test_damaged_files_are_refused(copied, content):
    (copied / ARRAYS).write_bytes(content)
    with pytest.raises(DatasetError, match="broken"):
        load_starter_val(copied)
    (copied / INDEX).write_bytes(content)
    with pytest.raises(DatasetError, match="broken"):
        load_starter_val(copied)
