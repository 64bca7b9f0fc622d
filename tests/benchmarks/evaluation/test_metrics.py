"""The measures against closed forms and against derivations of another kind."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot_sdk.benchmarks.evaluation.clip_errors import (
    BONES,
    LIMBS_NECK_AND_HEAD,
    MIRRORED_BONES,
    measure_clip,
    scale_aligned,
    similarity_aligned,
)
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.benchmarks.evaluation.metrics import evaluate_poses, mean_of, summarize
from hot_sdk.cameras import CameraPose
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.results.result import CAMERA_AXES, Pose3DResult
from hot_sdk.skeletons import H36M17, TO_H36M17


@pytest.fixture(scope="module")
def truth():
    return load_starter_val(views=1)[4].truth_mm[:60]


@pytest.fixture
def random():
    return np.random.default_rng(5)


def rotation(random):
    """A proper rotation, from a random quaternion."""
    w, x, y, z = (q := random.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def horn(source, target):
    """The nearest similar pose by Horn's quaternions (1987), which cannot hold a mirror image."""
    p, t = source - source.mean(axis=0), target - target.mean(axis=0)
    xx, xy, xz, yx, yy, yz, zx, zy, zz = (p.T @ t).ravel()
    matrix = np.array(
        [
            [xx + yy + zz, yz - zy, zx - xz, xy - yx],
            [yz - zy, xx - yy - zz, xy + yx, zx + xz],
            [zx - xz, xy + yx, -xx + yy - zz, yz + zy],
            [xy - yx, zx + xz, yz + zy, -xx - yy + zz],
        ]
    )
    w, x, y, z = np.linalg.eigh(matrix)[1][:, -1]
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    turned = p @ turn.T
    return (turned * t).sum() / (p * p).sum() * turned + target.mean(axis=0)


class TestAlignment:
    @pytest.mark.parametrize("noise", [1.0, 80.0, 2000.0])
    @pytest.mark.parametrize("mirror", [1.0, -1.0])
    def test_alignment_equals_horns_quaternions(self, truth, random, noise, mirror):
        predicted = truth * [mirror, 1.0, 1.0] + random.normal(0.0, noise, truth.shape)
        predicted = predicted @ rotation(random) * 0.7 + [40.0, -900.0, 3000.0]
        found = similarity_aligned(predicted, truth)
        expected = np.stack([horn(*pair) for pair in zip(predicted, truth, strict=True)])
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_mirror_image_is_not_aligned_by_reflection(self, truth):
        mirrored = truth * [-1.0, 1.0, 1.0]
        apart = np.linalg.norm(similarity_aligned(mirrored, truth) - truth, axis=-1)
        assert apart.mean() > 30.0
        swapped = mirrored[:, list(H36M17.mirror)]
        nearer = np.linalg.norm(similarity_aligned(swapped, truth) - truth, axis=-1)
        assert nearer.mean() < apart.mean()

    def test_alignment_is_a_minimum(self, truth, random):
        """No rotation, scale or shift about the one found lowers the sum of squares."""
        predicted = truth + random.normal(0.0, 60.0, truth.shape)
        found = similarity_aligned(predicted, truth)
        best = ((found - truth) ** 2).sum(axis=(1, 2))
        for _ in range(200):
            angle = random.normal(0.0, 0.02, 3)
            skew = np.array(
                [[0, -angle[2], angle[1]], [angle[2], 0, -angle[0]], [-angle[1], angle[0], 0]]
            )
            turn = np.eye(3) + skew + skew @ skew / 2.0
            turn, _ = np.linalg.qr(turn)
            turn *= np.sign(np.diag(turn))
            moved = found @ turn * random.normal(1.0, 0.02) + random.normal(0.0, 5.0, 3)
            assert (((moved - truth) ** 2).sum(axis=(1, 2)) >= best - 1e-6).all()

    def test_pose_without_extent_lands_on_the_centroid(self, truth):
        point = np.full_like(truth, 7.0)
        middle = np.broadcast_to(truth.mean(axis=1, keepdims=True), truth.shape)
        np.testing.assert_allclose(similarity_aligned(point, truth), middle, atol=1e-9)
        assert (scale_aligned(np.zeros_like(truth), truth) == 0.0).all()

    def test_scale_is_the_least_squares_solution(self, truth, random):
        predicted = truth * 0.6 + random.normal(0.0, 30.0, truth.shape)
        found = scale_aligned(predicted, truth)
        for frame in range(len(truth)):
            (factor,), *_ = np.linalg.lstsq(
                predicted[frame].reshape(-1, 1), truth[frame].ravel(), rcond=None
            )
            np.testing.assert_allclose(found[frame], factor * predicted[frame], atol=1e-8)


class TestClosedForms:
    def test_perfect_poses(self, truth):
        found = evaluate_poses(truth, truth, fps=30.0)
        for name, value in found.to_dict().items():
            if name.endswith(("_mm", "frame", "frame2", "_s", "_s2")) and name != "per_joint_mm":
                # Left and right of the truth differ by themselves.
                assert value == pytest.approx(0.0, abs=1.0 if name.startswith("sym") else 1e-9)
        assert found.pck150_percent == 100.0
        assert found.auc_percent == pytest.approx(100.0 * 30 / 31)
        assert found.frames_scored == found.frames_given == len(truth)

    def test_one_displaced_joint(self, truth):
        predicted = truth.copy()
        predicted[:, 13] += [30.0, 40.0, 0.0]
        found = evaluate_poses(predicted, truth, fps=30.0)
        assert found.mpjpe_mm == pytest.approx(50.0 / 17)
        assert found.end_joint_error_mm == pytest.approx(50.0 / 4)
        assert found.per_joint_mm["left_wrist"] == pytest.approx(50.0)
        assert sum(found.per_joint_mm.values()) == pytest.approx(50.0)
        assert found.mpjve_mm_per_frame == pytest.approx(0.0, abs=1e-9)

    def test_displaced_pelvis_moves_every_other_joint(self, truth):
        predicted = truth.copy()
        predicted[:, 0] += [0.0, 0.0, 25.0]
        found = evaluate_poses(predicted, truth)
        assert found.per_joint_mm["pelvis"] == 0.0
        assert found.mpjpe_mm == pytest.approx(25.0 * 16 / 17)

    def test_position_of_the_whole_pose_does_not_matter(self, truth, random):
        moved = truth + random.normal(0.0, 1e3, (len(truth), 1, 3))
        for pair in ((moved, truth), (truth, moved)):
            found = evaluate_poses(*pair, fps=30.0)
            assert found.mpjpe_mm == pytest.approx(0.0, abs=1e-9)
            assert found.mpjve_mm_per_frame == pytest.approx(0.0, abs=1e-9)

    @pytest.mark.parametrize("joint", H36M17.joints[1:])
    def test_end_joints_are_wrists_and_ankles(self, truth, joint):
        predicted = truth.copy()
        predicted[:, H36M17.joints.index(joint)] += [0.0, 12.0, 0.0]
        expected = 3.0 if joint.endswith(("wrist", "ankle")) else 0.0
        found = evaluate_poses(predicted, truth).end_joint_error_mm
        assert found == pytest.approx(expected, abs=1e-9)

    def test_scale(self, truth):
        found = evaluate_poses(1.1 * truth, truth, fps=30.0)
        distance = np.linalg.norm(truth - truth[:, :1], axis=-1)
        near, far = np.array(BONES).T
        bones = np.linalg.norm(truth[:, far] - truth[:, near], axis=-1)
        assert found.mpjpe_mm == pytest.approx(0.1 * distance.mean())
        assert found.n_mpjpe_mm == pytest.approx(0.0, abs=1e-9)
        assert found.p_mpjpe_mm == pytest.approx(0.0, abs=1e-9)
        assert found.bone_length_error_mm == pytest.approx(0.1 * bones.mean())

    def test_growing_drift_has_constant_velocity_and_acceleration(self, truth):
        frames = np.arange(len(truth), dtype=float)[:, None, None]
        predicted = truth.copy()
        predicted[:, 1:] += frames**2 * [0.3, 0.0, 0.4]
        found = evaluate_poses(predicted, truth, fps=20.0)
        share = 16 / 17
        # From n to n + 1 the drift of 0.5 n² grows by 0.5 (2 n + 1), and that by 1.
        steps = 0.5 * (2 * np.arange(len(truth) - 1) + 1)
        assert found.mpjve_mm_per_frame == pytest.approx(share * steps.mean())
        assert found.mpjve_mm_per_s == pytest.approx(share * steps.mean() * 20.0)
        assert found.acceleration_error_mm_per_frame2 == pytest.approx(share)
        assert found.acceleration_error_mm_per_s2 == pytest.approx(share * 400.0)

    def test_no_measure_per_second_without_a_frame_rate(self, truth):
        found = evaluate_poses(truth, truth)
        assert found.mpjve_mm_per_s is None
        assert found.acceleration_error_mm_per_s2 is None

    def test_symmetry_depends_on_the_prediction_only(self, truth):
        predicted = np.zeros_like(truth)
        predicted[:, 6] = [0.0, 90.0, 0.0]
        predicted[:, 3] = [0.0, 70.0, 0.0]
        assert evaluate_poses(predicted, truth).symmetry_error_mm == pytest.approx(20.0 / 6)

    def test_mirrored_bones_are_each_others_mirror_images(self):
        pairs = [tuple(BONES[place] for place in pair) for pair in MIRRORED_BONES]
        assert len(pairs) == 6
        for left, right in pairs:
            assert tuple(H36M17.mirror[joint] for joint in left) == right


class TestThresholds:
    def apart(self, truth, distance):
        predicted = truth.copy()
        predicted[:, 1:] += [0.0, 0.0, distance]
        return evaluate_poses(predicted, truth)

    @pytest.mark.parametrize(("distance", "percent"), [(149.99, 100.0), (150.01, 0.0)])
    def test_pck(self, truth, distance, percent):
        assert self.apart(truth, distance).pck150_percent == percent

    def test_a_joint_at_the_threshold_is_wrong(self):
        poses = np.zeros((1, 17, 3))
        assert self.apart(poses, 150.0).pck150_percent == 0.0
        # Of 0, 5 ... 150, those above 75 count: 80 to 150.
        assert self.apart(poses, 75.0).auc_percent == pytest.approx(100.0 * 15 / 31)

    def test_pck_ignores_pelvis_spine_and_neck(self, truth):
        predicted = truth.copy()
        predicted[:, [7, 9]] += 1e4
        found = evaluate_poses(predicted, truth)
        assert found.pck150_percent == 100.0
        predicted[:, 16] += 1e4
        assert evaluate_poses(predicted, truth).pck150_percent == pytest.approx(100.0 * 13 / 14)

    def test_auc_is_the_mean_over_thresholds(self, truth, random):
        predicted = truth + random.normal(0.0, 60.0, truth.shape)
        predicted[:, 0] = truth[:, 0]
        distances = np.linalg.norm(predicted - truth, axis=-1)[:, LIMBS_NECK_AND_HEAD]
        # The share of thresholds that a joint passes, joint by joint: k of 31 for 5 (31 - k).
        passed = np.clip(30 - np.floor(distances / 5.0), 0, 31) / 31
        found = evaluate_poses(predicted, truth)
        assert found.auc_percent == pytest.approx(100.0 * passed.mean())


class TestFourteenJoints:
    def test_only_they_count(self, truth):
        predicted = truth.copy()
        predicted[:, [7, 9]] += 500.0
        found = evaluate_poses(predicted, truth, joints=14)
        assert found.mpjpe_mm == found.n_mpjpe_mm == pytest.approx(0.0, abs=1e-9)
        assert found.p_mpjpe_mm == pytest.approx(0.0, abs=1e-9)
        assert evaluate_poses(predicted, truth).mpjpe_mm > 50.0

    def test_poses_stay_relative_to_the_pelvis(self, truth):
        predicted = truth.copy()
        predicted[:, 0] += [60.0, 0.0, 0.0]
        assert evaluate_poses(predicted, truth, joints=14).mpjpe_mm == pytest.approx(60.0)

    def test_other_numbers_of_joints_are_refused(self, truth):
        with pytest.raises(UsageError, match="17, 14"):
            evaluate_poses(truth, truth, joints=16)


class TestMissingFrames:
    def test_are_counted_and_left_out(self, truth):
        predicted, target = truth + 0.0, truth + 0.0
        predicted[10] = np.nan
        predicted[11, 4, 1] = np.inf
        target[20:23] = np.nan
        predicted[21] = np.nan
        valid = np.ones(len(truth), dtype=bool)
        valid[40] = False
        predicted[40] += 1e6
        found = evaluate_poses(predicted, target, fps=30.0, valid=valid)
        assert found.frames_given == 60
        assert found.frames_without_truth == 4
        assert found.frames_without_prediction == 2
        assert found.frames_scored == 54
        assert found.mpjpe_mm == 0.0

    def test_velocity_and_acceleration_skip_gaps(self, truth):
        predicted = truth.copy()
        predicted[30:, 1:] += 100.0
        predicted[30] = np.nan
        errors = measure_clip(predicted, truth)
        assert len(errors.velocity) == 59 - 2
        assert len(errors.acceleration) == 58 - 3
        np.testing.assert_allclose(errors.velocity, 0.0, atol=1e-9)

    def test_nothing_scored_is_nan_and_null(self, truth):
        found = evaluate_poses(np.full_like(truth, np.nan), truth, fps=30.0)
        assert found.frames_scored == 0
        assert found.frames_without_prediction == 60
        assert math.isnan(found.mpjpe_mm)
        record = found.to_dict()
        assert record["mpjpe_mm"] is record["auc_percent"] is record["mpjve_mm_per_s"] is None
        assert set(record["per_joint_mm"].values()) == {None}

    @pytest.mark.parametrize("frames", [0, 1, 2])
    def test_clips_too_short_to_move(self, truth, frames):
        found = evaluate_poses(truth[:frames], truth[:frames], fps=30.0)
        assert math.isnan(found.acceleration_error_mm_per_frame2)
        assert math.isnan(found.mpjve_mm_per_frame) == (frames < 2)
        assert math.isnan(found.mpjpe_mm) == (frames < 1)


class TestResults:
    """Results as they are: unit, axes, skeleton and guesses are theirs to say."""

    @pytest.fixture
    def result(self, truth):
        return Pose3DResult(
            poses=(truth / 1000.0).astype(np.float32),
            valid=np.ones((60, 17), dtype=bool),
            unit="m",
            axes=CAMERA_AXES,
            root=None,
            root_error=None,
            timestamps=np.arange(60) / 30.0,
            track_id=None,
            policies=(),
            seams=None,
            latency=None,
            model="perfect.onnx",
        )

    def test_any_metric_unit(self, result, truth):
        for one in (result, result.to_millimeters()):
            for pair in ((one, truth), (one, result), (truth, one)):
                assert evaluate_poses(*pair).mpjpe_mm == pytest.approx(0.0, abs=1e-3)

    def test_guesses_are_left_out_and_counted(self, result, truth):
        valid = np.ones((60, 17), dtype=bool)
        valid[10:14, 13] = valid[40] = False
        poses = result.poses.copy()
        poses[~valid] += 1.0
        guessed = dataclasses.replace(result, poses=poses, valid=valid)
        found = evaluate_poses(guessed, truth, fps=30.0)
        assert (found.frames_guessed, found.frames_scored) == (5, 55)
        assert found.mpjpe_mm == pytest.approx(0.0, abs=1e-3)
        assert found.mpjve_mm_per_frame == pytest.approx(0.0, abs=1e-3)
        every = evaluate_poses(guessed, truth, score_guesses=True)
        assert (every.frames_guessed, every.frames_scored) == (0, 60)
        assert every.mpjpe_mm > 5.0
        # The neck is none of the 14 joints.
        valid = np.ones((60, 17), dtype=bool)
        valid[:, 9] = False
        only_neck = dataclasses.replace(result, valid=valid)
        assert evaluate_poses(only_neck, truth, joints=14).frames_scored == 60
        assert evaluate_poses(only_neck, truth).frames_scored == 0

    def test_guesses_are_no_truth(self, result, truth):
        valid = np.ones((60, 17), dtype=bool)
        valid[7, 3] = False
        found = evaluate_poses(truth, dataclasses.replace(result, valid=valid))
        assert (found.frames_without_truth, found.frames_scored) == (1, 59)

    def test_pixels_have_no_scale(self, result, truth):
        pixels = dataclasses.replace(result, poses=result.poses * 0.3, unit="normalized_px")
        found = evaluate_poses(pixels, truth, fps=30.0)
        assert found.p_mpjpe_mm == pytest.approx(0.0, abs=1e-3)
        assert found.n_mpjpe_mm == pytest.approx(0.0, abs=1e-3)
        assert found.frames_scored == 60
        values = found.to_dict()
        named = [name for name in values if name.endswith(("_mm", "frame", "_s", "percent"))]
        known = {name for name in named if values[name] is not None and name != "per_joint_mm"}
        assert known == {"p_mpjpe_mm", "n_mpjpe_mm"}
        with pytest.raises(ResultError, match="no metric unit"):
            evaluate_poses(truth, pixels)

    def test_what_cannot_be_compared_is_refused(self, result, truth):
        with pytest.raises(ResultError, match="along 'robot"):
            evaluate_poses(result.to_robot_frame(CameraPose.mounted()), truth)
        with pytest.raises(ResultError, match="true poses cannot be in millimeters"):
            evaluate_poses(result, truth / 1000.0)
        with pytest.raises(ResultError, match="predicted poses cannot be in millimeters"):
            evaluate_poses(truth / 1000.0, truth)
        with pytest.raises(ResultError, match=r"true poses differ by .* another order"):
            evaluate_poses(result, truth[:, TO_H36M17["mpi_inf_3dhp17"]])
        with pytest.raises(ResultError, match="60 predicted poses"):
            evaluate_poses(result, truth[:50])


class TestManyClips:
    def test_velocity_is_a_mean_of_the_clips_weighted_by_their_frames(self, truth):
        """As VideoPose3D's evaluation adds it up: the mean of a clip times its frames."""

        def moving(frames, speed):
            predicted = truth[:frames].copy()
            predicted[:, 1:] += speed * np.arange(frames)[:, None, None] * [1.0, 0.0, 0.0]
            return measure_clip(predicted, truth[:frames], fps=10.0)

        found = summarize([moving(50, 1.0), moving(5, 4.0), moving(1, 9.0)])
        expected = 16 / 17 * (50 * 1.0 + 5 * 4.0) / 55
        assert found.mpjve_mm_per_frame == pytest.approx(expected)
        assert found.mpjve_mm_per_s == pytest.approx(10.0 * expected)

    def test_no_difference_is_taken_between_frames_that_do_not_follow(self, truth):
        predicted = truth.copy()
        predicted[30:, 1:] += 100.0
        follows = np.arange(59) != 29
        errors = measure_clip(predicted, truth, follows=follows)
        assert len(errors.velocity) == 58
        assert len(errors.acceleration) == 56
        np.testing.assert_allclose(errors.velocity, 0.0, atol=1e-9)

    def test_every_frame_counts_once(self, truth, random):
        predicted = truth + random.normal(0.0, 30.0, truth.shape)
        parts = [slice(0, 7), slice(7, 8), slice(8, 60)]
        together = summarize([measure_clip(predicted[p], truth[p], fps=25.0) for p in parts])
        whole = evaluate_poses(predicted, truth, fps=25.0)
        for field in ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "auc_percent", "symmetry_error_mm"):
            assert getattr(together, field) == pytest.approx(getattr(whole, field))
        assert together.per_joint_mm == pytest.approx(whole.per_joint_mm)
        assert together.frames_given == whole.frames_given

    def test_clips_of_different_rates(self, truth):
        predicted = truth.copy()
        predicted[:, 1:] += np.arange(60.0)[:, None, None] * [1.0, 0.0, 0.0]
        clips = [measure_clip(predicted, truth, fps=fps) for fps in (10.0, 30.0)]
        found = summarize(clips)
        assert found.mpjve_mm_per_frame == pytest.approx(16 / 17)
        assert found.mpjve_mm_per_s == pytest.approx(20.0 * 16 / 17)
        unknown = dataclasses.replace(clips[0], fps=None)
        assert summarize([unknown, clips[1]]).mpjve_mm_per_s is None

    def test_mean_of_groups_counts_each_once(self, truth):
        def displaced(frames, distance):
            predicted = truth[:frames].copy()
            predicted[:, 1:] += [distance, 0.0, 0.0]
            return evaluate_poses(predicted, truth[:frames], fps=30.0)

        found = mean_of([displaced(50, 10.0), displaced(5, 40.0)])
        assert found.mpjpe_mm == pytest.approx(25.0 * 16 / 17)
        assert found.frames_given == 55
        assert found.per_joint_mm["head"] == pytest.approx(25.0)

    def test_different_joints_cannot_be_combined(self, truth):
        clips = [measure_clip(truth, truth, joints=joints) for joints in (17, 14)]
        with pytest.raises(UsageError, match="different joints"):
            summarize(clips)
        for nothing in (summarize, mean_of):
            with pytest.raises(UsageError, match=r"[Nn]o"):
                nothing([])


@given(seed=st.integers(0, 2**32 - 1), noise=st.floats(0.1, 300.0), turn=st.booleans())
def test_alignment_reduces_squares_and_is_invariant(seed, noise, turn):
    random = np.random.default_rng(seed)
    truth = random.normal(0.0, 300.0, (5, 17, 3))
    predicted = truth + random.normal(0.0, noise, truth.shape)
    moved = predicted @ rotation(random) * random.uniform(0.3, 3.0) if turn else predicted * 2.0
    plain, changed = measure_clip(predicted, truth), measure_clip(moved, truth)
    np.testing.assert_allclose(changed.aligned, plain.aligned, atol=1e-6)
    if not turn:
        np.testing.assert_allclose(changed.scaled, plain.scaled, atol=1e-6)
    squares = [(part**2).sum(axis=1) for part in (plain.aligned, plain.scaled, plain.position)]
    assert (squares[0] <= squares[1] + 1e-6).all()
    assert (squares[1] <= squares[2] + 1e-6).all()


@pytest.mark.parametrize(
    ("predicted", "target", "options", "said"),
    [
        (np.zeros((3, 17, 3)), np.zeros((4, 17, 3)), {}, "3 predicted poses"),
        (np.zeros((3, 16, 3)), np.zeros((3, 17, 3)), {}, r"predicted poses .* \(3, 16, 3\)"),
        (np.zeros((3, 17, 3)), np.zeros((3, 51)), {}, r"true poses .* \(3, 51\)"),
        (np.zeros((3, 17, 3), dtype=bool), np.zeros((3, 17, 3)), {}, "predicted poses are bool"),
        (np.zeros((3, 17, 3)), np.zeros((3, 17, 3)), {"valid": np.ones(3)}, "valid is float64"),
        (np.zeros((3, 17, 3)), np.zeros((3, 17, 3)), {"valid": [True]}, r"valid .* \(1,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(predicted, target, options, said):
    with pytest.raises(ResultError, match=said):
        evaluate_poses(predicted, target, **options)


@pytest.mark.parametrize("fps", [0.0, -1.0, math.nan, math.inf])
def test_frame_rate_must_be_positive(fps):
    with pytest.raises(UsageError, match="fps"):
        evaluate_poses(np.zeros((3, 17, 3)), np.zeros((3, 17, 3)), fps=fps)
