"""What an independent subscriber on loopback receives; see ros2_subscriber.py."""

import dataclasses
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from ros2_definitions import DEFINITIONS
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from standing_person import ROOT, at, pose_of, standing

from hot_sdk.errors import MissingDependencyError, StreamError, UsageError
from hot_sdk.results.result import ROBOT_AXES
from hot_sdk.ros import PosePublisher, SkeletonSubscriber, by_frame
from hot_sdk.ros.network import is_local_only, ros_domain
from hot_sdk.skeletons import H36M17

EPOCH = 1_700_000_000_123_456_789
BODY = "/humans/bodies/p1"
TOPICS = {
    "/humans/bodies/tracked": "hri_msgs/IdsList",
    "/poses/markers": "visualization_msgs/MarkerArray",
    "/tf": "tf2_msgs/TFMessage",
    "/tf_static": "tf2_msgs/TFMessage",
    f"{BODY}/poses": "geometry_msgs/PoseArray",
    f"{BODY}/joints": "sensor_msgs/PointCloud2",
    f"{BODY}/joint_states": "sensor_msgs/JointState",
}


@pytest.fixture(scope="module")
def came(subscriber):
    return subscriber(TOPICS)


@pytest.fixture
def received(came, domain):
    """Publish frames of poses, and return what came of each topic."""

    def run(frames, *, rate=None, **options):
        came()
        with PosePublisher(domain=domain, epoch_ns=EPOCH, **options) as publisher:
            assert publisher.wait_for_subscribers(list(TOPICS), 20.0)
            start = time.monotonic()
            for number, (timestamp, poses) in enumerate(frames):
                if rate is not None:
                    time.sleep(max(0.0, start + number / rate - time.monotonic()))
                publisher.publish(poses, timestamp)
            found = came()
        return {topic: [message for _, message in found[topic]] for topic in found}

    return run


def stamp_of(message):
    return message["header"]["stamp"]["sec"] * 10**9 + message["header"]["stamp"]["nanosec"]


def points_of(array):
    return np.array([[one["position"][axis] for axis in "xyz"] for one in array["poses"]])


def cloud_of(message):
    names = [field["name"] for field in message["fields"]]
    assert [field["offset"] for field in message["fields"]] == [4 * n for n in range(len(names))]
    assert message["point_step"] == 4 * len(names)
    assert message["row_step"] == message["point_step"] * message["width"] == len(message["data"])
    values = struct.unpack(f"<{17 * len(names)}f", bytes(message["data"]))
    return dict(zip(names, np.array(values).reshape(17, -1).T, strict=True))


def test_subscriber_receives_what_was_measured_and_nothing_else(received):
    missing = ("left_wrist", "head")
    found = received([(0.5, [pose_of(0.5, missing=missing)]), (0.6, [])])
    (array,) = found[f"{BODY}/poses"]
    assert stamp_of(array) == EPOCH + 500_000_000
    assert array["header"]["frame_id"] == "camera_optical_frame"
    points = points_of(array)
    lost = [at(name) for name in missing]
    assert np.isnan(points[lost]).all()
    seen = np.setdiff1d(np.arange(17), lost)
    np.testing.assert_allclose(points[seen], (standing() + ROOT)[seen])

    (message,) = found[f"{BODY}/joints"]
    cloud = cloud_of(message)
    assert not message["is_dense"]
    places = np.stack([cloud["x"], cloud["y"], cloud["z"]], axis=1)
    np.testing.assert_allclose(places, points, rtol=1e-6)
    np.testing.assert_allclose(cloud["vy"][seen], 0.25)
    np.testing.assert_allclose(cloud["cov_zz"][seen], 0.09, rtol=1e-6)
    np.testing.assert_allclose(cloud["cov_xy"][seen], 0.0)
    assert all(np.isnan(values[lost]).all() for values in cloud.values())

    (state,) = found[f"{BODY}/joint_states"]
    assert len(state["name"]) == len(state["position"]) == 15
    assert {"r_elbow_p1", "waist_p1", "l_p_shoulder_p1"} <= set(state["name"])
    assert not {"l_elbow_p1", "l_r_shoulder_p1"} & set(state["name"])
    assert np.isfinite(state["position"]).all()
    assert state["velocity"] == state["effort"] == []

    first, last = found["/humans/bodies/tracked"]
    assert (first["ids"], last["ids"]) == (["p1"], [])
    assert stamp_of(last) == EPOCH + 600_000_000


def test_transforms_place_the_body_and_its_joints(received):
    found = received([(1.0, [pose_of(1.0, missing=["right_wrist"])])])
    ((body, *joints),) = [message["transforms"] for message in found["/tf"]]
    assert (body["header"]["frame_id"], body["child_frame_id"]) == (
        "camera_optical_frame",
        "body_p1",
    )
    place = np.array([body["transform"]["translation"][axis] for axis in "xyz"])
    np.testing.assert_allclose(place, ROOT)
    turn = body["transform"]["rotation"]
    rotation = matrix(*(turn[axis] for axis in "xyzw"))
    np.testing.assert_allclose(rotation[:, 0], [0, 0, -1], atol=1e-9)  # Forward, to the camera.
    np.testing.assert_allclose(rotation[:, 2], [0, -1, 0], atol=1e-9)  # Up.
    assert {one["child_frame_id"] for one in joints} == {
        f"{name}_p1" for name in H36M17.joints if name not in ("pelvis", "right_wrist")
    }
    for one in joints:
        assert one["header"]["frame_id"] == "body_p1"
        inside = np.array([one["transform"]["translation"][axis] for axis in "xyz"])
        wanted = (standing() + ROOT)[at(one["child_frame_id"][:-3])]
        np.testing.assert_allclose(place + rotation @ inside, wanted, atol=1e-9)
    ((static,),) = [message["transforms"] for message in found["/tf_static"]]
    assert (static["header"]["frame_id"], static["child_frame_id"]) == (
        "camera_link",
        "camera_optical_frame",
    )
    turn = static["transform"]["rotation"]
    optical = matrix(*(turn[axis] for axis in "xyzw"))
    # REP-103: what is ahead of the optical frame (z) is ahead of the camera (x); its y is down.
    np.testing.assert_allclose(optical @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(optical @ [0, 1, 0], [0, 0, -1], atol=1e-12)


def matrix(x, y, z, w):
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def test_markers_are_drawn_per_person_and_deleted_with_them(received):
    people = [pose_of(0.0, 1), pose_of(0.0, 2, missing=["right_ankle", "right_knee"])]
    found = received([(0.0, people), (0.1, [pose_of(0.1, 2)]), (0.2, [])])
    first, second, third = [message["markers"] for message in found["/poses/markers"]]
    drawn = {(one["ns"], one["type"]): one for one in first}
    assert set(drawn) == {(name, kind) for name in ("p1", "p2") for kind in (5, 7, 9)}
    assert all(one["action"] == 0 for one in first)
    assert len(drawn["p1", 5]["points"]) == 32
    assert len(drawn["p2", 5]["points"]) == 28  # Without the two bones below the hip.
    assert len(drawn["p2", 7]["points"]) == 15
    assert drawn["p1", 5]["lifetime"] == {"sec": 0, "nanosec": 500_000_000}
    assert drawn["p1", 5]["color"] != drawn["p2", 5]["color"]
    assert all(np.isfinite([point[a] for a in "xyz"]).all() for point in drawn["p2", 7]["points"])
    deleted = {(one["ns"], one["id"]) for one in second if one["action"] == 2}
    assert deleted == {("p1", 0), ("p1", 1), ("p1", 2)}
    assert {one["ns"] for one in third} == {"p2"}
    assert all(one["action"] == 2 for one in third)


def test_someone_whose_place_is_unknown_has_angles_but_no_place(received):
    nowhere = pose_of(0.0, joints=np.full((17, 3), np.nan))
    found = received([(0.0, [nowhere])])
    assert np.isnan(points_of(found[f"{BODY}/poses"][0])).all()
    assert found[f"{BODY}/joint_states"][0]["name"] == []
    assert found["/tf"] == []
    assert all(one["action"] == 2 for one in found["/poses/markers"][0]["markers"])
    assert found["/humans/bodies/tracked"][0]["ids"] == ["p1"]


def test_relative_poses_are_in_a_frame_that_nothing_leads_to(received):
    missing = ("left_wrist",)
    pose = pose_of(0.0, missing=missing, joints=np.full((17, 3), np.nan))
    found = received([(0.0, [pose])], is_relative=True)
    (array,) = found[f"{BODY}/poses"]
    assert array["header"]["frame_id"] == "pelvis_p1"
    points = points_of(array)
    np.testing.assert_allclose(points[0], 0.0, atol=1e-7)
    # Forward, left and up of the camera: the head is up, and the left hand to its right.
    head = standing()[at("head")]
    np.testing.assert_allclose(points[at("head")], [head[2], -head[0], -head[1]], atol=1e-6)
    assert points[at("left_hip")][1] < 0.0
    assert np.isnan(points[at("left_wrist")]).all()
    assert found["/tf"] == found["/tf_static"] == []
    assert "r_elbow_p1" in found[f"{BODY}/joint_states"][0]["name"]
    cloud = cloud_of(found[f"{BODY}/joints"][0])
    assert np.isnan(cloud["vx"]).all()  # Velocities are those of joints in space.
    assert np.isnan(cloud["cov_xx"]).all()


def test_covariances_of_relative_poses_turn_with_them(received):
    depth = np.tile(np.diag([1e-4, 4e-4, 9e-2]), (17, 1, 1))
    found = received([(0.0, [pose_of(0.0, covariance=depth)])], is_relative=True)
    cloud = cloud_of(found[f"{BODY}/joints"][0])
    np.testing.assert_allclose(cloud["cov_xx"], 0.09, rtol=1e-6)  # Along the camera's view.
    np.testing.assert_allclose(cloud["cov_zz"], 4e-4, rtol=1e-6)


def test_robot_frame_is_named_and_nothing_is_said_of_its_camera(received):
    pose = pose_of(0.0, frame_id="base_link", axes=ROBOT_AXES)
    found = received([(0.0, [pose]), (0.1, [dataclasses.replace(pose, timestamp=0.1)])])
    assert {one["header"]["frame_id"] for one in found[f"{BODY}/poses"]} == {"base_link"}
    assert found["/tf"][0]["transforms"][0]["header"]["frame_id"] == "base_link"
    assert found["/tf_static"] == []


def test_frame_can_be_named_as_the_robot_does(received):
    found = received([(0.0, [pose_of()])], frame_id="camera_color_optical_frame")
    assert found[f"{BODY}/poses"][0]["header"]["frame_id"] == "camera_color_optical_frame"
    assert found["/tf_static"] == []  # The robot's own driver says how it is turned.


def test_no_message_is_lost_and_the_bag_holds_them_all(received, tmp_path):
    """``python tests/hot_sdk/ros/deliver.py`` does the same with 1,000 at 30 Hz."""
    frames = [(n / 30, [pose_of(n / 30)]) for n in range(30)]
    bag = tmp_path / "bag"
    found = received(frames, rate=30.0, bag=bag)
    stamps = [EPOCH + round(timestamp * 1e9) for timestamp, _ in frames]
    for topic in ("poses", "joints", "joint_states"):
        assert [stamp_of(one) for one in found[f"{BODY}/{topic}"]] == stamps, topic
    assert [stamp_of(one) for one in found["/humans/bodies/tracked"]] == stamps
    assert len(found["/poses/markers"]) == len(found["/tf"]) == len(stamps)

    store = get_typestore(Stores.ROS2_HUMBLE)
    name = "hri_msgs/msg/IdsList"
    store.register(get_types_from_msg(DEFINITIONS["hri_msgs/IdsList"], name))
    with AnyReader([bag], default_typestore=store) as reader:
        assert {(one.topic, one.msgtype.replace("/msg", "")) for one in reader.connections} == set(
            TOPICS.items()
        )
        qos = {one.topic: one.ext.offered_qos_profiles[0] for one in reader.connections}
        assert qos["/tf_static"].durability.name == "TRANSIENT_LOCAL"
        assert qos["/tf"].durability.name == "VOLATILE"
        assert qos[f"{BODY}/poses"].reliability.name == "RELIABLE"
        read = {topic: [] for topic in TOPICS}
        for connection, time_ns, data in reader.messages():
            read[connection.topic].append(reader.deserialize(data, connection.msgtype))
            assert abs(time_ns - time.time_ns()) < 60e9
    sent = read[f"{BODY}/poses"]
    assert [one.header.stamp.sec * 10**9 + one.header.stamp.nanosec for one in sent] == stamps
    wrist = sent[7].poses[at("right_wrist")].position
    np.testing.assert_allclose([wrist.x, wrist.y, wrist.z], (standing() + ROOT)[16])
    assert read["/humans/bodies/tracked"][3].ids == ["p1"]


def test_best_effort_reaches_no_subscriber_that_asks_for_reliable(came, domain):
    topic = f"{BODY}/poses"
    came()
    with PosePublisher(domain=domain, reliability="best_effort") as publisher:
        assert publisher.wait_for_subscribers(["/tf", "/tf_static"], 20.0)
        assert not publisher.wait_for_subscribers([topic], 0.3)
        assert publisher.publish([pose_of()], 0.0) == 2  # Transforms, which are reliable.
        found = came()
    assert {one for one in found if found[one]} == {"/tf", "/tf_static"}
    with pytest.raises(UsageError, match="best_effort"):
        PosePublisher(reliability="best")


def test_nothing_is_built_for_nobody(domain):
    with PosePublisher(domain=domain + 60) as publisher:  # In which nobody is.
        publisher.publish([pose_of(0.0)], 0.0)
        assert publisher.publish([pose_of(0.1)], 0.1) == 0


def test_bag_alone_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("CYCLONEDDS_URI", "<nonsense")
    with PosePublisher(bag=tmp_path / "bag", publishes=False, epoch_ns=EPOCH) as publisher:
        assert publisher.publish([pose_of()], 0.0) == 7
        assert not (tmp_path / "bag").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bag"]
    with pytest.raises(UsageError, match="exists"):
        PosePublisher(bag=tmp_path / "bag", publishes=False)
    with pytest.raises(UsageError, match="in no folder"):
        PosePublisher(bag=tmp_path / "a" / "b", publishes=False)
    with pytest.raises(UsageError, match="Nothing is published"):
        PosePublisher(publishes=False)


def test_frames_out_of_order_or_torn_apart_are_refused(tmp_path):
    with PosePublisher(bag=tmp_path / "bag", publishes=False, epoch_ns=EPOCH) as publisher:
        publisher.publish([pose_of(1.0)], 1.0)
        with pytest.raises(StreamError, match="comes after"):
            publisher.publish([pose_of(1.0)], 1.0)
        with pytest.raises(StreamError, match="comes after"):
            publisher.publish([pose_of(0.9)], 0.9)
        with pytest.raises(StreamError, match="not of the frame"):
            publisher.publish([pose_of(1.0)], 1.1)
        with pytest.raises(StreamError, match="two poses"):
            publisher.publish([pose_of(1.1), pose_of(1.1)], 1.1)
        with pytest.raises(StreamError, match="nan"):
            publisher.publish([], float("nan"))
        publisher.publish([pose_of(0.1)], 0.1)  # The clock was set.
    with pytest.raises(StreamError, match="closed"):
        publisher.publish([], 2.0)
    publisher.close()


def test_poses_without_meters_are_refused(tmp_path):
    pose = pose_of(unit="normalized_px")
    with (
        PosePublisher(bag=tmp_path / "bag", publishes=False, is_relative=True) as publisher,
        pytest.raises(UsageError, match="normalized_px"),
    ):
        publisher.publish([pose], 0.0)


def test_stamps_begin_now_unless_the_clock_is_known(tmp_path):
    with PosePublisher(bag=tmp_path / "bag", publishes=False) as publisher:
        assert publisher.epoch_ns is None
        before = time.time_ns()
        publisher.publish([pose_of(5.0, delay_s=0.2)], 5.0)
        # The image was taken a fifth of a second ago.
        assert publisher.epoch_ns + 5.2e9 == pytest.approx(before, abs=1e9)


def test_ids_that_look_alike_stay_apart(tmp_path):
    with PosePublisher(bag=tmp_path / "bag", publishes=False) as publisher:
        publisher.publish([pose_of(0.0, "a b"), pose_of(0.0, "a/b"), pose_of(0.0, "a_b")], 0.0)
    with AnyReader([tmp_path / "bag"]) as reader:
        found = {one.topic for one in reader.connections if one.topic.endswith("/poses")}
    assert found == {f"/humans/bodies/{name}/poses" for name in ("a_b", "a_b_2", "a_b_3")}


def test_poses_are_grouped_by_frame():
    poses = [pose_of(0.2, 1), pose_of(0.1, 2), pose_of(0.1, 1)]
    (first, people), (second, alone) = by_frame(poses)
    assert (first, second) == (0.1, 0.2)
    assert [one.track_id for one in people] == [2, 1]
    assert alone == (poses[0],)


@pytest.mark.parametrize("text", ["-1", "233", "1.5", "x", "²"])
def test_domain_that_ros_does_not_have_is_refused(monkeypatch, text):
    monkeypatch.setenv("ROS_DOMAIN_ID", text)
    with pytest.raises(UsageError, match="from 0 to 232"):
        ros_domain()


def test_environment_is_that_of_ros(monkeypatch):
    assert (ros_domain(), ros_domain(7)) == (0, 7)
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    assert (ros_domain(), ros_domain(7)) == (42, 7)
    assert not is_local_only()
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    assert is_local_only()
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE")
    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "1")
    assert is_local_only()


def test_local_range_of_ros_is_enough_to_be_found_on_this_computer(came, domain, monkeypatch):
    came()
    monkeypatch.delenv("CYCLONEDDS_URI")
    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "1")
    for _ in range(2):
        # Another participant of the same process, as a subscriber is, uses the same domain.
        with PosePublisher(domain=domain) as publisher, SkeletonSubscriber(domain=domain):
            assert publisher.wait_for_subscribers(["/tf"], 20.0)
            publisher.publish([pose_of()], 0.0)
            assert len(came()["/tf"]) == 1


def test_broken_configuration_is_an_error_of_ours(monkeypatch, domain):
    monkeypatch.setenv("CYCLONEDDS_URI", "<CycloneDDS><Domain><Nonsense/></Domain></CycloneDDS>")
    with pytest.raises(UsageError, match="CYCLONEDDS_URI"):
        PosePublisher(domain=domain + 100)


def test_missing_package_is_named_with_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2", None)
    with pytest.raises(MissingDependencyError, match=r"hot-sdk\[ros\]"):
        PosePublisher(bag=tmp_path / "bag", publishes=False)
    monkeypatch.setitem(sys.modules, "cyclonedds.core", None)
    with pytest.raises(MissingDependencyError, match=r"cyclonedds.*hot-sdk\[ros\]"):
        PosePublisher()


def test_import_costs_neither_package():
    names = "[name for name in sys.modules if name.startswith(('cyclonedds', 'rosbags'))]"
    code = f"import sys, hot_sdk.ros; print({names})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
