"""Take apart the JSON that programs write around the people of each frame.

There is one entry for each frame: in a list, in an object under ``frames`` or a like name, or in an
object by the number of the frame. An entry that is an object may say its number, its time and the
up direction in it; numbers that are skipped are frames without people. The object around the
entries may state the rate, the image's size, and what ``camera_fields`` describes.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import KeypointsError
from hot_sdk.readers.camera_fields import stated_knowledge
from hot_sdk.readers.detections import (
    MAX_DETECTIONS,
    MAX_FRAMES,
    Detection,
    Floats,
    KeypointFrames,
    format_error,
    frame_count,
)
from hot_sdk.readers.json_values import integer

_FRACTION = 4.0
"""No point in pixels is so near the corner in all frames, and no fraction so far outside."""

_WIDEST_STEP = 10
"""Detectors that skip frames skip fewer; steps of 16, 33 and 40 are milliseconds."""

_WRAPPERS = ("frames", "results", "data", "detections", "predictions", "poses", "frame_data")
_NUMBERS = frozenset(
    ("frame", "frameid", "frameindex", "frameidx", "framenumber", "framenum", "frameno")
)
_TIMES = frozenset(("timestamp", "time", "timestamps", "times", "t"))
_TIME_UNITS = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_RATES = ("fps", "frame_rate", "frameRate")
_SIZES = (("width", "height"), ("image_width", "image_height"), ("w", "h"))


@dataclass(frozen=True)
class FrameList:
    """The entries of a file, and what it says about them.

    Attributes:
        entries: What stands for each frame.
        keys: The number that the file gives each entry, unchecked; None if it gives none.
        about: The object around the entries, {} if there is none.
    """

    entries: Sequence[Any]
    keys: Sequence[Any] | None
    about: dict[str, Any]

    def numbers(self, kind: str) -> list[int]:
        """Return the frame of each entry, the smallest as 0."""
        if self.keys is None:
            return list(range(len(self.entries)))
        numbers = [integer(key, kind, "a frame's number") for key in self.keys]
        require_frame_numbers(numbers, kind)
        first = min(numbers)
        return [number - first for number in numbers]

    def clip(self, kind: str, people: list[Detection], skeleton: str | None) -> KeypointFrames:
        """Return the content with the frames, the times, the size and the rate that it says."""
        numbers = self.numbers(kind)
        if not people:
            raise format_error(kind, "it shows no people")
        frames = frame_count(kind, max(numbers))
        times, unit = self._times(numbers, frames)
        fps = next((self.about[name] for name in _RATES if name in self.about), None)
        rate = float(fps) if isinstance(fps, (int, float)) and 0 < fps < 1e4 else None
        size = next(
            (
                (int(self.about[w]), int(self.about[h]))
                for w, h in _SIZES
                if type(self.about.get(w)) is int and type(self.about.get(h)) is int
            ),
            None,
        )
        source = KeypointFrames(
            f"{kind} with times in {unit}" if unit else kind,
            frames,
            tuple(people),
            skeleton,
            image_size=size if size is not None and min(size) > 0 else None,
            fps=rate if times is None else None,
            timestamps=times,
            knowledge=stated_knowledge(kind, self._stated(numbers, frames), frames),
        )
        table = np.concatenate([person.points for person in people])
        relative = bool(np.nanmax(np.abs(table), initial=0.0) <= _FRACTION)
        return dataclasses.replace(source, relative=relative)

    def _stated(self, numbers: list[int], frames: int) -> dict[str, Any]:
        """Return what the file says around its entries; each may also have its own ``up``."""
        ups = {
            number: entry["up"]
            for number, entry in zip(numbers, self.entries, strict=True)
            if isinstance(entry, dict) and isinstance(entry.get("up"), list)
        }
        if not ups or "up" in self.about:
            return self.about
        whole: list[Any] = [[None] * 3] * frames
        for number, up in ups.items():
            whole[number] = up
        return {**self.about, "up": whole}

    def _times(self, numbers: list[int], frames: int) -> tuple[Floats | None, str]:
        """Return seconds for all frames, and the unit if the file does not say it."""
        names = {key for entry in self.entries if isinstance(entry, dict) for key in entry}
        name = next((name for name in sorted(names) if _is_time(name)), None)
        if name is None or len(set(numbers)) < 3:
            return None, ""
        values = [entry.get(name) if isinstance(entry, dict) else None for entry in self.entries]
        if not all(isinstance(value, (int, float)) and abs(value) < 1e20 for value in values):
            return None, ""
        seen = dict(zip(numbers, values, strict=True))
        places = np.array(sorted(seen), dtype=np.float64)
        times = np.array([seen[number] for number in sorted(seen)], dtype=np.float64)
        if not (np.diff(times) > 0.0).all():
            return None, ""
        interval = float(np.median(np.diff(times) / np.diff(places)))
        unit = _TIME_UNITS.get(_suffix(name))
        shown = ""
        if unit is None:
            # Cameras take 1 to 1000 frames per second, so that one unit alone fits; if it is
            # exactly 1, it may count frames.
            if interval == 1.0 or not 1e-3 < interval < 1e9:
                return None, ""
            power = int(np.floor(np.log10(interval) / 3.0)) + 1
            unit = 1e-3**power
            shown = ("", "milliseconds", "microseconds", "nanoseconds")[power]
        whole: Floats = np.interp(np.arange(frames), places, (times - times[0]) * unit)
        return whole, shown


def require_frame_numbers(numbers: Sequence[int] | NDArray[np.int64], kind: str) -> None:
    """Raise if numbers are in so wide steps that they are times.

    Raises:
        KeypointsError: They are.
    """
    steps = np.diff(np.unique(np.array(numbers, dtype=np.float64)))
    if len(steps) > 1 and np.median(steps) > _WIDEST_STEP:
        raise KeypointsError(
            f"The input was read as {kind}, but its frames are numbered in steps of about"
            f" {np.median(steps):.0f}, as times are.",
            hint="Number the frames 0, 1, 2, and so on, and give times as 'timestamp'.",
        )


def require_few_entries(data: object) -> None:
    """Raise for parsed JSON of more entries than are read, before each of them is looked at.

    Raises:
        KeypointsError: There are more.
    """
    most = MAX_FRAMES if isinstance(data, dict) else MAX_DETECTIONS
    if isinstance(data, (dict, list)) and len(data) > most:
        kind = "an object" if isinstance(data, dict) else "a list"
        raise KeypointsError(
            f"The input has {kind} of {len(data)} entries; at most {most} are read.",
            hint="Cut the file in parts.",
        )


def frame_list(data: object, one_frame: Sequence[str] = ()) -> FrameList | None:
    """Return the entries of parsed JSON, None if it does not look like a list of frames.

    Args:
        data: Parsed JSON.
        one_frame: Keys of an object that is the only frame.

    Raises:
        KeypointsError: There are more entries than are read.
    """
    about: dict[str, Any] = {}
    if isinstance(data, dict):
        inner = next(
            (data[name] for name in _WRAPPERS if isinstance(data.get(name), (list, dict))), None
        )
        if inner is not None:
            about, data = data, inner
    require_few_entries(data)
    if isinstance(data, dict):
        if any(name in data for name in one_frame):
            return FrameList([data], None, about)
        found = [re.search(r"(\d{1,18})\D{0,8}$", key) for key in data]
        if not found or None in found:
            return None
        keys = [int(match[1]) for match in found if match is not None]
        # Otherwise the numbers are no frames, such as "cam1" and "cam1b".
        return FrameList(list(data.values()), keys, about) if len(set(keys)) == len(keys) else None
    if not isinstance(data, list) or not data:
        return None
    numbered = list(itertools.takewhile(lambda number: number is not None, map(_number, data)))
    return FrameList(data, numbered if len(numbered) == len(data) else None, about)


def _number(entry: object) -> object:
    if not isinstance(entry, dict):
        return None
    return next((v for k, v in entry.items() if k.lower().replace("_", "") in _NUMBERS), None)


def _is_time(name: str) -> bool:
    plain = name.lower().replace("_", "")
    return plain in _TIMES or (plain.startswith("time") and _suffix(name) in _TIME_UNITS)


def _suffix(name: str) -> str:
    """Return what follows "time" or "timestamp" in a name."""
    plain = name.lower().replace("_", "")
    return "" if plain in _TIMES else plain.removeprefix("timestamp").removeprefix("time")
