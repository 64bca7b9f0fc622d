"""Read AlphaPose: people with the names of the images that they are in.

The results are a list of people whose ``image_id`` is a file name such as ``12.jpg`` and whose
``idx`` is the track, or an object of such people by image (``-forvis-tracked`` and PoseFlow), or
of a person's frames by track and frame. ``--format open`` and ``cmu`` are read as OpenPose's. 17
joints are COCO's, 16 MPII's, 26 and 133 Halpe's and COCO-WholeBody's; of 136, Halpe's with a face
and hands, the first 26 are kept. Frames without people are left out of these files, so the numbers
in the names count from 0. See docs/output.md of MVIG-SJTU/AlphaPose.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hot_sdk.readers.detections import (
    Detection,
    KeypointFrames,
    format_error,
    skeleton_by_joints,
)
from hot_sdk.readers.frame_names import absent_note, number_frames
from hot_sdk.readers.json_values import has_keys, track_id, triples

KIND = "AlphaPose JSON"
_SKELETONS = {17: "coco17", 26: "halpe26", 133: "coco_wholebody133", 16: "mpii16"}
_HALPE_FULL, _HALPE = 136, 26


def matches(data: Any) -> bool:  # noqa: ANN401
    """Return whether parsed JSON is a list of people in named images."""
    return (
        isinstance(data, list)
        and len(data) > 0
        and has_keys(data[0], "image_id", "keypoints")
        and isinstance(data[0]["image_id"], str)
    )


def matches_by_image(data: object) -> bool:
    """Return whether parsed JSON maps images to lists of people."""
    people = _first(data)
    if not isinstance(people, list) or not people or not _is_person(people[0]):
        return False
    # Lists of people who name their image themselves are COCO's, under any one name.
    return "image_id" not in people[0]


def matches_by_person(data: object) -> bool:
    """Return whether parsed JSON maps people to their frames."""
    return _is_person(_first(_first(data)))


def read(data: list[Any]) -> KeypointFrames:
    """Read a list of people."""
    for person in data:
        if not has_keys(person, "image_id", "keypoints"):
            raise format_error(KIND, "a person has no image_id or keypoints")
        if not isinstance(person["image_id"], str):
            raise format_error(KIND, "an image_id is no name")
    return _read([(person["image_id"], person, person.get("idx")) for person in data])


def read_by_image(data: dict[str, Any]) -> KeypointFrames:
    """Read lists of people by image."""
    if not all(isinstance(people, list) for people in data.values()):
        raise format_error(KIND, "an image has no list of people")
    rows = [(image, one) for image, people in data.items() for one in people]
    if not all(_is_person(one) for _, one in rows):
        raise format_error(KIND, "a person has no keypoints")
    return _read([(image, one, one.get("idx")) for image, one in rows], tuple(data))


def read_by_person(data: dict[str, Any]) -> KeypointFrames:
    """Read frames by person."""
    rows = []
    for name, frames in data.items():
        if not isinstance(frames, dict) or not all(map(_is_person, frames.values())):
            raise format_error(KIND, "a person has no frames with keypoints")
        track = int(name) if name.isdecimal() and len(name) < 16 else name
        rows += [(frame, one, track) for frame, one in frames.items()]
    return _read(rows)


def _read(rows: list[tuple[str, Any, Any]], images: tuple[str, ...] = ()) -> KeypointFrames:
    names = list(dict.fromkeys([*images, *(image for image, _, _ in rows)]))
    people = []
    for image, person, track in rows:
        points, scores = triples(person["keypoints"], KIND, "keypoints")
        people.append((image, Detection(0, points, scores, track_id(track, KIND))))
    known = {len(person.points) for _, person in people}
    notes: tuple[str, ...] = ()
    if known == {_HALPE_FULL}:
        notes = ("of Halpe's 136 joints, the 26 of the body were kept",)
        people = [
            (image, dataclasses.replace(p, points=p.points[:_HALPE], scores=_cut(p)))
            for image, p in people
        ]
    skeleton, problem = skeleton_by_joints(KIND, [person for _, person in people], _SKELETONS)
    named = number_frames(names, KIND, from_zero=True)
    return KeypointFrames(
        f"{KIND} ({skeleton})" if skeleton else KIND,
        named.frames,
        tuple(dataclasses.replace(p, frame=named.frame_of[image]) for image, p in people),
        skeleton,
        timestamps=named.timestamps,
        guessed=True,
        problem=problem,
        notes=(*notes, *named.notes, *absent_note(named.frames, len(names))),
    )


def _cut(person: Detection) -> Any:  # noqa: ANN401
    return None if person.scores is None else person.scores[:_HALPE]


def _first(data: object) -> object:
    return next(iter(data.values()), None) if isinstance(data, dict) else None


def _is_person(value: object) -> bool:
    return has_keys(value, "keypoints") and isinstance(value["keypoints"], list)  # type: ignore[index]
