"""Measure how many pictures per second are drawn, and how many are drawn and written as mp4.

    python benchmarks/studies/drawing_speed.py --frames 300 --rounds 3

Draws 1280 x 480 pictures of a 1768 x 994 video with one and with two moving people, a full latency
strip included. The content of the video does not change the time: it is noise here, scaled and
copied like any other. No display is needed.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_report
from hot_sdk._base.timing import interleaved_times
from hot_sdk.benchmarks.evaluation import load_starter_val
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.drawing import PersonFrame, SideBySide
from hot_sdk.drawing.canvas import opencv
from hot_sdk.skeletons import skeleton_format
from hot_sdk.video import VideoWriter

REQUIRED_FPS = 60.0
_IMAGE_SIZE = (1768, 994)
_FPS = 30.0
_STRIP_FRAMES = 300
"""Frames that fill the latency strip, which is slowest when it is full."""

Image = NDArray[np.uint8]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("drawing_speed", arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog="drawing_speed", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=300, metavar="N", help="pictures per round")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="number of rounds")
    parser.add_shared_arguments()
    options = parser.parse(arguments)
    cv2 = opencv()
    lines = (
        describe_machine("numpy"),
        f"OpenCV {cv2.__version__}, {cv2.getNumThreads()} threads",
        f"required: {REQUIRED_FPS:g} pictures/s drawn on two cores",
    )
    print_report(["\n".join(lines), measure(options.frames, options.rounds)])


def measure(frames: int, rounds: int) -> Table:
    """Return pictures per second, the median and the best of the rounds."""
    random = np.random.default_rng(0)
    shape = (_IMAGE_SIZE[1], _IMAGE_SIZE[0], 3)
    noise = [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(8)]
    # Noise would be the hardest thing to encode; a still picture is as easy as a demo's wall.
    still = [np.full(shape, 90, dtype=np.uint8)]
    two = people(frames)
    one = [both[:1] for both in two]
    runs = {
        "drawing, 1 in the picture": _drawing(noise, one),
        "drawing, 2 in the picture": _drawing(noise, two),
        "drawing and mp4, 2 people": _writing(_drawing(still, two)),
    }
    rows = []
    for name, times_ms in zip(runs, interleaved_times([*runs.values()], rounds), strict=True):
        rates = [1e3 * frames / taken for taken in times_ms]
        rows.append((name, f"{statistics.median(rates):.1f}", f"{max(rates):.1f}"))
    return Table("", ("pictures/s at 1280 x 480", "median", "best"), tuple(rows))


def people(frames: int) -> list[list[PersonFrame]]:
    """Return two people of each frame, with every joint of MediaPipe's 33 and of the 17 drawn."""
    skeleton = skeleton_format("mediapipe33")
    clips = []
    for number, clip in enumerate(load_starter_val(views=1)[:2]):
        random = np.random.default_rng(number)
        points = random.uniform([200.0, 100.0], [700.0, 900.0], (len(skeleton.joints), 2))
        points[:, 0] += 500.0 * number
        scores = random.uniform(0.2, 1.0, len(points))
        clips.append(
            [
                PersonFrame(
                    track_id=number + 1,
                    keypoints_2d=points + np.array([100.0 * np.sin(0.05 * frame), 0.0]),
                    scores=scores,
                    links=skeleton.link_indices,
                    pose=clip.truth[frame % len(clip)].astype(np.float64),
                )
                for frame in range(frames)
            ]
        )
    return [list(both) for both in zip(*clips, strict=True)]


def _drawing(images: list[Image], clip: list[list[PersonFrame]]) -> Callable[..., None]:
    """Return a function that draws each frame and passes it on."""
    painter = SideBySide(fps=_FPS)
    for _ in range(_STRIP_FRAMES):
        painter.draw(None, (), time_s=0.0, latency_ms=20.0)
    frames = itertools.count()

    def draw(take: Callable[[Image], object] = lambda _: None) -> None:
        for shown, image, number in zip(clip, itertools.cycle(images), frames, strict=False):
            latency_ms = 25.0 + 10.0 * np.sin(number)
            take(painter.draw(image, shown, time_s=number / _FPS, latency_ms=latency_ms))

    return draw


def _writing(draw: Callable[..., None]) -> Callable[[], None]:
    def write() -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            VideoWriter(Path(folder) / "out.mp4", size=(1280, 480), fps=_FPS) as writer,
        ):
            draw(writer.write)

    return write


if __name__ == "__main__":
    sys.exit(main())
