"""The program of docs/ros.md publishes what its table says."""

import re
from pathlib import Path

import pytest
from ros2_definitions import DEFINITIONS

from hot_sdk.infer.cli import build_parser
from hot_sdk.ros.conversion import CLOUD_FIELDS, kind_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ros.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\| `(/[\w/]+)` \| `(\w+/\w+)` \|", PAGE, re.MULTILINE)

pytest.importorskip("cyclonedds", reason="cyclonedds, of the extra ros, is not installed")
highlevel = pytest.importorskip("rosbags.highlevel", reason="rosbags is not installed")


def test_table_names_topics_and_types():
    assert len(TABLE) == 7
    for topic, kind in TABLE:
        assert kind in DEFINITIONS
        package, _, _, name = kind_of(topic).__idl__.idl_transformed_typename.split("::")
        assert f"{package}/{name[:-1]}" == kind
    assert " ".join(CLOUD_FIELDS) in PAGE


def test_program_publishes_all_of_them(monkeypatch, tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    recorded = block.replace("PosePublisher()", "PosePublisher(bag=BAG, publishes=False)")
    assert recorded != block
    monkeypatch.chdir(ROOT)
    exec(compile(recorded, "ros.md", "exec"), {"BAG": tmp_path / "bag"})
    with highlevel.AnyReader([tmp_path / "bag"]) as reader:
        found = {(one.topic, one.msgtype.replace("/msg/", "/")) for one in reader.connections}
        assert found == {(topic.replace("ID", "p1"), kind) for topic, kind in TABLE}
        counts = {one.topic: one.msgcount for one in reader.connections}
    assert counts.pop("/tf_static") == 1
    assert counts.pop("/tf") in (4, 5)  # Of frames in which the body's place is known.
    assert set(counts.values()) == {5}  # The clip shows nobody in its first three frames.


def test_options_of_hot_infer_are_real():
    named = set(re.findall(r"(--(?:ros|viewer|camera|intrinsics)[\w-]*)", PAGE))
    assert {"--ros", "--ros-bag", "--ros-frame", "--viewer"} <= named
    known = build_parser().format_help()
    assert all(re.search(rf"{flag}\b", known) for flag in named)
