"""Draw live poses from a camera: detector, tracker and a live stream.

    python examples/webcam.py [starter-live|model.onnx] [camera index] [seconds]

If the camera cannot be opened, a video file stands for it, at its own pace. Writes webcam_3d.mp4.
Needs the extra video: pip install ".[video]".
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from hot_sdk import Pose3DEngine
from hot_sdk.drawing import PersonClip, SideBySide
from hot_sdk.errors import VideoError
from hot_sdk.skeletons import H36M17
from hot_sdk.video import Frame, Tracker, VideoReader, VideoWriter, create_detector, open_video

FILE = Path(__file__).parent / "data" / "exercise.mp4"
WRIST = H36M17.joints.index("right_wrist")


def camera_or_file(index: int) -> VideoReader:
    """Open the camera, or a file with a message."""
    try:
        return open_video(index)
    except VideoError as error:
        print(f"{error}\nReading {FILE.name} instead.")
        return open_video(FILE)


def newest(video: VideoReader) -> Iterator[Frame]:
    """Yield frames as a camera does: a file's frames that come too late are skipped."""
    start = time.monotonic()
    for frame in video:
        ahead = frame.timestamp_s - (time.monotonic() - start)
        if video.is_live or ahead > -1.0 / (video.fps or 30.0):
            time.sleep(0.0 if video.is_live else max(0.0, ahead))
            yield frame


def main(model: str, index: int, seconds: float) -> None:
    """Run for some seconds, or until the file ends."""
    poses = {}
    seen = 0
    with (
        camera_or_file(index) as video,
        Pose3DEngine(model) as engine,
        # The detector costs most: the stream measures the frame rate that remains.
        engine.stream("live", max_people=2) as stream,
    ):
        detector = create_detector("mediapipe", max_people=1)
        tracker = Tracker(fps=video.fps or 30.0)
        pictures = SideBySide(fps=video.fps, counted="detection + push per frame")
        with VideoWriter("webcam_3d.mp4", size=pictures.size, fps=10.0) as writer:
            for frame in newest(video):
                if frame.timestamp_s > seconds:
                    break
                start = time.perf_counter()
                found = tracker.update(detector(frame.image, frame.timestamp_s), frame.timestamp_s)
                known = [person for person in found if person.track_id is not None]
                for pose in stream.push_people(known, frame.timestamp_s):
                    poses[pose.track_id] = pose
                cost_ms = 1e3 * (time.perf_counter() - start)
                shown = []
                for person in known:
                    drawn = PersonClip(person).frame(0)
                    pose = poses.get(person.track_id)
                    if drawn is not None and pose is not None:
                        drawn = dataclasses.replace(drawn, pose=pose.pose, valid=pose.valid)
                    shown.append(drawn)
                seen += 1
                picture = pictures.draw(
                    frame.image, shown, time_s=frame.timestamp_s, latency_ms=cost_ms
                )
                writer.write(picture)
        detector.close()
        for pose in stream.flush():
            poses[pose.track_id] = pose
        report = stream.report()
    for name, pose in poses.items():
        x, y, z = pose.pose[WRIST]
        print(f"{name}: right wrist, relative to the pelvis: {x:.3f} {y:.3f} {z:.3f} {pose.unit}")
    print(f"{seen} frames were processed")
    print(report)
    print("Made: webcam_3d.mp4")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default="starter-live", help="or a model file")
    parser.add_argument("camera", nargs="?", type=int, default=0, help="its index (default: 0)")
    parser.add_argument(
        "seconds", nargs="?", type=float, default=10.0, help="how long (default: 10)"
    )
    options = parser.parse_args()
    main(options.model, options.camera, options.seconds)
