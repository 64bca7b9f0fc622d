"""Read Sports2D's markers in pixels (.trc), and DeepLabCut's tables.

A .trc file has a header of five lines: names of settings, their values, among them ``DataRate`` and
``Units``, markers, axes; then the frame, the time, and x, y, z of each marker. Sports2D writes the
units ``px`` with y down; files in meters are 3D, or scaled, and are refused. A part of a skeleton's
joints is read as that skeleton, the others missing.

DeepLabCut's csv has lines ``scorer``, perhaps ``individuals``, ``bodyparts`` and ``coords`` (x, y,
likelihood) above a line for each frame, which begins with its number or the name of an image.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import re

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import (
    Detection,
    Floats,
    KeypointFrames,
    format_error,
    frame_count,
    require_room,
)
from hot_sdk.readers.joint_names import plain_name
from hot_sdk.readers.named import skeleton_of_names
from hot_sdk.readers.tables.rows import all_rows
from hot_sdk.skeletons import skeleton_format

TRC = "markers in pixels (.trc)"
DEEPLABCUT = "DeepLabCut csv"
_MARKER_SKELETONS = ("coco17", "halpe26")
"""The skeletons of Sports2D, of whose joints it writes those that it draws."""


def matches_trc(content: bytes) -> bool:
    """Return whether a file's content is a .trc file."""
    return content.startswith(b"PathFileType")


def matches_deeplabcut(content: bytes) -> bool:
    """Return whether a file's content is DeepLabCut's csv."""
    first = content.removeprefix(b"\xef\xbb\xbf")[:100].split(b",", 1)[0]
    return first.strip(b'" ') in (b"scorer", b"bodyparts")


def read_trc(content: bytes) -> KeypointFrames:
    """Read a .trc file.

    Raises:
        KeypointsError: It is broken or not in pixels, or its markers are of no known skeleton.
    """
    lines = _lines(content, TRC, "\t")
    if len(lines) < 5:
        raise format_error(TRC, "its header has less than five lines")
    settings = dict(zip(lines[1], lines[2], strict=False))
    units = settings.get("Units", "").strip()
    if units != "px":
        raise KeypointsError(
            f"The input was read as a .trc file, but its units are '{units[:20]}', not px: its"
            " markers are in 3D, or no longer in the image.",
            hint="Give Sports2D's file in pixels, whose name has _px_.",
        )
    markers = [name for name in lines[3][2:] if name.strip()]
    if not markers:
        raise format_error(TRC, "it has no markers")
    skeleton, places = _marker_skeleton(markers)
    require_room(TRC, len(lines) - 5, len(places))
    people = []
    for row in lines[5:]:
        if not any(cell.strip() for cell in row):
            continue
        cells = _cells(row[2:], TRC)
        table = np.full((len(markers), 3), np.nan)
        table.reshape(-1)[: len(cells)] = cells[: table.size]
        chosen = np.where(np.array(places)[:, None] >= 0, table[places, :2], np.nan)
        people.append(Detection(_frame(row[0], TRC), chosen, None, None))
    rate = settings.get("DataRate", "").strip()
    try:
        fps = float(rate)
    except ValueError as error:
        raise format_error(TRC, f"its DataRate is '{rate[:20]}'") from error
    source = _clip(TRC, people, skeleton, fps if 0.0 < fps < 1e4 else None)
    return source if skeleton else dataclasses.replace(source, joints=tuple(markers))


def read_deeplabcut(content: bytes) -> KeypointFrames:
    """Read DeepLabCut's csv.

    Raises:
        KeypointsError: It is broken or in 3D, or its body parts are of no known skeleton.
    """
    lines = _lines(content, DEEPLABCUT, ",")
    levels: dict[str, list[str]] = {}
    while lines and lines[0] and lines[0][0] in ("scorer", "individuals", "bodyparts", "coords"):
        row = lines.pop(0)
        levels[row[0]] = row
    if not {"bodyparts", "coords"} <= levels.keys():
        raise format_error(DEEPLABCUT, "it has no line of bodyparts or of coords")
    coords, parts = levels["coords"], levels["bodyparts"]
    # Images are named by several columns: folder, video and file.
    start = next((n for n, text in enumerate(coords) if text in ("x", "y")), len(coords))
    if "z" in coords:
        raise format_error(DEEPLABCUT, "it is in 3D; expected x, y and likelihood")
    owners = levels.get("individuals", ["" for _ in coords])
    columns: dict[str, dict[tuple[str, str], int]] = {}
    for number in range(start, min(len(coords), len(parts), len(owners))):
        columns.setdefault(owners[number], {})[parts[number], coords[number]] = number
    names = list(dict.fromkeys(name for at in columns.values() for name, _ in at))
    skeleton, places = skeleton_of_names(DEEPLABCUT, names)
    wanted = [names[place] for place in places]
    # One more column stands for what a person lacks.
    orders = {
        owner: [at.get((name, part), -1) for name in wanted for part in ("x", "y", "likelihood")]
        for owner, at in columns.items()
    }
    people: list[Detection] = []
    for row in lines:
        if not row:
            continue
        if len(row) != len(coords):
            raise format_error(DEEPLABCUT, "a row is shorter or longer than its header")
        frame = _frame(row[max(start - 1, 0)], DEEPLABCUT)
        cells = np.append(_cells(row[start:], DEEPLABCUT), math.nan)
        for owner, order in orders.items():
            table = cells[[at - start if at >= 0 else -1 for at in order]].reshape(-1, 3)
            # A person who is not in the frame has no numbers.
            if np.isnan(table[:, :2]).all() and len(orders) > 1:
                continue
            scores = None if np.isnan(table[:, 2]).all() else np.nan_to_num(table[:, 2])
            name = owner if "individuals" in levels and owner != "single" else None
            people.append(Detection(frame, table[:, :2], scores, name))
        require_room(DEEPLABCUT, len(people), len(wanted))
    source = _clip(DEEPLABCUT, people, skeleton, None)
    return source if skeleton else dataclasses.replace(source, joints=tuple(wanted))


def _clip(
    kind: str, people: list[Detection], skeleton: str | None, fps: float | None
) -> KeypointFrames:
    if not people:
        raise format_error(kind, "it shows no people")
    first = min(person.frame for person in people)
    frames = frame_count(kind, max(person.frame for person in people) - first)
    found = tuple(
        Detection(one.frame - first, one.points, one.scores, one.track_id) for one in people
    )
    notes = (f"the file's frame {first} is frame 0 here",) if first else ()
    kind = f"{kind} ({skeleton})" if skeleton else kind
    return KeypointFrames(kind, frames, found, skeleton, fps=fps, notes=notes)


def _marker_skeleton(markers: list[str]) -> tuple[str | None, list[int]]:
    """Return a skeleton and the place of each of its joints among markers, -1 if it is absent."""
    known = {plain_name(name): place for place, name in enumerate(markers)}
    for name in _MARKER_SKELETONS:
        joints = skeleton_format(name).joints
        if known.keys() <= set(joints):
            return name, [known.get(joint, -1) for joint in joints]
    skeleton, places = skeleton_of_names(TRC, markers)
    return skeleton, list(places)


def _lines(content: bytes, kind: str, delimiter: str) -> list[list[str]]:
    try:
        return all_rows(content, delimiter)
    except (ValueError, csv.Error) as error:
        raise format_error(kind, f"it cannot be read: {str(error)[:200]}") from error


def _cells(row: list[str], kind: str) -> Floats:
    """Return the numbers of cells, NaN if one is empty."""
    try:
        numbers = np.array([float(cell.strip() or math.nan) for cell in row])
    except ValueError as error:
        raise format_error(kind, f"it cannot be read: {str(error)[:120]}") from error
    numbers[np.isinf(numbers)] = np.nan
    return numbers


def _frame(text: str, kind: str) -> int:
    """Return the last number in a cell, such as the name of an image."""
    found = re.findall(r"\d{1,18}", text.removesuffix(".0")[-60:])
    if not found:
        raise format_error(kind, f"a row begins with {text[:40]!a}, which names no frame")
    return int(found[-1])
