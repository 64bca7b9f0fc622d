"""Read the keypoint files of other tools, recognized by their content."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TypedDict

from hot_sdk._base.validation import closest
from hot_sdk.errors import KeypointsError
from hot_sdk.readers import (
    alphapose,
    coco,
    coco_annotations,
    folders,
    foreign,
    mediapipe,
    mmpose,
    named,
    openpifpaf,
    openpose,
    ultralytics,
)
from hot_sdk.readers.arrays import npy, npz
from hot_sdk.readers.detections import (
    MAX_DETECTIONS,
    ArrayDetections,
    Detection,
    KeypointFrames,
    checked_image_size,
    format_error,
    with_notes_on_scores,
    without_doubtful_ids,
)
from hot_sdk.readers.frame_lists import require_few_entries
from hot_sdk.readers.json_values import parse, read_bytes
from hot_sdk.readers.tables import csv_table, marker_tables

__all__ = ["FORMATS", "Detection", "KeypointFrames", "ReadOptions", "read_frames", "sniff"]

FORMATS = (
    "openpose",
    "coco",
    "alphapose",
    "mediapipe",
    "mmpose",
    "ultralytics",
    "openpifpaf",
    "vitpose",
    "named",
    "npz",
    "npy",
    "csv",
    "deeplabcut",
    "trc",
)

_LOG = logging.getLogger(__name__)

# Name of the format, whether parsed JSON is of it, and how it is read; the first match counts.
_JSON_READERS = (
    ("openpose", openpose.matches, openpose.read),
    ("openpose", openpose.matches_kinetics, openpose.read_kinetics),
    ("ultralytics", ultralytics.matches, ultralytics.read),
    ("openpifpaf", openpifpaf.matches, openpifpaf.read),
    ("vitpose", openpifpaf.matches_vitpose, openpifpaf.read_vitpose),
    ("mmpose", mmpose.matches, mmpose.read),
    ("alphapose", alphapose.matches, alphapose.read),
    ("alphapose", alphapose.matches_by_image, alphapose.read_by_image),
    ("alphapose", alphapose.matches_by_person, alphapose.read_by_person),
    ("coco", coco_annotations.matches, coco_annotations.read),
    ("coco", coco.matches_results, coco.read_results),
    ("vitpose", named.matches_vitpose, named.read),
    ("named", named.matches, named.read),
    ("mediapipe", mediapipe.matches, mediapipe.read),
)

# A small file must not claim the memory of a large one.
_MAX_FRAMES_PER_DETECTION, _ALWAYS_ACCEPTED = 1000, 10_000


class ReadOptions(TypedDict, total=False):
    """What the caller of a reader knows and the file may not say; see ``read_frames``."""

    skeleton: str | None
    image_size: tuple[int, int] | None
    fps: float | None


def read_frames(
    path: str | Path,
    format: str | None = None,  # noqa: A002
    *,
    skeleton: str | None = None,
    image_size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> KeypointFrames:
    """Read all people of a keypoint file, frame by frame.

    Accepts OpenPose's JSON (a folder of frames, or one), COCO's results and annotations, the JSON
    of AlphaPose, MMPose (or a folder of images' predictions) and Ultralytics (or a folder of
    labels), MediaPipe's landmarks (JSON and npz), points by joint names (JSON), the JSON of
    OpenPifPaf and ViTPose, JSON lines, the keypoints of the demos of HoT and MotionAGFormer and of
    VideoPose3D (npz), arrays (npz, npy), archives of ``Keypoints``' own fields (npz), and tables
    (csv, DeepLabCut's, .trc in pixels); each is described in the module of this package that reads
    it. What a file was recognized as is logged, and named in ``kind``.

    Args:
        path: The file or folder.
        format: One of ``FORMATS``, to refuse a file of another; None accepts any.
        skeleton: Name of the joints' order, if the file does not name it. It wins over an order
            that only follows from the number of joints, which is then reported in ``notes``.
        image_size: Width and height in pixels, if the file does not say.
        fps: Frames per second, if the file does not say.

    Raises:
        KeypointsError: The file is not recognized, broken or too large, contradicts an argument,
            or does not say what is needed.
    """
    if format is not None and format not in FORMATS:
        raise KeypointsError(f"Unknown format {format!r}.", hint=closest(str(format), FORMATS))
    if image_size is not None:
        image_size = checked_image_size(image_size)
    found, source = _read(Path(path))
    landmarks = format == "mediapipe" and source.skeleton == "mediapipe33"
    if format not in (None, found) and not landmarks:
        raise KeypointsError(
            f"'{path}' was read as {source.kind}, but {format} was expected.",
            hint="Leave the format out to accept any.",
        )
    _LOG.info("'%s' was read as %s", path, source.kind)
    source = source.with_defaults(skeleton=skeleton, image_size=image_size, fps=fps)
    for note in source.notes:
        _LOG.warning("'%s': %s", path, note)
    return source


def sniff(path: str | Path) -> str:
    """Return what a file is recognized as by its content, in words.

    Raises:
        KeypointsError: The file is not recognized, broken or too large.
    """
    return _read(Path(path))[1].kind


def _read(path: Path) -> tuple[str, KeypointFrames]:
    """Return the format's name, one of ``FORMATS``, and the content."""
    paths = folders.frame_files(path) if _is_folder(path) else [path]
    if len(paths) > 1:
        found, source = folders.read_folder(path, paths)
    else:
        found, source = _read_content(paths[0], read_bytes(paths[0]))
    count = len(source.detections)
    if count > MAX_DETECTIONS:
        raise format_error(source.kind, f"it shows over {MAX_DETECTIONS} people in all frames")
    if source.frames > max(_ALWAYS_ACCEPTED, _MAX_FRAMES_PER_DETECTION * count):
        raise format_error(source.kind, f"of {source.frames} frames only {count} show people")
    if not isinstance(source.detections, ArrayDetections):
        ordered = tuple(sorted(source.detections, key=lambda detection: detection.frame))
        source = dataclasses.replace(source, detections=ordered)
    return found, with_notes_on_scores(without_doubtful_ids(source))


def _read_content(path: Path, content: bytes) -> tuple[str, KeypointFrames]:
    if npy.matches(content):
        return "npy", npy.read(content)
    if npz.matches(content):
        return "npz", npz.read(content)
    if marker_tables.matches_trc(content):
        return "trc", marker_tables.read_trc(content)
    if marker_tables.matches_deeplabcut(content):
        return "deeplabcut", marker_tables.read_deeplabcut(content)
    if csv_table.matches(content):
        return "csv", csv_table.read(content)
    data = None
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        data = parse(content, path)
        require_few_entries(data)
        for name, matches, read in _JSON_READERS:
            if matches(data):
                return name, read(data)
    raise foreign.error_for(path, content, data)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # For example, the name is too long; opening it as a file reports it.
        return False
