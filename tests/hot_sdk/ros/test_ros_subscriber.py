"""Keypoints that a detector of REP-155 publishes: with types of its own, not those of hot_sdk."""

import time
from pathlib import Path

import numpy as np
import pytest
from cyclonedds.domain import DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.topic import Topic
from ros2_definitions import idl_type

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import KeypointsError, MissingDependencyError, UsageError
from hot_sdk.ros import PosePublisher, SkeletonSubscriber, by_frame
from hot_sdk.ros.subscriber import camera_of
from hot_sdk.skeletons import skeleton_format

CLIP = Path(__file__).parents[3] / "examples" / "data" / "jump_mediapipe33.npz"
START = 1_700_000_000_000_000_017
SIZE = (640, 480)
# As in hri_msgs/Skeleton2D.msg.
NOSE, RIGHT_WRIST, LEFT_WRIST = 0, 4, 7
LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = 14, 15, 16, 17
K = [500.0, 0.0, 320.0, 0.0, 505.0, 240.0, 0.0, 0.0, 1.0]
P = [480.0, 0.0, 310.0, 0.0, 0.0, 485.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]


class Detector:
    """Publishes as a node of ROS4HRI does."""

    def __init__(self, domain):
        self.participant = DomainParticipant(domain)
        self.writers = {}

    def write(self, topic, kind, **fields):
        made = idl_type(kind)
        if topic not in self.writers:
            qos = Qos(
                Policy.Reliability.Reliable(max_blocking_time=100_000_000),
                Policy.History.KeepLast(10),
                Policy.DataRepresentation(use_cdrv0_representation=True),
            )
            described = Topic(self.participant, f"rt{topic}", made, qos=qos)
            self.writers[topic] = DataWriter(self.participant, described, qos=qos)
        self.writers[topic].write(made(**fields))

    def header(self, stamp_ns):
        stamp = idl_type("builtin_interfaces/Time")(stamp_ns // 10**9, stamp_ns % 10**9)
        return idl_type("std_msgs/Header")(stamp, "camera_color_optical_frame")

    def tracked(self, *ids):
        header = self.header(START)
        self.write("/humans/bodies/tracked", "hri_msgs/IdsList", header=header, ids=list(ids))

    def camera(self, **fields):
        roi = idl_type("sensor_msgs/RegionOfInterest")(0, 0, 0, 0, False)
        given = {
            "header": self.header(START),
            "height": SIZE[1],
            "width": SIZE[0],
            "distortion_model": "plumb_bob",
            "d": [0.0] * 5,
            "k": K,
            "r": [0.0] * 9,
            "p": P,
            "binning_x": 0,
            "binning_y": 0,
            "roi": roi,
        }
        self.write("/camera_info", "sensor_msgs/CameraInfo", **{**given, **fields})

    def skeleton(self, body, stamp_ns, points):
        part = idl_type("hri_msgs/NormalizedPointOfInterest2D")
        joints = [part(*map(float, one)) for one in points]
        topic = f"/humans/bodies/{body}/skeleton2d"
        header = self.header(stamp_ns)
        self.write(topic, "hri_msgs/Skeleton2D", header=header, skeleton=joints)


@pytest.fixture
def detector(domain):
    made = Detector(domain)
    yield made
    made.writers.clear()
    made.participant.__del__()


def someone(offset=0.0):
    points = np.full((18, 3), 0.5)
    points[:, 0] = np.linspace(0.1, 0.6, 18) + offset
    points[:, 2] = 0.9
    return points


def until(action, condition, seconds=10.0):
    """Repeat what a running node repeats, until it is received."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        action()
        if found := condition():
            return found
    raise AssertionError("Nothing came.")


def listening(subscriber, detector, *bodies):
    """Make sure that keypoints of the bodies are heard."""
    detector.camera()
    numbers = iter(range(-100_000, -1000))

    def speak():
        detector.tracked(*bodies)
        at = START + next(numbers) * 1_000_000
        for body in bodies:
            detector.skeleton(body, at, someone())

    heard = set()

    def hear():
        for frame in subscriber.take(0.1):
            heard.update(one.track_id for one in frame.people)
        return heard == set(bodies)

    until(speak, hear)
    while subscriber.take(0.1):
        pass


def test_keypoints_are_those_of_the_message(detector, domain):
    points = someone()
    points[LEFT_EYE, :2] = (0.31, 0.11)
    points[RIGHT_EYE, :2] = (0.29, 0.12)
    points[LEFT_EAR, :2] = (0.33, 0.13)
    points[RIGHT_EAR, :2] = (0.27, 0.14)
    points[LEFT_WRIST, 2] = 0.0  # Not seen.
    points[NOSE] = np.nan
    with SkeletonSubscriber(domain=domain) as subscriber:
        listening(subscriber, detector, "anna")
        detector.skeleton("anna", START, points)
        (frame,) = subscriber.take(5.0)
        assert frame.stamp_ns == START
        assert frame.frame_id == "camera_color_optical_frame"
        (person,) = frame.people
        assert (person.track_id, person.image_size) == ("anna", SIZE)
        joints = skeleton_format(person.skeleton).joints

        def pixel(name):
            return person.points[0, joints.index(name)]

        np.testing.assert_allclose(pixel("left_eye"), [0.31 * 640, 0.11 * 480], rtol=1e-6)
        np.testing.assert_allclose(pixel("right_eye"), [0.29 * 640, 0.12 * 480], rtol=1e-6)
        np.testing.assert_allclose(pixel("left_ear"), [0.33 * 640, 0.13 * 480], rtol=1e-6)
        np.testing.assert_allclose(pixel("right_ear"), [0.27 * 640, 0.14 * 480], rtol=1e-6)
        right = points[RIGHT_WRIST, :2] * SIZE
        np.testing.assert_allclose(pixel("right_wrist"), right, rtol=1e-6)
        assert np.isnan(pixel("left_wrist")).all()
        assert np.isnan(pixel("nose")).all()
        assert person.scores[0, joints.index("left_wrist")] == 0.0
        assert person.scores[0, joints.index("right_wrist")] == np.float32(0.9)
        assert subscriber.intrinsics == Intrinsics(500.0, 505.0, 320.0, 240.0)

        detector.skeleton("anna", START + 40_000_000, points * [600.0, 400.0, 1.0])
        with pytest.raises(KeypointsError, match="expected shares"):
            subscriber.take(5.0)


def test_people_of_one_image_are_one_frame(detector, domain):
    with SkeletonSubscriber(domain=domain, hold_s=0.4) as subscriber:
        listening(subscriber, detector, "a", "b")
        detector.skeleton("b", START, someone())
        assert subscriber.take(0.05) == ()  # It waits for the other.
        detector.skeleton("a", START, someone(0.2))
        (frame,) = subscriber.take(5.0)
        assert {one.track_id for one in frame.people} == {"a", "b"}
        # The second one misses a frame, which is held for a while; the next waits behind it.
        detector.skeleton("a", START + 10, someone())
        detector.skeleton("a", START + 20, someone())
        detector.skeleton("b", START + 20, someone())
        frames = subscriber.take(5.0)
        frames += subscriber.take(0.5)
        assert [len(one.people) for one in frames] == [1, 2]
        assert [one.stamp_ns - START for one in frames] == [10, 20]
        assert frames[1].timestamp > frames[0].timestamp
        before = subscriber.late
        detector.skeleton("b", START + 10, someone())
        until(lambda: subscriber.take(0.05), lambda: subscriber.late == before + 1)
        # Someone who is no longer tracked is waited for no more.
        detector.tracked("a")
        until(lambda: None, lambda: not subscriber.take(0.05) and len(subscriber._bodies) == 1)
        detector.skeleton("a", START + 30, someone())
        (frame,) = subscriber.take(0.3)
        assert [one.track_id for one in frame.people] == ["a"]


def test_ids_that_are_no_topic_are_passed_over(detector, domain):
    with SkeletonSubscriber(domain=domain, image_size=SIZE) as subscriber:
        ids = ["ok", "a b", "", "1", "x/../y", "é", "_" * 100, *(f"n{n}" for n in range(200))]
        until(lambda: detector.tracked(*ids), lambda: subscriber.take(0.05) or subscriber._bodies)
        assert len(subscriber._bodies) == 64
        assert "ok" in subscriber._bodies
        assert all(one.isidentifier() for one in subscriber._bodies)


def test_poses_of_a_real_clip_go_back_with_the_stamps_of_the_keypoints(detector, domain, tmp_path):
    """From a detector's messages through a stream to a bag, as examples/ros2_live.py does."""
    clip = Keypoints.from_file(CLIP)
    order = [
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder"),
        *("left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip"),
        *("left_knee", "left_ankle", "left_eye", "right_eye", "left_ear", "right_ear"),
    ]
    joints = skeleton_format(clip.skeleton).joints
    stamps = [START + n * 33_333_333 for n in range(6)]
    published = []
    with (
        SkeletonSubscriber(domain=domain) as subscriber,
        Pose3DEngine("starter") as engine,
        engine.stream("video", fps=30.0) as stream,
    ):
        listening(subscriber, detector, "p1")
        publisher = PosePublisher(
            bag=tmp_path / "bag",
            publishes=False,
            epoch_ns=subscriber.epoch_ns,
            announces=False,
            is_relative=True,
        )
        for number, stamp in enumerate(stamps):
            seen = np.zeros((18, 3))
            for at, name in enumerate(order):
                sources = ("left_shoulder", "right_shoulder") if name == "neck" else (name,)
                found = [joints.index(one) for one in sources]
                point = clip.points[20 + number, found].mean(axis=0) / clip.image_size
                seen[at] = (*point, 0.9)
            detector.skeleton("p1", stamp, seen)
            (frame,) = subscriber.take(5.0)
            assert subscriber.epoch_ns + round(frame.timestamp * 1e9) == stamps[number]
            for timestamp, poses in by_frame(stream.push_people(frame.people, frame.timestamp)):
                publisher.publish(poses, timestamp)
                published += poses
        publisher.close()
    assert len(published) == 6
    assert published[-1].valid.sum() >= 14
    from rosbags.highlevel import AnyReader

    with AnyReader([tmp_path / "bag"]) as reader:
        (topic,) = [one for one in reader.connections if one.topic == "/humans/bodies/p1/poses"]
        read = [reader.deserialize(data, topic.msgtype) for _, _, data in reader.messages([topic])]
        assert not [one for one in reader.connections if one.topic.endswith("tracked")]
    # To the nanosecond, so that exact synchronizers match them.
    assert [one.header.stamp.sec * 10**9 + one.header.stamp.nanosec for one in read] == stamps


def info(**fields):
    return type("Info", (), {"k": K, "p": P, "d": [], "distortion_model": "", **fields})()


def test_camera_is_that_of_its_calibration():
    assert camera_of(info()) == Intrinsics(500.0, 505.0, 320.0, 240.0)
    lens = [0.1, -0.2, 0.001, 0.002, 0.05]
    distorted = camera_of(info(d=lens, distortion_model="plumb_bob"))
    assert distorted.distortion == tuple(lens)
    fisheye = camera_of(info(d=lens[:4], distortion_model="equidistant"))
    assert fisheye.fisheye
    rectified = camera_of(info(d=lens, distortion_model="plumb_bob"), is_rectified=True)
    assert rectified == Intrinsics(480.0, 485.0, 310.0, 230.0)
    assert camera_of(info(k=[0.0] * 9)) is None  # Not calibrated.
    with pytest.raises(UsageError, match=r"model is 'odd'.*plumb_bob"):
        camera_of(info(d=lens, distortion_model="odd"))


def test_camera_is_waited_for(detector, domain):
    with SkeletonSubscriber(domain=domain, camera_info="/front/camera_info") as subscriber:
        assert not subscriber.wait_for_camera(0.05)
        assert subscriber.image_size is None
    with SkeletonSubscriber(domain=domain) as subscriber:
        until(detector.camera, lambda: subscriber.wait_for_camera(0.05))
        assert subscriber.image_size == SIZE
    with pytest.raises(UsageError, match="closed"):
        subscriber.take()
    subscriber.close()


def test_wrong_arguments_are_refused(domain, monkeypatch):
    with pytest.raises(UsageError, match="hold_s"):
        SkeletonSubscriber(hold_s=-1.0, domain=domain)
    with pytest.raises(UsageError, match="no name of a ROS topic"):
        SkeletonSubscriber(camera_info="camera", domain=domain)
    monkeypatch.setitem(__import__("sys").modules, "cyclonedds.sub", None)
    with pytest.raises(MissingDependencyError, match=r"hot-sdk\[ros\]"):
        SkeletonSubscriber(domain=domain)
