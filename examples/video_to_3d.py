"""Turn a video into 3D poses: detect people, track them, lift them, draw them.

    python examples/video_to_3d.py starter|model.onnx [video.mp4]

Needs the extra video: pip install ".[video]". `hot-infer video.mp4 --save-video poses.mp4`
does the same; this shows the parts, for other combinations.
"""

import argparse
import sys
from pathlib import Path

from hot_sdk import Pose3DEngine
from hot_sdk.drawing import PersonClip, SideBySide
from hot_sdk.video import VideoWriter, create_detector, keypoints_from_video, open_video


def main(model: str, video: Path) -> None:
    """Write one npz for each person, and a video of them all."""
    detector = create_detector("mediapipe", max_people=2)
    found = keypoints_from_video(video, detector)
    detector.close()
    print(f"{len(found.people)} found in {len(found.timestamps)} frames by {found.detector}")
    if not found.people:
        sys.exit("No people to lift.")
    with Pose3DEngine(model) as engine:
        results = engine.lift(found.people)
    for result in results:
        print(result)
        print(f"Made: {result.save(f'{video.stem}_{result.track_id}_3d.npz')}")
    print(results[0].latency)

    people = [PersonClip(*pair) for pair in zip(found.people, results, strict=True)]
    rate = found.fps or 30.0
    pictures = SideBySide(fps=rate)
    target = Path(f"{video.stem}_3d.mp4")
    with open_video(video) as frames, VideoWriter(target, size=pictures.size, fps=rate) as writer:
        for frame in frames:
            shown = [person.frame(frame.index) for person in people]
            present = [person for person in shown if person is not None]
            writer.write(pictures.draw(frame.image, present, time_s=frame.timestamp_s))
    print(f"Made: {target}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="starter, or a model file")
    data = Path(__file__).parent / "data" / "exercise.mp4"
    parser.add_argument("video", nargs="?", type=Path, default=data, help="a video file")
    options = parser.parse_args()
    main(options.model, options.video)
