"""The test set of MPI-INF-3DHP (Mehta et al., 3DV 2017) in the npz layout that the field uses.

``data_test_3dhp.npz`` holds ``data``: by sequence, TS1 to TS6, a dictionary of ``data_2d``
(frames, 17, 2), pixels, ``data_3d`` (frames, 17, 3), millimeters along the camera's axes (the
``univ_annot3`` of the original), and ``valid`` (frames,), 1 for frames to evaluate. P-STMO
(paTRICK-swk/P-STMO) introduced it; ``data/preprocess/data_to_npz_3dhp_test.py`` of MotionAGFormer
(TaatiTeam/MotionAGFormer) makes it from the data set's own files. It is a pickle, which
``safe_pickle`` reads.

The keypoints are the annotated ones. Every network is given its joints by name: one trained
on this data set gets them in this order, whose root is joint 14. Frames that are not valid are seen
by windows about others, as in the published evaluations, but not scored. The file names neither
activities nor frame rates; each sequence counts as an action.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.data_sets.safe_pickle import (
    broken,
    mapping,
    numbers,
    read_object,
)
from hot_sdk.errors import DatasetError, KeypointsError
from hot_sdk.keypoints import Keypoints
from hot_sdk.skeletons import MPI_INF_3DHP17, TO_H36M17

NAME = "mpi-inf-3dhp"
TRAINED_ON = (NAME,)
"""Networks whose normalized pixels are those of this data set: half the image's width stands for as
many millimeters, so that MotionAGFormer needs no factor (its utils/data.py)."""

FILE = "data_test_3dhp.npz"
SEQUENCES = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")

_ORDER = TO_H36M17[MPI_INF_3DHP17.name]
_STUDIO, _OUTDOORS = (2048, 2048), (1920, 1080)


def load_mpi_inf_3dhp(root: Path) -> list[EvaluationClip]:
    """Load the six sequences of the test set.

    Args:
        root: Folder of ``data_test_3dhp.npz``.

    Raises:
        DatasetError: The file is missing, broken, not safe to read, or of other sequences.
    """
    path = root / FILE
    if not path.is_file():
        raise DatasetError(
            f"There is no '{path}'.",
            hint="Give the folder of that file; MotionAGFormer's data_to_npz_3dhp_test.py makes it"
            " from the data set.",
        )
    data = read_object(path, "data")
    try:
        held = mapping(data)
        missing = [name for name in SEQUENCES if name not in held]
        if missing:
            raise ValueError(f"there is no {', '.join(missing)} in it")
        return [_sequence(name, mapping(held[name])) for name in SEQUENCES]
    except (ValueError, LookupError, KeypointsError) as error:
        raise broken(path, error) from error


def _sequence(name: str, held: dict[str, Any]) -> EvaluationClip:
    points, poses = numbers(held["data_2d"]), numbers(held["data_3d"])
    valid = numbers(held["valid"])
    frames = len(points)
    if points.shape != (frames, 17, 2) or poses.shape != (frames, 17, 3):
        raise ValueError(f"{name} has keypoints {points.shape} and poses {poses.shape}")
    if valid.shape != (frames,) or not np.isin(valid, (0, 1)).all():
        raise ValueError(f"{name} does not state for each of {frames} frames whether it is valid")
    placed = poses[:, _ORDER].astype(np.float64) / 1000.0
    return EvaluationClip(
        name=name,
        subject=name,
        action=name,
        keypoints=Keypoints(
            points,
            skeleton=MPI_INF_3DHP17.name,
            image_size=_OUTDOORS if name in ("TS5", "TS6") else _STUDIO,
        ),
        truth=(placed - placed[:, :1]).astype(np.float32),
        valid=valid.astype(np.bool_),
        root=placed[:, 0].astype(np.float32),
        mm_per_px=np.ones(frames),
        scale_of=TRAINED_ON,
    )
