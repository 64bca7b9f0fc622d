"""The published data sets, on tiny files of their layout."""

import numpy as np
import pytest
from published_layouts import LENGTHS, RECORDINGS, body, projected, save_3dhp, save_h36m

from hot_sdk.benchmarks.evaluation.data_sets import DATA_SETS, load_data
from hot_sdk.benchmarks.evaluation.data_sets.human36m import (
    ACTIONS,
    KEPT_OF_32,
    TEST_SUBJECTS,
    TRAINING_SUBJECTS,
    camera,
    load_human36m,
)
from hot_sdk.benchmarks.evaluation.data_sets.mpi_inf_3dhp import SEQUENCES, load_mpi_inf_3dhp
from hot_sdk.errors import DatasetError, UsageError
from hot_sdk.skeletons import H36M17


def by_quaternion(wxyz, vector):
    """A vector turned by a quaternion, by its definition q v q*."""
    w, *xyz = wxyz
    xyz = np.array(xyz)
    turned = vector * (w * w - xyz @ xyz) + 2.0 * np.outer(vector @ xyz, xyz).reshape(-1, 3)
    return turned + 2.0 * w * np.cross(xyz, vector)


class TestHuman36M:
    def test_loads_every_recording_and_camera(self, tmp_path):
        save_h36m(tmp_path)
        clips = load_human36m(tmp_path)
        assert len(clips) == 4 * sum(map(len, RECORDINGS.values()))
        assert clips[0].name == "S9_Directions_54138969"
        assert "S11_SittingDown_2_60457274" in {clip.name for clip in clips}
        assert {clip.subject for clip in clips} == {"S9", "S11"}
        assert {clip.action for clip in clips} <= set(ACTIONS)
        assert {clip.keypoints.effective_fps for clip in clips} == {50.0}
        sizes = [clip.keypoints.image_size for clip in clips[:4]]
        assert sizes == [(1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002)]

    def test_truth_is_along_the_cameras_axes(self, tmp_path):
        room = save_h36m(tmp_path)
        clip = load_human36m(tmp_path, detections="gt")[1]
        poses = room["S9"]["Directions"].astype(np.float32).astype(np.float64)
        # The second camera of S9, its numbers once more; its quaternion is of unit length.
        wxyz = (0.618784487247467, 0.7634735107421875, 0.14132238924503326, -0.11933968216180801)
        place = np.array([1.990959716796875, -5.123810546875, 1.568804809570312])
        expected = by_quaternion(wxyz, (poses - place).reshape(-1, 3)).reshape(poses.shape)
        np.testing.assert_allclose(clip.truth, expected - expected[:, :1], atol=1e-5)
        np.testing.assert_allclose(clip.root, expected[:, 0], atol=1e-4)

    def test_truth_and_keypoints_are_of_the_same_frames_and_joints(self, tmp_path):
        save_h36m(tmp_path)
        for clip in load_human36m(tmp_path, detections="gt"):
            placed = (clip.truth + clip.root[:, None]).astype(np.float64)
            seen = clip.intrinsics.project(placed)
            np.testing.assert_allclose(seen, clip.keypoints.points, atol=0.05)

    def test_detections_after_the_last_pose_are_left_out(self, tmp_path):
        save_h36m(tmp_path, longer=7)
        exact = load_human36m(tmp_path, detections="gt")
        for clip, same in zip(load_human36m(tmp_path), exact, strict=True):
            assert len(clip.keypoints) == len(clip)
            assert len(clip) in LENGTHS.values()
            # These detections are off the joints by the same vector in every frame.
            offset = clip.keypoints.points - same.keypoints.points
            np.testing.assert_allclose(offset - offset[:1, :1], 0.0, atol=0.05)

    def test_loads_the_subjects_of_the_training_set(self, tmp_path):
        save_h36m(tmp_path, recordings=dict.fromkeys(TRAINING_SUBJECTS, ("Walking",)))
        clips = load_human36m(tmp_path, detections="gt", subjects=TRAINING_SUBJECTS)
        assert {clip.subject for clip in clips} == {*TRAINING_SUBJECTS}
        assert len(clips) == 4 * len(TRAINING_SUBJECTS)
        for clip in clips:
            placed = (clip.truth + clip.root[:, None]).astype(np.float64)
            seen = clip.intrinsics.project(placed)
            np.testing.assert_allclose(seen, clip.keypoints.points, atol=0.05)

    def test_17_of_32_joints_are_kept(self):
        """Those that VideoPose3D leaves, by those that it takes away."""
        gone = {4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31}
        assert tuple(sorted(set(range(32)) - gone)) == KEPT_OF_32

    @pytest.mark.parametrize("subject", [*TRAINING_SUBJECTS, *TEST_SUBJECTS])
    @pytest.mark.parametrize("number", range(4))
    def test_cameras_see_the_room_upright(self, subject, number):
        """A slip in any of the numbers shows: a pole in the middle is seen, upright."""
        pose, intrinsics, _, (width, height) = camera(subject, number)
        standing = np.array([[0.0, 0.0, height] for height in (0.0, 0.9, 1.7)])
        seen = (standing - pose.translation) @ pose.rotation
        assert (seen[:, 2] > 3.5).all()
        assert (seen[:, 2] < 7.5).all()
        points = intrinsics.project(seen)
        assert (points > 0.1 * height).all()
        assert (points < 0.9 * width).all()
        foot, middle, top = points
        assert top[1] < middle[1] - 80.0 < foot[1] - 160.0
        # None leans by more than six degrees.
        assert np.ptp(points[:, 0]) < 0.1 * np.ptp(points[:, 1])

    def test_four_cameras_stand_in_four_corners(self):
        for subject in (*TRAINING_SUBJECTS, *TEST_SUBJECTS):
            corners = [np.sign(camera(subject, number)[0].translation[:2]) for number in range(4)]
            assert len({tuple(corner) for corner in corners}) == 4

    def test_loads_poses_of_17_joints(self, tmp_path):
        save_h36m(tmp_path)
        whole = load_human36m(tmp_path)
        recorded = {
            subject: {name: np.zeros((LENGTHS[name], 17, 3)) for name in names}
            for subject, names in RECORDINGS.items()
        }
        np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=recorded)
        assert [clip.name for clip in load_human36m(tmp_path)] == [clip.name for clip in whole]

    @pytest.mark.parametrize("missing", ["data_3d_h36m.npz", "data_2d_h36m_cpn_ft_h36m_dbb.npz"])
    def test_missing_file_is_named(self, tmp_path, missing):
        save_h36m(tmp_path)
        (tmp_path / missing).unlink()
        with pytest.raises(DatasetError, match=missing):
            load_human36m(tmp_path)

    @pytest.mark.parametrize(
        ("poses", "said"),
        [
            ({"S9": {}}, "no 'S11'"),
            ({"S9": {"Walking": np.zeros((3, 16, 3))}, "S11": {}}, "16, 3"),
            ({"S9": {"Juggling": np.zeros((3, 17, 3))}, "S11": {}}, "by 0 cameras"),
            ({"S9": {"Walking": np.zeros((300, 17, 3))}, "S11": {}}, "83 keypoints for 300"),
            ([1], "dictionary"),
        ],
    )
    def test_poses_that_do_not_fit_are_refused(self, tmp_path, poses, said):
        save_h36m(tmp_path, longer=0)
        holder = np.empty((), dtype=object)
        holder[()] = poses
        np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=holder)
        with pytest.raises(DatasetError, match=said):
            load_human36m(tmp_path)

    @pytest.mark.parametrize(
        ("views", "said"),
        [
            ([np.zeros((90, 17, 2))] * 3, "by 3 cameras"),
            ([np.zeros((90, 16, 2))] * 4, "16, 2"),
            ([np.full((90, 17, 2), np.inf)] * 4, "infinite"),
        ],
    )
    def test_keypoints_that_do_not_fit_are_refused(self, tmp_path, views, said):
        save_h36m(tmp_path)
        seen = {subject: dict.fromkeys(names, views) for subject, names in RECORDINGS.items()}
        np.savez(tmp_path / "data_2d_h36m_gt.npz", positions_2d=seen)
        with pytest.raises(DatasetError, match=said):
            load_human36m(tmp_path, detections="gt")

    def test_unknown_action_is_refused(self, tmp_path):
        poses = {"S9": {"Juggling": body(9)}, "S11": {}}
        views = [projected("S9", number, body(9)) for number in range(4)]
        np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=poses)
        seen = {"S9": {"Juggling": views}, "S11": {}}
        np.savez(tmp_path / "data_2d_h36m_gt.npz", positions_2d=seen)
        with pytest.raises(DatasetError, match="not one of the 15 actions"):
            load_human36m(tmp_path, detections="gt")


class TestMpiInf3dhp:
    def test_loads_every_sequence(self, tmp_path):
        data, poses = save_3dhp(tmp_path)
        clips = load_mpi_inf_3dhp(tmp_path)
        assert [clip.name for clip in clips] == list(SEQUENCES)
        for clip in clips:
            expected = poses[clip.name] - poses[clip.name][:, :1]
            np.testing.assert_allclose(clip.truth_mm, expected, atol=1e-3)
            np.testing.assert_array_equal(clip.valid, data[clip.name]["valid"] == 1)
            assert clip.keypoints.effective_fps is None
        sizes = [clip.keypoints.image_size for clip in clips]
        assert sizes == [(2048, 2048)] * 4 + [(1920, 1080)] * 2

    def test_joints_are_mapped_by_name(self, tmp_path):
        """By what the original calls them, in its order of relevant joints."""
        theirs = ["head_top", "neck"]
        theirs += [f"right_{joint}" for joint in ("shoulder", "elbow", "wrist")]
        theirs += [f"left_{joint}" for joint in ("shoulder", "elbow", "wrist")]
        theirs += [f"right_{joint}" for joint in ("hip", "knee", "ankle")]
        theirs += [f"left_{joint}" for joint in ("hip", "knee", "ankle")]
        theirs += ["pelvis", "spine", "head"]
        renamed = {"head": "head_top", "thorax": "neck", "neck_nose": "head"}
        data, _ = save_3dhp(tmp_path)
        clip = load_mpi_inf_3dhp(tmp_path)[0]
        for joint, name in enumerate(H36M17.joints):
            source = theirs.index(renamed.get(name, name))
            np.testing.assert_allclose(
                clip.keypoints.points[:, joint], data["TS1"]["data_2d"][:, source], rtol=1e-6
            )

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(DatasetError, match=r"data_test_3dhp\.npz"):
            load_mpi_inf_3dhp(tmp_path)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda data: data.pop("TS4"), "no TS4"),
            (lambda data: data["TS1"].pop("valid"), "valid"),
            (lambda data: data["TS1"].update(valid=np.full(30, 2.0)), "whether it is valid"),
            (lambda data: data["TS1"].update(valid=np.ones(29)), "whether it is valid"),
            (lambda data: data["TS1"].update(data_3d=np.zeros((30, 28, 3))), "28, 3"),
            (lambda data: data.update(TS2=5), "dictionary"),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(self, tmp_path, change, said):
        data, _ = save_3dhp(tmp_path)
        change(data)
        np.savez(tmp_path / "data_test_3dhp.npz", data=data)
        with pytest.raises(DatasetError, match=said):
            load_mpi_inf_3dhp(tmp_path)


class TestByName:
    def test_loads_each(self, tmp_path):
        save_h36m(tmp_path)
        save_3dhp(tmp_path)
        for name, data in DATA_SETS.items():
            root = tmp_path if data.licensed else None
            for detections in data.detections:
                clips = load_data(name, root, detections=detections)
                assert len({clip.name for clip in clips}) == len(clips) > 5

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("h36",), "Did you mean 'h36m'"),
            (("h36m",), "--data-root DIR"),
            (("mpi-inf-3dhp",), "does not ship"),
        ],
    )
    def test_wrong_arguments_are_refused(self, arguments, said):
        with pytest.raises(UsageError, match=said):
            load_data(*arguments)

    def test_options_of_another_data_set_are_refused(self, tmp_path):
        with pytest.raises(UsageError, match="Did you mean 'gt'"):
            load_data("h36m", tmp_path, detections="gtt")
        with pytest.raises(UsageError, match="--views applies only to starter-val"):
            load_data("mpi-inf-3dhp", tmp_path, views=2)
