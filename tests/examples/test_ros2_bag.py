"""The ROS 2 example: what its bags hold, read back with the public reader and nothing of ours."""

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from exported_models import export_case

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import KeypointsError
from hot_sdk.skeletons import H36M17

pytest.importorskip("mcap_ros2", reason="mcap-ros2-support, which this example needs, is missing")
from mcap.reader import make_reader
from mcap.writer import Writer as PlainWriter
from mcap_ros2.decoder import DecoderFactory

EXAMPLES = Path(__file__).parents[2] / "examples"
START = 1_700_000_000_000_000_000
STEP = 33_333_333
FRAME = "camera_optical_frame"
BONES = [(child, parent) for child, parent in enumerate(H36M17.parents) if parent >= 0]
FIRST, SECOND = 3, 7


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(EXAMPLES))
    yield importlib.import_module("ros2_bag")
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return export_case("mixste", "hot", tmp_path_factory).path


@pytest.fixture(scope="module")
def people():
    """A real clip of 50 frames, two of them without people; and a part of it as another person."""
    clip = Keypoints.from_file(EXAMPLES / "data" / "jump_mediapipe33.npz")
    points = clip.points[5:55].copy()
    points[20:22] = np.nan
    known = {"skeleton": clip.skeleton, "image_size": clip.image_size}
    times = np.arange(50) * (STEP / 1e9)
    first = Keypoints(points, clip.scores[5:55], timestamps=times, track_id=FIRST, **known)
    second = Keypoints(
        points[10:20] - 200.0,
        clip.scores[15:25],
        timestamps=times[10:20],
        track_id=SECOND,
        **known,
    )
    return first, second


@pytest.fixture(scope="module")
def bag(example, people, tmp_path_factory):
    path = tmp_path_factory.mktemp("bag") / "in.mcap"
    example.make_input(path, people, START)
    return path


@pytest.fixture(scope="module")
def poses_bag(bag, model):
    path = bag.with_name("out.mcap")
    run = run_example(bag, path, "--model", model)
    assert run.stderr == ""
    assert f"48 frames, 2 people: {path}" in run.stdout
    assert "Warning: random weights" in run.stdout
    return path


def run_example(*arguments, **options):
    command = [sys.executable, EXAMPLES / "ros2_bag.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def messages(path, *topics):
    """Header, channels by topic, schemas by topic, and (topic, log time, message)."""
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        header, summary = reader.get_header(), reader.get_summary()
        channels = {channel.topic: channel for channel in summary.channels.values()}
        schemas = {name: summary.schemas[one.schema_id] for name, one in channels.items()}
        found = [
            (channel.topic, record.log_time, message)
            for _, channel, record, message in reader.iter_decoded_messages(topics or None)
        ]
    return header, channels, schemas, found


def nanoseconds(header):
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def positions(points):
    return np.array([[point.x, point.y, point.z] for point in points]).reshape(-1, 3)


def expected_poses(model, keypoints, rows):
    """What the engine says about the frames that a bag holds of a person."""
    shown = Keypoints(
        keypoints.points[rows],
        keypoints.scores[rows],
        skeleton=keypoints.skeleton,
        image_size=keypoints.image_size,
        timestamps=keypoints.timestamps[rows] - keypoints.timestamps[rows][0],
    )
    with Pose3DEngine(model) as engine:
        result = engine(shown)
    assert result.valid.any()
    return np.where(result.valid[..., None], result.poses, np.nan)


def test_both_bags_are_of_ros_2(bag, poses_bag):
    point, markers = "sensor_msgs/msg/PointCloud2", "visualization_msgs/msg/MarkerArray"
    types = {
        bag: {
            "/keypoints": point,
            "/keypoints/skeleton": "std_msgs/msg/String",
            "/camera_info": "sensor_msgs/msg/CameraInfo",
        },
        poses_bag: {
            "/poses/markers": markers,
            "/poses/person_3": "geometry_msgs/msg/PoseArray",
            "/poses/person_7": "geometry_msgs/msg/PoseArray",
            "/tf_static": "tf2_msgs/msg/TFMessage",
        },
    }
    for path, expected in types.items():
        header, channels, schemas, _ = messages(path)
        assert header.profile == "ros2"
        assert {topic: schema.name for topic, schema in schemas.items()} == expected
        assert {schema.encoding for schema in schemas.values()} == {"ros2msg"}
        assert {channel.message_encoding for channel in channels.values()} == {"cdr"}
        for topic, channel in channels.items():
            latched = topic in ("/tf_static", "/keypoints/skeleton")
            profile = channel.metadata["offered_qos_profiles"]
            assert profile.startswith("- history: ")
            assert f"\n  durability: {1 if latched else 2}\n" in profile


def test_definitions_are_complete(bag, poses_bag):
    primitive = {"bool", "string", "int32", "uint8", "uint32", "float32", "float64"}
    for path in (bag, poses_bag):
        for schema in messages(path)[2].values():
            text = f"MSG: {schema.name.replace('/msg/', '/')}\n{schema.data.decode()}"
            parts = [part.strip("\n").split("\n") for part in text.split("=" * 80)]
            defined = [part[0].removeprefix("MSG: ") for part in parts]
            assert len(set(defined)) == len(defined)
            for name, (_, *fields) in zip(defined, parts, strict=True):
                package = name.split("/")[0]
                for kind in {line.split()[0].split("[")[0] for line in fields} - primitive:
                    assert (kind if "/" in kind else f"{package}/{kind}") in defined


def test_stamps_and_frames_are_those_of_the_keypoints(poses_bag, people):
    seen = [frame for frame in range(50) if frame not in (20, 21)]
    spans = {"/poses/markers": seen, "/poses/person_3": seen, "/poses/person_7": range(10, 20)}
    found = messages(poses_bag)[3]
    for topic, frames in spans.items():
        stamps = []
        for _, log_time, message in (one for one in found if one[0] == topic):
            heads = [one.header for one in getattr(message, "markers", [message])]
            assert {head.frame_id for head in heads} == {FRAME}
            assert {nanoseconds(head) for head in heads} == {log_time}
            stamps.append(log_time)
        assert stamps == [START + STEP * frame for frame in frames]


def test_pose_arrays_are_the_engines_poses(poses_bag, people, model):
    rows = {FIRST: [*range(20), *range(22, 50)], SECOND: range(10)}
    for keypoints in people:
        track_id = keypoints.track_id
        found = messages(poses_bag, f"/poses/person_{track_id}")[3]
        poses = np.array(
            [positions(pose.position for pose in message.poses) for _, _, message in found]
        )
        expected = expected_poses(model, keypoints, list(rows[track_id]))
        np.testing.assert_allclose(poses, expected, atol=1e-6)
        turns = {
            (turn.x, turn.y, turn.z, turn.w)
            for _, _, message in found
            for turn in (pose.orientation for pose in message.poses)
        }
        assert turns == {(0.0, 0.0, 0.0, 1.0)}


def test_markers_are_the_bones_and_joints_of_the_poses(poses_bag):
    found = messages(poses_bag)[3]
    arrays = {(topic, at): message for topic, at, message in found}
    people_at = []
    for (topic, at), message in arrays.items():
        if topic != "/poses/markers":
            continue
        people_at.append(len(message.markers) // 2)
        for bones, joints in zip(message.markers[::2], message.markers[1::2], strict=True):
            assert (bones.type, bones.id, bones.action) == (5, 0, 0)
            assert (joints.type, joints.id, joints.action) == (7, 1, 0)
            assert bones.ns == joints.ns
            assert bones.color.a == 1.0
            assert min(bones.scale.x, joints.scale.x) > 0.0
            assert (bones.lifetime.sec, bones.lifetime.nanosec) > (0, 0)
            poses = arrays[f"/poses/{bones.ns}", at].poses
            pose = positions(one.position for one in poses)
            kept = np.isfinite(pose).all(axis=1)
            lines = [
                pose[[child, parent]] for child, parent in BONES if kept[[child, parent]].all()
            ]
            np.testing.assert_array_equal(positions(bones.points), np.array(lines).reshape(-1, 3))
            np.testing.assert_array_equal(positions(joints.points), pose[kept])
    assert sorted(people_at) == [1] * 38 + [2] * 10


def test_the_camera_looks_ahead(poses_bag):
    (_, at, message), *more = messages(poses_bag, "/tf_static")[3]
    assert not more
    assert at == START
    (turn,) = message.transforms
    assert (turn.header.frame_id, turn.child_frame_id) == ("camera_link", FRAME)
    q = turn.transform.rotation
    x, y, z, w = q.x, q.y, q.z, q.w
    matrix = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    right_down_forward = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]]).T
    np.testing.assert_array_equal(matrix, right_down_forward)


def test_a_robots_own_transforms_are_left_alone(example, bag, poses_bag, model):
    merged = Path("merged.mcap")
    with merged.open("wb") as stream:
        writer = PlainWriter(stream)
        writer.start(profile="ros2")
        for path, topics in ((bag, None), (poses_bag, ["/tf_static"])):
            with path.open("rb") as source:
                numbers = {}
                for schema, channel, record in make_reader(source).iter_messages(topics):
                    if channel.topic not in numbers:
                        kind = writer.register_schema(schema.name, schema.encoding, schema.data)
                        numbers[channel.topic] = writer.register_channel(channel.topic, "cdr", kind)
                    at = record.log_time
                    writer.add_message(numbers[channel.topic], at, record.data, at)
        writer.finish()
    run = run_example(merged, "out.mcap", "--model", model)
    assert run.returncode == 0, run.stderr
    assert sorted(messages(Path("out.mcap"))[1]) == [
        "/poses/markers",
        "/poses/person_3",
        "/poses/person_7",
    ]


def test_a_calibrated_camera_places_people(example, people):
    fx, cx, fy, cy = 1500.0, 884.0, 1510.0, 497.0
    example.make_input(Path("in.mcap"), people[:1], START, k=(fx, 0, cx, 0, fy, cy, 0, 0, 1))
    recording = example.read_bag(Path("in.mcap"), "/keypoints")
    ((clip, poses),) = example.lift("starter", recording, None)
    keypoints = recording.keypoints(clip, None)
    with Pose3DEngine("starter") as engine:
        placed = engine(keypoints).with_root_from_reprojection(
            keypoints, Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy)
        )
    relative = np.where(placed.valid[..., None], placed.poses, np.nan)
    expected = relative.astype(float) + placed.root[:, None]
    np.testing.assert_array_equal(poses, expected)
    assert np.isfinite(poses).mean() > 0.9
    assert np.nanmax(np.abs(poses - relative)) > 1.0


def test_who_comes_back_after_a_gap_is_a_new_clip(example, people):
    times = people[0].timestamps.copy()
    times[30:] += 1.0
    example.make_input(Path("in.mcap"), [dataclasses.replace(people[0], timestamps=times)], START)
    clips = example.read_bag(Path("in.mcap"), "/keypoints").clips
    assert [(clip.track_id, len(clip.points)) for clip in clips] == [(FIRST, 28), (FIRST, 20)]


def test_a_ghost_costs_nobody_else(example, people, model):
    ghost = dataclasses.replace(people[1], scores=np.zeros_like(people[1].scores))
    example.make_input(Path("in.mcap"), [people[0], ghost], START)
    run = run_example("in.mcap", "out.mcap", "--model", model)
    assert "Left out 10 frames of 7: " in run.stdout
    assert "48 frames, 1 people" in run.stdout


def test_make_input_from_a_keypoint_file(model):
    clip = EXAMPLES / "data" / "jump_mediapipe33.npz"
    run = run_example(clip, "in.mcap", "--make-input")
    assert (run.stdout, run.stderr) == ("230 frames: in.mcap\n", "")
    run = run_example("in.mcap", "out.mcap", "--model", model)
    assert "221 frames, 1 people: out.mcap" in run.stdout  # Nine show no people.


def cloud(dtype, *, big_endian=False, padding=0, **values):
    """A message of two people with three joints, as another program may lay it out."""
    point = np.dtype(dtype)
    rows = np.zeros((2, 3), point)
    for name, value in values.items():
        rows[name] = value
    numbers = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
    fields = [
        SimpleNamespace(name=name, offset=kind[1], datatype=numbers[kind[0].str[1:]], count=1)
        for name, kind in point.fields.items()
    ]
    return SimpleNamespace(
        fields=fields,
        height=2,
        width=3,
        is_bigendian=big_endian,
        point_step=point.itemsize,
        row_step=3 * point.itemsize + padding,
        data=b"".join(row.tobytes() + bytes(padding) for row in rows),
    )


def test_clouds_of_other_layouts(example):
    layout = {
        "names": ["track_id", "score", "rgb", "y", "x"],
        "formats": ["u1", ">f8", ">u4", ">f4", ">f8"],
        "offsets": [1, 8, 16, 20, 24],
        "itemsize": 40,
    }
    x, y = np.arange(6.0).reshape(2, 3), np.full((2, 3), 9.5)
    message = cloud(
        layout, big_endian=True, padding=5, x=x, y=y, score=0.25, track_id=[[4] * 3, [200] * 3]
    )
    found = list(example.people_of(message))
    assert [track_id for track_id, _, _ in found] == [4, 200]
    np.testing.assert_array_equal([points for _, points, _ in found], np.stack([x, y], -1))
    assert {score for _, _, scores in found for score in scores} == {0.25}


PLAIN = [("x", "<f4"), ("y", "<f4"), ("score", "<f4"), ("track_id", "<i4")]


def test_nobody_and_those_without_a_track_are_passed_over(example):
    x = [[np.nan] * 3, [1.0, 2.0, 3.0]]
    assert list(example.people_of(cloud(PLAIN, x=x, track_id=[[0] * 3, [-1] * 3]))) == []
    assert len(list(example.people_of(cloud(PLAIN, x=x, track_id=[[0] * 3, [1] * 3])))) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"data": b"short"},
        {"point_step": 8},
        {"point_step": 0},
        {"row_step": 0},
        {"width": 4},
        {"height": 2**31},
        {"fields": []},
        {"fields": [SimpleNamespace(name="x", offset=0, datatype=99, count=1)]},
    ],
)
def test_broken_clouds_are_refused(example, broken):
    message = cloud(PLAIN, x=1.0)
    for name, value in broken.items():
        setattr(message, name, value)
    with pytest.raises(KeypointsError, match="Expected x, y, score and track_id"):
        list(example.people_of(message))


@pytest.fixture
def refusal(example, monkeypatch):
    """Runs the example in this process; returns the one line that it ends with."""

    def run(source, model, *options, output="out.mcap"):
        words = [source, output, "--model", model, *options]
        monkeypatch.setattr(sys, "argv", ["ros2_bag.py", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            example.main()
        why = stopped.value.code
        assert why.startswith("error: ")
        assert "\n" not in why
        assert not list(Path().glob("*out.mcap"))
        assert not list(Path().glob(".*.tmp"))
        return why

    return run


def test_without_size_skeleton_or_topic(example, bag, model, refusal):
    recording = example.read_bag(bag, "/keypoints")
    recording.cameras = {}
    with pytest.raises(KeypointsError, match="--image-size"):
        recording.keypoints(recording.clips[0], None)
    assert recording.keypoints(recording.clips[0], [640, 480]).image_size == (640, 480)
    recording.skeleton = ""
    with pytest.raises(KeypointsError, match="Give --skeleton, one of: h36m17"):
        recording.keypoints(recording.clips[0], [640, 480])
    why = "has no PointCloud2 on '/camera_info', only: /camera_info, /keypoints,"
    assert why in refusal(bag, model, "--topic", "/camera_info")
    assert "points has shape (48, 33, 2)" in refusal(bag, model, "--skeleton", "coco17")


def with_stamps(example, monkeypatch, people, change):
    """Write a bag whose stamps are changed by frame number, and read its clips."""
    whole, first = example.header, START // STEP

    def changed(stamp, frame_id):
        return whole(change(round(stamp / STEP) - first, stamp), frame_id)

    monkeypatch.setattr(example, "header", changed)
    example.make_input(Path("in.mcap"), people[:1], START)
    monkeypatch.setattr(example, "header", whole)
    return example.read_bag(Path("in.mcap"), "/keypoints").clips


@pytest.mark.parametrize(
    "change",
    [
        lambda frame, stamp: stamp - STEP * (frame == 30),
        lambda frame, stamp: stamp + STEP * ((frame == 30) - (frame == 31)),
        lambda frame, stamp: stamp * (frame != 30),
        lambda frame, stamp: stamp * (frame != 0),
        lambda frame, stamp: stamp + 3600 * 10**9 * (frame == 30),
    ],
    ids=["duplicate", "swapped", "zero", "zero at first", "an hour ahead"],
)
def test_one_wrong_stamp_costs_that_frame(example, people, monkeypatch, capsys, change):
    (clip,) = with_stamps(example, monkeypatch, people, change)
    assert len(clip.points) == 47  # Two of fifty show no people.
    assert "stamp is repeated or wrong: 1\n" in capsys.readouterr().out
    stamps = [stamp for stamp, _ in clip.times]
    assert stamps == sorted(set(stamps))
    # Frames keep their own stamp.
    assert sum(stamp == log_time for stamp, log_time in clip.times) >= 46


@pytest.mark.parametrize(
    "change",
    [
        lambda frame, stamp: 0,
        lambda frame, stamp: START,
        lambda frame, stamp: stamp - 25 * STEP * (frame >= 25),
    ],
    ids=["all zero", "all the same", "clock set back"],
)
def test_the_logs_times_replace_useless_stamps(example, people, monkeypatch, capsys, change):
    (clip,) = with_stamps(example, monkeypatch, people, change)
    assert "the log's times are used" in capsys.readouterr().out
    seen = [frame for frame in range(50) if frame not in (20, 21)]
    assert clip.times == [(START + frame * STEP, START + frame * STEP) for frame in seen]


def test_files_that_are_no_bags(example, bag, model, refusal):
    Path("text.mcap").write_text("hello " * 100)
    Path("cut.mcap").write_bytes(bag.read_bytes()[:3000])
    Path("empty.mcap").touch()
    for name in ("text.mcap", "cut.mcap"):
        assert f"'{name}' is cut off, damaged or no MCAP file" in refusal(name, model)
    assert "'empty.mcap' is empty" in refusal("empty.mcap", model)
    assert "No such file" in refusal("absent.mcap", model)
    assert "absent.onnx" in refusal(bag, "absent.onnx")
    assert "mkdir -p no" in refusal(bag, model, output="no/out.mcap")


def test_a_bag_that_shows_nobody(example, people, model, refusal):
    empty = dataclasses.replace(people[1], points=np.full_like(people[1].points, np.nan))
    example.make_input(Path("in.mcap"), [empty], START)
    assert "shows no people" in refusal("in.mcap", model)


def test_without_the_package(tmp_path):
    (tmp_path / "mcap_ros2.py").write_text("raise ImportError('No module named mcap_ros2')")
    run = run_example("in.mcap", "out.mcap", env={"PYTHONPATH": str(tmp_path)})
    assert run.returncode == 1
    why = "error: No module named mcap_ros2. Run: pip install mcap-ros2-support\n"
    assert (run.stdout, run.stderr) == ("", why)
