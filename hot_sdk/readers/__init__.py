"""Keypoint files of other tools, told apart by what is in them."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from hot_sdk.errors import KeypointsError
from hot_sdk.keypoints import Keypoints, checked_size
from hot_sdk.readers import alphapose, coco, csv_table, mediapipe, mmpose, npz, openpose
from hot_sdk.readers.detections import (
    LARGEST,
    MOST_DETECTIONS,
    Detection,
    KeypointFrames,
    TrackId,
    broken,
    check_sparseness,
    largest_of,
    people_of,
)
from hot_sdk.readers.json_values import parse, read_bytes

__all__ = [
    "FORMATS",
    "LARGEST",
    "Detection",
    "KeypointFrames",
    "choose_person",
    "read_frames",
    "read_keypoints",
    "read_people",
    "sniff",
]

FORMATS = ("openpose", "coco", "alphapose", "mediapipe", "mmpose", "named", "npz", "csv")

_LOG = logging.getLogger(__name__)

Size = tuple[int, int]


def read_frames(
    path: str | Path,
    *,
    skeleton: str | None = None,
    image_size: Size | None = None,
    fps: float | None = None,
    expected: str | None = None,
) -> KeypointFrames:
    """Read everybody that a keypoint file shows, frame by frame.

    Known are OpenPose's JSON (a folder of frames, or one), COCO's results and annotations,
    AlphaPose's and MMPose's JSON, MediaPipe's landmarks (JSON and npz), points by joint names
    (JSON), the keypoints of HoT's demo, archives of ``Keypoints``' own fields (npz) and tables
    (csv); each is described in the module of this package that reads it. What a file was taken for
    is logged, and named in its ``kind``.

    Args:
        path: The file or folder.
        skeleton: Of the joints, where the file does not say.
        image_size: Width and height in pixels, where the file does not say.
        fps: Frames a second, where the file does not say.
        expected: One of ``FORMATS``, to refuse a file of another; None takes any.

    Raises:
        KeypointsError: The file is none that is known, is broken or too large, contradicts an
            argument, or does not say what is needed.
    """
    size = None if image_size is None else checked_size(image_size)
    found, source = _read(Path(path), size)
    _check_format(Path(path), expected, found, source)
    _LOG.info("'%s' was taken for %s", path, source.kind)
    return source.completed(skeleton=skeleton, image_size=size, fps=fps)


def sniff(path: str | Path) -> str:
    """What a file is taken for by its content, in words, as in ``KeypointFrames.kind``.

    Raises:
        KeypointsError: It is none that is known, broken or too large.
    """
    # The size is only needed to scale shares of the image, which are not looked at here.
    return _read(Path(path), (1, 1))[1].kind


def read_people(
    path: str | Path,
    *,
    skeleton: str | None = None,
    image_size: Size | None = None,
    fps: float | None = None,
) -> tuple[Keypoints, ...]:
    """Read one clip for each person, all of the file's frames long; see ``read_frames``.

    Raises:
        KeypointsError: See ``read_frames``; or a frame shows several people without track ids.
    """
    return people_of(read_frames(path, skeleton=skeleton, image_size=image_size, fps=fps))


def read_keypoints(
    path: str | Path,
    *,
    skeleton: str | None = None,
    image_size: Size | None = None,
    fps: float | None = None,
    track_id: TrackId = None,
    expected: str | None = None,
) -> Keypoints:
    """Read one person's clip; see ``read_frames``.

    Args:
        path: The file or folder.
        skeleton: See ``read_frames``.
        image_size: See ``read_frames``.
        fps: See ``read_frames``.
        track_id: The person; ``largest`` takes the one with the largest box of each frame. Not
            needed where there is one.
        expected: See ``read_frames``.

    Raises:
        KeypointsError: See ``read_people``; or there are several people, or not this one.
    """
    source = read_frames(path, skeleton=skeleton, image_size=image_size, fps=fps, expected=expected)
    return choose_person(source, track_id)


def choose_person(source: KeypointFrames, track_id: TrackId) -> Keypoints:
    """One person's clip of a file's people; see ``read_keypoints``.

    Raises:
        KeypointsError: There are several people and none was chosen, or not this one.
    """
    if track_id == LARGEST:
        return largest_of(source)
    people = people_of(source)
    if track_id is None and len(people) == 1:
        return people[0]
    for person in people:
        if track_id is not None and person.track_id == track_id:
            return person
    known = ", ".join(repr(person.track_id) for person in people[:20])
    asked = "no one was chosen" if track_id is None else f"{track_id!r} is none of them"
    raise KeypointsError(
        f"The file shows {len(people)} people ({known}), and {asked}.",
        hint=f"Give track_id= one of them, or track_id='{LARGEST}'.",
    )


def _read(path: Path, image_size: Size | None) -> tuple[str, KeypointFrames]:
    """The format's name, one of ``FORMATS``, and what it holds."""
    if _is_folder(path):
        return "openpose", openpose.read_folder(path)
    found, source = _read_content(path, read_bytes(path), image_size)
    if len(source.detections) > MOST_DETECTIONS:
        raise broken(source.kind, f"it shows over {MOST_DETECTIONS} people in all frames together")
    check_sparseness(source)
    ordered = tuple(sorted(source.detections, key=lambda detection: detection.frame))
    return found, dataclasses.replace(source, detections=ordered)


def _read_content(
    path: Path, content: bytes, image_size: Size | None
) -> tuple[str, KeypointFrames]:
    if npz.matches(content):
        return "npz", npz.read(content)
    if csv_table.matches(content):
        return "csv", csv_table.read(content)
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        raise _unknown(path)
    data = parse(content, path)
    if openpose.matches(data):
        return "openpose", openpose.read(data)
    if mmpose.matches(data):
        return "mmpose", mmpose.read(data)
    if alphapose.matches(data):
        return "alphapose", alphapose.read(data)
    if coco.matches_results(data):
        return "coco", coco.read_results(data)
    if coco.matches_annotations(data):
        return "coco", coco.read_annotations(data)
    if mediapipe.matches_named(data):
        return "named", mediapipe.read_named(data)
    if mediapipe.matches(data):
        return "mediapipe", mediapipe.read(data, image_size)
    raise _unknown(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # Too long a name, for one; opening it as a file will say.
        return False


def _check_format(path: Path, expected: str | None, found: str, source: KeypointFrames) -> None:
    if expected in (None, found) or (expected == "mediapipe" and source.skeleton == "mediapipe33"):
        return
    raise KeypointsError(
        f"'{path}' was taken for {source.kind}, and {expected} was expected.",
        hint="Use Keypoints.from_file, which takes any format.",
    )


def _unknown(path: Path) -> KeypointsError:
    return KeypointsError(
        f"'{path}' is no keypoint file that is known.",
        hint="Known are JSON of OpenPose, COCO, AlphaPose, MMPose and MediaPipe, npz and csv; see"
        " help(hot_sdk.readers).",
    )
