import contextlib
import dataclasses
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mocap import CAMERA, body, result_of, seen

from hot_sdk import Pose3DResult
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.policies import AppliedPolicy

FORMATS = ("npz", "json", "csv")


@pytest.fixture
def result(hot_engine, clips):
    return dataclasses.replace(hot_engine(clips["sports2d_demo"]), track_id=7)


def same(found, expected, *, whole=True):
    for name in ("poses", "valid", "timestamps", "root", "root_error"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        if getattr(expected, name) is not None:
            assert getattr(found, name).dtype == getattr(expected, name).dtype
    for name in ("unit", "axes", "track_id", "policies", "model", "warnings"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.seams == (expected.seams if whole else None)
    assert found.latency == (expected.latency if whole else None)


@pytest.mark.parametrize("name", FORMATS)
def test_comes_back_bit_for_bit(result, tmp_path, name):
    path = result.save(tmp_path / f"poses.{name}")
    assert path == tmp_path / f"poses.{name}"
    same(Pose3DResult.load(path), result, whole=name != "csv")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", FORMATS)
def test_root_and_its_gaps_come_back(tmp_path, name):
    joints = body("walk")
    points = seen(joints).points.copy()
    points[4, 2:] = np.nan
    keypoints = dataclasses.replace(seen(joints), points=points)
    placed = result_of(joints, track_id="left").with_root_by_reprojection(keypoints, CAMERA)
    assert np.isnan(placed.root[4]).all()
    same(Pose3DResult.load(placed.save(tmp_path / f"p.{name}")), placed, whole=name != "csv")


def test_csv_is_a_table_with_named_columns(tmp_path):
    result_of(body("sit")).save(tmp_path / "poses.csv")
    lines = (tmp_path / "poses.csv").read_text().splitlines()
    header = next(line for line in lines if not line.startswith("#")).split(",")
    assert header[:6] == [
        "frame",
        "timestamp_s",
        "pelvis_x",
        "pelvis_y",
        "pelvis_z",
        "pelvis_valid",
    ]
    assert len(header) == 2 + 17 * 4
    assert len(lines) == 42


def test_json_says_what_it_holds(tmp_path):
    result_of(body("sit")).save(tmp_path / "poses.json")
    record = json.loads((tmp_path / "poses.json").read_text())
    assert record["description"]["joints"][16] == "right_wrist"
    assert record["description"]["unit"] == "m"
    assert np.shape(record["poses"]) == (40, 17, 3)


def test_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.npz, \.json, \.csv"):
        result_of(body("sit")).save(tmp_path / "poses.txt")
    with pytest.raises(UsageError, match="does not exist"):
        result_of(body("sit")).save(tmp_path / "nowhere" / "poses.npz")
    with pytest.raises(ResultError, match="names none"):
        Pose3DResult.load(tmp_path / "poses.txt")


def test_missing_file_is_told(tmp_path):
    with pytest.raises(ResultError, match="No such file"):
        Pose3DResult.load(tmp_path / "poses.npz")


def test_newer_version_is_told(tmp_path):
    path = result_of(body("sit")).save(tmp_path / "poses.json")
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(ResultError, match="has version 2"):
        Pose3DResult.load(path)


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "poses.npz", poses=np.array([{}], dtype=object))
    with pytest.raises(ResultError, match="no result"):
        Pose3DResult.load(tmp_path / "poses.npz")


def test_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("hot_sdk.result_files._LARGEST", 1 << 20)
    with zipfile.ZipFile(tmp_path / "poses.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("poses.npy", bytes(2 << 20))
    with pytest.raises(ResultError, match="unpacks to 2097152 bytes"):
        Pose3DResult.load(tmp_path / "poses.npz")


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_files_give_our_error_only(tmp_path, name, data):
    path = tmp_path / f"poses.{name}"
    content = bytearray(result_of(body("sit")[:2]).save(path).read_bytes())
    cut = data.draw(st.integers(0, len(content)))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: cut if data.draw(st.booleans()) else len(content)])
    with contextlib.suppress(ResultError):
        loaded = Pose3DResult.load(path)
        assert loaded.poses.shape == (len(loaded), 17, 3)


def test_parts_have_to_fit_each_other():
    result = result_of(body("sit"))
    with pytest.raises(ResultError, match=r"valid has shape \(3, 17\)"):
        dataclasses.replace(result, valid=np.ones((3, 17), dtype=bool))
    with pytest.raises(ResultError, match="'furlong'"):
        dataclasses.replace(result, unit="furlong")


def test_joints_are_had_by_name():
    result = result_of(body("sit"))
    np.testing.assert_array_equal(result.joint("left_wrist"), result.poses[:, 13])
    with pytest.raises(UsageError, match="Did you mean 'left_wrist'"):
        result.joint("left_wirst")


def test_summary_says_what_matters():
    text = str(result_of(body("sit"), policies=(AppliedPolicy("a", "b", 1, 2, "joints"),)))
    for part in ("40 poses of 3 over 3.90 s", "in m (camera: x right", "100.0%", "made up"):
        assert part in text
