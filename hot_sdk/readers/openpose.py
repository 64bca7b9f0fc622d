"""Read OpenPose's JSON, and that of tools that write it too.

A frame is an object with ``people``, each with ``pose_keypoints_2d`` (``pose_keypoints`` in old
versions): x, y, score for each joint; ``person_id`` is ``[-1]`` if people are not tracked. A file
holds one frame (``--write_json FOLDER``) or a list of them; AlphaPose writes an object of frames by
image names, for ``--format cmu`` with ``bodies`` and ``joints``. DWPose gives the size of the image
as ``canvas_width`` and ``canvas_height``. Kinetics-Skeleton holds ``data``, frames of ``skeleton``
with ``pose`` as shares of the image. See "Output" in the documentation of OpenPose
(CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md).

25 joints are BODY_25 or BODY_25B, which the places of the joints decide; 18 are OpenPose's COCO,
26 and 17 those of Pose2Sim's and Sports2D's Halpe and COCO models, 15 OpenPose's MPI, which no
skeleton here has.
Points that all lie within 0 to 1, or -1 to 1, are OpenPose's ``--keypoint_scale`` 3 and 4.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hot_sdk.readers.detections import (
    Detection,
    Floats,
    KeypointFrames,
    format_error,
    frame_count,
    skeleton_by_joints,
)
from hot_sdk.readers.frame_names import read_by_name
from hot_sdk.readers.json_values import floats, has_keys, integer, track_id, triples

KIND = "OpenPose JSON"
KINETICS = "Kinetics-Skeleton JSON"
_SKELETONS = {
    25: "openpose25",
    18: "openpose18",
    26: "halpe26",
    17: "coco17",
    133: "coco_wholebody133",
}
_PEOPLE, _POINTS = ("people", "bodies"), ("pose_keypoints_2d", "pose_keypoints", "joints")
_CLEARER = 1.5
"""How much farther joints lie from where they belong in the wrong one of two skeletons."""

_MIDDLE = 0.03
"""Largest share of a body's size by which a middle joint of OpenPose is off the middle."""


def matches_frame(data: object) -> bool:
    """Return whether parsed JSON is one frame."""
    return has_keys(data, "people") or has_keys(data, "bodies")


def matches(data: object) -> bool:
    """Return whether parsed JSON is a frame, a list of frames, or frames by image names."""
    if matches_frame(data):
        return True
    frames = list(data.values()) if isinstance(data, dict) else data
    return isinstance(frames, list) and len(frames) > 0 and matches_frame(frames[0])


def read(data: Any) -> KeypointFrames:  # noqa: ANN401
    """Read a frame, a list of frames, in which None has no people, or frames by image names."""
    if matches_frame(data):
        data = [data]
    if isinstance(data, dict):
        return read_by_name(data, KIND, read)
    people: list[Detection] = []
    sizes = set()
    for number, frame in enumerate(data):
        if frame is None:
            continue
        key = next((k for k in _PEOPLE if has_keys(frame, k)), "")
        if not key or not isinstance(frame[key], list):
            raise format_error(KIND, f"frame {number} has no list of people")
        people += [_person(person, number) for person in frame[key]]
        if has_keys(frame, "canvas_width", "canvas_height"):
            sizes.add(tuple(integer(frame[f"canvas_{s}"], KIND, s) for s in ("width", "height")))
    if len(sizes) > 1:
        raise format_error(KIND, f"its images have {len(sizes)} different sizes, unlike a video's")
    size = sizes.pop() if sizes else None
    return _finished(len(data), people, (size[0], size[1]) if size else None)


def matches_kinetics(data: object) -> bool:
    """Return whether parsed JSON is a clip of Kinetics-Skeleton."""
    frames = data.get("data") if isinstance(data, dict) else None
    return isinstance(frames, list) and len(frames) > 0 and has_keys(frames[0], "skeleton")


def read_kinetics(data: dict[str, Any]) -> KeypointFrames:
    """Read a clip of Kinetics-Skeleton, whose frames count from 1."""
    people = []
    last = 0
    for place, frame in enumerate(data["data"]):
        if not has_keys(frame, "skeleton") or not isinstance(frame["skeleton"], list):
            raise format_error(KINETICS, f"frame {place} has no list of skeletons")
        number = integer(frame.get("frame_index", place + 1), KINETICS, "frame_index") - 1
        last = max(last, frame_count(KINETICS, number) - 1)
        for person in frame["skeleton"]:
            if not has_keys(person, "pose", "score"):
                raise format_error(KINETICS, f"a person of frame {place} has no pose or score")
            flat = floats(person["pose"], KINETICS, "pose")
            scores = np.nan_to_num(floats(person["score"], KINETICS, "score"), nan=0.0)
            if len(flat) != 36 or len(scores) != 18:
                raise format_error(KINETICS, "a pose has not 18 points and scores")
            points = np.where((scores > 0.0)[:, None], flat.reshape(-1, 2), np.nan)
            people.append(Detection(number, points, scores, None))
    return KeypointFrames(KINETICS, last + 1, tuple(people), "openpose18", relative=True)


def _person(person: Any, frame: int) -> Detection:  # noqa: ANN401
    key = next((key for key in _POINTS if has_keys(person, key)), "")
    if not key:
        raise format_error(KIND, f"a person of frame {frame} has no pose_keypoints_2d")
    points, scores = triples(person[key], KIND, key)
    given = person.get("person_id", person.get("idx"))
    name = given[0] if isinstance(given, list) and given else given
    return Detection(frame, points, scores, track_id(name, KIND))


def _finished(frames: int, people: list[Detection], size: tuple[int, int] | None) -> KeypointFrames:
    skeleton, problem = skeleton_by_joints(KIND, people, _SKELETONS)
    if {len(person.points) for person in people} == {15}:
        problem = (
            "shows people with 15 joints, those of OpenPose's MPI model, which no skeleton here has"
        )
    if skeleton == "openpose25":
        skeleton = _body25_or_25b(np.stack([person.points for person in people]))
        problem = "shows 25 joints, which may be those of BODY_25 or BODY_25B"
    notes: tuple[str, ...] = ()
    scaled, relative = people, False
    known = np.concatenate([p.points[~np.isnan(p.points[:, 0])] for p in people])
    if len(known) > 2 and np.abs(known).max() <= 1.0:
        relative = True
        extent = "-1 to 1" if known.min() < 0.0 else "0 to 1"
        notes = (f"coordinates were read as shares of the image, {extent}",)
        if known.min() < 0.0:
            scaled = [dataclasses.replace(p, points=(p.points + 1.0) / 2.0) for p in people]
    return KeypointFrames(
        f"{KIND} ({skeleton})" if skeleton else KIND,
        frames,
        tuple(scaled),
        skeleton,
        size,
        relative=relative,
        guessed=True,
        problem=problem,
        notes=notes,
    )


def _body25_or_25b(points: Floats) -> str | None:
    """Return the skeleton in which necks, hips and heels of (people, 25, 2) are in their places."""
    size = np.nanmax(points, axis=1, initial=-np.inf, where=~np.isnan(points))
    size -= np.nanmin(points, axis=1, initial=np.inf, where=~np.isnan(points))
    with np.errstate(over="ignore"):
        extent = np.maximum(np.linalg.norm(size, axis=-1), 1e-9)

    def off(joint: int, *near: int) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):  # Of coordinates near 1e308.
            apart = points[:, joint] - points[:, near].mean(axis=1)
            return np.asarray(np.linalg.norm(apart, axis=-1) / extent)

    # Joints that are missing in one of the two are no evidence for the other.
    pairs = (
        (off(1, 2, 5), off(17, 5, 6)),
        (off(8, 9, 12), (off(7, 5, 9) + off(8, 6, 10)) / 2),
        (off(21, 14), off(21, 15)),
        (off(24, 11), off(24, 16)),
    )
    body25 = np.concatenate([first for first, _ in pairs])
    body25b = np.concatenate([second for _, second in pairs])
    both = np.isfinite(body25) & np.isfinite(body25b)
    if not both.any():
        # With most joints hidden: OpenPose's neck and hips are in the middle, but for rounding.
        own = body25[np.isfinite(body25)]
        return "openpose25" if own.size and own.mean() < _MIDDLE else None
    one, other = float(body25[both].mean()), float(body25b[both].mean())
    if one * _CLEARER < other:
        return "openpose25"
    return "openpose25b" if other * _CLEARER < one else None
