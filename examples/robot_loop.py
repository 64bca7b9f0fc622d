"""Run a robot's control loop that acts on a wrist: camera thread, queue and watchdog.

    python examples/robot_loop.py starter|model.onnx [keypoints.npz]

The camera thread stands for yours: it puts keypoints of a file into the queue at the file's frame
rate. The loop never waits for the engine, which runs in the stream's thread, and stops the robot if
no pose has arrived for too long. It acts on the wrist in the robot's own frame, also of someone
behind a table whose hips are not seen.
"""

import argparse
import math
import queue
import threading
import time
from pathlib import Path

from hot_sdk import CameraPose, Intrinsics, Keypoints, Pose3DEngine, Pose3DStream, StreamPose
from hot_sdk.skeletons import H36M17

WRIST = H36M17.joints.index("right_wrist")
PERIOD_S = 1 / 30
STALE_S = 0.5  # No robot should act on an older position of a hand.
FARTHEST_OFF_PX = 20.0
LEAST_SURE_M = 1.0  # Keypoints alone do not show how large a person is: 6 % of the distance.

# Where the camera is on this robot, and a guess at its lens: use its calibration.
MOUNTED = CameraPose.mounted((0.10, 0.0, 1.20), pitch=math.radians(10))
FIELD_OF_VIEW_DEGREES = 50.0


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


def opened(engine: Pose3DEngine, clip: Keypoints, mode: str) -> Pose3DStream:
    """Open a stream that places people in the robot's frame, by the thorax if need be."""
    lens = clip.camera or Intrinsics.from_field_of_view(FIELD_OF_VIEW_DEGREES, clip.image_size)
    return engine.stream(mode, fps=clip.effective_fps, intrinsics=lens, camera=MOUNTED, root="auto")


def may_act(pose: StreamPose | None, now: float) -> bool:
    """Return False if there is a reason not to move because of this pose."""
    # The watchdog: nothing has come, or not for some time.
    if pose is None or now - pose.timestamp > STALE_S:
        return False
    # A joint that was only guessed, or that nobody knows where it is, is not valid or NaN.
    if not (pose.valid[WRIST] and pose.root_error < FARTHEST_OFF_PX):
        return False
    # NaN, of a model that does not judge its joints, is not sure enough.
    return math.sqrt(pose.joints_covariance[WRIST].trace()) < LEAST_SURE_M


def main(model: str, keypoints: Path) -> None:
    """Run until the file ends."""
    clip = Keypoints.from_file(keypoints)
    frames: queue.Queue[tuple[float, Keypoints] | None] = queue.Queue()
    acted = stopped = missed = 0
    newest = last = None
    with Pose3DEngine(model) as engine, opened(engine, clip, "live") as stream:
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
            if newest is not None and may_act(newest, time.monotonic()):
                acted += 1  # Here a robot would move with regard to newest.joints[WRIST].
                last = newest
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
    if last is None:
        print("right wrist: not known in any pose")
    else:
        x, y, z = last.joints[WRIST]
        print(
            f"right wrist in {last.frame_id}, placed by the {last.root_joint}:"
            f" {x:.2f} m forward, {y:.2f} m left, {z:.2f} m up"
        )
    print(f"control periods: {acted} acted, {stopped} stood still, {missed} deadlines missed")
    print(report)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="starter, or a model file")
    clip = Path(__file__).parent / "data" / "jump_mediapipe33.npz"
    parser.add_argument("keypoints", nargs="?", type=Path, default=clip, help="a keypoint file")
    options = parser.parse_args()
    main(options.model, options.keypoints)
