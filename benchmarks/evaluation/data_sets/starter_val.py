"""``starter-val``: the part of the starter model's motion capture that it was not trained on.

22 sequences of one body at 30 frames per second, each seen by four virtual cameras at rest, of
which all is known: intrinsics, the direction of gravity and the body's height. The keypoints are
projections without noise, the same on every machine: the cameras are stored in the file instead of
a seed. ``benchmarks/data/starter_val/README.md`` describes the source and the terms of the data.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.budget import input_budget
from hot_sdk._base.files import open_input, read_input
from hot_sdk._base.safe_json import parse_json
from hot_sdk._base.safe_npz import NpzError, open_npz
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.data_sets.virtual_cameras import VirtualCamera
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import DatasetError, HotSDKError
from hot_sdk.keypoints import Keypoints

NAME = "starter-val"
ARRAYS = "starter_val.npz"
INDEX = "starter_val.json"
SCHEMA = 1

_BROKEN = (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RecursionError)


def default_folder() -> Path:
    """Return the folder of the data, which is a part of the package.

    Raises:
        DatasetError: The data is missing there.
    """
    folder = Path(str(resources.files("hot_sdk.benchmarks"))) / "data" / "starter_val"
    if not (folder / INDEX).is_file():
        raise DatasetError(
            f"'{INDEX}' is missing from '{folder}'.",
            hint="Install hot-sdk again, or give the folder that holds it.",
        )
    return folder


def load_starter_val(folder: Path | None = None, *, views: int = 4) -> list[EvaluationClip]:
    """Load the clips.

    Args:
        folder: Folder of the data; None for ``default_folder()``.
        views: Number of cameras per sequence, from 1; the first ones are used.

    Returns:
        A clip for each sequence and camera, named as in ``14_04-1``; the action is the sequence's
        description up to its first comma.

    Raises:
        DatasetError: The data is missing or broken, or has fewer cameras.
    """
    place = default_folder() if folder is None else folder
    try:
        budget = input_budget()
        index = parse_json(read_input(place / INDEX, budget.record_bytes), budget)
        with open_input(place / ARRAYS) as stream, open_npz(stream) as held:
            steps = held["steps_mm"]
        if index["schema"] != SCHEMA or steps.dtype != np.int16 or steps.shape[1:] != (17, 3):
            raise ValueError("its version or its arrays are not the expected ones")
        return [clip for entry in index["sequences"] for clip in _clips(entry, steps, index, views)]
    except OSError as error:
        raise DatasetError(
            f"'{place}' does not hold {NAME}: {error.strerror}.",
            hint=f"Give the folder of '{INDEX}' and '{ARRAYS}'.",
        ) from error
    except DatasetError:
        raise
    except (NpzError, HotSDKError, *_BROKEN) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatasetError(
            f"The data of {NAME} in '{place}' is broken: {reason}.", hint="Install it again."
        ) from error


def _clips(
    entry: dict[str, Any], steps: NDArray[np.int16], index: dict[str, Any], views: int
) -> list[EvaluationClip]:
    first, frames = entry["start"], entry["frames"]
    part = steps[first : first + frames]
    if not isinstance(first, int) or first < 0 or len(part) != frames:
        raise ValueError(f"sequence {entry['name']!a} has other frames than its index entry")
    if not 1 <= views <= len(entry["cameras"]):
        raise DatasetError(
            f"{NAME} has no {views} views of each sequence.",
            hint=f"Give a number from 1 to {len(entry['cameras'])}.",
        )
    world = np.cumsum(part, axis=0, dtype=np.int64) / 1000.0
    return [
        _clip(entry, f"{entry['name']}-{number}", world, record, float(index["fps"]))
        for number, record in enumerate(entry["cameras"][:views], start=1)
    ]


def _clip(
    entry: dict[str, Any],
    name: str,
    world: NDArray[np.float64],
    record: dict[str, Any],
    fps: float,
) -> EvaluationClip:
    width, height = record["image_size"]
    focal = float(record["focal_px"])
    camera = VirtualCamera(
        image_size=(width, height),
        rotation=np.array(record["rotation"], dtype=np.float64).reshape(3, 3),
        position=np.array(record["position_m"], dtype=np.float64).reshape(3),
        intrinsics=Intrinsics(focal, focal, width / 2.0, height / 2.0),
    )
    seen = camera.to_camera_axes(world)
    height = entry.get("height_m")
    points = camera.intrinsics.project(seen).astype(np.float32)
    return EvaluationClip(
        name=name,
        subject=entry["subject"],
        action=entry["text"].partition(",")[0],
        keypoints=Keypoints(points, skeleton="h36m17", image_size=camera.image_size, fps=fps),
        truth=(seen - seen[:, :1]).astype(np.float32),
        valid=np.ones(len(seen), dtype=np.bool_),
        root=seen[:, 0].astype(np.float32),
        intrinsics=camera.intrinsics,
        up=camera.up,
        height_m=None if height is None else float(height),
    )
