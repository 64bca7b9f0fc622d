"""Run a robot's control loop that acts on a wrist: camera thread, queue and watchdog.

    python examples/robot_loop.py starter|model.onnx [keypoints.npz]

The camera thread stands for yours: it puts keypoints of a file into the queue at the file's frame
rate. The loop never waits for the engine, which runs in the stream's thread, and stops the robot if
no pose has arrived for too long.
"""

import argparse
import queue
import threading
import time
from pathlib import Path

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.skeletons import H36M17

WRIST = H36M17.joints.index("right_wrist")
PELVIS = H36M17.joints.index("pelvis")
PERIOD_S = 1 / 30
STALE_S = 0.5  # No robot should act on an older position of a hand.


def camera(clip: Keypoints, frames: "queue.Queue[tuple[float, Keypoints] | None]") -> None:
    """Deliver frame after frame, as a detector behind a camera does."""
    start = time.monotonic()
    for at in range(len(clip)):
        one = Keypoints(
            clip.points[at : at + 1],
            None if clip.scores is None else clip.scores[at : at + 1],
            skeleton=clip.skeleton,
            image_size=clip.image_size,
        )
        time.sleep(max(0.0, start + at / (clip.effective_fps or 30.0) - time.monotonic()))
        frames.put((time.monotonic(), one))
    frames.put(None)


def main(model: str, keypoints: Path) -> None:
    """Run until the file ends."""
    clip = Keypoints.from_file(keypoints)
    frames: queue.Queue[tuple[float, Keypoints] | None] = queue.Queue()
    acted = stopped = missed = 0
    newest = None
    with Pose3DEngine(model) as engine, engine.stream("live", fps=clip.effective_fps) as stream:
        threading.Thread(target=camera, args=(clip, frames), daemon=True).start()
        deadline = time.monotonic() + PERIOD_S
        running = True
        while running:
            while not frames.empty():
                arrived = frames.get()
                if arrived is None:
                    running = False
                    break
                timestamp, one = arrived
                for pose in stream.push(one, timestamp):
                    newest = pose
            # The watchdog: do not move because of an old pose, or a joint that was only guessed.
            fresh = newest is not None and time.monotonic() - newest.timestamp < STALE_S
            # The wrist is relative to the pelvis, so both have to be known.
            if fresh and newest is not None and newest.valid[[PELVIS, WRIST]].all():
                acted += 1  # Here a robot would move towards newest.pose[WRIST].
            else:
                stopped += 1  # Here it would stand still.
            wait = deadline - time.monotonic()
            if wait < 0.0:
                missed += 1
                deadline = time.monotonic()
            else:
                time.sleep(wait)
            deadline += PERIOD_S
        report = stream.report()
    if newest is not None and not newest.valid[[PELVIS, WRIST]].all():
        print("right wrist: not valid in the newest pose")
    elif newest is not None:
        x, y, z = newest.pose[WRIST]
        print(f"right wrist, relative to the pelvis: {x:.3f} {y:.3f} {z:.3f} {newest.unit}")
    print(f"control periods: {acted} acted, {stopped} stood still, {missed} deadlines missed")
    print(report)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="starter, or a model file")
    clip = Path(__file__).parent / "data" / "jump_mediapipe33.npz"
    parser.add_argument("keypoints", nargs="?", type=Path, default=clip, help="a keypoint file")
    options = parser.parse_args()
    main(options.model, options.keypoints)
