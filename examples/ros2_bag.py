"""Lift the 2D keypoints of a ROS 2 bag (MCAP) to a bag of 3D poses, without ROS installed.

    pip install mcap-ros2-support
    python examples/ros2_bag.py in.mcap out.mcap --model starter [--topic /keypoints]
    python examples/ros2_bag.py clip.npz in.mcap --make-input            # a bag to try it with

Needs ros2_messages.py next to it.

Input, all standard messages, because ROS has none for 2D keypoints of any skeleton:

- TOPIC, sensor_msgs/PointCloud2, one per frame: a row of points per person, a column per
  joint; fields x and y (pixels, NaN if missing), score and track_id (0 or more).
- TOPIC/skeleton, std_msgs/String: one of hot_sdk.list_skeletons(); or give --skeleton.
- any sensor_msgs/CameraInfo of the same frame_id: the image's size; or give --image-size. If it is
  calibrated (K), people are placed in front of the camera, with keypoints of an undistorted image;
  otherwise they all stand in the camera's origin, because poses are relative to the pelvis.

Output, with the frame_id and the stamps of the keypoints:

- /poses/markers, visualization_msgs/MarkerArray: bones and valid joints of all people.
- /poses/person_ID, geometry_msgs/PoseArray: the 17 joints of hot_sdk.skeletons.H36M17 in their
  order, not rotated; NaN if a joint is not valid.
- /tf_static: from camera_link to the keypoints' frame as in REP-103, unless the input has its own.
"""

import argparse
import bisect
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk._base.files import open_input, replaced_on_success, require_writable_target
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import HotSDKError, KeypointsError, ResultError
from hot_sdk.skeletons import H36M17, list_skeletons

try:
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory
except ImportError as missing:
    sys.exit(f"error: {missing}. Run: pip install mcap-ros2-support")

from ros2_messages import Bag

SECOND = 1_000_000_000
MOST_GOOD = 0.8  # With a smaller share of good stamps, none is believed.
LARGEST_CHUNK = 1 << 28  # Bytes; recorders write a few megabytes.
LONGEST_GAP = SECOND  # A person who is away for longer returns as a new clip.
LIFETIME = {"sec": 0, "nanosec": SECOND // 2}  # A marker that is not renewed disappears.
UPRIGHT = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
OPTICAL = {"x": -0.5, "y": 0.5, "z": -0.5, "w": 0.5}
COLORS = ((0.1, 0.6, 1.0), (1.0, 0.5, 0.1), (0.3, 0.8, 0.3), (0.9, 0.3, 0.6))
LINE_LIST, SPHERE_LIST = 5, 7
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
POINT = {"x": 7, "y": 7, "z": 7, "score": 7, "track_id": 5}  # Of NUMBERS; z is for viewers.


@dataclass
class Clip:
    """The detections of one person without a long gap."""

    track_id: int
    times: list[tuple[int, int]] = field(default_factory=list)  # Stamp and log time, ns.
    points: list[NDArray[np.float32]] = field(default_factory=list)
    scores: list[NDArray[np.float32]] = field(default_factory=list)


@dataclass
class Recording:
    """The people of one camera in a bag."""

    clips: list[Clip]
    frame_id: str = ""
    skeleton: str = ""
    cameras: dict[str, SimpleNamespace] = field(default_factory=dict)  # CameraInfo by frame_id.
    has_tf: bool = False

    def keypoints(self, clip: Clip, image_size: Sequence[int] | None) -> Keypoints:
        """Return a clip for the engine, with times from its start."""
        camera = self.cameras.get(self.frame_id)
        if not self.skeleton:
            raise KeypointsError(
                "The bag does not say the order of its joints.",
                hint=f"Give --skeleton, one of: {', '.join(list_skeletons())}.",
            )
        if image_size is None and camera is None:
            raise KeypointsError(
                f"The bag has no CameraInfo of the frame '{self.frame_id}'.",
                hint="Give --image-size WIDTH HEIGHT.",
            )
        stamps = np.array([stamp for stamp, _ in clip.times])
        return Keypoints(
            np.stack(clip.points),
            np.stack(clip.scores),
            skeleton=self.skeleton,
            image_size=tuple(image_size or (camera.width, camera.height)),
            timestamps=(stamps - stamps[0]) / SECOND,
            track_id=clip.track_id,
        )


Lifted = tuple[Clip, NDArray[np.float64]]


def read_bag(path: Path, topic: str) -> Recording:
    """Collect the keypoints of a bag, by person."""
    if path.stat().st_size == 0:
        raise KeypointsError(f"'{path}' is empty.", hint="Record the bag again.")
    try:
        recording, people = read_messages(path, topic)
    except (HotSDKError, OSError):
        raise
    except Exception as error:  # Decoders and decompressors have their own.
        raise KeypointsError(
            f"'{path}' is cut off, damaged or no MCAP file ({error or type(error).__name__}).",
            hint=f"If it is a bag whose recording broke off: mcap recover {path} -o whole.mcap",
        ) from error
    recording.clips = clips_of(people)
    return recording


def clips_of(people: dict[int, Clip]) -> list[Clip]:
    """Leave out frames with a wrong stamp, and cut clips at long gaps.

    If that would be many frames, as with a clock that was never set, the log's times replace all
    stamps.
    """
    total = sum(len(person.times) for person in people.values())
    kept = {name: increasing([stamp for stamp, _ in one.times]) for name, one in people.items()}
    if sum(map(len, kept.values())) < MOST_GOOD * total:
        print("Warning: most stamps do not increase; the log's times are used instead.")
        for one in people.values():
            one.times = [(log_time, log_time) for _, log_time in one.times]
        kept = {name: increasing([stamp for stamp, _ in one.times]) for name, one in people.items()}
    left_out = {people[name].times[at] for name in kept for at in range(len(people[name].times))}
    left_out -= {people[name].times[at] for name, frames in kept.items() for at in frames}
    if left_out:
        print(f"Warning: frames left out, as their stamp is repeated or wrong: {len(left_out)}")
    clips = []
    for track_id, person in people.items():
        clip = None
        for at in kept[track_id]:
            if clip is None or person.times[at][0] - clip.times[-1][0] > LONGEST_GAP:
                clip = Clip(track_id)
                clips.append(clip)
            clip.times.append(person.times[at])
            clip.points.append(person.points[at])
            clip.scores.append(person.scores[at])
    return sorted(clips, key=lambda clip: clip.times[0])


def increasing(stamps: Sequence[int]) -> list[int]:
    """Return the positions of the longest run of increasing stamps above 0, gaps allowed."""
    ends, tails, before = list[int](), list[int](), list[int]()
    for at, stamp in enumerate(stamps):
        length = bisect.bisect_left(ends, stamp)
        before.append(tails[length - 1] if length else -1)
        if stamp > 0:
            ends[length : length + 1] = [stamp]
            tails[length : length + 1] = [at]
    chosen, at = list[int](), tails[-1] if tails else -1
    while at >= 0:
        chosen.append(at)
        at = before[at]
    return chosen[::-1]


def read_messages(path: Path, topic: str) -> tuple[Recording, dict[int, Clip]]:
    """Return what a bag says about its camera, and all frames of each person as logged."""
    recording, people = Recording([]), dict[int, Clip]()
    with open_input(path) as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        if summary is None:
            raise KeypointsError(f"'{path}' has no summary.", hint="Run: mcap recover")
        for chunk in summary.chunk_indexes:  # They are unpacked one after the other.
            if chunk.uncompressed_size > LARGEST_CHUNK:
                raise KeypointsError(f"'{path}' has a chunk of gigabytes.", hint="Record it again.")
        kinds = {
            channel.topic: summary.schemas[channel.schema_id].name
            for channel in summary.channels.values()
            if channel.schema_id in summary.schemas
        }
        if kinds.get(topic) != "sensor_msgs/msg/PointCloud2":
            raise KeypointsError(
                f"'{path}' has no PointCloud2 on '{topic}', only: {', '.join(sorted(kinds))}.",
                hint="Give --topic.",
            )
        recording.has_tf = "/tf_static" in kinds
        cameras = {name for name, kind in kinds.items() if kind == "sensor_msgs/msg/CameraInfo"}
        wanted = [topic, f"{topic}/skeleton", *cameras]
        for _, channel, record, message in reader.iter_decoded_messages(wanted):
            if channel.topic in cameras:
                recording.cameras[message.header.frame_id] = message
            elif channel.topic != topic:
                recording.skeleton = message.data
            else:
                recording.frame_id = message.header.frame_id
                stamp = message.header.stamp.sec * SECOND + message.header.stamp.nanosec
                for track_id, points, scores in people_of(message):
                    clip = people.setdefault(track_id, Clip(track_id))
                    clip.times.append((stamp, record.log_time))
                    clip.points.append(points)
                    clip.scores.append(scores)
    return recording, people


def people_of(
    cloud: SimpleNamespace,
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield track id, points (joints, 2) and scores (joints,) of the people in a message."""
    order = "<>"[bool(cloud.is_bigendian)]
    try:
        layout = {
            "names": [one.name for one in cloud.fields],
            "formats": [order + NUMBERS[one.datatype] for one in cloud.fields],
            "offsets": [one.offset for one in cloud.fields],
            "itemsize": cloud.point_step,
        }
        rows = np.frombuffer(bytes(cloud.data), np.uint8).reshape(cloud.height, cloud.row_step)
        rows = rows[:, : cloud.width * cloud.point_step].copy().view(np.dtype(layout))
        rows = rows.reshape(cloud.height, cloud.width)
        points = np.stack([rows["x"], rows["y"]], axis=-1).astype(np.float32)
        scores, track_ids = rows["score"].astype(np.float32), rows["track_id"]
    except (KeyError, ValueError) as error:
        raise KeypointsError(
            f"A cloud is malformed: {error}.",
            hint="Expected x, y, score and track_id of each joint, in rows of one person each.",
        ) from error
    for person in np.flatnonzero(np.isfinite(points).all(axis=2).any(axis=1)):
        if track_ids[person, 0] >= 0:  # Trackers mark unconfirmed people with -1.
            yield int(track_ids[person, 0]), points[person], scores[person]


def lift(model: str, recording: Recording, image_size: Sequence[int] | None) -> Iterator[Lifted]:
    """Yield each clip with its poses (frames, 17, 3), meters; NaN if a joint is not valid."""
    camera, warned = recording.cameras.get(recording.frame_id), set[str]()
    with Pose3DEngine(model) as engine:
        if engine.manifest.unit != "m":
            raise ResultError(
                f"The model returns {engine.manifest.unit}.", hint="Use a metric one."
            )
        for clip in recording.clips:
            keypoints = recording.keypoints(clip, image_size)
            try:
                result = engine(keypoints)
            except KeypointsError as error:  # A false track must not cost the others.
                print(f"Left out {len(keypoints)} frames of {clip.track_id}: {error}")
                continue
            poses = np.where(result.valid[..., None], result.poses.astype(np.float64), np.nan)
            if camera is not None and camera.k[0] > 0.0:
                fx, _, cx, _, fy, cy, *_ = camera.k
                lens = Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy)
                poses += result.with_root_from_reprojection(keypoints, lens).root[:, None]
            for warning in set(result.warnings) - warned:
                print(f"Warning: {warning}")
            warned.update(result.warnings)
            yield clip, poses


def write_bag(path: Path, recording: Recording, lifted: Sequence[Lifted]) -> int:
    """Write the results of ``lift``, and return the number of frames with people."""
    frames: dict[tuple[int, int], list[tuple[int, NDArray[np.float64]]]] = {}
    for clip, poses in lifted:
        for times, pose in zip(clip.times, poses, strict=True):
            frames.setdefault(times, []).append((clip.track_id, pose))
    in_order = sorted(frames.items(), key=lambda item: item[0][::-1])
    with replaced_on_success(path) as temporary, temporary.open("wb") as stream, Bag(stream) as bag:
        bag.add_topic("/poses/markers", "visualization_msgs/msg/MarkerArray")
        for track_id in sorted({clip.track_id for clip, _ in lifted}):
            bag.add_topic(f"/poses/person_{track_id}", "geometry_msgs/msg/PoseArray")
        if not recording.has_tf:
            bag.add_topic("/tf_static", "tf2_msgs/msg/TFMessage", latched=True)
            (stamp, log_time), _ = in_order[0]
            turn = {"header": header(stamp, "camera_link"), "child_frame_id": recording.frame_id}
            turn["transform"] = {"rotation": OPTICAL}
            bag.add("/tf_static", {"transforms": [turn]}, log_time)
        for (stamp, log_time), seen in in_order:
            head = header(stamp, recording.frame_id)
            markers = [one for track_id, pose in seen for one in markers_of(head, track_id, pose)]
            bag.add("/poses/markers", {"markers": markers}, log_time)
            for track_id, pose in seen:
                placed = [{"position": p, "orientation": UPRIGHT} for p in points_of(pose)]
                array = {"header": head, "poses": placed}
                bag.add(f"/poses/person_{track_id}", array, log_time)
    return len(frames)


def markers_of(head: dict[str, Any], track_id: int, pose: NDArray[np.float64]) -> list[Any]:
    """Return the valid bones and joints of one person."""
    bones = [[child, parent] for child, parent in enumerate(H36M17.parents) if parent >= 0]
    lines = pose[bones]
    lines = lines[np.isfinite(lines).all(axis=(1, 2))].reshape(-1, 3)
    joints = pose[np.isfinite(pose).all(axis=1)]
    shapes = ((0, LINE_LIST, 0.02, lines), (1, SPHERE_LIST, 0.05, joints))
    red, green, blue = COLORS[track_id % len(COLORS)]
    return [
        {
            "header": head,
            "ns": f"person_{track_id}",
            "id": number,
            "type": shape,
            "pose": {"orientation": UPRIGHT},
            "scale": {"x": size, "y": size, "z": size},
            "color": {"r": red, "g": green, "b": blue, "a": 1.0},
            "lifetime": LIFETIME,
            "points": points_of(points),
        }
        for number, shape, size, points in shapes
    ]


def points_of(points: NDArray[np.float64]) -> list[dict[str, float]]:
    """Return points as messages."""
    return [dict(zip("xyz", point, strict=True)) for point in points.tolist()]


def header(stamp: int, frame_id: str) -> dict[str, Any]:
    """Return a std_msgs/Header, from nanoseconds."""
    return {"stamp": {"sec": stamp // SECOND, "nanosec": stamp % SECOND}, "frame_id": frame_id}


def make_input(
    path: Path, people: Sequence[Keypoints], start: int, *, k: Sequence[float] = (0.0,) * 9
) -> None:
    """Write keypoints as a robot would: from ``start`` (ns) on, by a camera of matrix ``k``."""
    frame_id, topic, rows = "camera_optical_frame", "/keypoints", dict[int, list[Any]]()
    point = np.dtype([(name, NUMBERS[number]) for name, number in POINT.items()])
    fields = [
        {"name": name, "offset": point.fields[name][1], "datatype": number, "count": 1}
        for name, number in POINT.items()
    ]
    for index, person in enumerate(people):
        times = person.timestamps
        if times is None:
            times = np.arange(len(person)) / (person.effective_fps or 30.0)
        joints = np.zeros(person.points.shape[:2], point)
        joints["x"], joints["y"] = person.points[..., 0], person.points[..., 1]
        joints["score"] = 1.0 if person.scores is None else person.scores
        joints["track_id"] = person.track_id if isinstance(person.track_id, int) else index
        for seconds, row in zip(times, joints, strict=True):
            rows.setdefault(start + round(seconds * SECOND), []).append(row)
    width, height = people[0].image_size
    with replaced_on_success(path) as temporary, temporary.open("wb") as stream, Bag(stream) as bag:
        bag.add_topic(f"{topic}/skeleton", "std_msgs/msg/String", latched=True)
        bag.add_topic("/camera_info", "sensor_msgs/msg/CameraInfo")
        bag.add_topic(topic, "sensor_msgs/msg/PointCloud2")
        bag.add(f"{topic}/skeleton", {"data": people[0].skeleton}, min(rows))
        for stamp, seen in sorted(rows.items()):
            head = {"header": header(stamp, frame_id)}
            camera = {"width": width, "height": height, "k": list(k), **head}
            bag.add("/camera_info", camera, stamp)
            cloud = {"height": len(seen), "width": len(seen[0]), "fields": fields, **head}
            cloud |= {"point_step": point.itemsize, "row_step": point.itemsize * len(seen[0])}
            bag.add(topic, {**cloud, "data": np.stack(seen).tobytes()}, stamp)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", help="model file of hot-export, or starter")
    parser.add_argument("--topic", default="/keypoints")
    parser.add_argument("--skeleton", help="order of the joints, if the input does not say it")
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--make-input", action="store_true", help="make a bag from a keypoint file")
    given = parser.parse_args()
    if not given.make_input and given.model is None:
        parser.error("--model is needed")
    try:
        require_writable_target(given.output)
        if given.make_input:
            size = tuple(given.image_size) if given.image_size else None
            clip = Keypoints.from_file(given.input, skeleton=given.skeleton, image_size=size)
            make_input(given.output, [clip], time.time_ns())
            print(f"{len(clip)} frames: {given.output}")
            return
        recording = read_bag(given.input, given.topic)
        recording.skeleton = given.skeleton or recording.skeleton
        lifted = list(lift(given.model, recording, given.image_size))
        if not lifted:
            raise KeypointsError("The bag shows no people.", hint="Look at its keypoints.")
        frames = write_bag(given.output, recording, lifted)
    except (HotSDKError, OSError) as error:
        sys.exit(f"error: {error}")
    persons = len({clip.track_id for clip, _ in lifted})
    print(f"{frames} frames, {persons} people: {given.output}")


if __name__ == "__main__":
    main()
