"""COCO: a list of keypoint results, or an annotation file with its images.

Results are objects with ``image_id`` (a number), ``keypoints`` (x, y, score) and perhaps
``track_id``; annotation files hold ``images`` (id, width, height) and ``annotations``, whose third
number is the visibility 0, 1 or 2. Frames of results are numbered by ``image_id`` from the smallest
on, so that a number left out is a frame with nobody; frames of annotations are the images that are
listed, in the order of their numbers. See "Results format" and "Data format" at cocodataset.org.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hot_sdk.readers.detections import Detection, KeypointFrames, broken, checked_frames
from hot_sdk.readers.json_values import is_record, track, triples, whole

RESULTS = "COCO keypoint results"
ANNOTATIONS = "a COCO annotation file"
_SKELETONS = {17: "coco17", 133: "coco_wholebody133"}
_SPARSEST = 100
"""Numbers of a video's frames are not scattered more than this for each one with somebody."""


def matches_results(data: object) -> bool:
    """Whether parsed JSON is a list of results."""
    return (
        isinstance(data, list)
        and len(data) > 0
        and is_record(data[0], "image_id", "keypoints")
        and not isinstance(data[0]["image_id"], str)
    )


def matches_annotations(data: object) -> bool:
    """Whether parsed JSON is an annotation file."""
    return is_record(data, "images", "annotations")


def read_results(data: list[Any]) -> KeypointFrames:
    """Read results."""
    images = {_image(person, RESULTS) for person in data}
    first = min(images)
    frames = max(images) - first + 1
    if frames > _SPARSEST * (len(images) + 9):
        raise broken(
            RESULTS, f"the numbers of its {len(images)} images are scattered, as no video's are"
        )
    people = _people(data, {image: image - first for image in images}, RESULTS)
    return _frames(RESULTS, frames, people, None)


def read_annotations(data: dict[str, Any]) -> KeypointFrames:
    """Read an annotation file."""
    kind = ANNOTATIONS
    images, annotations = data["images"], data["annotations"]
    if not (isinstance(images, list) and isinstance(annotations, list) and images):
        raise broken(kind, "its images or annotations are no list, or it has no images")
    if not all(is_record(image, "id", "width", "height") for image in images):
        raise broken(kind, "an image has no id, width or height")
    sizes = {(whole(i["width"], kind, "width"), whole(i["height"], kind, "height")) for i in images}
    if len(sizes) > 1:
        raise broken(kind, f"its images have {len(sizes)} different sizes, so they are no video")
    numbers = sorted({whole(image["id"], kind, "an image's id") for image in images})
    place = {number: frame for frame, number in enumerate(numbers)}
    people = _people([a for a in annotations if is_record(a, "keypoints")], place, kind)
    # A visibility is no score: 1 is hidden but placed by hand, which is as good.
    placed = tuple(
        Detection(p.frame, p.points, np.minimum(_scores(p), 1.0), p.track_id) for p in people
    )
    return _frames(kind, len(numbers), placed, sizes.pop())


def _scores(person: Detection) -> np.ndarray[Any, np.dtype[np.float64]]:
    assert person.scores is not None
    return person.scores


def _image(person: object, kind: str) -> int:
    if not is_record(person, "image_id", "keypoints"):
        raise broken(kind, "somebody has no image_id or keypoints")
    return whole(person["image_id"], kind, "an image_id")  # type: ignore[index]


def _people(data: list[Any], place: dict[int, int], kind: str) -> tuple[Detection, ...]:
    people = []
    for person in data:
        image = _image(person, kind)
        if image not in place:
            raise broken(kind, f"somebody is in image {image}, which it does not list")
        points, scores = triples(person["keypoints"], kind, "keypoints")
        name = track(person.get("track_id"), kind)
        people.append(Detection(place[image], points, scores, name))
    return tuple(sorted(people, key=lambda person: person.frame))


def _frames(
    kind: str, frames: int, people: tuple[Detection, ...], size: tuple[int, int] | None
) -> KeypointFrames:
    joints = {len(person.points) for person in people}
    if not joints:
        raise broken(kind, "it shows nobody")
    # Other data sets use the same layout, so that another number of joints has to be named.
    skeleton = _SKELETONS.get(joints.pop()) if len(joints) == 1 else None
    return KeypointFrames(kind, checked_frames(kind, frames - 1), people, skeleton, size)
