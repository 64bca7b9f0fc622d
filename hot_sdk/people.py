"""Read all people of a keypoint file, and track those who have no ids from frame to frame."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import KeypointsError
from hot_sdk.keypoints import LARGEST, Keypoints, choose_person, people_of
from hot_sdk.readers import KeypointFrames, ReadOptions, read_frames
from hot_sdk.readers.detections import is_untracked
from hot_sdk.timestamps import measured_fps
from hot_sdk.video.extraction import SHORTEST_S, frames_of_seconds, left_out
from hot_sdk.video.tracking import PeopleTimeline, Tracker, fewest_frames

if TYPE_CHECKING:
    from typing_extensions import Unpack

USUAL_FPS = 30.0
"""Frames per second if nothing says how many."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class People:
    """The people of a keypoint file.

    Attributes:
        people: Keypoints of each person.
        timestamps: (frames,), seconds, of all frames of the file; at 30 frames per second if
            neither the file nor the caller says how many.
        first_frame: Number of the file's first frame.
        notes: What the user should know about how the people were found.
    """

    people: tuple[Keypoints, ...]
    timestamps: NDArray[np.float64]
    first_frame: int
    notes: tuple[str, ...] = ()


def read_people(path: str | Path, **options: Unpack[ReadOptions]) -> tuple[Keypoints, ...]:
    """Read one clip for each person of a file with track ids, all of the file's frames long.

    ``Keypoints.trimmed`` cuts a clip to the frames in which its person is seen.

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
    min_frames: int | None = None,
    **options: Unpack[ReadOptions],
) -> People:
    """Read a keypoint file; people without ids are tracked from frame to frame.

    The clips of several people begin with the first frame that shows the person and end with the
    last; a file of one person is one clip of all its frames.

    Args:
        path: The file or folder.
        track_id: The one person to return; all of them if None.
        min_frames: Of several people, those seen in fewer frames are left out (in fewer than half
            of all frames, if the file is shorter than twice this); 1 keeps everyone, None is 1.5
            seconds.
        **options: See ``Keypoints.from_file``.

    Raises:
        KeypointsError: The file is broken, does not say what is needed, or shows no one for long
            enough.
        MissingDependencyError: People have to be tracked, and the tracker is not installed.
    """
    source = read_frames(path, **options)
    extent = _times_of(source), source.first_frame
    if track_id == LARGEST:
        return People((choose_person(source, track_id),), *extent, source.notes)
    if is_untracked(source):
        if track_id is not None:
            return People((choose_person(source, track_id),), *extent, source.notes)
        people, dropped, least = track_people(source, min_frames=min_frames)
        who = "1 person was" if len(people) == 1 else f"{len(people)} people were"
        note = f"{who} identified by tracking, because the file has no ids"
        notes = (*source.notes, note)
    else:
        everyone = people_of(source)
        if track_id is not None:
            # Chosen among all of them, or refused.
            chosen = choose_person(source, track_id)
            one = chosen.trimmed() if len(everyone) > 1 else chosen
            return People((one,), *extent, source.notes)
        notes = source.notes
        if len(everyone) == 1:
            return People(everyone, *extent, notes)
        least = fewest_frames(_min_frames(source, min_frames), source.frames)
        people = tuple(one.trimmed() for one in everyone if _seen(one) >= least)
        dropped = len(everyone) - len(people)
        if not people:
            raise KeypointsError(
                f"None of the {dropped} people is seen in at least {least} frames.",
                hint="Keep everyone with min_frames=1, or --min-frames 1 on a command line.",
            )
    if dropped:
        warning = left_out(dropped, least)
        _LOG.warning("'%s': %s", path, warning)
        notes += (warning,)
    people = tuple(dataclasses.replace(one, warnings=notes) for one in people)
    return People(people, *extent, notes)


def track_people(
    source: KeypointFrames, *, min_frames: int | None = None
) -> tuple[tuple[Keypoints, ...], int, int]:
    """Track the people of a file without track ids.

    Args:
        source: The file's content.
        min_frames: See ``read_tracked_people``.

    Returns:
        Keypoints of each person while seen, how many people were left out because they are seen
        too briefly, and in how many frames they would have had to be seen.

    Raises:
        KeypointsError: No person is seen for long enough.
        MissingDependencyError: The tracker is not installed.
    """
    seen: dict[int, list[Keypoints]] = {}
    for found in source.detections:
        first = dataclasses.replace(found, frame=0)
        # The up direction of each frame is added below.
        known = dataclasses.replace(source.knowledge, up=None)
        one = dataclasses.replace(
            source, frames=1, detections=(first,), timestamps=None, knowledge=known
        )
        seen.setdefault(found.frame, []).extend(people_of(one))
    tracker, timeline = Tracker(fps=source.fps or USUAL_FPS), PeopleTimeline()
    for frame, time_s in enumerate(_times_of(source).tolist()):
        timeline.add(time_s, tracker.update(seen.get(frame, ()), time_s))
    least = _min_frames(source, min_frames)
    people, dropped = timeline.clips(min_frames=least)
    if not people:
        raise KeypointsError(
            "No person could be tracked from frame to frame.",
            hint="Write the file with tracking, or choose track_id='largest'.",
        )
    named = tuple(
        dataclasses.replace(
            one,
            first_frame=source.first_frame + one.first_frame,
            # Times that were only assumed are not the file's.
            timestamps=None if source.timestamps is None else one.timestamps,
            fps=source.fps if source.timestamps is None else None,
            up=source.knowledge.up_of(slice(one.first_frame, one.first_frame + len(one))),
        )
        for one in people
    )
    return named, dropped, fewest_frames(least, source.frames)


def _min_frames(source: KeypointFrames, given: int | None) -> int:
    if given is not None:
        return given
    rate = source.fps
    if rate is None and source.timestamps is not None and len(source.timestamps) > 1:
        rate = measured_fps(source.timestamps)
    return frames_of_seconds(SHORTEST_S, rate)


def _times_of(source: KeypointFrames) -> NDArray[np.float64]:
    if source.timestamps is not None:
        return source.timestamps
    return (source.first_frame + np.arange(source.frames)) / (source.fps or USUAL_FPS)


def _seen(person: Keypoints) -> int:
    """Return the number of frames that show a joint."""
    return int(np.count_nonzero(~np.isnan(person.points[..., 0]).all(axis=1)))
