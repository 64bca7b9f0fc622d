"""Number the frames of a clip by the names of their files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import Floats, KeypointFrames, format_error, frame_count

_SPARSEST = 100
"""Largest number of a video's frames for each one that has a name."""

# Stamps in the names, since 1970: the smallest number of each unit, and the unit in seconds.
_STAMPS = ((10**17, 1e-9), (10**14, 1e-6), (10**12, 1e-3))
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800


@dataclass(frozen=True)
class FrameNames:
    """The frames that names stand for.

    Attributes:
        frames: The number of frames, missing ones among them.
        frame_of: The frame of each name.
        timestamps: (frames,), seconds from the first, if the names are stamps.
        notes: What had to be assumed.
    """

    frames: int
    frame_of: dict[str, int]
    timestamps: Floats | None = None
    notes: tuple[str, ...] = ()


def read_by_name(
    frames: Mapping[str, Any], kind: str, read: Callable[[list[Any]], KeypointFrames]
) -> KeypointFrames:
    """Read frames that an object holds by the names of their images.

    Args:
        frames: The frames.
        kind: The kind of file, for errors.
        read: Reads a list of frames, in which None has no people.

    Raises:
        KeypointsError: See ``number_frames``; or ``read`` refuses the frames.
    """
    named = number_frames(list(frames), kind, from_zero=True)
    listed: list[Any] = [None] * named.frames
    for name, at in named.frame_of.items():
        listed[at] = frames[name]
    source = read(listed)
    notes = (*source.notes, *named.notes)
    return dataclasses.replace(source, timestamps=named.timestamps, notes=notes)


def number_frames(names: Sequence[str], kind: str, *, from_zero: bool) -> FrameNames:
    """Number frames by the one number that differs between their names.

    Args:
        names: The names, each once.
        kind: The kind of file, for errors.
        from_zero: Whether the clip begins with number 0, not with the smallest number.

    Raises:
        KeypointsError: The names are those of several series, such as two cameras or people, or
            their numbers are scattered.
    """
    parts = {name: re.split(r"(\d+)", _stem(name)) for name in names}
    texts = {tuple(part[0::2]) for part in parts.values()}
    if len(texts) > 1:
        if len(texts) > len(names) / 2:
            return _in_order(sorted(names, key=_natural), "the names are of no one pattern")
        raise _several(kind, ["#".join(text) for text in sorted(texts)])
    numbers = {name: [int(n[:40]) for n in part[1::2]] for name, part in parts.items()}
    places = range(len(numbers[names[0]]))
    varying = [place for place in places if len({row[place] for row in numbers.values()}) > 1]
    if len(varying) > 1:
        # One number that is there twice, such as a frame's and a file's, is one.
        last = varying[-1]
        shifts = {tuple(row[p] - row[last] for p in varying) for row in numbers.values()}
        if len(shifts) > 1:
            groups = {tuple(row[place] for place in varying[:-1]) for row in numbers.values()}
            if len(groups) <= len(names) / 2 or len({r[last] for r in numbers.values()}) < 3:
                raise _several(kind, [str(_example(names, numbers, g, varying)) for g in groups])
            order = sorted(names, key=lambda name: numbers[name])
            return _in_order(order, "the names hold several numbers")
    if not len(places):
        return FrameNames(1, {names[0]: 0})
    place = varying[-1] if varying else places[-1]
    of = {name: row[place] for name, row in numbers.items()}
    if len(set(of.values())) < len(of):
        raise format_error(kind, "two of its names have the same number")
    first, last_number = min(of.values()), max(of.values())
    for least, unit in _STAMPS:
        if least <= first and first * unit >= _YEAR_2000 and last_number * unit <= _YEAR_2100:
            order = sorted(names, key=of.__getitem__)
            times = np.array([(of[name] - first) * unit for name in order])
            frame_of = {name: frame for frame, name in enumerate(order)}
            return FrameNames(len(order), frame_of, times, ("the names are stamps of time",))
    base = 0 if from_zero else first
    frames = frame_count(kind, last_number - base)
    if last_number - first + 1 > _SPARSEST * (len(names) + 9):
        raise format_error(
            kind, f"the numbers of its {len(names)} frames are scattered, unlike a video's"
        )
    return FrameNames(frames, {name: number - base for name, number in of.items()})


def absent_note(frames: int, listed: int) -> tuple[str, ...]:
    """Return what to say about frames that a file does not list; nothing if it lists all."""
    absent = frames - listed
    return (f"{absent} of {frames} frames are not in the file: no one is seen there",)[:absent]


def _stem(name: str) -> str:
    path = PurePath(name[-200:])
    return str(path.with_suffix("")) if re.search("[A-Za-z]", path.suffix) else str(path)


def _natural(name: str) -> tuple[list[str], str]:
    return [n.zfill(20) if n.isdigit() else n for n in re.split(r"(\d+)", name)], name


def _in_order(order: Sequence[str], why: str) -> FrameNames:
    note = f"{why}; frames are in the order of the names, and none is missing"
    return FrameNames(len(order), {name: n for n, name in enumerate(order)}, notes=(note,))


def _example(
    names: Sequence[str],
    numbers: dict[str, list[int]],
    group: tuple[int, ...],
    varying: Sequence[int],
) -> str:
    return min(n for n in names if tuple(numbers[n][place] for place in varying[:-1]) == group)


def _several(kind: str, series: Sequence[str]) -> KeypointsError:
    shown = ", ".join(repr(name[:60]) for name in sorted(series)[:4])
    return KeypointsError(
        f"The input was read as {kind}, but its names are {len(series)} series, such as cameras or"
        f" people: {shown}.",
        hint="Put each series in a folder or file for itself.",
    )
