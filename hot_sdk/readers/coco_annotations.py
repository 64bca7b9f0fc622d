"""Read COCO's annotation files, which label tools and data sets write.

They hold ``images`` (id, width, height, and perhaps ``file_name``, ``frame_id``, ``video_id``),
``annotations``, whose ``keypoints`` are x, y and the visibility 0, 1 or 2, and perhaps
``categories``, whose ``keypoints`` name the joints and decide the skeleton. Frames are numbered by
``frame_id``, by the numbers in the names of the images, or by their ids, whichever comes first; a
skipped number is a frame without people. Crowds and annotations without keypoints are no people.
See "Data format" at cocodataset.org.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.coco import by_count, named_joints, people_in
from hot_sdk.readers.detections import KeypointFrames, format_error
from hot_sdk.readers.frame_names import FrameNames, absent_note, number_frames
from hot_sdk.readers.joint_names import match_names
from hot_sdk.readers.json_values import has_keys, integer

KIND = "a COCO annotation file"
_IN_ORDER = "frames are in the order of the images' ids, and none is missing"
_PERSON = re.compile(
    r"person|people|human|pedestrian|body|pose|man\b|boy|girl|child|adult|player|athlete|dancer|"
    r"rider|worker|subject|patient|skeleton|keypoint"
)
"""Names of categories that are people."""


def matches(data: object) -> bool:
    """Return whether parsed JSON is a COCO annotation file."""
    return has_keys(data, "images", "annotations")


def read(data: dict[str, Any]) -> KeypointFrames:
    """Read an annotation file.

    Raises:
        KeypointsError: It is broken, shows no people, or its images are not one video's.
    """
    images, annotations = data["images"], data["annotations"]
    if not (isinstance(images, list) and isinstance(annotations, list) and images):
        raise format_error(KIND, "its images or annotations are no list, or it has no images")
    if not all(has_keys(image, "id", "width", "height") for image in images):
        raise format_error(KIND, "an image has no id, width or height")
    sizes = {
        (integer(i["width"], KIND, "width"), integer(i["height"], KIND, "height")) for i in images
    }
    if len(sizes) > 1:
        raise format_error(KIND, f"its images have {len(sizes)} different sizes, unlike a video's")
    frames = _numbered(images)
    described = [a for a in annotations if has_keys(a, "keypoints")]
    single = [a for a in described if a.get("iscrowd") in (None, 0, "0", "")]
    shown = [a for a in single if a.get("num_keypoints") != 0]
    if single and not shown:
        raise format_error(KIND, "num_keypoints is 0 for everyone: it shows no people")
    shown, names, notes = _of_one_category(data.get("categories"), shown)
    frame_of = {int(image): frame for image, frame in frames.frame_of.items()}
    people = people_in(shown, frame_of, KIND)
    # As scores, 1 and 2 are the same: a hidden joint that was placed by hand is as good.
    source = by_count(KIND, frames.frames, people, sizes.pop())
    crowds, empty = len(described) - len(single), len(single) - len(shown) - notes[1]
    if crowds or empty:
        left_out = f"{crowds} annotations of crowds and {empty} without keypoints were left out"
        notes = ((*notes[0], left_out), 0)
    source = dataclasses.replace(
        source,
        timestamps=frames.timestamps,
        notes=(*notes[0], *frames.notes, *absent_note(frames.frames, len(frames.frame_of))),
    )
    return source if names is None else named_joints(source, names)


def _numbered(images: list[Any]) -> FrameNames:
    """Return the frame of each image, by its id as text."""
    ids = sorted({integer(image["id"], KIND, "an image's id") for image in images})
    videos = {str(image["video_id"]) for image in images if image.get("video_id") is not None}
    if len(videos) > 1:
        raise KeypointsError(
            f"The input was read as {KIND}, but its images are of {len(videos)} videos.",
            hint="Keep the images and annotations of one video_id in each file.",
        )
    for key in ("frame_id", "file_name"):
        name_of = {
            str(integer(image["id"], KIND, "an image's id")): image.get(key) for image in images
        }
        names = [str(name) for name in name_of.values() if name is not None]
        if len(set(names)) < len(ids):
            continue
        named = number_frames(names, KIND, from_zero=False)
        if named.notes and named.timestamps is None:
            why = named.notes[0].partition(";")[0]
            return _in_order(ids, f"{why}; {_IN_ORDER}")
        frame_of = {image: named.frame_of[str(name)] for image, name in name_of.items()}
        return dataclasses.replace(named, frame_of=frame_of)
    return number_frames([str(number) for number in ids], KIND, from_zero=False)


def _in_order(ids: list[int], note: str) -> FrameNames:
    return FrameNames(len(ids), {str(n): place for place, n in enumerate(ids)}, notes=(note,))


def _of_one_category(
    categories: object, annotations: list[Any]
) -> tuple[list[Any], list[str] | None, tuple[tuple[str, ...], int]]:
    """Return the annotations of people, the names of their joints, and how many were left out."""
    listed = [c for c in categories if isinstance(c, dict)] if isinstance(categories, list) else []
    names_of = {str(c.get("id")): c["keypoints"] for c in listed if c.get("keypoints") is not None}
    for names in names_of.values():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise format_error(KIND, "the names of its joints are no list of texts")
    groups: dict[tuple[str, ...], list[Any]] = {}
    only: list[str] = next(iter(names_of.values()), []) if len(names_of) == 1 else []
    for one in annotations:
        names = names_of.get(str(one.get("category_id")), [] if "category_id" in one else only)
        groups.setdefault(tuple(names), []).append(one)
    if len(groups) < 2:
        names = list(next(iter(groups), ()))
        return annotations, names or None, (() if names else _strangers(listed, annotations), 0)
    fitting = [names for names in groups if match_names(names) is not None]
    if len(fitting) != 1:
        known = ", ".join(repr(str(c.get("name"))[:30]) for c in listed[:5])
        raise KeypointsError(
            f"The input was read as {KIND}, but its categories have different joints: {known}.",
            hint="Keep the annotations of one category in each file.",
        )
    chosen = groups[fitting[0]]
    absent = len(annotations) - len(chosen)
    note = f"{absent} annotations of categories with other joints than a person's were left out"
    return chosen, list(fitting[0]), ((note,), absent)


def _strangers(listed: list[Any], annotations: list[Any]) -> tuple[str, ...]:
    """Return a note if the joints are unnamed, and their categories do not say that of a person."""
    used = {str(one.get("category_id")) for one in annotations}
    kinds = {
        str(c.get("name", "")).strip().lower()[:30] for c in listed if str(c.get("id")) in used
    }
    others = sorted(kind for kind in kinds if kind and not _PERSON.search(kind))
    if not others:
        return ()
    known = ", ".join(map(repr, others))
    return (f"the category {known} names no joints: they were taken for a person's",)
