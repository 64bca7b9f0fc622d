"""AlphaPose: a list of people, each with the name of its image.

``image_id`` is a file name such as ``12.jpg``, ``keypoints`` x, y, score for each joint, ``idx``
the track where ``--pose_track`` was given. 17 joints are COCO's, 26 and 133 Halpe's and
COCO-WholeBody's; 136, Halpe's with a face and hands, are refused, for no skeleton here has them.
See docs/output.md of MVIG-SJTU/AlphaPose.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import Detection, KeypointFrames, broken, checked_frames
from hot_sdk.readers.json_values import is_record, track, triples

KIND = "AlphaPose JSON"
_SKELETONS = {17: "coco17", 26: "halpe26", 133: "coco_wholebody133"}


def matches(data: object) -> bool:
    """Whether parsed JSON is AlphaPose's: an image is a file's name, not a number."""
    return (
        isinstance(data, list)
        and len(data) > 0
        and is_record(data[0], "image_id", "keypoints")
        and isinstance(data[0]["image_id"], str)
    )


def read(data: list[Any]) -> KeypointFrames:
    """Read it; frames are the numbers in the images' names, or their order where there are none."""
    for person in data:
        if not is_record(person, "image_id", "keypoints"):
            raise broken(KIND, "somebody has no image_id or keypoints")
        if not isinstance(person["image_id"], str):
            raise broken(KIND, "an image_id is no name")
    names = list(dict.fromkeys(person["image_id"] for person in data))
    numbers = [re.findall(r"\d+", PurePath(name).stem[-40:]) for name in names]
    if all(numbers) and len({int(found[-1]) for found in numbers}) == len(names):
        frame_of = {name: int(found[-1]) for name, found in zip(names, numbers, strict=True)}
    else:
        frame_of = {name: place for place, name in enumerate(names)}
    people = []
    for person in data:
        points, scores = triples(person["keypoints"], KIND, "keypoints")
        name = person.get("idx")
        # Some versions write it as a list, which is empty without tracking.
        if isinstance(name, list):
            name = name[0] if name else None
        name = track(name, KIND)
        people.append(Detection(frame_of[person["image_id"]], points, scores, name))
    joints = {len(person.points) for person in people}
    if joints == {136}:
        raise KeypointsError(
            f"The file was taken for {KIND}, and its people have the 136 joints of Halpe with face"
            " and hands, which no skeleton here has.",
            hint="Run AlphaPose with a Halpe-26 model, or keep the first 26 joints: they are its.",
        )
    if len(joints) > 1 or not joints <= _SKELETONS.keys():
        known = ", ".join(map(str, _SKELETONS))
        raise broken(
            KIND, f"people have {sorted(joints)} joints, where one of {known} was expected"
        )
    frames = checked_frames(KIND, max(person.frame for person in people))
    skeleton = _SKELETONS[joints.pop()]
    return KeypointFrames(f"{KIND} ({skeleton})", frames, tuple(people), skeleton)
