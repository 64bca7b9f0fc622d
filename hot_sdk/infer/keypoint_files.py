"""Keypoint files as ``hot-infer`` takes them, with ids or without."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hot_sdk.errors import KeypointsError
from hot_sdk.infer.footage import MIN_FRAMES, USUAL_FPS, Footage, left_out
from hot_sdk.keypoints import Keypoints
from hot_sdk.readers import KeypointFrames, choose_person, read_frames
from hot_sdk.readers.frames import people_of
from hot_sdk.video import PeopleTimeline, Tracker


@dataclass(frozen=True)
class KeypointOptions:
    """What the user said of keypoint files.

    Attributes:
        skeleton: Name of the joints' order; None where the files say it, as the next two.
        image_size: Width and height in pixels.
        fps: Frames a second.
        track_id: The one person to be lifted; None for everybody.
    """

    skeleton: str | None = None
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    track_id: int | str | None = None


def read_keypoint_file(path: Path, options: KeypointOptions) -> Footage:
    """Read a keypoint file; people without ids are tracked from frame to frame.

    Raises:
        KeypointsError: The file is broken, or does not say what is needed.
        MissingDependencyError: People have to be tracked, and the tracker is not installed.
    """
    source = read_frames(
        path, skeleton=options.skeleton, image_size=options.image_size, fps=options.fps
    )
    if options.track_id is not None:
        return Footage((choose_person(source, options.track_id),))
    if not _needs_tracking(source):
        return Footage(people_of(source))
    people, dropped = track_people(source)
    notes = f"{len(people)} people were told apart by tracking, for the file has no ids"
    return Footage(people, notes=(notes + left_out(dropped),))


def track_people(source: KeypointFrames) -> tuple[tuple[Keypoints, ...], int]:
    """Tell apart the people of a file that names nobody.

    Returns:
        Keypoints of each person, and how many were left out for being seen in a few frames only.

    Raises:
        KeypointsError: The file shows nobody for long enough.
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
            "Nobody could be followed from frame to frame.",
            hint="Write the file with tracking, or choose track_id='largest'.",
        )
    return tuple(
        dataclasses.replace(person, fps=source.fps, timestamps=source.timestamps)
        for person in people
    ), dropped


def _needs_tracking(source: KeypointFrames) -> bool:
    """Whether nobody has an id, and a frame shows several."""
    if any(found.track_id is not None for found in source.detections):
        return False
    frames = [found.frame for found in source.detections]
    return len(set(frames)) < len(frames)
