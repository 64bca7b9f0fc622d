"""Windows of Human3.6M, with the poses that a network has to return for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hot_sdk.benchmarks.evaluation.data_sets import PUBLISHED_POLICIES
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.data_sets.human36m import TRAINING_SUBJECTS, load_human36m
from hot_sdk.export.models import Family
from hot_sdk.export.models.families import Unit
from hot_sdk.preprocessing.normalization import by_image_width
from hot_sdk.skeletons import H36M17


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of clips that overlap.

    Attributes:
        inputs: Normalized keypoints of each clip, (frames, 17, channels).
        poses: Poses of each clip in the network's unit, relative to the pelvis, (frames, 17, 3).
        places: The clip and the first frame of each window, (windows, 2).
        frames: Frames of a window; a shorter clip is continued by its last frame.
    """

    inputs: list[Tensor]
    poses: list[Tensor]
    places: Tensor
    frames: int

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.places)

    def batch(self, numbers: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
        """Return windows and their poses, some of them as their mirror images.

        Args:
            numbers: Which windows, (batch,).
            mirrored: Which of them are mirrored, (batch,) bool.

        Returns:
            (batch, frames, 17, channels) and (batch, frames, 17, 3).
        """
        seen, posed = [], []
        for (clip, first), turned in zip(self.places[numbers].tolist(), mirrored, strict=True):
            last = len(self.poses[clip]) - 1
            frames = (first + torch.arange(self.frames)).clamp(max=last)
            both = self.inputs[clip][frames], self.poses[clip][frames]
            window, truth = map(_mirror, both) if turned else both
            seen.append(window)
            posed.append(truth)
        return torch.stack(seen), torch.stack(posed)


def load_windows(
    root: Path, entry: Family, *, detections: str, channels: int, frames: int, stride: int
) -> Windows:
    """Load the five training subjects, each seen by four cameras.

    Args:
        root: Folder of VideoPose3D's files.
        entry: Family of the network, which decides on the unit of the poses.
        detections: NAME of ``data_2d_h36m_NAME.npz``.
        channels: 2, or 3 with a confidence: that of the file, or 1 if it has none.
        frames: Frames of a window.
        stride: Frames between the beginnings of two windows of a clip.

    Raises:
        DatasetError: A file is missing, broken or not safe to read.
    """
    clips = load_human36m(root, detections=detections, subjects=TRAINING_SUBJECTS)
    places = [
        (number, first)
        for number, clip in enumerate(clips)
        for first in _beginnings(len(clip), frames, stride)
    ]
    return Windows(
        [torch.from_numpy(_normalized(clip, channels)) for clip in clips],
        [torch.from_numpy(poses_in(clip, entry.unit)) for clip in clips],
        torch.tensor(places),
        frames,
    )


def _beginnings(length: int, frames: int, stride: int) -> list[int]:
    """Place windows a stride apart, and one at the end of the clip."""
    last = max(0, length - frames)
    return [*range(0, last, stride), last]


def _normalized(clip: EvaluationClip, channels: int) -> np.ndarray:
    keypoints = clip.keypoints
    assert keypoints.image_size is not None
    points = keypoints.points.astype(np.float32)
    placed = by_image_width(points, keypoints.image_size, PUBLISHED_POLICIES.aspect)
    if channels == 2:
        return placed
    scores = np.ones(points.shape[:2]) if keypoints.scores is None else keypoints.scores
    return np.concatenate([placed, scores[..., None]], axis=-1, dtype=np.float32)


def poses_in(clip: EvaluationClip, unit: Unit) -> np.ndarray:
    """Return the true poses of a clip in a unit, relative to the pelvis, (frames, 17, 3), float32.

    In normalized pixels, x and y are where joints are seen, and z is their depth by the scale that
    the image has at the pelvis, after Ci et al., TPAMI 2020, section 6.2.1, whose labels MotionBERT
    and MotionAGFormer are trained on (MotionBERT, issue 51; MotionAGFormer, issues 8 and 31).
    """
    if unit is Unit.METER:
        return clip.truth
    assert clip.root is not None
    assert clip.intrinsics is not None
    assert clip.keypoints.image_size is not None
    placed = clip.truth.astype(np.float64) + clip.root[:, None]
    seen = clip.intrinsics.project(placed)
    scale = clip.intrinsics.fx / clip.root[:, None, 2:].astype(np.float64)
    pixels = np.concatenate([seen - seen[:, :1], clip.truth[..., 2:] * scale], axis=-1)
    return (pixels * (2.0 / clip.keypoints.image_size[0])).astype(np.float32)


def _mirror(values: Tensor) -> Tensor:
    """Swap left and right of (frames, 17, channels), whose first channel is x."""
    turned = values[:, list(H36M17.mirror)].clone()
    turned[..., 0] *= -1.0
    return turned
