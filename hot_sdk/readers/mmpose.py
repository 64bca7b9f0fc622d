"""Read MMPose: the predictions of its inferencer, as ``--pred-out-dir`` writes them.

A list of frames, or an object with one under ``instance_info`` next to ``meta_info``; each frame
has ``instances`` with ``keypoints`` (pairs of x and y) and ``keypoint_scores``, and ``frame_id`` in
videos. For one image it is the bare list of instances. ``meta_info`` names the data set or, in
``keypoint_id2name``, the joints, and with them the skeleton; a bare list has none. See "Inference
with existing models" in the documentation of MMPose 1.x.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.coco import named_joints
from hot_sdk.readers.detections import (
    Detection,
    Floats,
    KeypointFrames,
    format_error,
    frame_count,
    joint_count,
)
from hot_sdk.readers.json_values import floats, has_keys, integer, track_id

KIND = "MMPose predictions"
_SKELETONS = {
    "coco": "coco17",
    "coco_wholebody": "coco_wholebody133",
    "halpe26": "halpe26",
    "mpii": "mpii16",
    "aic": "aic14",
    "crowdpose": "crowdpose14",
    "h36m": "h36m17",
    "humanart": "coco17",
    "posetrack18": "posetrack17",
}

_WHOLE = 133


def matches(data: object) -> bool:
    """Return whether parsed JSON is MMPose's."""
    frames = data.get("instance_info") if isinstance(data, dict) else data
    if not isinstance(frames, list) or not frames:
        return False
    return has_keys(frames[0], "instances") or _is_image(frames)


def read(data: Any) -> KeypointFrames:  # noqa: ANN401
    """Read predictions; frames without a number follow each other."""
    frames = data["instance_info"] if isinstance(data, dict) else data
    if _is_image(frames):
        frames = [{"instances": frames}]
    people: list[Detection] = []
    first, last = 0, -1
    numbered = [f["frame_id"] for f in frames if has_keys(f, "frame_id")]
    if len(numbered) == len(frames):
        first = min(integer(number, KIND, "frame_id") for number in numbered)
    for place, frame in enumerate(frames):
        if not has_keys(frame, "instances") or not isinstance(frame["instances"], list):
            raise format_error(KIND, f"frame {place} has no list of instances")
        number = place
        if "frame_id" in frame:
            number = integer(frame["frame_id"], KIND, "frame_id") - first
        last = max(last, frame_count(KIND, number) - 1)
        people += [_person(instance, number) for instance in frame["instances"]]
    # MMPose runs models of many data sets of 17 joints, Human3.6M's and COCO's among them.
    joints = joint_count(KIND, people)
    names = _joint_names(data)
    # Videos are counted from 0 or from 1, as versions differ.
    source = KeypointFrames(KIND, last + 1, tuple(people), None, first_frame=max(first - 1, 0))
    if names is not None and len(names) == joints and joints != _WHOLE:
        return named_joints(source, names)
    name = _data_set(data)
    skeleton = "coco_wholebody133" if joints == _WHOLE else _SKELETONS.get(name.lower())
    if skeleton is not None or not name:
        return dataclasses.replace(source, skeleton=skeleton)
    problem = f"has the joints of the data set '{name[:40]}', which is not known here"
    return dataclasses.replace(source, problem=problem)


def matches_image(data: object) -> bool:
    """Return whether parsed JSON is the predictions of one image."""
    frames = data.get("instance_info") if isinstance(data, dict) else data
    if not isinstance(frames, list) or not frames:
        return isinstance(data, dict) and frames == []
    return _is_image(frames) or (len(frames) == 1 and has_keys(frames[0], "instances"))


def read_images(images: list[Any]) -> KeypointFrames:
    """Read the predictions of single images, one for each frame; None is a frame without people."""
    frames: list[Any] = []
    meta = None
    for image in images:
        found = image["instance_info"] if isinstance(image, dict) else image
        meta = image.get("meta_info") if meta is None and isinstance(image, dict) else meta
        if found and not _is_image(found):
            found = found[0]["instances"]
        frames.append({"instances": found or []})
    return read(frames if meta is None else {"meta_info": meta, "instance_info": frames})


def _is_image(frames: list[object]) -> bool:
    return has_keys(frames[0], "keypoints", "keypoint_scores")


def _data_set(data: object) -> str:
    meta = data.get("meta_info") if isinstance(data, dict) else None
    name = meta.get("dataset_name") if isinstance(meta, dict) else None
    return name if isinstance(name, str) else ""


def _joint_names(data: object) -> list[str] | None:
    meta = data.get("meta_info") if isinstance(data, dict) else None
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        return None
    ordered = [names.get(str(place)) for place in range(len(names))]
    return None if not ordered or None in ordered else [str(name) for name in ordered]


def _person(instance: Any, frame: int) -> Detection:  # noqa: ANN401
    if not has_keys(instance, "keypoints"):
        raise format_error(KIND, f"an instance of frame {frame} has no keypoints")
    points = _pairs(instance["keypoints"])
    scores = instance.get("keypoint_scores")
    known = None if scores is None else floats(scores, KIND, "keypoint_scores")
    if known is not None and len(known) != len(points):
        raise format_error(KIND, f"{len(points)} keypoints have {len(known)} scores")
    return Detection(frame, points, known, track_id(instance.get("track_id"), KIND))


def _pairs(values: object) -> Floats:
    if not isinstance(values, list) or not values:
        raise format_error(KIND, "keypoints are no list, or an empty one")
    rows = [floats(value, KIND, "a keypoint") for value in values]
    if all(len(row) == 3 for row in rows):
        raise KeypointsError(
            f"The input was read as {KIND}, but its keypoints are 3D poses.",
            hint="Give the predictions of a 2D model.",
        )
    if any(len(row) != 2 for row in rows):
        raise format_error(KIND, "a keypoint is no pair of x and y")
    return np.stack(rows)
