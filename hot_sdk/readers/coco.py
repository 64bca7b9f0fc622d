"""Read COCO and AlphaPose: a list of people, each with the image that they are in.

COCO's results are objects with ``image_id`` (a number), ``keypoints`` (x, y, score) and perhaps
``track_id``; annotation files hold ``images`` (id, width, height) and ``annotations``, whose third
number is the visibility 0, 1 or 2. Frames of results are numbered by ``image_id`` from the smallest
on, so a skipped number is a frame without people; frames of annotations are the images that are
listed, in the order of their numbers. See "Results format" and "Data format" at cocodataset.org.

AlphaPose's ``image_id`` is a file name such as ``12.jpg``, ``idx`` is the track if ``--pose_track``
was given. 17 joints are COCO's, 26 and 133 Halpe's and COCO-WholeBody's; 136, Halpe's with a face
and hands, are refused, because no skeleton here has them. See docs/output.md of
MVIG-SJTU/AlphaPose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    Detection,
    KeypointFrames,
    format_error,
    frame_count,
    joint_count,
    skeleton_by_joints,
)
from hot_sdk.readers.json_values import has_keys, integer, track_id, triples

RESULTS = "COCO keypoint results"
ANNOTATIONS = "a COCO annotation file"
ALPHAPOSE = "AlphaPose JSON"
_COCO_SKELETONS = {17: "coco17", 133: "coco_wholebody133"}
_ALPHAPOSE_SKELETONS = {17: "coco17", 26: "halpe26", 133: "coco_wholebody133"}
_SPARSEST = 100
"""Largest number of a video's frames for each one that shows people."""


def matches_results(data: Any) -> bool:  # noqa: ANN401
    """Return whether parsed JSON is a list of COCO's results."""
    return _lists_people(data) and not isinstance(data[0]["image_id"], str)


def matches_annotations(data: object) -> bool:
    """Return whether parsed JSON is a COCO annotation file."""
    return has_keys(data, "images", "annotations")


def matches_alphapose(data: Any) -> bool:  # noqa: ANN401
    """Return whether parsed JSON is AlphaPose's: an image is a file's name, not a number."""
    return _lists_people(data) and isinstance(data[0]["image_id"], str)


def read_results(data: list[Any]) -> KeypointFrames:
    """Read COCO's results."""
    images = {_image(person, RESULTS) for person in data}
    first = min(images)
    frames = max(images) - first + 1
    if frames > _SPARSEST * (len(images) + 9):
        raise format_error(
            RESULTS, f"the numbers of its {len(images)} images are scattered, unlike a video's"
        )
    people = _people(data, {image: image - first for image in images}, RESULTS)
    return _coco_frames(RESULTS, frames, people, None)


def read_annotations(data: dict[str, Any]) -> KeypointFrames:
    """Read a COCO annotation file."""
    kind = ANNOTATIONS
    images, annotations = data["images"], data["annotations"]
    if not (isinstance(images, list) and isinstance(annotations, list) and images):
        raise format_error(kind, "its images or annotations are no list, or it has no images")
    if not all(has_keys(image, "id", "width", "height") for image in images):
        raise format_error(kind, "an image has no id, width or height")
    sizes = {
        (integer(i["width"], kind, "width"), integer(i["height"], kind, "height")) for i in images
    }
    if len(sizes) > 1:
        raise format_error(kind, f"its images have {len(sizes)} different sizes, unlike a video's")
    numbers = sorted({integer(image["id"], kind, "an image's id") for image in images})
    frame_of = {number: frame for frame, number in enumerate(numbers)}
    people = _people([a for a in annotations if has_keys(a, "keypoints")], frame_of, kind)
    # As scores, 1 and 2 are the same: a hidden joint that was placed by hand is as good.
    return _coco_frames(kind, len(numbers), people, sizes.pop())


def read_alphapose(data: list[Any]) -> KeypointFrames:
    """Read AlphaPose; frames are the numbers in the images' names, else the images' order."""
    kind = ALPHAPOSE
    for person in data:
        _require_keys(person, kind)
        if not isinstance(person["image_id"], str):
            raise format_error(kind, "an image_id is no name")
    names = list(dict.fromkeys(person["image_id"] for person in data))
    numbers = [re.findall(r"\d+", PurePath(name).stem[-40:]) for name in names]
    frame_of = {name: frame for frame, name in enumerate(names)}
    if all(numbers) and len({int(found[-1]) for found in numbers}) == len(names):
        frame_of = {name: int(found[-1]) for name, found in zip(names, numbers, strict=True)}
    people = []
    for person in data:
        points, scores = triples(person["keypoints"], kind, "keypoints")
        name = person.get("idx")
        # Some versions write it as a list, which is empty without tracking.
        if isinstance(name, list):
            name = name[0] if name else None
        frame = frame_of[person["image_id"]]
        people.append(Detection(frame, points, scores, track_id(name, kind)))
    if joint_count(kind, people) == 136:
        raise KeypointsError(
            f"The input was read as {kind}, but its people have the 136 joints of Halpe with face"
            " and hands, which no skeleton here has.",
            hint="Run AlphaPose with a Halpe-26 model, or keep the first 26 joints: they are its.",
        )
    skeleton = skeleton_by_joints(kind, people, _ALPHAPOSE_SKELETONS)
    frames = frame_count(kind, max(person.frame for person in people))
    return KeypointFrames(f"{kind} ({skeleton})", frames, tuple(people), skeleton)


def _lists_people(data: Any) -> bool:  # noqa: ANN401
    return isinstance(data, list) and len(data) > 0 and has_keys(data[0], "image_id", "keypoints")


def _require_keys(person: object, kind: str) -> None:
    if not has_keys(person, "image_id", "keypoints"):
        raise format_error(kind, "a person has no image_id or keypoints")


def _image(person: Any, kind: str) -> int:  # noqa: ANN401
    _require_keys(person, kind)
    return integer(person["image_id"], kind, "an image_id")


def _people(data: list[Any], frame_of: Mapping[int, int], kind: str) -> tuple[Detection, ...]:
    people = []
    for person in data:
        image = _image(person, kind)
        if image not in frame_of:
            raise format_error(kind, f"a person is in image {image}, which it does not list")
        points, scores = triples(person["keypoints"], kind, "keypoints")
        name = track_id(person.get("track_id"), kind)
        people.append(Detection(frame_of[image], points, scores, name))
    return tuple(people)


def _coco_frames(
    kind: str, frames: int, people: tuple[Detection, ...], size: tuple[int, int] | None
) -> KeypointFrames:
    # Other data sets use the same layout, so another number of joints needs a named skeleton.
    skeleton = _COCO_SKELETONS.get(joint_count(kind, people) or 0)
    return KeypointFrames(kind, frame_count(kind, frames - 1), people, skeleton, size)
