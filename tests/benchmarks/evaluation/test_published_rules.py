"""``hot-eval`` against the authors' rules, written again in plain numpy.

The network is run window by window through its file; preparation, windows, averaging with the
mirror image and every mean are those of the published scripts, and nothing of the SDK's is used.
"""

import json

import numpy as np
import onnxruntime
import pytest
from exported_models import FRAMES, export_case, small_request
from published_layouts import save_3dhp, save_h36m, save_h36m_motionbert

from hot_sdk.benchmarks.evaluation.cli import main
from hot_sdk.benchmarks.evaluation.data_sets.human36m import load_human36m
from hot_sdk.export import export_model

H36M_LEFT, H36M_RIGHT = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]
MPI_LEFT, MPI_RIGHT = [5, 6, 7, 11, 12, 13], [2, 3, 4, 8, 9, 10]
WITH_OR_WITHOUT_FLIP = pytest.mark.parametrize("flip", [False, True], ids=["plain", "flip"])


@pytest.fixture(scope="module")
def mixste(tmp_path_factory):
    return export_case("mixste", "hot", tmp_path_factory).path


@pytest.fixture(scope="module")
def agformer_3dhp(tmp_path_factory):
    path = tmp_path_factory.mktemp("3dhp") / "agformer.onnx"
    request = small_request("motionagformer", trained_on="mpi-inf-3dhp", output=path)
    export_model(request)
    return path


def evaluated(capsys, *arguments):
    status = main([*map(str, arguments), "--threads", "1", "--json"])
    captured = capsys.readouterr()
    assert (status, captured.err) == (0, "")
    return json.loads(captured.out)


class Network:
    """A file's network by itself, in its own order of joints."""

    def __init__(self, path, flip, left, right):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options)
        self.flip, self.order = flip, (left, right)

    def flipped(self, data):
        left, right = self.order
        data = data.copy()
        data[..., 0] *= -1
        data[..., left + right, :] = data[..., right + left, :]
        return data

    def run(self, windows):
        parts = [self.session.run(["poses_3d"], {"keypoints_2d": w[None]})[0] for w in windows]
        return np.concatenate(parts).copy()

    def __call__(self, windows):
        windows = windows.astype(np.float32)
        found = self.run(windows)
        if self.flip:
            found = (found + self.flipped(self.run(self.flipped(windows)))) / 2
        return found


def screen(pixels, width, height):
    return pixels / width * 2 - [1, height / width]


def mpjpe(predicted, target):
    return np.linalg.norm(predicted - target, axis=-1).mean(axis=-1)


def n_mpjpe(predicted, target):
    squares = (predicted**2).sum(axis=-1).mean(axis=-1)
    products = (target * predicted).sum(axis=-1).mean(axis=-1)
    return mpjpe((products / squares)[..., None, None] * predicted, target)


def p_mpjpe(predicted, target):
    """Procrustes alignment as VideoPose3D's loss.py states it."""
    mu_x, mu_y = target.mean(axis=1, keepdims=True), predicted.mean(axis=1, keepdims=True)
    x, y = target - mu_x, predicted - mu_y
    norm_x = np.sqrt((x**2).sum(axis=(1, 2), keepdims=True))
    norm_y = np.sqrt((y**2).sum(axis=(1, 2), keepdims=True))
    u, s, vt = np.linalg.svd((x / norm_x).transpose(0, 2, 1) @ (y / norm_y))
    v = vt.transpose(0, 2, 1)
    sign = np.sign(np.linalg.det(v @ u.transpose(0, 2, 1)))
    v[:, :, -1] *= sign[:, None]
    s[:, -1] *= sign
    turn = v @ u.transpose(0, 2, 1)
    scale = s.sum(axis=1)[:, None, None] * norm_x / norm_y
    return mpjpe(scale * (predicted @ turn) + mu_x - scale * (mu_y @ turn), target)


def compare(found, expected, fields):
    assert {name: found[name] for name in fields} == pytest.approx(expected, rel=2e-5)


class TestVideoPose3DLayout:
    """HoT and MixSTE on Human3.6M: sums over batches, each weighted by its frames."""

    FIELDS = ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm_per_frame")

    def windows(self, name, frames):
        if name == "hot":
            chunks = -(-frames // FRAMES)
            before = (chunks * FRAMES - frames) // 2
            rest = chunks * FRAMES - frames - before
            return np.pad(np.arange(frames), (before, rest), "edge").reshape(chunks, FRAMES)
        padded = np.pad(np.arange(frames), (0, max(FRAMES - frames, 0)), "edge")
        whole = [padded[n : n + FRAMES] for n in range(0, len(padded) - FRAMES, FRAMES)]
        return np.array([*whole, padded[-FRAMES:]])

    def by_hand(self, network, clips, name):
        sums = {}
        for clip in clips:
            frames = self.windows(name, len(clip))
            points = screen(clip.keypoints.points.astype(float), *clip.keypoints.image_size)
            predicted = network(points[frames]).astype(float)
            predicted[:, :, 0] = 0
            predicted = predicted.reshape(-1, 17, 3)
            target = clip.truth.astype(float)[frames].reshape(-1, 17, 3)
            step = np.diff(predicted, axis=0) - np.diff(target, axis=0)
            values = [
                mpjpe(predicted, target).mean(),
                p_mpjpe(predicted, target).mean(),
                n_mpjpe(predicted, target).mean(),
                np.linalg.norm(step, axis=-1).mean(),
            ]
            total = sums.setdefault(clip.action, np.zeros(5))
            total += len(target) * np.array([*values, 1.0])
        means = np.array([1000.0 * total[:4] / total[4] for total in sums.values()])
        return dict(zip(self.FIELDS, means.mean(axis=0), strict=True))

    @WITH_OR_WITHOUT_FLIP
    @pytest.mark.parametrize("name", ["hot", "mixste"])
    def test_agrees(self, capsys, mixste, tmp_path, name, flip):
        save_h36m(tmp_path, detections=("gt", "mine"))
        options = ["--data", "h36m", "--data-root", tmp_path, "--detections", "mine"]
        found = evaluated(
            capsys, mixste, *options, "--protocol", name, *(["--flip"] if flip else [])
        )
        network = Network(mixste, flip, H36M_LEFT, H36M_RIGHT)
        expected = self.by_hand(network, load_human36m(tmp_path, detections="mine"), name)
        compare(found["action_mean"], expected, self.FIELDS)
        assert found["settings"]["keypoints"] == "mine"


class TestMotionBERTLayout:
    """MotionBERT and MotionAGFormer on Human3.6M: errors by frame, in millimeters by factor."""

    FIELDS = ("mpjpe_mm", "p_mpjpe_mm")
    BLOCKED = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")

    def windows(self, sources):
        """The reader's pass over the frames of all clips; short ones are stretched evenly."""
        found, start, saved = [], 0, set()
        for end in range(1, len(sources) + 1):
            if end - start == FRAMES:
                found.append(np.arange(start, end))
                saved.add(sources[end - 1])
                start = end
            if end == len(sources):
                break
            if sources[end] != sources[end - 1]:
                if sources[end - 1] not in saved:
                    even = np.linspace(0, end - start, FRAMES, endpoint=False, dtype=int)
                    found.append(start + even)
                start = end
        return np.array(found)

    def by_hand(self, network, test, *, truth_2d):
        size = [(1000, 1002 if name in ("54138969", "60457274") else 1000)
                for name in test["camera_name"]]  # fmt: skip
        size = np.array(size, dtype=float)[:, None]
        points = test["joint3d_image" if truth_2d else "joint_2d"][..., :2]
        points = points / size[..., :1] * 2 - np.concatenate(
            [np.ones_like(size[..., :1]), size[..., 1:] / size[..., :1]], axis=-1
        )
        scores = np.ones_like(test["confidence"]) if truth_2d else test["confidence"]
        windows = self.windows(list(test["source"]))
        predicted = network(np.concatenate([points, scores[..., None]], axis=-1)[windows])
        predicted[:, :, 0] = 0
        predicted = predicted.astype(float)
        sums = np.zeros((2, len(points)))
        for frames, pose in zip(windows, predicted, strict=True):
            if str(test["source"][frames[0]])[:-6] in self.BLOCKED:
                continue
            width, height = size[frames[0], 0]
            pose = np.stack(
                [
                    (pose[..., 0] + 1) * width / 2,
                    (pose[..., 1] + height / width) * width / 2,
                    pose[..., 2] * width / 2,
                ],
                axis=-1,
            )
            pose *= test["2.5d_factor"][frames][:, None, None]
            pose = pose - pose[:, :1]
            target = test["joints_2.5d_image"][frames]
            target = target - target[:, :1]
            sums[0, frames] += mpjpe(pose, target)
            sums[1, frames] += p_mpjpe(pose, target)
        counted = sums[0] > 0
        means = [
            sums[:, counted & (test["action"] == action)].mean(axis=1)
            for action in sorted(set(test["action"]))
        ]
        return dict(zip(self.FIELDS, np.mean(means, axis=0), strict=True)), int(counted.sum())

    @WITH_OR_WITHOUT_FLIP
    @pytest.mark.parametrize("family", ["motionbert", "motionagformer"])
    def test_agrees(self, capsys, tmp_path, tmp_path_factory, family, flip):
        path = export_case(family, "plain", tmp_path_factory).path
        test = save_h36m_motionbert(tmp_path)
        arguments = [path, "--data", "h36m-motionbert", "--data-root", tmp_path]
        arguments += ["--protocol", "motionbert", *(["--flip"] if flip else [])]
        network = Network(path, flip, H36M_LEFT, H36M_RIGHT)
        for detections in ("sh_conf_cam_source_final", "gt"):
            found = evaluated(capsys, *arguments, "--detections", detections)
            expected, frames = self.by_hand(network, test, truth_2d=detections == "gt")
            compare(found["action_mean"], expected, self.FIELDS)
            assert found["headline"] == "action_mean"
            assert found["overall"]["frames_scored"] == frames == 54 + 27 + 20 + 81 + 27
            assert found["frames_left_out"] == 4 + 2
            assert any("at random" in text for text in found["warnings"])


class TestMpiInf3dhp:
    """P-STMO's and MotionAGFormer's loop: a window for each valid frame, in their own order."""

    def windows(self, frames, valid):
        pad = (FRAMES - 1) // 2
        padded = np.pad(np.arange(frames), pad, "edge")
        return np.array([padded[n : n + FRAMES] for n in np.flatnonzero(valid)])

    def by_hand(self, network, data, *, confidence, normalized):
        distances = []
        for name, held in data.items():
            width, height = (1920, 1080) if name in ("TS5", "TS6") else (2048, 2048)
            points = screen(held["data_2d"], width, height)
            if confidence:
                points = np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=-1)
            valid = held["valid"].astype(bool)
            middle = network(points[self.windows(len(points), valid)])[:, FRAMES // 2]
            middle = middle.astype(float)
            middle[:, 14] = 0
            if normalized:
                middle = np.stack(
                    [
                        (middle[..., 0] + 1) * width / 2,
                        (middle[..., 1] + height / width) * width / 2,
                        middle[..., 2] * width / 2,
                    ],
                    axis=-1,
                )
                middle = middle - middle[:, 14:15]
            target = held["data_3d"][valid]
            distances.append(np.linalg.norm(middle - (target - target[:, 14:15]), axis=-1))
        distances = np.concatenate(distances)
        # Joints 0 to 13 of the 17: head top, neck, and both shoulders to wrists, hips to ankles.
        limbs = distances[:, :14]
        return {
            "mpjpe_mm": distances.mean(),
            "pck150_percent": 100.0 * (limbs < 150).mean(),
            "auc_percent": 100.0 * np.mean([(limbs < t).mean() for t in np.arange(0, 151, 5)]),
            "frames_scored": len(distances),
        }

    @WITH_OR_WITHOUT_FLIP
    def test_network_of_its_own_order(self, capsys, agformer_3dhp, tmp_path, flip):
        data, _ = save_3dhp(tmp_path)
        arguments = [agformer_3dhp, "--data", "mpi-inf-3dhp", "--data-root", tmp_path]
        arguments += ["--protocol", "center", *(["--flip"] if flip else [])]
        found = evaluated(capsys, *arguments)
        network = Network(agformer_3dhp, flip, MPI_LEFT, MPI_RIGHT)
        expected = self.by_hand(network, data, confidence=True, normalized=True)
        compare(found["overall"], expected, tuple(expected))
        assert found["settings"]["manifest"]["joints"]["skeleton"] == "mpi_inf_3dhp17"
        assert found["headline"] == "overall"

    def test_whole_clips_in_centered_windows_are_the_same(self, capsys, agformer_3dhp, tmp_path):
        save_3dhp(tmp_path, frames=12)
        arguments = [agformer_3dhp, "--data", "mpi-inf-3dhp", "--data-root", tmp_path]
        fields = ("mpjpe_mm", "p_mpjpe_mm", "auc_percent", "mpjve_mm_per_frame", "frames_scored")
        one = evaluated(capsys, *arguments, "--protocol", "center")
        all_ = evaluated(capsys, *arguments, "--windows", "mhformer_center")
        compare(one["overall"], {name: all_["overall"][name] for name in fields}, fields)
        assert one["frames_left_out"] == all_["overall"]["frames_without_truth"]


class TestScale:
    def test_pixels_of_another_data_set_have_no_scale(self, capsys, agformer_3dhp, tmp_path):
        """Only what needs no scale is measured, and a warning says so."""
        save_h36m_motionbert(tmp_path)
        arguments = ["--data", "h36m-motionbert", "--data-root", tmp_path, "--filter", "ca_02"]
        found = evaluated(capsys, agformer_3dhp, *arguments)
        overall = found["overall"]
        assert overall["frames_scored"] == 31
        assert overall["p_mpjpe_mm"] > 0.0
        assert overall["n_mpjpe_mm"] > 0.0
        nothing = ("mpjpe_mm", "pck150_percent", "auc_percent", "mpjve_mm_per_s")
        assert {overall[name] for name in nothing} == {None}
        assert set(overall["per_joint_mm"].values()) == {None}
        assert "no scale" in found["warnings"][0]
        assert "trained on mpi-inf-3dhp" in found["warnings"][1]
        assert main([*map(str, (agformer_3dhp, *arguments))]) == 0
        assert "unknown" in capsys.readouterr().out
