"""Read OpenPifPaf's predictions, and those of ViTPose in Hugging Face's transformers.

OpenPifPaf writes JSON lines for a video, each with ``frame`` and ``predictions``, and a list of
predictions for an image; a prediction has ``keypoints`` (x, y, score for each joint), ``bbox`` and
``score``, and ``id_`` if people are tracked. 17 joints are COCO's, 133 COCO-WholeBody's.

``post_process_pose_estimation`` of transformers returns a list of people for each image, with
``keypoints`` (pairs of x and y) and ``scores``; its models are of several data sets, so that the
file does not say its skeleton.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hot_sdk.readers.detections import (
    Detection,
    KeypointFrames,
    format_error,
    frame_count,
    joint_count,
)
from hot_sdk.readers.json_values import floats, has_keys, integer, track_id, triples

KIND = "OpenPifPaf predictions"
VITPOSE = "ViTPose predictions of transformers"
_SKELETONS = {17: "coco17", 133: "coco_wholebody133"}


def matches(data: object) -> bool:
    """Return whether parsed JSON is OpenPifPaf's."""
    if has_keys(data, "frame", "predictions"):
        return True
    first = data[0] if isinstance(data, list) and data else None
    return has_keys(first, "frame", "predictions") or _is_prediction(first)


def read(data: Any) -> KeypointFrames:  # noqa: ANN401
    """Read the predictions of a video or of an image."""
    frames = [data] if isinstance(data, dict) else data
    if _is_prediction(frames[0]):
        frames = [{"frame": 0, "predictions": frames}]
    people: list[Detection] = []
    numbers = []
    for place, frame in enumerate(frames):
        if not has_keys(frame, "frame", "predictions"):
            raise format_error(KIND, f"line {place + 1} has no frame or no predictions")
        numbers.append(integer(frame["frame"], KIND, "a frame"))
        for person in frame["predictions"] if isinstance(frame["predictions"], list) else ():
            if not has_keys(person, "keypoints"):
                raise format_error(KIND, f"a prediction of line {place + 1} has no keypoints")
            points, scores = triples(person["keypoints"], KIND, "keypoints")
            name = track_id(person.get("id_"), KIND)
            people.append(Detection(numbers[-1], points, scores, name))
    # Videos are counted from 1.
    first = min(numbers)
    shifted = tuple(
        Detection(one.frame - first, one.points, one.scores, one.track_id) for one in people
    )
    # Its plugins have other data sets, which need a named skeleton.
    skeleton = _SKELETONS.get(joint_count(KIND, shifted) or 0)
    return KeypointFrames(KIND, frame_count(KIND, max(numbers) - first), shifted, skeleton)


def matches_vitpose(data: object) -> bool:
    """Return whether parsed JSON is a list of the people of each image, from transformers."""
    if not isinstance(data, list):
        return False
    people = next((people for people in data if people), None)
    first = people[0] if isinstance(people, list) and people else None
    return isinstance(first, dict) and has_keys(first, "keypoints", "scores")


def read_vitpose(data: list[Any]) -> KeypointFrames:
    """Read the people of each image."""
    people: list[Detection] = []
    for frame, instances in enumerate(data):
        for person in instances if isinstance(instances, list) else ():
            if not has_keys(person, "keypoints", "scores"):
                raise format_error(VITPOSE, f"a person of frame {frame} has no keypoints or scores")
            if not isinstance(person["keypoints"], list) or not person["keypoints"]:
                raise format_error(VITPOSE, "keypoints are no list, or an empty one")
            rows = [floats(row, VITPOSE, "a keypoint") for row in person["keypoints"]]
            scores = floats(person["scores"], VITPOSE, "scores")
            if {len(row) for row in rows} != {2} or len(scores) != len(rows):
                raise format_error(VITPOSE, "keypoints are no pairs with a score for each")
            people.append(Detection(frame, np.stack(rows), scores, None))
    return KeypointFrames(VITPOSE, frame_count(VITPOSE, len(data) - 1), tuple(people), None)


def _is_prediction(value: object) -> bool:
    return (
        isinstance(value, dict)
        and has_keys(value, "keypoints", "bbox", "score")
        and "image_id" not in value
        and isinstance(value["keypoints"], list)
        and len(value["keypoints"]) % 3 == 0
        and not any(isinstance(number, (list, dict)) for number in value["keypoints"][:3])
    )
