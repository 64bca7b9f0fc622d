"""Extract the 2D keypoints of all people in a video."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import UsageError, VideoError
from hot_sdk.keypoints import MAX_FRAMES, Keypoints
from hot_sdk.video.detector import Detector
from hot_sdk.video.files import Frame, frame_step
from hot_sdk.video.reader import VideoReader, open_video
from hot_sdk.video.tracking import PeopleTimeline, Tracker, fewest_frames

SHORTEST_S = 1.5
"""Seconds for which a person has to be seen: half of what a network sees at once, or less, is a
wrong detection or a piece of someone's track more often than a person."""

_CAMERA_FPS = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class VideoKeypoints:
    """The people who were found in a video.

    Attributes:
        people: Keypoints of each person from the first frame to the last that shows the person,
            NaN in between if not found; in the order of their ids. May be empty. Their
            ``first_frame`` and timestamps are those of the video, their warnings those below.
        timestamps: (frames,), seconds, of all frames of the video.
        image_size: Width and height in pixels.
        fps: Nominal frames per second of the video, or those given; None if it does not say.
        detector: Name and version of the detector.
        undecodable_frames: Frames that could not be decoded; they have a place on the timeline, and
            no people in it.
        missing_at_end: Frames that the file claims but that are missing at its end.
        detection_ms: (frames,), the time for detection and tracking in each frame; NaN for a frame
            that could not be decoded.
        dropped_people: People left out because they were found in fewer than ``min_frames``.
        min_frames: In how many frames a person had to be found.
        warnings: What a reader of the poses has to know: that people were left out, or that a
            camera ended early. They were also logged.
    """

    people: tuple[Keypoints, ...]
    timestamps: NDArray[np.float64]
    image_size: tuple[int, int]
    fps: float | None
    detector: str
    undecodable_frames: int
    missing_at_end: int
    detection_ms: NDArray[np.float64]
    dropped_people: int
    min_frames: int
    warnings: tuple[str, ...] = ()


def keypoints_from_video(
    source: str | Path | int,
    detector: Detector,
    tracker: Tracker | None = None,
    *,
    fps: float | None = None,
    min_frames: int | None = None,
    max_frames: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    on_frame: Callable[[Frame], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> VideoKeypoints:
    """Find the people in a video and track them from frame to frame.

    The detector's ``max_people`` limits how many people are found. The detector and the tracker
    remember this video afterwards: give each video its own, and close the detector.

    A camera or stream that stops giving frames ends there: what was seen is returned, with a
    warning.

    Args:
        source: What ``open_video`` accepts.
        detector: Finds the people in one frame.
        tracker: Gives them ids; None for a ``Tracker`` at the video's frame rate.
        fps: Frames per second at which the video was taken, if it is not what it says; see
            ``open_video``.
        min_frames: People found in fewer frames are left out (in fewer than half of all frames, if
            the video is shorter than twice this); 1 keeps everyone, None is 1.5 seconds.
        max_frames: Stop after this many decoded frames.
        progress: Called after each frame with the number of frames done, and the total or None if
            it is unknown.
        on_frame: Called with each decoded frame, for example to keep what a camera saw.
        stop: Called before each frame; True ends the video there.

    Raises:
        UsageError: A number is out of range, or a live source has neither ``max_frames`` nor
            ``stop``.
        VideoError: The video or the detector fails, or the video is over a million frames long.
    """
    for name, value in (("min_frames", min_frames), ("max_frames", max_frames)):
        if value is not None and (isinstance(value, bool) or value < 1):
            raise UsageError(f"{name} is {value!r}.", hint="Give a whole number from 1.")
    timeline = PeopleTimeline()
    with open_video(source, fps=fps) as video:
        if video.is_live and max_frames is None and stop is None:
            raise UsageError(
                f"'{video.name}' has no end.", hint="Give max_frames, or stop, to end it."
            )
        tracker = tracker or Tracker(fps=video.fps or _CAMERA_FPS)
        total = video.frame_count
        if max_frames is not None:
            total = max_frames if total is None else min(max_frames, total)
        detection_ms: list[float] = []
        found_out: list[str] = []
        for frame in _frames(video, found_out):
            if stop is not None and stop():
                break
            if frame.index >= MAX_FRAMES:
                raise VideoError(
                    f"'{video.name}' has over {MAX_FRAMES} frames.", hint="Split it into parts."
                )
            lost = frame.index - len(timeline)
            for time_s in _times_between(timeline, frame.timestamp_s, lost):
                timeline.add(time_s, ())
                detection_ms.append(math.nan)
            if on_frame is not None:
                on_frame(frame)
            start = time.perf_counter()
            found = tracker.update(detector(frame.image, frame.timestamp_s), frame.timestamp_s)
            detection_ms.append(1e3 * (time.perf_counter() - start))
            timeline.add(frame.timestamp_s, found)
            if progress is not None:
                progress(video.decoded, total)
            if video.decoded == max_frames:
                break
        if min_frames is None:
            # Not the nominal rate, which may be anything.
            step_s = frame_step(timeline.timestamps.tolist())
            min_frames = frames_of_seconds(SHORTEST_S, 1.0 / step_s if step_s else None)
        people, dropped = timeline.clips(min_frames=min_frames)
        least = fewest_frames(min_frames, len(timeline))
        if dropped:
            found_out.append(left_out(dropped, least))
        for warning in found_out:
            _log.warning("'%s': %s", video.name, warning)
        warnings = (*video.warnings, *found_out)
        return VideoKeypoints(
            people=tuple(dataclasses.replace(person, warnings=warnings) for person in people),
            timestamps=timeline.timestamps,
            image_size=video.size,
            fps=video.fps,
            detector=f"{detector.name} {detector.version}",
            undecodable_frames=video.undecodable_frames,
            missing_at_end=video.missing_at_end,
            detection_ms=np.array(detection_ms),
            dropped_people=dropped,
            min_frames=least,
            warnings=warnings,
        )


def frames_of_seconds(seconds: float, fps: float | None) -> int:
    """Return how many frames seconds are, at least 1; at 30 per second if the rate is unknown."""
    return max(1, math.ceil(seconds * (fps or _CAMERA_FPS) - 1e-6))


def left_out(people: int, min_frames: int) -> str:
    """Return what to say about people who were found too briefly."""
    who = "person was" if people == 1 else "people were"
    return f"{people} more {who} left out, found in fewer than {min_frames} frames."


def _frames(video: VideoReader, warnings: list[str]) -> Iterator[Frame]:
    """Yield the frames; a live source that fails after its first frame ends with a warning."""
    frames = iter(video)
    while True:
        try:
            frame = next(frames, None)
        except VideoError as error:
            if not video.is_live or not video.decoded:
                raise
            warnings.append(f"The recording ended early, and what was seen before is kept: {error}")
            return
        if frame is None:
            return
        yield frame


def _times_between(timeline: PeopleTimeline, end: float, frames: int) -> list[float]:
    """Return evenly spaced times of lost frames before ``end``; from 0 if none came before."""
    if not len(timeline):
        return [end * place / frames for place in range(frames)]
    last = float(timeline.timestamps[-1])
    return [last + (end - last) * place / (frames + 1) for place in range(1, frames + 1)]
