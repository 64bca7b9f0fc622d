"""Read COCO: a list of people, each with the number of the image that they are in.

COCO's results are objects with ``image_id`` (a number), ``keypoints`` (x, y, score; or x, y alone
of 17 or 133 joints) and perhaps ``track_id``; the list may stand alone or under one name.
Annotation files hold ``images`` (id, width, height) and ``annotations``, whose third number is the
visibility 0, 1 or 2, and perhaps ``categories``, whose ``keypoints`` name the joints and decide the
skeleton. Frames of results are numbered by ``image_id`` from the smallest on, so a skipped number
is a frame without people; frames of annotations are the images that are listed, in the order of
their numbers. Crowds and annotations without keypoints are no people. See "Results format" and
"Data format" at cocodataset.org.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    Detection,
    Floats,
    KeypointFrames,
    format_error,
    frame_count,
    joint_count,
)
from hot_sdk.readers.frame_names import absent_note
from hot_sdk.readers.joint_names import match_names
from hot_sdk.readers.json_values import floats, has_keys, integer, track_id, triples

RESULTS = "COCO keypoint results"
ANNOTATIONS = "a COCO annotation file"
_SKELETONS = {17: "coco17", 133: "coco_wholebody133"}
_PAIRS = [2 * joints for joints in _SKELETONS]
_SPARSEST = 100
"""Largest number of a video's frames for each one that shows people."""
_IDS = ("track_id", "person_id")


def matches_results(data: Any) -> bool:  # noqa: ANN401
    """Return whether parsed JSON is a list of COCO's results, or holds just one."""
    people = _inner(data)
    return (
        isinstance(people, list)
        and len(people) > 0
        and has_keys(people[0], "image_id", "keypoints")
        and not isinstance(people[0]["image_id"], str)
    )


def matches_annotations(data: object) -> bool:
    """Return whether parsed JSON is a COCO annotation file."""
    return has_keys(data, "images", "annotations")


def read_results(data: Any) -> KeypointFrames:  # noqa: ANN401
    """Read COCO's results."""
    data = _inner(data)
    images = {_image(person, RESULTS) for person in data}
    first = min(images)
    frames = max(images) - first + 1
    if frames > _SPARSEST * (len(images) + 9):
        raise KeypointsError(
            f"The input was read as {RESULTS}, but the numbers of its {len(images)} images are"
            " scattered, unlike a video's.",
            hint="If they are the frames of one video, number them 0, 1, 2 and so on in its order.",
        )
    people = _people(data, {image: image - first for image in images}, RESULTS)
    source = _by_count(RESULTS, frames, people, None)
    unscored = any(one.scores is None for one in people)
    notes = ("keypoints have no scores; every joint counts as certain",) if unscored else ()
    return dataclasses.replace(source, notes=(*notes, *absent_note(frames, len(images))))


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
    described = [a for a in annotations if has_keys(a, "keypoints")]
    single = [a for a in described if not a.get("iscrowd")]
    shown = [a for a in single if a.get("num_keypoints") != 0]
    people = _people(shown, frame_of, kind)
    # As scores, 1 and 2 are the same: a hidden joint that was placed by hand is as good.
    source = _by_count(kind, len(numbers), people, sizes.pop())
    crowds, empty = len(described) - len(single), len(single) - len(shown)
    if crowds or empty:
        note = f"{crowds} annotations of crowds and {empty} without keypoints were left out"
        source = dataclasses.replace(source, notes=(note,))
    names = _joint_names(data.get("categories"), shown)
    return source if names is None else named_joints(source, names)


def named_joints(source: KeypointFrames, names: list[str]) -> KeypointFrames:
    """Let the names of its joints decide a source's skeleton.

    Raises:
        KeypointsError: The names are not as many as the joints.
    """
    joints = joint_count(source.kind, source.detections)
    if joints != len(names):
        raise format_error(source.kind, f"it names {len(names)} joints, but has {joints}")
    found = match_names(names)
    if found is None:
        shown = ", ".join(name[:30] for name in names[:6])
        problem = f"names joints that are those of no skeleton here ({shown}, ...)"
        return dataclasses.replace(source, skeleton=None, guessed=False, problem=problem)
    skeleton, places = found
    order = np.array(places)
    people = tuple(
        dataclasses.replace(
            one,
            points=one.points[order],
            scores=None if one.scores is None else one.scores[order],
        )
        for one in source.detections
    )
    return dataclasses.replace(source, detections=people, skeleton=skeleton, guessed=False)


def _joint_names(categories: object, annotations: list[Any]) -> list[str] | None:
    if not isinstance(categories, list):
        return None
    used = [a.get("category_id") for a in annotations]
    listed = [
        c["keypoints"]
        for c in categories
        if has_keys(c, "keypoints") and ("id" not in c or c["id"] in used)
    ]
    if not listed:
        return None
    names = listed[0]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise format_error(ANNOTATIONS, "the names of its joints are no list of texts")
    if any(other != names for other in listed):
        raise format_error(ANNOTATIONS, "its categories have different joints")
    return names or None


def _inner(data: Any) -> Any:  # noqa: ANN401
    if isinstance(data, dict):
        lists = [value for value in data.values() if isinstance(value, list)]
        return lists[0] if len(lists) == 1 else None
    return data


def _image(person: Any, kind: str) -> int:  # noqa: ANN401
    if not has_keys(person, "image_id", "keypoints"):
        raise format_error(kind, "a person has no image_id or keypoints")
    return integer(person["image_id"], kind, "an image_id")


def _people(data: list[Any], frame_of: Mapping[int, int], kind: str) -> tuple[Detection, ...]:
    people = []
    key = next((key for key in _IDS if any(key in person for person in data)), "")
    for person in data:
        image = _image(person, kind)
        if image not in frame_of:
            raise format_error(kind, f"a person is in image {image}, which it does not list")
        points, scores = _points(person["keypoints"], kind)
        name = track_id(person.get(key), kind)
        people.append(Detection(frame_of[image], points, scores, name))
    return tuple(people)


def _points(values: Any, kind: str) -> tuple[Floats, Floats | None]:  # noqa: ANN401
    """Return points and scores; no scores if there are only x and y of a known number of joints."""
    if isinstance(values, list) and values and isinstance(values[0], list):
        lengths = {len(row) if isinstance(row, list) else 0 for row in values}
        flat = [number for row in values for number in row] if lengths == {2} else values
    else:
        flat = values
    if not isinstance(flat, list) or len(flat) not in _PAIRS:
        return triples(values, kind, "keypoints")
    points = floats(flat, kind, "keypoints").reshape(-1, 2)
    # As with scores, 0, 0 is a joint that was not found.
    points[(points == 0.0).all(axis=1)] = np.nan
    return points, None


def _by_count(
    kind: str, frames: int, people: tuple[Detection, ...], size: tuple[int, int] | None
) -> KeypointFrames:
    # Other data sets use the same layout, so another number of joints needs a named skeleton.
    skeleton = _SKELETONS.get(joint_count(kind, people) or 0)
    count = frame_count(kind, frames - 1)
    return KeypointFrames(kind, count, people, skeleton, size, guessed=True)
