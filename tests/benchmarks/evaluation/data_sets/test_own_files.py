"""Ground truth of one's own, in both layouts, as docs/evaluation.md describes them."""

import csv
import dataclasses

import numpy as np
import pytest

from hot_sdk.benchmarks.evaluation.data_sets import load_data
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.errors import DatasetError, KeypointsError, UsageError
from hot_sdk.skeletons import H36M17, TO_H36M17

FRAMES = 40


@pytest.fixture(scope="module")
def clip():
    return load_starter_val(views=1)[11]


@pytest.fixture
def keypoints(clip):
    return dataclasses.replace(clip.keypoints, points=clip.keypoints.points[:FRAMES])


@pytest.fixture
def placed(clip):
    """The true poses in the camera's frame, meters."""
    return (clip.truth + clip.root[:, None])[:FRAMES].astype(np.float64)


def save_npz(keypoints, name="mine.npz", **arrays):
    fields = {"points": keypoints.points, "skeleton": keypoints.skeleton, "fps": keypoints.fps}
    np.savez(name, image_size=keypoints.image_size, **{**fields, **arrays})
    return name


def save_csv(keypoints, poses, suffix, name="mine.csv", order=None, **columns):
    """Append columns of the true poses to what ``Keypoints.save`` writes."""
    keypoints.save(name)
    with open(name, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    joints = H36M17.joints
    header += [f"{joint}_{axis}_{suffix}" for joint in joints for axis in "xyz"] + list(columns)
    for frame, row in enumerate(rows):
        cells = ["" if np.isnan(value) else repr(float(value)) for value in poses[frame].ravel()]
        row += cells + [str(column[frame]) for column in columns.values()]
    with open(name, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *(rows if order is None else [rows[n] for n in order])])
    return name


class TestNpz:
    @pytest.mark.parametrize(("unit", "factor"), [("m", 1.0), ("mm", 1000.0)])
    @pytest.mark.parametrize("said_by", ["file", "caller"])
    def test_both_units(self, keypoints, placed, unit, factor, said_by):
        said = {"unit": unit} if said_by == "file" else {}
        name = save_npz(keypoints, poses_3d=placed * factor, **said)
        (found,) = load_data(name, unit=unit if said_by == "caller" else None)
        np.testing.assert_allclose(found.truth, placed - placed[:, :1], atol=1e-6)
        np.testing.assert_allclose(found.root, placed[:, 0], rtol=1e-6)
        np.testing.assert_array_equal(found.keypoints.points, keypoints.points)
        assert (found.name, found.action, found.subject) == ("mine", "mine", "all")
        assert found.valid.all()

    def test_position_of_the_pelvis_does_not_matter(self, keypoints, placed):
        relative = placed - placed[:, :1]
        (found,) = load_data(save_npz(keypoints, poses_3d=relative, unit="m"))
        np.testing.assert_allclose(found.truth, relative, atol=1e-6)

    def test_optional_arrays(self, keypoints, placed):
        valid = np.arange(FRAMES) % 4 != 0
        placed[7] = np.nan
        name = save_npz(
            keypoints, poses_3d=placed, unit="m", valid=valid, subject="P1", action="walk"
        )
        (found,) = load_data(name)
        np.testing.assert_array_equal(found.valid, valid)
        assert (found.subject, found.action) == ("P1", "walk")
        assert np.isnan(found.truth[7]).all()

    @pytest.mark.parametrize("skeleton", ["mpi_inf_3dhp17"])
    def test_poses_of_another_skeleton_are_converted(self, keypoints, placed, skeleton):
        theirs = np.empty_like(placed)
        theirs[:, TO_H36M17[skeleton]] = placed
        theirs[3], placed[3] = np.nan, np.nan
        name = save_npz(keypoints, poses_3d=1e3 * theirs, unit="mm", poses_skeleton=skeleton)
        (found,) = load_data(name)
        np.testing.assert_allclose(found.truth, placed - placed[:, :1], atol=1e-5)

    def test_detected_keypoints_of_another_skeleton(self, keypoints, placed):
        """Keypoints of COCO, as detectors give them, with poses of Human3.6M's joints."""
        coco = np.full((FRAMES, 17, 2), np.nan)
        pairs = {
            5: 11,
            6: 14,
            7: 12,
            8: 15,
            9: 13,
            10: 16,
            11: 4,
            12: 1,
            13: 5,
            14: 2,
            15: 6,
            16: 3,
        }
        for theirs, ours in pairs.items():
            coco[:, theirs] = keypoints.points[:, ours]
        name = save_npz(
            keypoints,
            points=coco,
            skeleton="coco17",
            poses_3d=placed,
            unit="m",
            poses_skeleton="h36m17",
        )
        assert load_data(name)[0].keypoints.skeleton == "coco17"


class TestCsv:
    @pytest.mark.parametrize(("suffix", "factor"), [("m", 1.0), ("mm", 1000.0), ("3d", 1000.0)])
    def test_units_of_columns(self, keypoints, placed, suffix, factor):
        name = save_csv(keypoints, placed * factor, suffix)
        (found,) = load_data(name, unit="mm" if suffix == "3d" else None)
        np.testing.assert_allclose(found.truth, placed - placed[:, :1], atol=1e-6)
        np.testing.assert_array_equal(found.keypoints.points, keypoints.points)
        assert found.keypoints.image_size == keypoints.image_size

    def test_rows_in_any_order_and_valid(self, keypoints, placed):
        placed[3, 5] = np.nan
        order = np.random.default_rng(0).permutation(FRAMES)
        valid = (np.arange(FRAMES) > 4).astype(int)
        name = save_csv(keypoints, placed, "m", order=order, valid=valid)
        (found,) = load_data(name)
        np.testing.assert_allclose(found.truth, placed - placed[:, :1], atol=1e-6)
        np.testing.assert_array_equal(found.valid, valid == 1)


def test_folder_holds_a_clip_in_each_file(keypoints, placed, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    save_npz(keypoints, folder / "b.npz", poses_3d=placed, unit="m")
    save_csv(keypoints, placed, "m", folder / "a.csv")
    (folder / "notes.txt").write_text("no clip")
    assert [clip.name for clip in load_data(str(folder))] == ["a", "b"]


class TestRefused:
    @pytest.mark.parametrize(
        ("factor", "unit", "said"),
        [
            (1.0, "mm", r"cannot be in mm.*it looks like meters.*State the unit"),
            (
                1000.0,
                "m",
                r"cannot be in m: shin, thigh and trunk would be 1\.3.*e\+03 m.*millimeters",
            ),
            (100.0, "m", r"it looks like centimeters\. Multiply it by 10"),
            (1000.0, None, r"states no unit; it looks like millimeters\. State m or mm"),
            (1.0, None, r"states no unit; it looks like meters"),
            (1e-3, "m", "in no other unit"),
            (1.0, "ft", "'ft', which is not known"),
        ],
    )
    def test_units_that_cannot_be(self, keypoints, placed, factor, unit, said):
        said_by_file = {} if unit is None else {"unit": unit}
        name = save_npz(keypoints, poses_3d=placed * factor, **said_by_file)
        with pytest.raises(DatasetError, match=said):
            load_data(name)

    def test_contradicting_units(self, keypoints, placed):
        name = save_npz(keypoints, poses_3d=placed, unit="m")
        with pytest.raises(DatasetError, match="says that its poses are in m, not in mm"):
            load_data(name, unit="mm")

    @pytest.mark.parametrize(
        ("turn", "said"),
        [
            (lambda p: p * [1, -1, 1], "-y down"),
            (lambda p: p[..., [0, 2, 1]] * [1, 1, -1], r"x points right and -z down"),
            (lambda p: p[..., [2, 1, 0]], "z points right and y down"),
            (lambda p: p * [-1, 1, 1], "-x points right and y down"),
        ],
        ids=["y-up", "z-up", "x-forward", "mirrored"],
    )
    def test_other_axes(self, keypoints, placed, turn, said):
        with pytest.raises(DatasetError, match=f"not along the camera's axes.*{said}"):
            load_data(save_npz(keypoints, poses_3d=turn(placed), unit="m"))

    def test_poses_of_another_clip(self, keypoints, placed):
        still = np.repeat(placed[:1][:, ::-1], FRAMES, axis=0)
        with pytest.raises(DatasetError, match=r"another order|camera's axes"):
            load_data(save_npz(keypoints, poses_3d=still, unit="m"))

    def test_another_order_of_joints(self, keypoints, placed):
        theirs = placed[:, TO_H36M17["mpi_inf_3dhp17"]]
        with pytest.raises(DatasetError, match="joints are in another order"):
            load_data(save_npz(keypoints, poses_3d=theirs, unit="m"))

    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            ({}, "no array 'poses_3d'"),
            ({"poses_3d": np.zeros((FRAMES, 51))}, "poses_3d is float64 of shape"),
            (
                {"poses_3d": np.zeros((FRAMES, 16, 3)), "unit": "m"},
                "has 16 joints, and 'h36m17' 17",
            ),
            ({"poses_3d": np.full((FRAMES, 17, 3), np.nan), "unit": "m"}, "no frame"),
            ({"poses_3d": np.zeros((9, 17, 3)), "unit": "m"}, "40 frames and true poses of 9"),
            ({"poses_3d": np.zeros((9, 17, 3)), "unit": 7}, "not a text"),
            ({"poses_3d": np.zeros((9, 17, 3)), "valid": np.ones(8)}, "valid is float64"),
            ({"poses_3d": np.array([{}], dtype=object)}, "no true poses"),
        ],
    )
    def test_arrays_that_do_not_fit(self, keypoints, arrays, said):
        with pytest.raises(DatasetError, match=said):
            load_data(save_npz(keypoints, **arrays))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda text: text.replace("_x_m,", "_u,"), "no known skeleton|columns"),
            (lambda text: text.replace("left_wrist_x_m,", "left_wrist_x_mm,"), "several units"),
            (lambda text: text.replace("\n1,", "\n2,"), "one for each frame"),
            (lambda text: text.replace("frame,", "number,", 1), "no column 'frame'"),
        ],
    )
    def test_tables_that_do_not_fit(self, keypoints, placed, tmp_path, change, said):
        name = save_csv(keypoints, placed, "m")
        (tmp_path / name).write_text(change((tmp_path / name).read_text()))
        with pytest.raises(DatasetError, match=said):
            load_data(name)

    def test_files_that_are_none(self, tmp_path):
        with pytest.raises(DatasetError, match=r"no file \.npz or \.csv"):
            load_data("absent.npz")
        (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04")
        with pytest.raises(DatasetError, match="has no true poses"):
            load_data("broken.npz")
        (tmp_path / "empty").mkdir()
        with pytest.raises(DatasetError, match=r"no file \.npz or \.csv"):
            load_data("empty")
        with pytest.raises(UsageError, match=r"A file of your own is an \.npz or \.csv"):
            load_data("mine.json")

    def test_keypoints_without_a_size(self, keypoints, placed):
        np.savez("mine.npz", points=keypoints.points, skeleton="h36m17", poses_3d=placed, unit="m")
        with pytest.raises(KeypointsError, match="size"):
            load_data("mine.npz")
