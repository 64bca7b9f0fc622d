"""Read points that carry the names of their joints: TensorFlow.js, PoseNet, ml5 and the like.

Each frame, taken from the file as ``frame_lists`` describes, is a pose or a list of poses; a list
of poses with one for each frame is read as that. A pose is an object that maps joint names to x, y
and perhaps a score, or has ``keypoints``, a list of points of which each says its ``name`` or
``part`` (with ``position``, as PoseNet writes it). ``joint_names`` finds the skeleton that has
them; a joint that a frame lacks is missing.

easy_ViTPose's files are read too: ``keypoints`` has an object for each frame, of people by number,
whose points are y, x, score; ``skeleton`` has the names.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    Detection,
    KeypointFrames,
    TrackId,
    format_error,
    require_room,
)
from hot_sdk.readers.frame_lists import FrameList, frame_list
from hot_sdk.readers.joint_names import is_part, match_names, plain_name
from hot_sdk.readers.json_values import has_keys, track_id
from hot_sdk.readers.mediapipe import number
from hot_sdk.skeletons import list_skeletons, skeleton_format

KIND = "named points"
VITPOSE = "easy_ViTPose JSON"
_LISTS = ("keypoints", "keypoints2D", "keypoints2d")
_NAMES = ("name", "part", "label", "joint", "bodyPart", "bodypart")
_SCORES = ("score", "confidence", "visibility", "presence", "likelihood")
_IDS = ("track_id", "trackId", "person_id", "id")

_Points = dict[str, tuple[float, float, float | None]]


def matches(data: object) -> bool:
    """Return whether parsed JSON holds frames of named points."""
    if matches_vitpose(data):
        return True
    frames = frame_list(data, one_frame=(*_LISTS, "nose"))
    if frames is None:
        return False
    return any(_is_pose(pose) for entry in frames.entries[:1000] for pose in _poses(entry)[:1])


def matches_vitpose(data: object) -> bool:
    """Return whether parsed JSON is easy_ViTPose's."""
    return (
        isinstance(data, dict)
        and has_keys(data, "keypoints", "skeleton")
        and isinstance(data["skeleton"], dict)
        and isinstance(data["keypoints"], list)
    )


def read(data: Any) -> KeypointFrames:  # noqa: ANN401
    """Read named points, in the skeleton that has their names.

    Raises:
        KeypointsError: No skeleton has these names, or a point is broken.
    """
    if matches_vitpose(data):
        return _read_vitpose(data)
    frames = frame_list(data, one_frame=(*_LISTS, "nose"))
    if frames is None:
        raise format_error(KIND, "it has no frames")
    bare = frames.keys is None and len(frames.entries) > 1 and all(map(_is_pose, frames.entries))
    ids = (
        {name for pose in frames.entries if isinstance(name := _id(pose), (int, str))}
        if bare
        else ()
    )
    if bare and len(ids) == len(frames.entries):
        # Each pose is of another person, so they are one frame's.
        frames, bare = FrameList([{"poses": frames.entries}], None, frames.about), False
    found: list[tuple[int, _Points, TrackId]] = []
    for place, (frame, entry) in enumerate(zip(frames.numbers(KIND), frames.entries, strict=True)):
        for pose in _poses(entry):
            if not _is_pose(pose):
                raise format_error(KIND, f"entry {place} holds something that is no pose")
            found.append((frame, _points(pose, place), track_id(_id(pose), KIND)))
    source = _clip(KIND, frames, found)
    if bare and _listed(frames.entries[0]) is not None:
        note = "the list of poses was read as one pose in each frame"
        source = dataclasses.replace(source, notes=(*source.notes, note))
    return source


def _clip(
    kind: str, frames: FrameList, found: list[tuple[int, _Points, TrackId]]
) -> KeypointFrames:
    names = list(dict.fromkeys(name for _, points, _ in found for name in points))
    skeleton, places = skeleton_of_names(kind, names)
    joints = [names[place] for place in places]
    require_room(kind, len(found), len(joints))
    scored = any(score is not None for _, points, _ in found for _, _, score in points.values())
    people = []
    for frame, points, name in found:
        rows = [points.get(joint, (math.nan, math.nan, 0.0)) for joint in joints]
        scores = [1.0 if score is None else score for _, _, score in rows]
        table = np.array([row[:2] for row in rows])
        people.append(Detection(frame, table, np.array(scores) if scored else None, name))
    source = frames.clip(f"{kind} ({skeleton})" if skeleton else kind, people, skeleton)
    return source if skeleton else dataclasses.replace(source, joints=tuple(joints))


def skeleton_of_names(kind: str, names: Sequence[str]) -> tuple[str | None, tuple[int, ...]]:
    """Return the skeleton that joints make, and the place of each of its joints in ``names``.

    Joints that are only a part of a skeleton make none, until the caller names one: the places are
    then those of the names.

    Raises:
        KeypointsError: No skeleton has all of its joints among them, nor all of them among its own;
            the nearest is named.
    """
    # Two skeletons have the same names in another order.
    for skeleton in list_skeletons():
        if skeleton_format(skeleton).joints == tuple(names):
            return skeleton, tuple(range(len(names)))
    match = match_names(names)
    if match is not None:
        return match
    known = {plain_name(name) for name in names}

    def distance(skeleton: str) -> int:
        return len(known ^ set(skeleton_format(skeleton).joints))

    if is_part(names):
        return None, tuple(range(len(names)))
    nearest = min(list_skeletons(), key=distance)
    joints = skeleton_format(nearest).joints
    raise KeypointsError(
        f"The input was read as {kind}, but no skeleton has just the {len(names)} joints of its"
        f" names. The nearest, {nearest}, also has {_some([j for j in joints if j not in known])}.",
        hint="Name them as one of list_skeletons() does, or give the array of one skeleton:"
        " Keypoints(points, scores, skeleton=...).",
    )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown


def _poses(entry: object) -> list[Any]:
    """Return the poses of a frame, unchecked."""
    if isinstance(entry, dict):
        inner = next((entry[key] for key in ("poses", "people", "pose") if key in entry), entry)
        entry = inner if isinstance(inner, list) else [inner]
    if not isinstance(entry, list):
        return [] if entry is None else [entry]
    first = entry[0] if entry else None
    if isinstance(first, dict) and _name(first) is not None and _listed(first) is None:
        return [{"keypoints": entry}]
    # ml5 wraps each pose in another object.
    return [pose["pose"] if has_keys(pose, "pose") else pose for pose in entry if pose]


def _is_pose(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    points = _listed(value)
    if points is None:
        return "nose" in value
    return len(points) > 0 and isinstance(points[0], dict) and _name(points[0]) is not None


def _listed(pose: dict[str, Any]) -> list[Any] | None:
    points = next((pose[key] for key in _LISTS if key in pose), None)
    return points if isinstance(points, list) else None


def _id(pose: Any) -> object:  # noqa: ANN401
    return next((pose[key] for key in _IDS if key in pose), None)


def _name(point: dict[str, Any]) -> str | None:
    name = next((point[key] for key in _NAMES if key in point), None)
    return name if isinstance(name, str) else None


def _points(pose: dict[str, Any], place: int) -> _Points:
    listed = _listed(pose)
    points: _Points = {}
    if listed is None:
        for name, value in pose.items():
            if isinstance(value, list) and len(value) < 2:
                continue
            # What stands next to the joints, such as the pose's own score, is no point.
            if isinstance(value, list) or has_keys(value, "x", "y"):
                points[plain_name(name)] = _point(value)
        return points
    for point in listed:
        joint = _name(point) if isinstance(point, dict) else None
        if joint is None:
            raise format_error(KIND, f"a point of entry {place} has no name")
        points[plain_name(joint)] = _point(point)
    return points


def _point(value: Any) -> tuple[float, float, float | None]:  # noqa: ANN401
    if isinstance(value, list):
        score = value[2] if len(value) == 3 else value[3] if len(value) == 4 else None
        x, y = value[:2]
    else:
        at = value["position"] if isinstance(value.get("position"), dict) else value
        x, y = at.get("x"), at.get("y")
        score = next((value[key] for key in _SCORES if value.get(key) is not None), None)
    return number(x, KIND), number(y, KIND), None if score is None else number(score, KIND)


def _read_vitpose(data: Mapping[str, Any]) -> KeypointFrames:
    names = data["skeleton"]
    found: list[tuple[int, _Points, TrackId]] = []
    for frame, people in enumerate(data["keypoints"]):
        for name, rows in people.items() if isinstance(people, dict) else ():
            if not isinstance(rows, list) or len(rows) != len(names):
                raise format_error(VITPOSE, f"a person of frame {frame} has other joints")
            points: _Points = {}
            for place, row in enumerate(rows):
                joint = names.get(str(place))
                if not isinstance(joint, str) or not isinstance(row, list) or len(row) != 3:
                    raise format_error(VITPOSE, "a point is not y, x, score, or has no name")
                y, x, score = (number(value, VITPOSE) for value in row)
                points[plain_name(joint)] = (x, y, score)
            # Without tracking, people are numbered again in each frame, from 0.
            is_number = name.isdecimal() and len(name) < 16
            found.append((frame, points, int(name) if is_number else track_id(name, VITPOSE)))
    return _clip(VITPOSE, FrameList(data["keypoints"], None, {}), found)
