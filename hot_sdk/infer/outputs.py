"""The pictures of ``hot-infer``: a video of skeletons, an overview, a Rerun file."""

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
from hot_sdk.drawing import PersonClip, SideBySide, plot_result, write_rerun
from hot_sdk.drawing.side_by_side import DEFAULT_SIZE
from hot_sdk.errors import UsageError
from hot_sdk.infer.inputs import USUAL_FPS, Footage
from hot_sdk.streams import StreamReport
from hot_sdk.streams.offline import LiftedPeople
from hot_sdk.video import VideoReader, VideoWriter, open_video

_FASTEST_GIF = 50.0

Image = NDArray[np.uint8]


def check_pictures(video: Path | None, plot: Path | None, viewer: Path | None) -> None:
    """Check, before any heavy work, that the pictures that were asked for can be made.

    Raises:
        UsageError: A name ends wrongly or cannot be written.
        MissingDependencyError: A library is not installed.
    """
    kinds = (
        ("--video", video, (".mp4", ".gif")),
        ("--plot", plot, (".png",)),
        ("--viewer", viewer, (".rrd",)),
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
        # Opened for its checks alone: nothing is written before its with block.
        VideoWriter(video, size=DEFAULT_SIZE, fps=USUAL_FPS)
    if plot is not None:
        require("matplotlib", extra="viz", purpose="Plotting")
    if viewer is not None:
        require("rerun", extra="viz", purpose="A Rerun recording")


def write_video(path: Path, footage: Footage, lifted: LiftedPeople) -> Path:
    """Draw video, keypoints, poses and latency side by side.

    Raises:
        VideoError: The video cannot be read again, or the new one not be written.
    """
    people, frames = _clips(footage, lifted), len(footage.people[0])
    rate = footage.people[0].rate or USUAL_FPS
    step = math.ceil(rate / _FASTEST_GIF) if path.suffix.lower() == ".gif" else 1
    latency, times = _latency(footage, lifted), _times(footage)
    pictures = SideBySide(fps=rate)
    writer = VideoWriter(path, size=pictures.size, fps=rate / step)
    with _images(footage) as images, writer, Progress(f"drawing {path}") as bar:
        for frame, image in enumerate(images or itertools.repeat(None, frames)):
            shown = [person.frame(frame) for person in people]
            picture = pictures.draw(
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


def write_plots(path: Path, footage: Footage, lifted: LiftedPeople) -> list[Path]:
    """Plot each person; where there are several, the names end in their places from 1."""
    many = len(lifted.results) > 1
    # Equal shares of one time are no distribution.
    is_measured = footage.detection_ms is not None or isinstance(lifted.report, StreamReport)
    latency = _latency(footage, lifted) if is_measured else None
    return [
        plot_result(
            result,
            path.with_stem(f"{path.stem}_{place}") if many else path,
            latency_ms=latency,
        )
        for place, result in enumerate(lifted.results, start=1)
    ]


def write_viewer(path: Path, footage: Footage, lifted: LiftedPeople) -> Path:
    """Record everything for the Rerun viewer."""
    with _images(footage) as images:
        return write_rerun(
            path,
            _clips(footage, lifted),
            timestamps=_times(footage),
            images=images,
            latency_ms=_latency(footage, lifted),
        )


def _clips(footage: Footage, lifted: LiftedPeople) -> list[PersonClip]:
    pairs = zip(footage.people, lifted.results, strict=True)
    return [PersonClip(keypoints, result) for keypoints, result in pairs]


def _times(footage: Footage) -> NDArray[np.float64]:
    person = footage.people[0]
    if person.timestamps is not None:
        return person.timestamps
    return np.arange(len(person)) / (person.rate or USUAL_FPS)


def _latency(footage: Footage, lifted: LiftedPeople) -> NDArray[np.float64]:
    """(frames,), what each frame cost: finding its people, and lifting them."""
    found = footage.detection_ms
    return lifted.latency_ms if found is None else lifted.latency_ms + found


@contextlib.contextmanager
def _images(footage: Footage) -> Iterator[Iterator[Image] | None]:
    """The image of each frame, the one before where it could not be decoded; None for no video."""
    if footage.video is None:
        yield None
        return
    with open_video(footage.video) as video:
        yield _decoded(video, len(footage.people[0]))


def _decoded(video: VideoReader, frames: int) -> Iterator[Image]:
    place = 0
    image: Image = np.zeros((video.size[1], video.size[0], 3), dtype=np.uint8)
    for frame in video:
        for _ in range(place, min(frame.index, frames)):
            yield image
        if frame.index >= frames:
            return
        image, place = frame.image, frame.index + 1
        yield image
