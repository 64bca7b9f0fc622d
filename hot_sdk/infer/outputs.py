"""Save the drawings of ``hot-infer``: a video of skeletons, an overview plot, a Rerun file."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.files import require_writable_target
from hot_sdk._base.optional import require
from hot_sdk._base.progress import Progress
from hot_sdk.drawing import PersonClip, SideBySide, Style, plot_result, write_rerun
from hot_sdk.drawing.side_by_side import DEFAULT_SIZE
from hot_sdk.errors import UsageError
from hot_sdk.infer.inputs import Footage
from hot_sdk.offline import LiftedPeople
from hot_sdk.people import USUAL_FPS
from hot_sdk.streams import StreamReport
from hot_sdk.video import VideoReader, VideoWriter, open_video

_FASTEST_GIF = 50.0


def check_drawings(video: Path | None, plot: Path | None, rerun: Path | None) -> None:
    """Check, before any heavy work, that the requested drawings can be made.

    Raises:
        UsageError: A file has the wrong suffix or cannot be written.
        MissingDependencyError: A library is not installed.
    """
    kinds = (
        ("--save-video", video, (".mp4", ".gif")),
        ("--save-plot", plot, (".png",)),
        ("--save-rerun", rerun, (".rrd",)),
    )
    for flag, path, suffixes in kinds:
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise UsageError(
                f"{flag} is '{path}'.", hint=f"Give a name that ends in {' or '.join(suffixes)}."
            )
        require_writable_target(path)
    if video is not None:
        # Made for its checks alone: nothing is written before its with block.
        VideoWriter(video, size=DEFAULT_SIZE, fps=USUAL_FPS)
    if plot is not None:
        require("matplotlib", extra="viz", purpose="Plotting")
    if rerun is not None:
        require("rerun", extra="viz", purpose="A Rerun recording")


def save_video(
    path: Path, footage: Footage, lifted: LiftedPeople, *, turn_period_s: float | None = None
) -> Path:
    """Draw video, keypoints, poses and latency side by side.

    Args:
        path: The video to write.
        footage: What was lifted.
        lifted: The results.
        turn_period_s: Seconds per turn of the viewpoint; None for the camera's side.

    Raises:
        VideoError: The video cannot be read again, or the new one cannot be written.
    """
    people, frames = _clips(footage, lifted), len(footage.timestamps)
    rate = footage.people[0].effective_fps or USUAL_FPS
    step = math.ceil(rate / _FASTEST_GIF) if path.suffix.lower() == ".gif" else 1
    latency, times = _latency(footage, lifted), footage.timestamps
    style = Style(turn_period_s=turn_period_s)
    painter = SideBySide(fps=rate, counted=_counted(footage, lifted), style=style)
    writer = VideoWriter(path, size=painter.size, fps=rate / step)
    with _images(footage) as images, writer, Progress(f"drawing {path}") as bar:
        for frame, image in enumerate(images or itertools.repeat(None, frames)):
            shown = [person.frame(frame) for person in people]
            picture = painter.draw(
                image,
                [one for one in shown if one is not None],
                time_s=float(times[frame]),
                latency_ms=float(latency[frame]),
                image_size=footage.people[0].image_size,
            )
            if frame % step == 0:
                writer.write(picture)
            bar.update(frame + 1, frames)
    return path


def save_plots(path: Path, footage: Footage, lifted: LiftedPeople) -> list[Path]:
    """Plot each person; the names of several end in their numbers from 1."""
    is_one = len(lifted.results) == 1
    # Equal shares of one time are not a distribution.
    is_measured = footage.detection_ms is not None or isinstance(lifted.report, StreamReport)
    latency = _latency(footage, lifted) if is_measured else None
    return [
        plot_result(
            result, path if is_one else path.with_stem(f"{path.stem}_{number}"), latency_ms=latency
        )
        for number, result in enumerate(lifted.results, start=1)
    ]


def save_rerun(path: Path, footage: Footage, lifted: LiftedPeople) -> Path:
    """Record everything for the Rerun viewer."""
    with _images(footage) as images:
        return write_rerun(
            path,
            _clips(footage, lifted),
            timestamps=footage.timestamps,
            images=images,
            latency_ms=_latency(footage, lifted),
        )


def _clips(footage: Footage, lifted: LiftedPeople) -> list[PersonClip]:
    return [
        PersonClip(person, result, first_frame=person.first_frame - footage.first_frame)
        for person, result in zip(footage.people, lifted.results, strict=True)
    ]


def _latency(footage: Footage, lifted: LiftedPeople) -> NDArray[np.float64]:
    """Return the cost of each frame, (frames,): detection, tracking and lifting."""
    # Nothing is lifted before the first frame that shows someone, nor after the last.
    lifting = np.zeros(len(footage.timestamps))
    start = lifted.first_frame - footage.first_frame
    lifting[start : start + len(lifted.latency_ms)] = lifted.latency_ms
    return lifting if footage.detection_ms is None else lifting + footage.detection_ms


def _counted(footage: Footage, lifted: LiftedPeople) -> str:
    """Return what ``_latency`` counts, in a few words."""
    if footage.detection_ms is not None:
        return "detection + lifting per frame"
    is_stream = isinstance(lifted.report, StreamReport)
    return "lifting per frame" if is_stream else "lifting, mean of the clip"


@contextlib.contextmanager
def _images(footage: Footage) -> Iterator[Iterator[NDArray[np.uint8]] | None]:
    """Yield the images of all frames; None if there is no video."""
    if footage.video is None:
        yield None
        return
    with open_video(footage.video) as video:
        yield _one_per_frame(video, len(footage.timestamps))


def _one_per_frame(video: VideoReader, frames: int) -> Iterator[NDArray[np.uint8]]:
    """Yield an image for each frame, the previous one if a frame cannot be decoded."""
    shown = 0
    image: NDArray[np.uint8] = np.zeros((video.size[1], video.size[0], 3), dtype=np.uint8)
    for frame in video:
        for _ in range(shown, min(frame.index, frames)):
            yield image
        if frame.index >= frames:
            return
        image, shown = frame.image, frame.index + 1
        yield image
