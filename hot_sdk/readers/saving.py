"""Write the keypoints of one person, in the layouts that ``npz`` and ``csv_table`` read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk.camera_knowledge import CameraKnowledge, listed
from hot_sdk.errors import KeypointsError, UsageError
from hot_sdk.readers.arrays import npz
from hot_sdk.readers.camera_fields import fields_of
from hot_sdk.readers.tables import csv_table


def save(
    path: Path,
    points: NDArray[np.float32],
    scores: NDArray[np.float32] | None,
    about: dict[str, Any],
    knowledge: CameraKnowledge,
) -> None:
    """Write a file, npz or csv by its suffix; an existing one is replaced when it is complete.

    Args:
        path: The file.
        points: (frames, joints, 2).
        scores: (frames, joints), or None.
        about: ``skeleton``, ``image_size``, ``fps``, ``timestamps``, ``track_id`` and
            ``first_frame``.
        knowledge: What is known of the camera and the person.

    Raises:
        UsageError: The suffix is neither .npz nor .csv, or the file cannot be written.
        KeypointsError: A table cannot hold the track id, or what is known of the camera.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv"):
        raise UsageError(
            f"'{path.name}' names none of the formats of keypoints.",
            hint="End it with one of: .npz, .csv.",
        )
    require_writable_target(path)
    if suffix == ".csv" and knowledge.stated():
        raise KeypointsError(
            f"A table cannot hold {listed(knowledge.stated())}.", hint="Write an npz file."
        )
    text = csv_table.write(points, scores, about) if suffix == ".csv" else b""
    try:
        with replaced_on_success(path) as temporary, temporary.open("wb") as stream:
            if suffix == ".csv":
                stream.write(text)
            else:
                npz.write(stream, points, scores, {**about, **fields_of(knowledge)})
    except OSError as error:
        raise UsageError(
            f"'{path}' cannot be written: {error.strerror or error}.",
            hint="Choose another folder, or make room.",
        ) from error
