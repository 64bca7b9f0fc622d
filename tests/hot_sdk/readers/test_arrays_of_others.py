"""Archives and arrays of other programs, and files that are refused by name."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.errors import KeypointsError
from hot_sdk.readers import read_frames
from hot_sdk.skeletons import skeleton_format

SQUATS = Keypoints.from_file(Path(__file__).parent / "data" / "squats_mediapipe33.npz")
SIZE = SQUATS.image_size
COCO = [
    skeleton_format("mediapipe33").joints.index(name) for name in skeleton_format("coco17").joints
]
POINTS = SQUATS.points[:, COCO].astype(np.float64)
SCORES = SQUATS.scores[:, COCO].astype(np.float64)
BOTH = np.concatenate([POINTS, SCORES[..., None]], axis=-1)
FRAMES = len(POINTS)


def assert_squats(found, *, scored=True):
    np.testing.assert_allclose(found.points, POINTS, atol=1e-3)
    if scored:
        np.testing.assert_allclose(found.scores, SCORES, atol=1e-6)
    else:
        assert found.scores is None


def custom(layout="coco", **videos):
    return {
        "positions_2d": np.array(videos, dtype=object),
        "metadata": np.array(
            {
                "layout_name": layout,
                "num_joints": 17,
                "keypoints_symmetry": [[1, 3], [2, 4]],
                "video_metadata": {name: {"w": SIZE[0], "h": SIZE[1]} for name in videos},
            },
            dtype=object,
        ),
    }


@pytest.mark.parametrize("array", [POINTS, POINTS.astype(np.float32), BOTH], ids=range(3))
def test_custom_data_of_videopose3d(tmp_path, array):
    np.savez_compressed(tmp_path / "a.npz", **custom(dancer={"custom": [array]}))
    found = Keypoints.from_file(tmp_path / "a.npz", "npz")
    assert (found.skeleton, found.image_size) == ("coco17", SIZE)
    assert_squats(found, scored=array is BOTH)


def test_layout_of_videopose3d_is_the_skeleton(tmp_path):
    np.savez(tmp_path / "a.npz", **custom("h36m", dancer={"custom": [POINTS]}))
    assert Keypoints.from_file(tmp_path / "a.npz").skeleton == "h36m17"
    np.savez(tmp_path / "a.npz", **custom("other", dancer={"custom": [POINTS]}))
    with pytest.raises(KeypointsError, match="does not say its skeleton"):
        Keypoints.from_file(tmp_path / "a.npz")


def test_hint_for_several_videos_works_as_it_stands(tmp_path):
    held = custom(**{"a b.mp4": {"custom": [BOTH]}, "b.mp4": {"custom": [POINTS]}})
    np.savez(tmp_path / "FILE", **held)
    (tmp_path / "FILE.npz").rename(tmp_path / "FILE")
    with pytest.raises(KeypointsError, match=r"2 sequences \('a b.mp4/") as caught:
        Keypoints.from_file(tmp_path / "FILE")
    (code,) = re.findall(r'python -c "(.*)"', caught.value.hint)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    found = Keypoints.from_file(tmp_path / "clip.npz")
    assert (found.skeleton, found.image_size) == ("coco17", SIZE)
    assert_squats(found, scored=False)


def test_a_files_names_put_no_command_into_the_hint(tmp_path):
    name = '"; touch x; $(touch y)'
    np.savez(tmp_path / "a.npz", **custom(**{name: {"custom": [POINTS, POINTS]}}))
    with pytest.raises(KeypointsError) as caught:
        Keypoints.from_file(tmp_path / "a.npz")
    assert "touch" not in caught.value.hint


class Trap:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("member", ["positions_2d", "keypoints"])
def test_pickles_are_never_run(tmp_path, member, capsys):
    trap = np.empty((), dtype=object)
    trap[()] = {"a": Trap()}
    about = np.array({"w": 9, "h": 9}, dtype=object)
    np.savez(tmp_path / "a.npz", **{"metadata": about, "boxes": about, member: trap})
    with pytest.raises(KeypointsError, match="not safe to read") as caught:
        Keypoints.from_file(tmp_path / "a.npz")
    assert "run" not in capsys.readouterr().out
    assert "builtins.print" in str(caught.value)


@pytest.mark.parametrize("paired", [False, True])
def test_output_of_infer_video_d2(tmp_path, paired):
    zeros = np.zeros_like(SCORES)
    rows = np.stack([POINTS[..., 0], POINTS[..., 1], zeros, SCORES], axis=1)
    frames = [[[], rows[None, frame] if frame != 5 else []] for frame in range(FRAMES)]
    held = np.empty((FRAMES, 2) if paired else FRAMES, dtype=object)
    for frame, pair in enumerate(frames):
        if paired:
            held[frame, 0], held[frame, 1] = pair
        else:
            held[frame] = pair
    about = np.array({"w": SIZE[0], "h": SIZE[1]}, dtype=object)
    np.savez(tmp_path / "a.npz", boxes=held, segments=None, keypoints=held, metadata=about)
    found = Keypoints.from_file(tmp_path / "a.npz")
    assert (found.skeleton, found.image_size, found.scores) == ("coco17", SIZE, None)
    assert np.isnan(found.points[5]).all()
    np.testing.assert_allclose(found.points[6:], POINTS[6:], atol=1e-3)


@pytest.mark.parametrize("name", ["scores", "keypoint_scores"])
@pytest.mark.parametrize("people", [False, True])
def test_keypoints_and_scores(tmp_path, name, people):
    points, scores = (POINTS[None], SCORES[None]) if people else (POINTS, SCORES)
    np.savez(tmp_path / "a.npz", keypoints=points, **{name: scores})
    with pytest.raises(KeypointsError, match="does not say its skeleton"):
        Keypoints.from_file(tmp_path / "a.npz", image_size=SIZE)
    assert_squats(Keypoints.from_file(tmp_path / "a.npz", skeleton="coco17", image_size=SIZE))


def test_third_numbers_of_points_are_scores(tmp_path):
    np.savez(tmp_path / "a.npz", points=BOTH, skeleton=b"coco17", image_size=np.float64(SIZE))
    assert_squats(Keypoints.from_file(tmp_path / "a.npz"))
    np.savez(tmp_path / "a.npz", points=BOTH * 2, skeleton="coco17", image_size=SIZE)
    with pytest.raises(KeypointsError, match="no scores from 0 to 1"):
        Keypoints.from_file(tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(1, FRAMES, 17, 3), (FRAMES, 17, 3)])
def test_demo_of_motionagformer_has_scores(tmp_path, shape):
    np.savez(tmp_path / "a.npz", reconstruction=BOTH.reshape(shape).astype(np.float32))
    source = read_frames(tmp_path / "a.npz", image_size=SIZE)
    assert (source.kind, source.skeleton) == (
        "keypoints and scores of MotionAGFormer's demo",
        "h36m17",
    )
    assert_squats(Keypoints.from_file(tmp_path / "a.npz", image_size=SIZE))


def test_demo_with_a_missing_joint_is_no_pose_in_meters(tmp_path):
    table = BOTH.reshape(1, FRAMES, 17, 3).astype(np.float32)
    table[0, 3, 5, :2] = np.nan
    np.savez(tmp_path / "a.npz", reconstruction=table)
    read = Keypoints.from_file(tmp_path / "a.npz", image_size=SIZE)
    assert np.argwhere(np.isnan(read.points[..., 0])).tolist() == [[3, 5]]


@pytest.mark.parametrize(
    "array",
    [
        BOTH,
        BOTH[None],
        BOTH[:, None],
        BOTH.astype(np.float32),
        np.asfortranarray(BOTH),
    ],
    ids=range(5),
)
def test_npy_with_a_named_skeleton(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(KeypointsError, match="does not say its skeleton") as caught:
        Keypoints.from_file(tmp_path / "a.npy", image_size=SIZE)
    assert "--skeleton" in caught.value.hint
    found = Keypoints.from_file(tmp_path / "a.npy", "npy", skeleton="coco17", image_size=SIZE)
    np.testing.assert_allclose(found.points, POINTS, atol=1e-3)
    np.testing.assert_allclose(found.scores, SCORES, atol=1e-6)


def test_npy_without_scores_and_of_one_frame(tmp_path):
    np.save(tmp_path / "a.npy", POINTS)
    found = Keypoints.from_file(tmp_path / "a.npy", skeleton="coco17", image_size=SIZE)
    assert_squats(found, scored=False)
    np.save(tmp_path / "a.npy", BOTH[0])
    found = Keypoints.from_file(tmp_path / "a.npy", skeleton="coco17", image_size=SIZE)
    np.testing.assert_allclose(found.points, POINTS[:1], atol=1e-3)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 60, 75, 3)), "of shape \\(2, 60, 75, 3\\); expected"),
        (np.zeros((4, 34)), "expected"),
        (np.zeros((4, 17, 4)), "expected"),
        (np.zeros((0, 17, 2)), "expected"),
        (np.array(["a"]), "expected"),
        (np.concatenate([POINTS, POINTS[..., :1]], axis=-1), "no scores from 0 to 1"),
        (np.concatenate([POINTS, 0 * POINTS[..., :1]], axis=-1), "no scores from 0 to 1"),
        (np.array([Trap()]), "holds Python objects"),
    ],
    ids=range(8),
)
def test_other_arrays_are_refused_with_the_way_out(tmp_path, array, said, capsys):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(KeypointsError, match=said) as caught:
        Keypoints.from_file(tmp_path / "a.npy", skeleton="coco17", image_size=SIZE)
    assert "skeleton=" in caught.value.hint
    assert "run" not in capsys.readouterr().out


def test_cut_off_npy_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", BOTH)
    content = (tmp_path / "a.npy").read_bytes()
    for end in (7, 40, 200, len(content) - 1):
        (tmp_path / "a.npy").write_bytes(content[:end])
        with pytest.raises(KeypointsError, match="cannot be read"):
            Keypoints.from_file(tmp_path / "a.npy", skeleton="coco17", image_size=SIZE)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps([{"keypoints": Trap()}]), "a pickle, which runs code"),
        (pickle.dumps([1], protocol=2), "a pickle"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file, as DeepLabCut"),
        (b"MATLAB 5.0 MAT-file", "a MATLAB file"),
        (b"PAR1" + bytes(9), "a Parquet table"),
        (b"\x1f\x8b\x08" + bytes(9), "compressed by gzip"),
    ],
)
def test_other_files_are_refused_by_name_with_the_way_out(tmp_path, content, said):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(KeypointsError, match=said) as caught:
        Keypoints.from_file(tmp_path / "a", skeleton="coco17", image_size=SIZE)
    assert "Keypoints(points, scores, skeleton=..." in caught.value.hint


def test_other_archives_say_what_they_hold(tmp_path):
    np.savez(tmp_path / "a.npz", pose=POINTS, heights=SCORES)
    with pytest.raises(KeypointsError, match="it holds 'heights, pose'"):
        Keypoints.from_file(tmp_path / "a.npz", skeleton="coco17", image_size=SIZE)
