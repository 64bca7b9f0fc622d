"""Read all people of a keypoint file, and track those who have no ids from frame to frame."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.keypoints import Keypoints, choose_person, people_of
from hot_sdk.readers import KeypointFrames, ReadOptions, read_frames
from hot_sdk.video.tracking import PeopleTimeline, Tracker

if TYPE_CHECKING:
    from typing_extensions import Unpack

USUAL_FPS = 30.0
"""Frames per second if nothing says how many."""

MIN_FRAMES = 10
"""Tracked people who are seen in fewer frames are dropped as chance detections."""


@dataclass(frozen=True, eq=False)
class People:
    """The people of a keypoint file.

    Attributes:
        people: Keypoints of each person, all of the same frames.
        notes: What the user should know about how the people were found.
    """

    people: tuple[Keypoints, ...]
    notes: tuple[str, ...] = ()


def read_people(path: str | Path, **options: Unpack[ReadOptions]) -> tuple[Keypoints, ...]:
    """Read one clip for each person of a file with track ids, all of the file's frames long.

    Args:
        path: The file or folder.
        **options: See ``Keypoints.from_file``.

    Raises:
        KeypointsError: See ``Keypoints.from_file``; or a frame shows several people without ids.
    """
    return people_of(read_frames(path, **options))


def read_tracked_people(
    path: str | Path,
    *,
    track_id: int | str | None = None,
    **options: Unpack[ReadOptions],
) -> People:
    """Read a keypoint file; people without ids are tracked from frame to frame.

    Args:
        path: The file or folder.
        track_id: The one person to return; all of them if None.
        **options: See ``Keypoints.from_file``.

    Raises:
        KeypointsError: The file is broken, or does not say what is needed.
        MissingDependencyError: People have to be tracked, and the tracker is not installed.
    """
    source = read_frames(path, **options)
    if track_id is not None:
        return People((choose_person(source, track_id),), source.notes)
    frames = [found.frame for found in source.detections]
    has_ids = any(found.track_id is not None for found in source.detections)
    if has_ids or len(set(frames)) == len(frames):
        return People(people_of(source), source.notes)
    people, dropped = track_people(source)
    note = f"{len(people)} people were identified by tracking, because the file has no ids"
    return People(people, (*source.notes, note + dropped_note(dropped)))


def track_people(source: KeypointFrames) -> tuple[tuple[Keypoints, ...], int]:
    """Track the people of a file without track ids.

    Returns:
        Keypoints of each person, and how many people were dropped because they are seen in a few
        frames only.

    Raises:
        KeypointsError: No person is seen for long enough.
        MissingDependencyError: The tracker is not installed.
    """
    rate = source.fps or USUAL_FPS
    times = source.timestamps
    if times is None:
        times = np.arange(source.frames) / rate
    seen: dict[int, list[Keypoints]] = {}
    for found in source.detections:
        first = dataclasses.replace(found, frame=0)
        one = dataclasses.replace(source, frames=1, detections=(first,), timestamps=None)
        seen.setdefault(found.frame, []).extend(people_of(one))
    tracker, timeline = Tracker(fps=rate), PeopleTimeline()
    for frame, time_s in enumerate(times.tolist()):
        timeline.add(time_s, tracker.update(seen.get(frame, ()), time_s))
    people, dropped = timeline.clips(min_frames=MIN_FRAMES)
    if not people:
        raise KeypointsError(
            "No person could be tracked from frame to frame.",
            hint="Write the file with tracking, or choose track_id='largest'.",
        )
    return tuple(
        dataclasses.replace(person, fps=source.fps, timestamps=source.timestamps)
        for person in people
    ), dropped


def dropped_note(people: int) -> str:
    """Return the end of a note on tracked people: how many were dropped."""
    if not people:
        return ""
    return f"; {people} more, seen in fewer than {MIN_FRAMES} frames, were left out"
