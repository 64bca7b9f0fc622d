"""Lift the 2D keypoints of a ROS 2 detector live, and publish 3D poses, without ROS installed.

    python examples/ros2_live.py starter|model.onnx [--seconds S]
    python examples/ros2_live.py --play keypoints.npz     # a detector to try it with, until Ctrl-C

Subscribes to hri_msgs/Skeleton2D of the bodies that a node of ROS4HRI (REP-155) tracks, and to the
camera's CameraInfo; publishes where their joints are, with the stamps of the keypoints. docs/ros.md
lists topics, types and frames. The domain is that of ROS_DOMAIN_ID, and ROS_LOCALHOST_ONLY=1 keeps
everything on this computer. Needs the extra ros: pip install ".[ros]".
"""

import argparse
import contextlib
import sys
import time
from pathlib import Path

import numpy as np

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.errors import HotSDKError
from hot_sdk.ros import PosePublisher, SkeletonSubscriber, by_frame
from hot_sdk.ros.network import Network, Quality, messages
from hot_sdk.ros.subscriber import SKELETON_2D_JOINTS
from hot_sdk.skeletons import skeleton_format

CAMERA_INFO_S = 30.0


def lift(model: str, seconds: float) -> None:
    """Lift what comes, for some seconds."""
    with (
        SkeletonSubscriber() as subscriber,
        Pose3DEngine(model) as engine,
        contextlib.ExitStack() as stack,
    ):
        if not subscriber.wait_for_camera(CAMERA_INFO_S):
            sys.exit("error: no /camera_info of a calibrated camera came. Is the detector running?")
        # Each push returns its frame's poses. In the mode live, pushes do not wait for a slow
        # engine, and poses come with a later one.
        stream = stack.enter_context(
            engine.stream("video", max_people=8, intrinsics=subscriber.intrinsics)
        )
        publisher, poses = None, 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for frame in subscriber.take(timeout_s=0.1):
                if publisher is None:
                    publisher = PosePublisher(
                        frame_id=frame.frame_id, epoch_ns=subscriber.epoch_ns, announces=False
                    )
                    stack.enter_context(publisher)
                found = stream.push_people(frame.people, frame.timestamp)
                for timestamp, people in by_frame(found):
                    publisher.publish(people, timestamp)
                    poses += len(people)
        print(f"{poses} poses were published")
        print(stream.report())


def play(path: Path) -> None:
    """Publish a file's keypoints as a detector does, again and again."""
    clip = Keypoints.from_file(path)
    types, network = messages(), Network()
    tracked = network.writer("/humans/bodies/tracked", types.IdsList, Quality())
    skeletons = network.writer("/humans/bodies/p1/skeleton2d", types.Skeleton2D, Quality())
    cameras = network.writer("/camera_info", types.CameraInfo, Quality())
    width, height = clip.image_size
    focal = float(np.hypot(width, height))  # A guess; a camera's is that of its calibration.
    matrix = [focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0]
    shares = in_ros_order(clip) / [width, height, 1.0]
    start = time.monotonic()
    for number in range(sys.maxsize):
        time.sleep(max(0.0, start + number / (clip.effective_fps or 30.0) - time.monotonic()))
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        header = types.Header(types.Time(seconds, nanoseconds), "camera_color_optical_frame")
        tracked.write(types.IdsList(header, ["p1"]))
        cameras.write(types.CameraInfo(header, height, width, k=matrix))
        points = [types.NormalizedPointOfInterest2D(*one) for one in shares[number % len(clip)]]
        skeletons.write(types.Skeleton2D(header, points))


def in_ros_order(clip: Keypoints) -> np.ndarray:
    """Return x and y in pixels and scores (frames, 18, 3) of the joints of hri_msgs/Skeleton2D."""
    joints = skeleton_format(clip.skeleton).joints
    scores = np.ones(clip.points.shape[:2]) if clip.scores is None else clip.scores
    values = np.concatenate([clip.points, scores[..., None]], axis=-1)
    found = np.zeros((len(clip), len(SKELETON_2D_JOINTS), 3))
    for at, name in enumerate(SKELETON_2D_JOINTS):
        missing_neck = name == "neck" and name not in joints
        sources = ("left_shoulder", "right_shoulder") if missing_neck else (name,)
        known = [joints.index(one) for one in sources if one in joints]
        if len(known) == len(sources):
            found[:, at] = values[:, known].mean(axis=1)
    return np.nan_to_num(found)  # A confidence of 0: not seen.


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default="starter", help="starter, or a model file")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--play", type=Path, metavar="FILE", help="publish a file's keypoints")
    given = parser.parse_args()
    try:
        if given.play is not None:
            with contextlib.suppress(KeyboardInterrupt):
                play(given.play)
        else:
            lift(given.model, given.seconds)
    except (HotSDKError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
