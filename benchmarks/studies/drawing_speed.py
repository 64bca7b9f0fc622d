"""How many pictures a second are drawn, and how many are drawn and written as mp4.

Draws 1280 x 480 pictures of a 1768 x 994 video with one and with two people whose keypoints and
poses move, a full latency strip included. What the video shows does not change the time: it is
noise here, scaled and copied like any other. No display is needed.

    python -m hot_sdk.benchmarks.studies.drawing_speed --frames 300 --rounds 3
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.drawing import PersonFrame, SideBySide
from hot_sdk.drawing.style import opencv
from hot_sdk.errors import HotSDKError
from hot_sdk.skeletons import skeleton_format
from hot_sdk.video import VideoWriter

IMAGE_SIZE = (1768, 994)
REQUIRED_FPS = 60.0
_FPS = 30.0
_JOINTS = 33
# A standing body: pelvis, right and left leg, spine to head, left and right arm; metres.
_BODY = np.array(
    [
        [0.0, 0.0, 0.0],
        [-0.13, 0.0, 0.0],
        [-0.14, 0.45, 0.02],
        [-0.15, 0.9, 0.05],
        [0.13, 0.0, 0.0],
        [0.14, 0.45, 0.02],
        [0.15, 0.9, 0.05],
        [0.0, -0.25, 0.0],
        [0.0, -0.5, 0.0],
        [0.0, -0.6, -0.08],
        [0.0, -0.72, -0.02],
        [0.15, -0.47, 0.0],
        [0.35, -0.3, 0.0],
        [0.5, -0.1, -0.1],
        [-0.15, -0.47, 0.0],
        [-0.35, -0.3, 0.0],
        [-0.5, -0.1, -0.1],
    ]
)


def people_at(frame: int, count: int) -> list[PersonFrame]:
    """People of one frame, with every joint of MediaPipe's 33 and of the 17 to be drawn."""
    skeleton = skeleton_format("mediapipe33")
    people = []
    for number in range(count):
        random = np.random.default_rng(number)
        points = random.uniform([200.0, 100.0], [700.0, 900.0], (_JOINTS, 2))
        swing = 0.2 * np.sin(0.1 * frame + np.arange(17.0))[:, None] * [0.5, 0.1, 1.0]
        people.append(
            PersonFrame(
                track_id=number + 1,
                keypoints_2d=points
                + np.array([500.0 * number + 100.0 * np.sin(0.05 * frame), 0.0]),
                scores=random.uniform(0.2, 1.0, _JOINTS),
                links=skeleton.link_indices,
                pose=_BODY + swing,
            )
        )
    return people


def draw_clip(
    images: list[NDArray[np.uint8]],
    clip: list[list[PersonFrame]],
    take: Callable[[NDArray[np.uint8]], None],
) -> float:
    """Draw each frame, hand it to ``take``, and return the seconds that it took."""
    painter = SideBySide(fps=_FPS)
    for _ in range(300):  # A full strip is the slowest.
        painter.draw(None, (), time_s=0.0, latency_ms=20.0)
    start = time.perf_counter()
    for number, people in enumerate(clip):
        image = images[number % len(images)]
        latency_ms = 25.0 + 10.0 * np.sin(number)
        take(painter.draw(image, people, time_s=number / _FPS, latency_ms=latency_ms))
    return time.perf_counter() - start


def _drop(picture: NDArray[np.uint8]) -> None:
    del picture


def measure(frames: int, rounds: int) -> str:
    """Pictures a second: median and best of the rounds."""
    random = np.random.default_rng(0)
    shape = (IMAGE_SIZE[1], IMAGE_SIZE[0], 3)
    images = [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(8)]
    lines = [f"{'pictures/s at 1280 x 480':<28} {'median':>8} {'best':>8}"]
    for count in (1, 2):
        clip = [people_at(frame, count) for frame in range(frames)]
        drawn = [frames / draw_clip(images, clip, _drop) for _ in range(rounds)]
        lines.append(_row(f"drawing, {count} in the picture", drawn))
    # Noise would be the hardest thing to encode; a still picture is as easy as a demo's wall.
    still = [np.full(shape, 90, dtype=np.uint8)]
    written = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            with VideoWriter(Path(folder) / "out.mp4", size=(1280, 480), fps=_FPS) as writer:
                draw_clip(still, clip, writer.write)
            written.append(frames / (time.perf_counter() - start))
    lines.append(_row("drawing and mp4, 2 people", written))
    return "\n".join(lines)


def _row(name: str, rates: list[float]) -> str:
    return f"{name:<28} {statistics.median(rates):>8.1f} {max(rates):>8.1f}"


def main() -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=300, metavar="N", help="pictures a round")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    try:
        print(describe_machine("numpy"))
        cv2 = opencv()
        print(f"OpenCV {cv2.__version__}, {cv2.getNumThreads()} threads")
        print(f"required: {REQUIRED_FPS:g} pictures/s drawn on two cores")
        print(measure(options.frames, options.rounds))
    except HotSDKError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
