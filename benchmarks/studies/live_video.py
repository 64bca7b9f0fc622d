"""Draw a live network's stream above the stream of a window model: poses, and how late each is.

    python benchmarks/studies/live_video.py [VIDEO] [--output streams.mp4]

Both are pushed the same keypoints, frame by frame, at hop 1 and without a lookahead; the bars are
the milliseconds from a push to its pose. Needs the extra video, whose detector finds the person.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk import Keypoints, Pose3DEngine, Pose3DStream
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.drawing import PersonClip, SideBySide
from hot_sdk.starter import STARTER, STARTER_LIVE, resolve_model
from hot_sdk.video import Tracker, VideoWriter, create_detector, open_video

_CLIP = Path(__file__).parents[2] / "examples" / "data" / "exercise.mp4"
_SIZE = (960, 360)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", nargs="?", type=Path, default=_CLIP)
    parser.add_argument("--output", type=Path, default=Path("streams.mp4"))
    parser.add_argument("--window", default=STARTER, help="the window model")
    options = parser.parse_args(arguments)
    sys.stdout.write(f"{describe_machine()}\n")
    with (
        open_video(options.video) as video,
        Pose3DEngine(resolve_model(STARTER_LIVE), threads=1) as live,
        Pose3DEngine(resolve_model(options.window), threads=1) as window,
    ):
        fps = video.fps or 30.0
        streams = [one.stream("video", fps=fps, lookahead=0) for one in (live, window)]
        pictures = [
            SideBySide(size=_SIZE, fps=fps, counted=f"push to pose, {name}")
            for name in ("live network", "window network")
        ]
        delays: list[list[float]] = [[], []]
        detector, tracker = create_detector("mediapipe", max_people=1), Tracker(fps=fps)
        with VideoWriter(options.output, size=(_SIZE[0], 2 * _SIZE[1]), fps=fps) as writer:
            for frame in video:
                found = tracker.update(detector(frame.image, frame.timestamp_s), frame.timestamp_s)
                known = [person for person in found if person.track_id is not None]
                rows = [
                    _row(one, frame.image, known, frame.timestamp_s, picture, times)
                    for one, picture, times in zip(streams, pictures, delays, strict=True)
                ]
                writer.write(np.concatenate(rows))
        detector.close()
    for name, times in zip(("live", "window"), delays, strict=True):
        sys.stdout.write(f"{name}: {np.median(times):.1f} ms from push to pose, median\n")


def _row(
    stream: Pose3DStream,
    image: NDArray[np.uint8],
    people: Sequence[Keypoints],
    time_s: float,
    pictures: SideBySide,
    delays: list[float],
) -> NDArray[np.uint8]:
    """Push a frame, and draw it with what it brings."""
    poses = {pose.track_id: pose for pose in stream.push_people(people, time_s)}
    delays += [1e3 * pose.delay_s for pose in poses.values()]
    shown = []
    for person in people:
        drawn, pose = PersonClip(person).frame(0), poses.get(person.track_id)
        if drawn is not None and pose is not None:
            drawn = dataclasses.replace(drawn, pose=pose.pose, valid=pose.valid)
        shown.append(drawn)
    late = 1e3 * max((pose.delay_s for pose in poses.values()), default=np.nan)
    return pictures.draw(
        image, [one for one in shown if one is not None], time_s=time_s, latency_ms=late
    )


if __name__ == "__main__":
    main()
