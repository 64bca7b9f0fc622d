"""MMPose: the predictions of its inferencer, as ``--pred-out-dir`` writes them.

A list of frames, or an object with one under ``instance_info`` beside ``meta_info``; each frame has
``instances`` with ``keypoints`` (pairs of x and y) and ``keypoint_scores``, and ``frame_id`` in
videos. Of one image it is the bare list of instances. ``meta_info`` names the data set and with it
the skeleton; a bare list has none. See "Inference with existing models" in the documentation of
MMPose 1.x.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hot_sdk.readers.detections import Detection, Floats, KeypointFrames, broken, checked_frames
from hot_sdk.readers.json_values import floats, is_record, track, whole

KIND = "MMPose predictions"
_SKELETONS = {
    "coco": "coco17",
    "coco_wholebody": "coco_wholebody133",
    "halpe26": "halpe26",
    "mpii": "mpii16",
    "aic": "aic14",
    "crowdpose": "crowdpose14",
    "h36m": "h36m17",
}


def matches(data: object) -> bool:
    """Whether parsed JSON is MMPose's."""
    frames = data.get("instance_info") if isinstance(data, dict) else data
    if not isinstance(frames, list) or not frames:
        return False
    return is_record(frames[0], "instances") or _is_image(frames)


def read(data: Any) -> KeypointFrames:  # noqa: ANN401
    """Read it; frames without a number follow each other."""
    frames = data["instance_info"] if isinstance(data, dict) else data
    if _is_image(frames):
        frames = [{"instances": frames}]
    people: list[Detection] = []
    first, last = 0, -1
    for place, frame in enumerate(frames):
        if not is_record(frame, "instances") or not isinstance(frame["instances"], list):
            raise broken(KIND, f"frame {place} has no list of instances")
        number = place
        if "frame_id" in frame:
            # Videos are counted from 0 or from 1, as versions differ.
            number = whole(frame["frame_id"], KIND, "frame_id")
            first = number if place == 0 else first
            number -= min(first, 1)
        last = max(last, checked_frames(KIND, number) - 1)
        people += [_person(instance, number) for instance in frame["instances"]]
    if not people:
        raise broken(KIND, "it shows nobody")
    joints = {len(person.points) for person in people}
    # MMPose runs models of many data sets of 17 joints, Human3.6M's and COCO's among them.
    skeleton = "coco_wholebody133" if joints == {133} else _named(data)
    return KeypointFrames(KIND, last + 1, tuple(people), skeleton)


def _is_image(frames: list[object]) -> bool:
    return is_record(frames[0], "keypoints", "keypoint_scores")


def _named(data: object) -> str | None:
    meta = data.get("meta_info") if isinstance(data, dict) else None
    name = meta.get("dataset_name") if isinstance(meta, dict) else None
    return _SKELETONS.get(name) if isinstance(name, str) else None


def _person(instance: object, frame: int) -> Detection:
    if not is_record(instance, "keypoints"):
        raise broken(KIND, f"an instance of frame {frame} has no keypoints")
    assert isinstance(instance, dict)
    points = pairs(instance["keypoints"], KIND)
    scores = instance.get("keypoint_scores")
    known = None if scores is None else floats(scores, KIND, "keypoint_scores")
    if known is not None and len(known) != len(points):
        raise broken(KIND, f"{len(points)} keypoints have {len(known)} scores")
    return Detection(frame, points, known, track(instance.get("track_id"), KIND))


def pairs(values: object, kind: str) -> Floats:
    """Pairs of x and y, (joints, 2)."""
    if not isinstance(values, list) or not values:
        raise broken(kind, "keypoints are no list, or none")
    rows = [floats(value, kind, "a keypoint") for value in values]
    if any(len(row) != 2 for row in rows):
        raise broken(kind, "a keypoint is no pair of x and y")
    return np.stack(rows)
