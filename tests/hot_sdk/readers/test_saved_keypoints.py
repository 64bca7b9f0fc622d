"""What ``Keypoints.save`` writes is read back unchanged."""

import os
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.errors import KeypointsError, UsageError
from hot_sdk.skeletons import list_skeletons, skeleton_format

SIZE = (1768, 994)


def clip(skeleton="coco17", frames=7, scored=True, **known):
    random = np.random.default_rng(3)
    joints = len(skeleton_format(skeleton).joints)
    points = random.uniform(0.0, 900.0, (frames, joints, 2)).astype(np.float32)
    scores = random.uniform(0.0, 1.0, (frames, joints)).astype(np.float32) if scored else None
    points[2] = np.nan
    points[0, 3] = np.nan
    return Keypoints(points, scores, skeleton=skeleton, image_size=SIZE, **known)


def assert_same(found, expected):
    np.testing.assert_array_equal(found.points, expected.points)
    if expected.scores is None:
        assert found.scores is None
    else:
        np.testing.assert_array_equal(found.scores, expected.scores)
    if expected.timestamps is None:
        assert found.timestamps is None
    else:
        np.testing.assert_array_equal(found.timestamps, expected.timestamps)
    for name in ("skeleton", "image_size", "fps", "track_id"):
        assert getattr(found, name) == getattr(expected, name), name


@pytest.mark.parametrize("suffix", ["npz", "csv"])
@pytest.mark.parametrize("skeleton", list_skeletons())
def test_every_skeleton_is_read_back(tmp_path, suffix, skeleton):
    expected = clip(skeleton, fps=29.97)
    path = expected.save(tmp_path / f"a.{suffix}")
    assert path == tmp_path / f"a.{suffix}"
    assert_same(Keypoints.from_file(path, suffix), expected)


@pytest.mark.parametrize("suffix", ["npz", "csv"])
@pytest.mark.parametrize(
    "known",
    [
        {},
        {"scored": False},
        {"track_id": 7},
        {"track_id": "the dancer"},
        {"timestamps": np.cumsum(np.full(7, 1 / 30)) + 1.7e9 + 0.1},
        {"fps": 240.0, "track_id": 0, "scored": False},
    ],
    ids=str,
)
def test_everything_that_is_known_is_read_back(tmp_path, suffix, known):
    expected = clip(**known)
    assert_same(Keypoints.from_file(expected.save(str(tmp_path / f"a.{suffix}"))), expected)


def test_real_keypoints_are_read_back(tmp_path):
    data = Path(__file__).parent / "data" / "squats_mediapipe33.npz"
    expected = Keypoints.from_file(data)
    for suffix in ("npz", "csv"):
        assert_same(Keypoints.from_file(expected.save(tmp_path / f"a.{suffix}")), expected)


def test_a_table_does_not_change_a_track_id(tmp_path):
    with pytest.raises(KeypointsError, match="cannot hold the track id '7'"):
        clip(track_id="7").save(tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())
    assert_same(
        Keypoints.from_file(clip(track_id="7").save(tmp_path / "a.npz")), clip(track_id="7")
    )


def test_other_suffixes_are_refused(tmp_path):
    for name in ("a.json", "a", "a.npz.gz"):
        with pytest.raises(UsageError, match="none of the formats"):
            clip().save(tmp_path / name)
    with pytest.raises(UsageError, match="does not exist"):
        clip().save(tmp_path / "absent" / "a.npz")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = clip().save(tmp_path / "a.npz")
    before = path.read_bytes()
    from hot_sdk.readers.arrays import npz

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(npz, "write", fail)
    with pytest.raises(UsageError, match="No space left"):
        clip(fps=5.0).save(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.npz"]
