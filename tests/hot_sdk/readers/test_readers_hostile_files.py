"""Files made to break a reader, or its machine."""

import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.errors import KeypointsError
from hot_sdk.people import read_people
from hot_sdk.skeletons import skeleton_format

SIZE = (640, 480)


def member(header, values=b""):
    """An array file with any text for a header."""
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as stream:
        for name, content in members.items():
            stream.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array at all, only text",
        member(""),
        member("{'descr': '<f8', 'shape': (2, 17, 2"),
        member("if 1:\n    2\n  3\n"),
        member("(" * 4000),
        member("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000, 17, 2), }\n"),
        member("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }\n"),
        member("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 0, 2), }\n"),
        member("{'descr': '|O', 'fortran_order': False, 'shape': (1, 17, 2), }\n", b"\x80\x04."),
    ],
    ids=range(10),
)
def test_rejects_broken_members_of_archives(tmp_path, content):
    path = archive(tmp_path / "a.npz", points=content)
    with pytest.raises(KeypointsError):
        Keypoints.from_file(path, skeleton="coco17", image_size=SIZE)


def test_rejects_archives_that_claim_gigabytes(tmp_path):
    content = bytearray(archive(tmp_path / "a.npz", points=member("")).read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<L", 3_000_000_000)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(KeypointsError, match="3000000000 bytes once it is unpacked"):
        Keypoints.from_file(tmp_path / "a.npz", skeleton="coco17", image_size=SIZE)


def test_rejects_impossible_paths():
    for path in ("a" * 300, "a\0b"):
        with pytest.raises(KeypointsError, match="cannot be read"):
            Keypoints.from_file(path)


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KeypointsError, match="no regular file"):
        Keypoints.from_file(tmp_path / "pipe")


def test_number_of_thousands_of_digits_is_not_printed(tmp_path):
    joints = skeleton_format("crowdpose14").joints
    header = ",".join(["frame", *(f"{joint}_{axis}" for joint in joints for axis in "xy")])
    (tmp_path / "a.csv").write_text(header + "\n" + "9" * 4000 + "," * 28 + "\n")
    with pytest.raises(KeypointsError, match="names a frame with over 20 digits") as caught:
        Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)
    assert len(str(caught.value)) < 300


def test_infinities_are_missing(tmp_path):
    points = [float("inf"), 2.0, 1.0, *[3.0, 4.0, 0.5] * 16]
    (tmp_path / "a.json").write_text(json.dumps([{"image_id": 0, "keypoints": points}]))
    found = Keypoints.from_file(tmp_path / "a.json", "coco", image_size=SIZE)
    assert np.isnan(found.points[0, 0]).all()
    assert (found.points[0, 1:] == [3.0, 4.0]).all()


def test_zeros_of_hots_demo_are_missing(tmp_path):
    points = np.full((1, 3, 17, 2), 50.0)
    points[0, 0] = 0.0
    np.savez(tmp_path / "a.npz", reconstruction=points)
    found = Keypoints.from_file(tmp_path / "a.npz", "npz", image_size=SIZE)
    assert np.isnan(found.points[0]).all()
    assert (found.points[1:] == 50.0).all()


def test_rejects_3d_output_of_hots_demo(tmp_path):
    np.savez(tmp_path / "a.npz", reconstruction=np.zeros((3, 17, 3)))
    with pytest.raises(KeypointsError, match="3D output") as caught:
        Keypoints.from_file(tmp_path / "a.npz", "npz", image_size=SIZE)
    assert "input_keypoints_2d.npz" in caught.value.hint


def test_reads_one_image_of_mmpose(tmp_path):
    person = {"keypoints": [[5.0, 6.0]] * 17, "keypoint_scores": [0.5] * 17, "bbox": [[1, 2, 3, 4]]}
    (tmp_path / "a.json").write_text(json.dumps([person]))
    found = Keypoints.from_file(tmp_path / "a.json", "mmpose", skeleton="coco17", image_size=SIZE)
    assert found.points.shape == (1, 17, 2)
    assert (found.points == [5.0, 6.0]).all()
    assert (found.scores == 0.5).all()


@pytest.mark.parametrize("change", ["short", "long", "half a score", "no y"])
def test_rejects_uneven_tables(tmp_path, change):
    joints = skeleton_format("crowdpose14").joints
    columns = ["frame", *(f"{joint}_{part}" for joint in joints for part in ("x", "y", "score"))]
    row = ["0", *["1.0"] * 42]
    if change == "short":
        row.pop()
    elif change == "long":
        row.append("1.0")
    elif change == "half a score":
        del columns[3], row[3]
    else:
        del columns[2], row[2]
    (tmp_path / "a.csv").write_text(",".join(columns) + "\n" + ",".join(row) + "\n")
    said = {"short": "shorter", "long": "longer", "half a score": "others none"}
    with pytest.raises(KeypointsError, match=said.get(change, "an x and no y")):
        Keypoints.from_file(tmp_path / "a.csv", "csv", image_size=SIZE)


def test_reads_quoted_tables(tmp_path):
    joints = skeleton_format("crowdpose14").joints
    text = io.StringIO()
    columns = ["frame", *(f"{joint}_{axis}" for joint in joints for axis in "xy")]
    text.write(",".join(f'"{column}"' for column in columns) + "\r\n")
    text.write("0," + ",".join("7.5" for _ in range(28)) + "\r\n\r\n")
    (tmp_path / "a.csv").write_text(text.getvalue(), newline="")
    found = Keypoints.from_file(tmp_path / "a.csv", "csv", image_size=SIZE)
    assert (found.points == 7.5).all()


def test_rejects_a_tiny_file_that_names_a_far_frame(tmp_path):
    person = {"keypoints": [[1.0, 2.0]] * 17, "keypoint_scores": [0.5] * 17}
    frames = [{"frame_id": frame, "instances": [person]} for frame in (0, 999_998)]
    record = {"meta_info": {"dataset_name": "coco"}, "instance_info": frames}
    path = tmp_path / "far.json"
    path.write_text(json.dumps(record))
    with pytest.raises(KeypointsError, match="only 2 show people"):
        read_people(path, image_size=(640, 480))
    record["instance_info"][1]["frame_id"] = 9_000
    path.write_text(json.dumps(record))
    (found,) = read_people(path, image_size=(640, 480))
    assert len(found) in (9_000, 9_001)


def table_of(rows):
    joints = skeleton_format("crowdpose14").joints
    header = ",".join(["frame", *(f"{joint}_{axis}" for joint in joints for axis in "xy")])
    return header + "\n" + "".join(f"{row}{',1' * 28}\n" for row in range(rows))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (table_of(1000), "shows 1001 people in all frames: .* over the limit of 671088"),
        ("scorer" + ",a" * 5000 + "\n" + "," * 20_000, "bytes once it is parsed"),
        ("PathFileType\n" + "\t" * 20_000, "bytes once it is parsed"),
        ("[" + "{}," * 3000 + "{}]", "bytes once it is parsed"),
        ('["\U0001f600' + "a" * 140_000 + '"]', "bytes once it is parsed"),
        ("{}\n" * 2350, "bytes once it is parsed"),
        (" " * 600_000, "over the limit of 536870"),
    ],
    ids=["rows", "cells", "markers", "objects", "wide", "lines", "file"],
)
def test_budget_is_checked_before_anything_is_made(tmp_path, monkeypatch, content, said):
    monkeypatch.setenv("HOT_SDK_INPUT_BUDGET", "0.001")
    (tmp_path / "a").write_text(content, encoding="utf-8")
    with pytest.raises(KeypointsError, match=said) as caught:
        Keypoints.from_file(tmp_path / "a", image_size=SIZE)
    assert "HOT_SDK_INPUT_BUDGET=4" in str(caught.value)


@pytest.mark.parametrize("around", ["%s", '{"frames": %s}'])
def test_objects_of_more_entries_than_frames_are_not_looked_at(tmp_path, around):
    # Each key would be searched for a number, twice.
    path = tmp_path / "keys.json"
    path.write_text(around % "{%s}" % ",".join(f'"{at}":0' for at in range(1_000_001)))
    with pytest.raises(KeypointsError, match="an object of 1000001 entries; at most 1000000"):
        Keypoints.from_file(path, skeleton="coco17", image_size=SIZE)


def test_line_without_end_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(table_of(1) + "," * (1 << 20))
    with pytest.raises(KeypointsError, match="has 1048576 characters or more"):
        Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)


def test_larger_budget_reads_what_the_default_refuses(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text(table_of(1000))
    monkeypatch.setenv("HOT_SDK_INPUT_BUDGET", "0.01")
    found = Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)
    assert found.points.shape == (1000, 14, 2)
    assert (found.points == 1.0).all()
