"""The published data sets, on tiny files of their layout."""

import pathlib
import pickle

import numpy as np
import pytest
from published_layouts import (
    LENGTHS,
    MOTIONBERT_CLIPS,
    RECORDINGS,
    body,
    projected,
    save_3dhp,
    save_h36m,
    save_h36m_motionbert,
)

from hot_sdk.benchmarks.evaluation.data_sets import DATA_SETS, load_data
from hot_sdk.benchmarks.evaluation.data_sets.human36m import (
    ACTIONS,
    KEPT_OF_32,
    TEST_SUBJECTS,
    TRAINING_SUBJECTS,
    camera,
    load_human36m,
)
from hot_sdk.benchmarks.evaluation.data_sets.human36m_motionbert import load_human36m_motionbert
from hot_sdk.benchmarks.evaluation.data_sets.mpi_inf_3dhp import SEQUENCES, load_mpi_inf_3dhp
from hot_sdk.errors import DatasetError, UsageError
from hot_sdk.skeletons import H36M17, skeleton_format


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


class TestOwnDetections:
    """Other files in the layout of the detections of Human3.6M."""

    def save(self, folder, order, symmetry=None, scores=False, name="mine"):
        points = np.load(folder / "data_2d_h36m_gt.npz", allow_pickle=True)["positions_2d"].item()
        random = np.random.default_rng(4)

        def view(of):
            moved = np.full((len(of), max(order) + 1, 2), 7.0, dtype=np.float32)
            moved[:, order] = of
            if not scores:
                return moved
            return np.concatenate([moved, random.random((*moved.shape[:2], 1))], axis=-1)

        held = {
            subject: {clip: [view(one) for one in views] for clip, views in clips.items()}
            for subject, clips in points.items()
        }
        about = {} if symmetry is None else {"metadata": {"keypoints_symmetry": symmetry}}
        np.savez(folder / f"data_2d_h36m_{name}.npz", positions_2d=held, **about)
        return held

    def test_any_name_and_a_third_number_for_the_score(self, tmp_path):
        save_h36m(tmp_path)
        held = self.save(tmp_path, range(17), scores=True, name="hrnet_v2.1")
        clips = load_data("h36m", tmp_path, detections="hrnet_v2.1")
        exact = load_data("h36m", tmp_path, detections="gt")
        for clip, same in zip(clips, exact, strict=True):
            np.testing.assert_array_equal(clip.keypoints.points, same.keypoints.points)
        np.testing.assert_allclose(
            clips[0].keypoints.scores, held["S9"]["Directions"][0][..., 2], rtol=1e-6
        )

    def test_order_follows_from_left_and_right(self, tmp_path):
        """COCO's order, as VideoPose3D's Detectron files have it, is known by its metadata."""
        save_h36m(tmp_path)
        coco = skeleton_format("coco17")
        order = [coco.joints.index(joint) if joint in coco.joints else 0 for joint in H36M17.joints]
        symmetry = [
            [coco.joints.index(joint) for joint in side] for side in (coco.left, coco.right)
        ]
        self.save(tmp_path, order, symmetry)
        clips = load_data("h36m", tmp_path, detections="mine")
        exact = load_data("h36m", tmp_path, detections="gt")
        assert {clip.keypoints.skeleton for clip in clips} == {"coco17"}
        limbs = [H36M17.joints.index(joint) for joint in H36M17.joints if joint in coco.joints]
        np.testing.assert_allclose(
            clips[0].keypoints.to_h36m17().points[:, limbs],
            exact[0].keypoints.points[:, limbs],
            rtol=1e-6,
        )

    def test_unknown_order_is_refused(self, tmp_path):
        save_h36m(tmp_path)
        self.save(tmp_path, range(17), [[2, 4, 6], [1, 3, 5]])
        with pytest.raises(DatasetError, match=r"neither Human3\.6M's nor COCO's"):
            load_data("h36m", tmp_path, detections="mine")

    def test_missing_ones_are_refused_with_those_that_are_there(self, tmp_path):
        save_h36m(tmp_path)
        with pytest.raises(DatasetError, match="detections cpn_ft_h36m_dbb, gt"):
            load_data("h36m", tmp_path, detections="gtt")


class TestMotionBERTLayout:
    @pytest.mark.parametrize("as_lists", [False, True], ids=["arrays", "lists"])
    @pytest.mark.parametrize("protocol", range(6))
    def test_loads_every_source_from_any_pickle(self, tmp_path, protocol, as_lists):
        test = save_h36m_motionbert(tmp_path, protocol, as_lists)
        clips = load_human36m_motionbert(tmp_path)
        kept = [
            clip for clip in MOTIONBERT_CLIPS if not clip[0].startswith("s_09_act_05_subact_02")
        ]
        assert [clip.name for clip in clips] == [source for source, *_ in kept]
        assert [clip.action for clip in clips] == [action for _, action, *_ in kept]
        assert [len(clip) for clip in clips] == [frames for *_, frames in kept]
        assert {clip.subject for clip in clips} == {"S9", "S11"}
        for clip in clips:
            rows = np.flatnonzero(test["source"] == clip.name)
            target = test["joints_2.5d_image"][rows]
            np.testing.assert_allclose(clip.truth_mm, target - target[:, :1], atol=1e-3)
            np.testing.assert_array_equal(clip.mm_per_px, test["2.5d_factor"][rows])
            np.testing.assert_allclose(clip.keypoints.points, test["joint_2d"][rows], rtol=1e-6)
            np.testing.assert_allclose(clip.keypoints.scores, test["confidence"][rows])
            width, height = clip.keypoints.image_size
            camera_name = test["camera_name"][rows[0]]
            assert (width, height) == (
                1000,
                1002 if camera_name in ("54138969", "60457274") else 1000,
            )

    def test_truth_in_the_image_has_full_confidence(self, tmp_path):
        test = save_h36m_motionbert(tmp_path)
        clip = load_human36m_motionbert(tmp_path, detections="gt")[0]
        np.testing.assert_allclose(
            clip.keypoints.points, test["joint3d_image"][: len(clip), :, :2], rtol=1e-6
        )
        assert clip.keypoints.scores is None

    def test_confidences_out_of_range_are_noted(self, tmp_path):
        test = save_h36m_motionbert(tmp_path)
        test["confidence"][3, 5] = 1.2
        save_h36m_motionbert(tmp_path, confidence=test["confidence"][..., None])
        first, second, *_ = load_human36m_motionbert(tmp_path)
        assert "not in 0 to 1" in first.notes[0]
        assert second.notes == ()

    def test_missing_file_is_named_with_those_that_are_there(self, tmp_path):
        with pytest.raises(DatasetError, match=r"h36m_sh_conf_cam_source_final\.pkl"):
            load_human36m_motionbert(tmp_path)
        save_h36m_motionbert(tmp_path)
        with pytest.raises(DatasetError, match=r"holds h36m_sh_conf_cam_source_final\.pkl"):
            load_human36m_motionbert(tmp_path, detections="cpn_cam_source")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"2.5d_factor": np.ones(5)}, "factors have shape"),
            ({"2.5d_factor": np.zeros(255)}, "not a number above 0"),
            ({"joint_2d": np.zeros((255, 16, 2))}, "keypoints have shape"),
            ({"joints_2.5d_image": np.zeros((255, 17, 2))}, "poses have shape"),
            ({"confidence": np.zeros((255, 16))}, "confidences have shape"),
            ({"camera_name": np.array(["1"] * 255)}, "none of the four cameras"),
            ({"action": np.array(["a", "b", "b"] * 85)}, "several actions"),
            ({"source": np.array(["a_01", "b_01"] * 127 + ["c_01"])}, "several places"),
            ({"source": np.array(["a_01"] * 7)}, "not those of 255 frames"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, tmp_path, changes, said):
        save_h36m_motionbert(tmp_path, **changes)
        with pytest.raises(DatasetError, match=said):
            load_human36m_motionbert(tmp_path)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (pickle.dumps({"train": {}}), "no 'test'"),
            (pickle.dumps({"test": {"joint_2d": 3}}), "no 'joints_2.5d_image'"),
            (pickle.dumps({"test": pathlib.PurePosixPath("x")}), "not safe to read"),
            (b"not a pickle", "not of the published layout"),
            (b"", "not of the published layout"),
        ],
    )
    def test_other_content_is_refused_and_nothing_is_run(self, tmp_path, content, said):
        (tmp_path / "h36m_sh_conf_cam_source_final.pkl").write_bytes(content)
        with pytest.raises(DatasetError, match=said):
            load_human36m_motionbert(tmp_path)


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
        points = load_mpi_inf_3dhp(tmp_path)[0].keypoints.to_h36m17().points
        for joint, name in enumerate(H36M17.joints):
            source = theirs.index(renamed.get(name, name))
            expected = data["TS1"]["data_2d"][:, source]
            np.testing.assert_allclose(points[:, joint], expected, rtol=1e-6)

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
        save_h36m_motionbert(tmp_path)
        save_3dhp(tmp_path)
        for name, data in DATA_SETS.items():
            root = tmp_path if data.licensed else None
            for detections in data.detections:
                clips = load_data(name, root, detections=detections)
                assert len({clip.name for clip in clips}) == len(clips) > 4

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
        with pytest.raises(UsageError, match="Did you mean 'annotated'"):
            load_data("mpi-inf-3dhp", tmp_path, detections="annotate")
        with pytest.raises(UsageError, match="no name of detections"):
            load_data("h36m", tmp_path, detections="../gt")
        with pytest.raises(UsageError, match="--unit applies only to files of your own"):
            load_data("h36m", tmp_path, unit="mm")
        with pytest.raises(UsageError, match="--views applies only to starter-val"):
            load_data("mpi-inf-3dhp", tmp_path, views=2)
