"""The authors' rules of evaluation, written again in plain numpy.

The network is run window by window through its file; preparation, windows, averaging with the
mirror image and every mean are those of the published scripts, and nothing of the SDK's is used.
"""

import numpy as np
import onnxruntime
from exported_models import FRAMES

H36M_LEFT, H36M_RIGHT = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]
MPI_LEFT, MPI_RIGHT = [5, 6, 7, 11, 12, 13], [2, 3, 4, 8, 9, 10]


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


class VideoPose3DRules:
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


class MotionBERTRules:
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


class MpiInf3dhpRules:
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
