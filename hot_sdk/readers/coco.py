"""Read COCO's results: a list of people, each with the number of the image that they are in.

Results are objects with ``image_id`` (a number), ``keypoints`` (x, y, score; or x, y alone
of 17 or 133 joints) and perhaps ``track_id``; the list may stand alone or under one name.
Frames are numbered by ``image_id`` from the smallest on, so a skipped number is a frame without
people. See "Results format" at cocodataset.org; ``coco_annotations`` reads annotation files.
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
from hot_sdk.readers.joint_names import is_part, match_names
from hot_sdk.readers.json_values import floats, has_keys, integer, track_id, triples

RESULTS = "COCO keypoint results"
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
    people = people_in(data, {image: image - first for image in images}, RESULTS)
    source = by_count(RESULTS, frames, people, None)
    unscored = any(one.scores is None for one in people)
    notes = ("keypoints have no scores; every joint counts as certain",) if unscored else ()
    return dataclasses.replace(source, notes=(*notes, *absent_note(frames, len(images))))


def named_joints(source: KeypointFrames, names: list[str]) -> KeypointFrames:
    """Let the names of its joints decide a source's skeleton.

    Raises:
        KeypointsError: The names are not as many as the joints.
    """
    joints = joint_count(source.kind, source.detections)
    if joints != len(names):
        raise format_error(source.kind, f"it names {len(names)} joints, but has {joints}")
    found = match_names(names)
    if found is None and is_part(names):
        return dataclasses.replace(source, skeleton=None, guessed=False, joints=tuple(names))
    if found is None:
        shown = ", ".join(name[:30] for name in names[:6])
        problem = f"names joints that are those of no skeleton here ({shown}, ...)"
        notes = (*source.notes, f"the input {problem}")
        return dataclasses.replace(
            source, skeleton=None, guessed=False, problem=problem, notes=notes
        )
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


def _inner(data: Any) -> Any:  # noqa: ANN401
    if isinstance(data, dict):
        lists = [value for value in data.values() if isinstance(value, list)]
        return lists[0] if len(lists) == 1 else None
    return data


def _image(person: Any, kind: str) -> int:  # noqa: ANN401
    if not has_keys(person, "image_id", "keypoints"):
        raise format_error(kind, "a person has no image_id or keypoints")
    return integer(person["image_id"], kind, "an image_id")


def people_in(data: list[Any], frame_of: Mapping[int, int], kind: str) -> tuple[Detection, ...]:
    """Return the people of a list of COCO's, in the frames of their images."""
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


def by_count(
    kind: str, frames: int, people: tuple[Detection, ...], size: tuple[int, int] | None
) -> KeypointFrames:
    """Return people as a source whose skeleton follows from the number of joints."""
    # Other data sets use the same layout, so another number of joints needs a named skeleton.
    skeleton = _SKELETONS.get(joint_count(kind, people) or 0)
    count = frame_count(kind, frames - 1)
    return KeypointFrames(kind, count, people, skeleton, size, guessed=True)
