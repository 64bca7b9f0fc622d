"""Recognize a keypoint file by its content, and read it.

The readers of folders and of text are imported with the first of these: together they take longer
to import than a short clip to lift.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hot_sdk.readers.arrays import npy, npz
from hot_sdk.readers.detections import (
    MAX_DETECTIONS,
    ArrayDetections,
    KeypointFrames,
    format_error,
    with_notes_on_scores,
    without_doubtful_ids,
)
from hot_sdk.readers.json_values import read_bytes

# A small file must not claim the memory of a large one.
_MAX_FRAMES_PER_DETECTION, _ALWAYS_ACCEPTED = 1000, 10_000


def read_any(path: Path) -> tuple[str, KeypointFrames]:
    """Return the format's name, one of ``FORMATS``, and the content.

    Raises:
        KeypointsError: The file is not recognized, broken or too large.
    """
    if _is_folder(path):
        found, source = _read_folder(path)
    else:
        found, source = _read_content(path, read_bytes(path))
    count = len(source.detections)
    if count > MAX_DETECTIONS:
        raise format_error(source.kind, f"it shows over {MAX_DETECTIONS} people in all frames")
    if source.frames > max(_ALWAYS_ACCEPTED, _MAX_FRAMES_PER_DETECTION * count):
        raise format_error(source.kind, f"of {source.frames} frames only {count} show people")
    if not isinstance(source.detections, ArrayDetections):
        ordered = tuple(sorted(source.detections, key=lambda detection: detection.frame))
        source = dataclasses.replace(source, detections=ordered)
    return found, with_notes_on_scores(without_doubtful_ids(source))


def _read_folder(path: Path) -> tuple[str, KeypointFrames]:
    from hot_sdk.readers import folders

    files = folders.frame_files(path)
    if len(files) > 1:
        return folders.read_folder(path, files)
    return _read_content(files[0], read_bytes(files[0]))


def _read_content(path: Path, content: bytes) -> tuple[str, KeypointFrames]:
    if npy.matches(content):
        return "npy", npy.read(content)
    if npz.matches(content):
        return "npz", npz.read(content)
    from hot_sdk.readers.text_files import read_text

    return read_text(path, content)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # For example, the name is too long; opening it as a file reports it.
        return False
