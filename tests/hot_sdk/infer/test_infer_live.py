"""hot-infer while the input plays: what it records for ROS and for the viewer, and its errors."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.infer import live
from hot_sdk.infer.cli import main
from hot_sdk.skeletons import H36M17

pytest.importorskip("cyclonedds", reason="cyclonedds, of the extra ros, is not installed")
highlevel = pytest.importorskip("rosbags.highlevel", reason="rosbags is not installed")

EXAMPLES = Path(__file__).parents[3] / "examples" / "data"
LENS = ["--intrinsics", "2100,2100,884,497"]
WRIST = H36M17.joints.index("right_wrist")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No test joins a network; those that record need none."""
    monkeypatch.setenv("CYCLONEDDS_URI", "<no network/>")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clip(tmp_path):
    """A part of a real clip; nobody is seen in its last frames."""
    whole = Keypoints.from_file(EXAMPLES / "jump_mediapipe33.npz")
    points = whole.points[20:28].copy()
    points[6:] = np.nan
    cut = Keypoints(
        points,
        whole.scores[20:28],
        skeleton=whole.skeleton,
        image_size=whole.image_size,
        fps=30.0,
        track_id=5,
    )
    cut.save(tmp_path / "clip.npz")
    return "clip.npz"


def messages(path, topic):
    with highlevel.AnyReader([Path(path)]) as reader:
        chosen = [one for one in reader.connections if one.topic == topic]
        if not chosen:
            return []
        return [reader.deserialize(data, one.msgtype) for one, _, data in reader.messages(chosen)]


def points(array):
    return np.array([[one.position.x, one.position.y, one.position.z] for one in array.poses])


def test_bag_holds_where_people_are_in_the_robots_frame(clip, capsys):
    mounted = ["--camera", "0.1,0,1.2,0,10,0"]
    assert main([clip, "--ros-bag", "bag", *LENS, *mounted, "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["results"]
    assert (record["frames"], record["input"]) == (8, clip)
    assert record["notes"] == ["Made: bag"]
    arrays = messages("bag", "/humans/bodies/p5/poses")
    assert len(arrays) == record["poses"] >= 6
    assert {one.header.frame_id for one in arrays} == {"base_link"}
    wrist = points(arrays[3])[WRIST]
    assert 4.0 < wrist[0] < 12.0  # Ahead of the robot,
    assert 0.3 < wrist[2] < 3.0  # and above the ground.
    stamps = [one.header.stamp.sec + 1e-9 * one.header.stamp.nanosec for one in arrays]
    np.testing.assert_allclose(np.diff(stamps), 1 / 30, atol=1e-6)
    ids = [list(one.ids) for one in messages("bag", "/humans/bodies/tracked")]
    assert ids[:6] == [["p5"]] * 6
    assert len(ids) == 8
    (body, *_) = messages("bag", "/tf")[0].transforms
    assert (body.header.frame_id, body.child_frame_id) == ("base_link", "body_p5")


def test_everyone_in_a_file_is_published(tmp_path):
    whole = Keypoints.from_file(EXAMPLES / "jump_mediapipe33.npz")
    joints = whole.skeleton_format.joints
    lines = ["frame,track_id," + ",".join(f"{name}_{axis}" for name in joints for axis in "xy")]
    for frame in range(3):
        values = ",".join(f"{value:.2f}" for value in whole.points[20 + frame].ravel())
        lines += [f"{frame},{who},{values}" for who in range(1, 5)]
    (tmp_path / "four.csv").write_text("\n".join(lines))
    size = "x".join(map(str, whole.image_size))
    known = ["--image-size", size, "--fps", "30", "--min-frames", "1"]
    assert main(["four.csv", *known, "--ros-bag", "bag"]) == 0
    ids = [list(one.ids) for one in messages("bag", "/humans/bodies/tracked")]
    assert ids == [["p1", "p2", "p3", "p4"]] * 3


def test_without_a_lens_poses_are_relative_and_it_is_said(clip, capsys):
    assert main([clip, "--ros-bag", "bag"]) == 0
    assert "relative to each person's pelvis" in capsys.readouterr().out
    arrays = messages("bag", "/humans/bodies/p5/poses")
    assert {one.header.frame_id for one in arrays} == {"pelvis_p5"}
    np.testing.assert_allclose(points(arrays[2])[0], 0.0, atol=1e-6)
    assert messages("bag", "/tf") == []


def test_frame_has_the_name_that_is_given(clip):
    assert main([clip, "--ros-bag", "bag", "--ros-frame", "front_optical_frame", *LENS]) == 0
    (first, *_) = messages("bag", "/humans/bodies/p5/poses")
    assert first.header.frame_id == "front_optical_frame"
    assert messages("bag", "/tf_static") == []


def test_video_is_shown_and_recorded(tmp_path, capsys):
    pytest.importorskip("mediapipe", reason="the detector, of the extra video, is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pytest.importorskip("rerun", reason="the viewer is that of rerun-sdk (extra viz)")
    chunk = pytest.importorskip("rerun.chunk", reason="this rerun-sdk cannot read recordings")
    arguments = ["--duration", "0.3", "--viewer", "out.rrd", "--ros-bag", "bag", *LENS]
    assert main([str(EXAMPLES / "exercise.mp4"), *arguments]) == 0
    assert "frames, " in capsys.readouterr().out
    rows = {}
    for one in chunk.RrdReader("out.rrd").stream():
        rows[one.entity_path] = rows.get(one.entity_path, 0) + one.to_record_batch().num_rows
    frames = rows["/video/image"]
    assert frames == rows["/latency/frame"] >= 7
    assert rows["/world/person_1/pose"] >= frames - 3  # The tracker confirms with the second.
    assert rows["/video/person_1"] >= frames - 2
    assert len(messages("bag", "/humans/bodies/p1/poses")) >= frames - 3
    assert len(messages("bag", "/humans/bodies/tracked")) == frames


class Camera:
    """Gives frames like a camera, without end."""

    def __init__(self, people):
        self.people = people

    def __iter__(self):
        while True:
            for number, person in enumerate(self.people):
                if number == 5:
                    raise KeyboardInterrupt
                yield live._Frame(number / 30.0, (person,))


def test_ctrl_c_ends_a_camera_and_keeps_what_was_recorded(monkeypatch, capsys):
    whole = Keypoints.from_file(EXAMPLES / "jump_mediapipe33.npz")
    people = [
        Keypoints(
            whole.points[at : at + 1],
            skeleton=whole.skeleton,
            image_size=whole.image_size,
            track_id=2,
        )
        for at in range(6)
    ]

    def camera(name, inputs):
        source = live._Source(iter(Camera(people)), None, False, 2)
        return live.contextlib.nullcontext(source)

    monkeypatch.setattr(live, "_open", camera)
    assert main(["0", "--ros-bag", "bag", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["results"]
    assert record["report"]["mode"] == "live"
    assert record["frames"] == 5
    assert record["poses"] >= 1
    assert len(messages("bag", "/humans/bodies/p2/poses")) == record["poses"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ros-frame", "map"], "applies only to ROS"),
        (["--ros-bag", "bag", "--save-plot", "a.png"], "--save-plot"),
        (["--ros-bag", "bag", "--format", "csv"], "--format"),
        (["--ros-bag", "bag", "--constant-bones"], "--constant-bones"),
        (["--ros-bag", "bag", "--output-dir", "out"], "--output-dir"),
        (["other.npz", "--ros-bag", "bag"], "2 inputs"),
        (["--ros-bag", "."], "exists"),
        (["--viewer", "window"], "The viewer is 'window'"),
        (["--ros"], "DDS does not start"),
    ],
)
def test_what_cannot_be_is_refused(clip, capsys, arguments, says):
    assert main([clip, *arguments]) == 2
    assert says in capsys.readouterr().err


def test_missing_package_is_named(clip, capsys, monkeypatch):
    from hot_sdk.ros import network

    network.messages.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "cyclonedds.idl", None)
    assert main([clip, "--ros"]) == 3
    assert "hot-sdk[ros]" in capsys.readouterr().err
    network.messages.cache_clear()
