"""OpenPose: one JSON file for each frame, as ``--write_json FOLDER`` writes them.

``people[].pose_keypoints_2d`` is x, y, score for each joint, ``person_id`` is ``[-1]`` where people
are not tracked. 25 joints are BODY_25, 18 are COCO. See "Output" in the documentation of OpenPose
(CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md).
"""

from __future__ import annotations

import re
from pathlib import Path

from hot_sdk.errors import KeypointsError
from hot_sdk.keypoints import MAX_FRAMES
from hot_sdk.readers.detections import Detection, KeypointFrames, broken
from hot_sdk.readers.json_values import (
    LARGEST_FILE,
    is_record,
    parse,
    read_bytes,
    track,
    triples,
)

KIND = "OpenPose JSON"
_SKELETONS = {25: "openpose25", 18: "openpose18"}


def matches(data: object) -> bool:
    """Whether parsed JSON is a frame of OpenPose."""
    return is_record(data, "people")


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
    if size > LARGEST_FILE:
        raise KeypointsError(
            f"The files of '{folder}' have {size} bytes; at most {LARGEST_FILE} are read.",
            hint="Take a part of the frames.",
        )
    if not 1 <= len(paths) <= MAX_FRAMES:
        raise KeypointsError(
            f"The folder '{folder}' holds {len(paths)} files named *_keypoints.json.",
            hint="Give the folder that OpenPose's --write_json wrote, or one file.",
        )
    paths.sort(key=lambda path: ([int(n[-18:]) for n in re.findall(r"\d+", path.stem)], path.name))
    people = [
        person
        for frame, path in enumerate(paths)
        for person in _people(parse(read_bytes(path), path), frame)
    ]
    return _frames(people, len(paths))


def read(data: object) -> KeypointFrames:
    """Read one frame."""
    return _frames(_people(data, 0), 1)


def _people(data: object, frame: int) -> list[Detection]:
    if not is_record(data, "people") or not isinstance(data["people"], list):  # type: ignore[index]
        raise broken(KIND, f"frame {frame} has no list of people")
    found = []
    for person in data["people"]:  # type: ignore[index]
        if not is_record(person, "pose_keypoints_2d"):
            raise broken(KIND, f"a person of frame {frame} has no pose_keypoints_2d")
        points, scores = triples(person["pose_keypoints_2d"], KIND, "pose_keypoints_2d")
        given = person.get("person_id")
        name = given[0] if isinstance(given, list) and given else given
        found.append(Detection(frame, points, scores, None if name == -1 else track(name, KIND)))
    return found


def _frames(people: list[Detection], frames: int) -> KeypointFrames:
    joints = {len(person.points) for person in people}
    if not joints:
        raise broken(KIND, "it shows nobody")
    if len(joints) > 1 or not joints <= _SKELETONS.keys():
        raise broken(KIND, f"people have {sorted(joints)} joints, where 25 or 18 were expected")
    skeleton = _SKELETONS[joints.pop()]
    return KeypointFrames(f"{KIND} ({skeleton})", frames, tuple(people), skeleton)
