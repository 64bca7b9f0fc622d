"""Read a folder that holds one file for each frame, recognized by the files' content.

OpenPose and its relatives (Pose2Sim, Sports2D, AlphaPose's ``sep-json``), MMPose's predictions of
single images and Ultralytics' summaries and labels come so, under any names: the number that
differs between the names is the frame, and a number without a file is a frame without people.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hot_sdk._base.budget import OverBudgetError, input_budget, require
from hot_sdk.errors import KeypointsError
from hot_sdk.readers import mmpose, openpose, ultralytics
from hot_sdk.readers.detections import MAX_FRAMES, KeypointFrames
from hot_sdk.readers.frame_names import number_frames
from hot_sdk.readers.json_values import parse, read_bytes

_SUFFIXES = (".json", ".txt")
_LARGEST_FRAME = 4 << 20

# Name of the format, whether a file is a frame, how frames are read.
_FAMILIES = (
    ("openpose", openpose.KIND, openpose.matches_frame, openpose.read),
    ("mmpose", mmpose.KIND, mmpose.matches_image, mmpose.read_images),
    ("ultralytics", ultralytics.KIND, ultralytics.matches_frame, ultralytics.read),
)


def frame_files(folder: Path) -> list[Path]:
    """Return the files of a folder, or of its only subfolder, that may hold a frame each.

    Raises:
        KeypointsError: There are none, too many, or several subfolders of them.
    """
    paths = _files(folder)
    if not paths:
        inner = {sub: files for sub in _entries(folder) if sub.is_dir() and (files := _files(sub))}
        if len(inner) > 1:
            shown = ", ".join(f"'{sub.name}'" for sub in sorted(inner)[:5])
            raise KeypointsError(
                f"The folder '{folder}' holds {len(inner)} folders of keypoint files: {shown}.",
                hint="Give one of them: each is a camera or a clip.",
            )
        paths = next(iter(inner.values()), [])
    if not 1 <= len(paths) <= MAX_FRAMES:
        raise KeypointsError(
            f"The folder '{folder}' holds {len(paths)} files of keypoints.",
            hint="Give the folder of one file for each frame (OpenPose's --write_json, MMPose's"
            " predictions, Ultralytics' labels), or one file.",
        )
    try:
        size = sum(path.stat().st_size for path in paths)
    except OSError as error:
        raise _unreadable(folder, error) from error
    try:
        require(size, input_budget().file_bytes, "bytes in its files")
    except OverBudgetError as error:
        raise KeypointsError(
            f"The folder '{folder}' cannot be read: {error}.", hint="Read a part of the frames."
        ) from error
    return paths


def read_folder(folder: Path, paths: list[Path]) -> tuple[str, KeypointFrames]:
    """Return the format's name and the content of a folder's one-frame files.

    Raises:
        KeypointsError: A file is broken or is no frame, or the files are several series.
    """
    contents: dict[str, Any] = {}
    for path in paths:
        content = read_bytes(path)
        if path.suffix.lower() == ".txt":
            contents[path.name] = content.decode("utf-8-sig", errors="replace")
        else:
            contents[path.name] = parse(content, path)
    texts = {name: text for name, text in contents.items() if isinstance(text, str)}
    labels = {n: t for n, t in texts.items() if not t.strip() or ultralytics.matches_labels(t)}
    if any(text.strip() for text in labels.values()) and len(labels) > len(contents) / 2:
        return "ultralytics", _joined(labels, contents, folder, ultralytics.LABELS)
    for name, kind, matches, _ in _FAMILIES:
        # An empty list is a frame without people.
        own = {n: data for n, data in contents.items() if matches(data) or data == []}
        if any(data != [] for data in own.values()):
            return name, _joined(own, contents, folder, kind)
    raise KeypointsError(
        f"No file of the folder '{folder}' is a frame of keypoints; the first is"
        f" '{next(iter(contents))}'.",
        hint="Give a folder of one-frame files, or one file of a whole clip.",
    )


def holds_frames(paths: Iterable[Path]) -> bool:
    """Return whether files of a folder are the frames of one clip, by the first of each pattern."""
    patterns: dict[str, list[Path]] = {}
    for path in sorted(paths):
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
            patterns.setdefault(re.sub(r"\d+", "#", path.name), []).append(path)
    # A clip may be of one frame, but then it is a file.
    return any(_is_frame(files[0]) for files in patterns.values() if len(files) > 1)


def _is_frame(path: Path) -> bool:
    try:
        if path.stat().st_size > _LARGEST_FRAME:
            return False
        content = read_bytes(path)
        if path.suffix.lower() == ".txt":
            return ultralytics.matches_labels(content.decode("utf-8-sig", errors="replace"))
        data = parse(content, path)
    except (OSError, KeypointsError):
        return False
    return any(matches(data) for _, _, matches, _ in _FAMILIES)


def _joined(
    own: dict[str, Any], contents: dict[str, Any], folder: Path, kind: str
) -> KeypointFrames:
    others = [name for name in contents if name not in own]
    patterns = {re.sub(r"\d+", "#", name) for name in own}
    for name in others:
        if re.sub(r"\d+", "#", name) in patterns:
            raise KeypointsError(
                f"'{folder / name}' is no frame of {kind}, unlike the other files of its folder.",
                hint="Check that the file is complete, or remove it.",
            )
    named = number_frames(list(own), kind, from_zero=False)
    frames: list[Any] = [None] * named.frames
    for name, frame in named.frame_of.items():
        frames[frame] = own[name] or None
    if kind == ultralytics.LABELS:
        source = ultralytics.read_labels(frames)
    else:
        source = next(read for _, known, _, read in _FAMILIES if known == kind)(frames)
    notes = [*source.notes, *named.notes]
    if named.frames > len(own):
        notes.append(f"{named.frames - len(own)} of {named.frames} frames have no file")
    if others:
        notes.append(f"{len(others)} other files, such as '{others[0]}', were left out")
    return dataclasses.replace(source, timestamps=named.timestamps, notes=tuple(notes))


def _files(folder: Path) -> list[Path]:
    paths = sorted(
        path for path in _entries(folder) if not path.name.startswith(".") and path.is_file()
    )
    usual = [path for path in paths if path.suffix.lower() in _SUFFIXES]
    return usual or [path for path in paths if not path.suffix]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: OSError) -> KeypointsError:
    return KeypointsError(
        f"The folder '{folder}' cannot be read: {error.strerror}.", hint="Check the path."
    )
