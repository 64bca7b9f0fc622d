"""Human3.6M (Ionescu et al., TPAMI 2014) in the layout of MotionBERT, which MotionAGFormer shares.

``h36m_sh_conf_cam_source_final.pkl`` (Walter0807/MotionBERT, docs/pose3d.md; from LCN, Ci et al.,
ICCV 2019) is a pickle of ``train`` and ``test``, each a dictionary over all frames of all clips:

- ``joint_2d`` (frames, 17, 2), pixels, detections of Stacked Hourglass networks, and
  ``confidence`` (frames, 17) or (frames, 17, 1); 1 if there is none;
- ``joint3d_image`` (frames, 17, 3), the truth in pixels, of which ``gt`` takes x and y;
- ``joints_2.5d_image`` (frames, 17, 3), the truth in millimeters, and ``2.5d_factor`` (frames,),
  millimeters per pixel at the person, by which the published evaluations turn predicted pixels into
  millimeters;
- ``camera_name``, ``action`` and ``source`` (frames,), texts; a source is one recording seen by one
  camera, such as ``s_09_act_02_subact_01_ca_01``.

The size of the image follows from the camera. ``safe_pickle`` reads the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip, plain_name
from hot_sdk.benchmarks.evaluation.data_sets.human36m import FPS
from hot_sdk.benchmarks.evaluation.data_sets.safe_pickle import (
    broken,
    mapping,
    read_pickled_file,
    stacked,
    texts,
)
from hot_sdk.errors import DatasetError, KeypointsError
from hot_sdk.keypoints import Keypoints

NAME = "h36m-motionbert"
DETECTIONS = "sh_conf_cam_source_final"
TRUTH = "gt"

LEFT_OUT = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")
"""Recordings of S9, whose truth is shifted; the published evaluations leave them out."""

TRAINED_ON = ("h36m", None)
"""Networks whose normalized pixels are those of this file's truth."""

_CUT = (
    "Some confidences are not in 0 to 1 and were cut there; the published evaluations pass them on."
)
_CAMERA_SUFFIX = len("_ca_01")
_IMAGE_SIZES = {
    "54138969": (1000, 1002),
    "60457274": (1000, 1002),
    "55011271": (1000, 1000),
    "58860488": (1000, 1000),
}
_SUBJECT = re.compile(r"s_0*(\d+)_")


def load_human36m_motionbert(root: Path, *, detections: str = DETECTIONS) -> list[EvaluationClip]:
    """Load the test set: one clip for each source, but for ``LEFT_OUT``.

    Args:
        root: Folder of the file.
        detections: NAME of ``h36m_NAME.pkl``; ``gt`` for the true joints' places in the image, with
            a confidence of 1, from the file of the detections by default.

    Raises:
        DatasetError: The file is missing, broken, not safe to read, or of other joints or cameras.
    """
    path = root / f"h36m_{DETECTIONS if detections == TRUTH else detections}.pkl"
    if not path.is_file():
        others = sorted(file.name for file in root.glob("h36m_*.pkl"))
        raise DatasetError(
            f"There is no '{path}'.",
            hint=f"The folder holds {', '.join(others)}; name one by --detections."
            if others
            else "Give the folder of MotionBERT's file; its docs/pose3d.md says where to get it.",
        )
    held = read_pickled_file(path)
    try:
        test = mapping(mapping(held)["test"])
        frames = _frames(test, use_truth=detections == TRUTH)
        return [
            _clip(frames, start, end)
            for start, end in _runs(frames.sources)
            if frames.sources[start][:-_CAMERA_SUFFIX] not in LEFT_OUT
        ]
    except (ValueError, LookupError, KeypointsError) as error:
        missing = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise broken(path, ValueError(missing)) from error


@dataclass(frozen=True, eq=False)
class _Frames:
    """The arrays of the test set over all frames."""

    points: NDArray[Any]
    scores: NDArray[Any] | None
    truth_mm: NDArray[Any]
    mm_per_px: NDArray[Any]
    cameras: Sequence[str]
    actions: Sequence[str]
    sources: Sequence[str]


def _frames(test: Mapping[str, Any], *, use_truth: bool) -> _Frames:
    truth = stacked(test["joints_2.5d_image"])
    count = len(truth)
    points = stacked(test["joint3d_image" if use_truth else "joint_2d"])
    scores = None
    if "confidence" in test and not use_truth:
        scores = stacked(test["confidence"])
        scores = scores[..., 0] if scores.ndim == 3 else scores
    factor = stacked(test["2.5d_factor"])
    names = [texts(test[name]) for name in ("camera_name", "action", "source")]
    shapes = {
        "keypoints": (points[..., :2].shape, (count, 17, 2)),
        "confidences": (None if scores is None else scores.shape, (count, 17)),
        "poses": (truth.shape, (count, 17, 3)),
        "factors": (factor.reshape(len(factor), -1).shape, (count, 1)),
    }
    for what, (found, expected) in shapes.items():
        if found not in (None, expected):
            raise ValueError(f"the {what} have shape {found}; expected {expected}")
    if any(len(one) != count for one in names):
        raise ValueError(f"cameras, actions or sources are not those of {count} frames")
    factor = factor.reshape(-1).astype(np.float64)
    if not (np.isfinite(factor) & (factor > 0.0)).all():
        raise ValueError("a factor is not a number above 0")
    return _Frames(points[..., :2], scores, truth, factor, *names)


def _runs(sources: Sequence[str]) -> list[tuple[int, int]]:
    """Return the first frame of each source and the one after its last."""
    starts = [0, *(n for n in range(1, len(sources)) if sources[n] != sources[n - 1])]
    names = [sources[start] for start in starts] if sources else []
    if len(set(names)) < len(names):
        raise ValueError("the frames of a source are in several places")
    return list(zip(starts, [*starts[1:], len(sources)], strict=True)) if sources else []


def _clip(frames: _Frames, start: int, end: int) -> EvaluationClip:
    part = slice(start, end)
    source, action, camera = frames.sources[start], frames.actions[start], frames.cameras[start]
    if set(frames.actions[part]) != {action} or set(frames.cameras[part]) != {camera}:
        raise ValueError(f"{source!a} is of several actions or cameras")
    if camera not in _IMAGE_SIZES:
        raise ValueError(f"{camera!a} is none of the four cameras")
    truth = frames.truth_mm[part].astype(np.float64) / 1000.0
    scores = None if frames.scores is None else frames.scores[part]
    cut = 0 if scores is None else int(np.count_nonzero((scores < 0.0) | (scores > 1.0)))
    subject = _SUBJECT.match(source)
    return EvaluationClip(
        name=plain_name(source),
        subject=source if subject is None else f"S{subject[1]}",
        action=action,
        keypoints=Keypoints(
            frames.points[part],
            scores,
            skeleton="h36m17",
            image_size=_IMAGE_SIZES[camera],
            fps=FPS,
        ),
        truth=(truth - truth[:, :1]).astype(np.float32),
        valid=np.ones(end - start, dtype=np.bool_),
        mm_per_px=frames.mm_per_px[part],
        scale_of=TRAINED_ON,
        notes=(_CUT,) if cut else (),
    )
