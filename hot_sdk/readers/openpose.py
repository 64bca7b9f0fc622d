"""Read OpenPose: one JSON file for each frame, as ``--write_json FOLDER`` writes them.

``people[].pose_keypoints_2d`` is x, y, score for each joint, ``person_id`` is ``[-1]`` if people
are not tracked. 25 joints are BODY_25, 18 are COCO. See "Output" in the documentation of OpenPose
(CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    MAX_FRAMES,
    Detection,
    KeypointFrames,
    format_error,
    skeleton_by_joints,
)
from hot_sdk.readers.json_values import (
    MAX_FILE_BYTES,
    has_keys,
    parse,
    read_bytes,
    track_id,
    triples,
)

KIND = "OpenPose JSON"
_SKELETONS = {25: "openpose25", 18: "openpose18"}


def matches(data: object) -> bool:
    """Return whether parsed JSON is a frame of OpenPose."""
    return has_keys(data, "people")


def read_folder(folder: Path) -> KeypointFrames:
    """Read a folder of one-frame files, in the order of the last number in their names.

    Raises:
        KeypointsError: There are none, or one is broken.
    """
    try:
        paths = [path for path in folder.iterdir() if path.name.endswith("_keypoints.json")]
        size = sum(path.stat().st_size for path in paths)
    except OSError as error:
        raise KeypointsError(
            f"The folder '{folder}' cannot be read: {error.strerror}.", hint="Check the path."
        ) from error
    if size > MAX_FILE_BYTES:
        raise KeypointsError(
            f"The files of '{folder}' have {size} bytes, over the limit of {MAX_FILE_BYTES}.",
            hint="Read a part of the frames.",
        )
    if not 1 <= len(paths) <= MAX_FRAMES:
        raise KeypointsError(
            f"The folder '{folder}' holds {len(paths)} files named *_keypoints.json.",
            hint="Give the folder that OpenPose's --write_json wrote, or one file.",
        )
    paths.sort(key=lambda path: ([int(n[-18:]) for n in re.findall(r"\d+", path.stem)], path.name))
    return _read([parse(read_bytes(path), path) for path in paths])


def read(data: object) -> KeypointFrames:
    """Read one frame."""
    return _read([data])


def _read(frames: list[Any]) -> KeypointFrames:
    people = []
    for number, frame in enumerate(frames):
        if not has_keys(frame, "people") or not isinstance(frame["people"], list):
            raise format_error(KIND, f"frame {number} has no list of people")
        for person in frame["people"]:
            if not has_keys(person, "pose_keypoints_2d"):
                raise format_error(KIND, f"a person of frame {number} has no pose_keypoints_2d")
            points, scores = triples(person["pose_keypoints_2d"], KIND, "pose_keypoints_2d")
            given = person.get("person_id")
            name = given[0] if isinstance(given, list) and given else given
            name = None if name == -1 else track_id(name, KIND)
            people.append(Detection(number, points, scores, name))
    skeleton = skeleton_by_joints(KIND, people, _SKELETONS)
    return KeypointFrames(f"{KIND} ({skeleton})", len(frames), tuple(people), skeleton)
