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
from hot_sdk._base.budget import Budget
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.preprocessing.policies import AppliedPolicy
from hot_sdk.skeletons import H36M17

FORMATS = ("npz", "json", "csv")


@pytest.fixture
def result(hot_engine, clips):
    return dataclasses.replace(hot_engine(clips["sports2d_demo"]), track_id=7)


def same(found, expected, *, whole=True):
    for name in ("poses", "valid", "timestamps", "root", "root_error"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        if getattr(expected, name) is not None:
            assert getattr(found, name).dtype == getattr(expected, name).dtype
    for name in ("spread", "velocity", "contacts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("covariance", "joints_covariance", "velocity_covariance"):
        values = getattr(expected, name)
        if values is not None and not whole:
            # A table has the upper triangle.
            upper = np.triu(values)
            values = upper + np.triu(values, 1).swapaxes(-1, -2)
        np.testing.assert_array_equal(getattr(found, name), values)
    for name in ("root_joint", "frame_id", "scale", "scale_spread"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("unit", "axes", "track_id", "policies", "model", "warnings"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.seams == (expected.seams if whole else None)
    assert found.latency == (expected.latency if whole else None)


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_is_exact(result, tmp_path, name):
    path = result.save(tmp_path / f"poses.{name}")
    assert path == tmp_path / f"poses.{name}"
    same(Pose3DResult.load(path), result, whole=name != "csv")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_of_root_with_gaps(tmp_path, name):
    joints = body("walk")
    valid = np.ones((40, 17), dtype=bool)
    valid[4] = False
    spread = np.full((40, 17, 3), 0.03, dtype=np.float32)
    result = result_of(joints, track_id="left", valid=valid, spread=spread)
    placed = result.with_root_from_reprojection(seen(joints), CAMERA)
    placed = placed.with_standing_feet(up=(0.0, -1.0, 0.0))
    assert np.isnan(placed.root[4]).all()
    assert np.isfinite(placed.velocity_covariance[5, 16]).all()
    same(Pose3DResult.load(placed.save(tmp_path / f"p.{name}")), placed, whole=name != "csv")


def test_csv_says_where_a_person_is_and_how_sure_that_is(tmp_path):
    joints = body("walk")
    result = result_of(joints, spread=np.full((40, 17, 3), 0.03, dtype=np.float32))
    placed = result.with_root_from_reprojection(seen(joints), CAMERA)
    lines = placed.save(tmp_path / "poses.csv").read_text().splitlines()
    row = dict(zip(lines[1].split(","), lines[10].split(","), strict=True))
    wrist = [float(row[f"root_{axis}"]) + float(row[f"right_wrist_{axis}"]) for axis in "xyz"]
    np.testing.assert_allclose(wrist, placed.joints[8, 16], rtol=1e-5)
    for first, values in (
        ("in_frame_cov", placed.joints_covariance),
        ("velocity_cov", placed.velocity_covariance),
    ):
        found = [float(row[f"right_wrist_{first}_{pair}"]) for pair in ("xx", "xy", "zz")]
        np.testing.assert_array_equal(
            np.float32(found), [values[8, 16, 0, 0], values[8, 16, 0, 1], values[8, 16, 2, 2]]
        )
    assert float(row["left_ankle_velocity_z"]) == pytest.approx(placed.velocity[8, 6, 2])


def test_csv_is_not_written_longer_than_it_is_read(tmp_path, monkeypatch):
    for budget in (Budget(parsed_bytes=10_000), Budget(file_bytes=10_000)):
        monkeypatch.setattr("hot_sdk.results.tables.input_budget", lambda budget=budget: budget)
        with pytest.raises(ResultError, match="40 frames of 70 columns are more than are read"):
            result_of(body("sit")).save(tmp_path / "poses.csv")
    assert not list(tmp_path.iterdir())


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


def test_json_describes_its_content(tmp_path):
    result_of(body("sit")).save(tmp_path / "poses.json")
    record = json.loads((tmp_path / "poses.json").read_text())
    assert record["description"]["joints"][16] == "right_wrist"
    assert record["description"]["unit"] == "m"
    assert np.shape(record["poses"]) == (40, 17, 3)


def test_rejects_unknown_formats(tmp_path):
    with pytest.raises(UsageError, match=r"\.npz, \.json, \.csv"):
        result_of(body("sit")).save(tmp_path / "poses.txt")
    with pytest.raises(UsageError, match="Did you mean 'json'"):
        result_of(body("sit")).save(tmp_path / "poses.npz", format="jsn")
    with pytest.raises(UsageError, match="does not exist"):
        result_of(body("sit")).save(tmp_path / "nowhere" / "poses.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_format_is_read_from_content(tmp_path, name):
    expected = result_of(body("sit"))
    same(Pose3DResult.load(expected.save(tmp_path / "poses.bin", format=name)), expected)


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_of_any_float32(tmp_path, name):
    bits = np.random.default_rng(0).integers(0, 2**32, 4 * 17 * 3, dtype=np.uint32)
    poses = bits.view(np.float32).reshape(4, 17, 3).copy()
    poses[~np.isfinite(poses)] = np.nan
    poses[0, 0] = [np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal, -0.0]
    times = np.array([-1e-7, 0.1 + 0.2, 1.0 / 3.0, 1.7e9 + 1e-6])
    expected = result_of(body("sit")[:4], poses=poses, timestamps=times)
    found = Pose3DResult.load(expected.save(tmp_path / f"p.{name}"))
    same(found, expected)
    np.testing.assert_array_equal(np.signbit(found.poses), np.signbit(np.nan_to_num(poses)))


def test_rejects_folders_and_other_files(tmp_path):
    with pytest.raises(ResultError, match="Is a directory"):
        Pose3DResult.load(tmp_path)
    (tmp_path / "poses.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ResultError, match="none of npz, json, csv"):
        Pose3DResult.load(tmp_path / "poses.csv")


def test_json_is_not_written_longer_than_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("hot_sdk.results.files.input_budget", lambda: Budget(parsed_bytes=10_000))
    with pytest.raises(ResultError, match="Save it as npz"):
        result_of(body("sit")).save(tmp_path / "poses.json")
    (tmp_path / "long.json").write_text("{" + " " * 10_000)
    with pytest.raises(ResultError, match="bytes once it is parsed, over the limit of 10000"):
        Pose3DResult.load(tmp_path / "long.json")


def test_rejects_missing_file(tmp_path):
    with pytest.raises(ResultError, match="No such file"):
        Pose3DResult.load(tmp_path / "poses.npz")


def test_rejects_newer_version(tmp_path):
    path = result_of(body("sit")).save(tmp_path / "poses.json")
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
    with pytest.raises(ResultError, match="has version 3"):
        Pose3DResult.load(path)


@pytest.mark.parametrize("name", ["json", "csv"])
def test_reads_result_of_version_1_with_its_names(tmp_path, name):
    policy = AppliedPolicy("skeleton", "from 'coco17'", 1, 2, "frames")
    expected = result_of(body("sit"), unit="normalized_px", policies=(policy,))
    path = expected.save(tmp_path / f"poses.{name}")
    text = path.read_text()
    for new, old in (
        ('"schema": 2', '"schema": 1'),
        ('"normalized_px"', '"normalised_px"'),
        ('"total": 2, "unit": "frames"', '"of": 2, "item": "frames"'),
    ):
        assert new in text
        text = text.replace(new, old)
    path.write_text(text)
    same(Pose3DResult.load(path), expected)


@pytest.mark.parametrize("name", FORMATS)
def test_reads_the_oldest_files_of_version_2(tmp_path, name):
    # As the first release that wrote this version did: what was added since is not there.
    described = {
        "unit": "m",
        "axes": "camera: x right, y down, z forward",
        "track_id": 3,
        "policies": [
            {"name": "resampled", "detail": "x", "count": 1, "total": 2, "unit": "frames"}
        ],
        "seams": None,
        "latency": None,
        "model": "perfect",
        "warnings": ["made up"],
        "schema": 2,
        "joints": list(H36M17.joints),
    }
    poses = np.random.default_rng(0).normal(size=(2, 17, 3)).astype(np.float32)
    valid = np.arange(34).reshape(2, 17) % 5 != 1
    times, root = np.array([0.0, 0.1]), np.array([[0.0, 0.5, 3.0], [np.nan] * 3], dtype=np.float32)
    error = np.array([2.5, np.nan], dtype=np.float32)
    path = tmp_path / f"poses.{name}"
    if name == "npz":
        arrays = {"poses": poses, "valid": valid, "timestamps": times}
        text = np.array(json.dumps(described))
        np.savez_compressed(path, description=text, root=root, root_error=error, **arrays)
    elif name == "json":
        arrays = {"poses": poses.tolist(), "valid": valid.tolist(), "timestamps": times.tolist()}
        arrays |= {"root": [root[0].tolist(), [None] * 3], "root_error": [2.5, None]}
        path.write_text(json.dumps({"description": described, **arrays}))
    else:
        names = [f"{joint}_{one}" for joint in H36M17.joints for one in ("x", "y", "z", "valid")]
        header = ["frame", "timestamp_s", "root_x", "root_y", "root_z", "root_error_px", *names]
        lines = [f"# {json.dumps(described)}", ",".join(header)]
        for frame, placed in enumerate(("0.0,0.5,3.0,2.5", ",,,")):
            pairs = zip(poses[frame], valid[frame], strict=True)
            cells = [f"{x},{y},{z},{int(known)}" for (x, y, z), known in pairs]
            lines.append(f"{frame},{times[frame]},{placed},{','.join(cells)}")
        path.write_text("\n".join(lines) + "\n")
    expected = result_of(
        np.zeros((2, 17, 3)),
        poses=poses,
        valid=valid,
        timestamps=times,
        root=root,
        root_error=error,
        policies=(AppliedPolicy("resampled", "x", 1, 2, "frames"),),
    )
    found = Pose3DResult.load(path)
    same(found, expected)
    assert found.first_frame == 0
    assert found.root_joint == "pelvis"
    np.testing.assert_allclose(found.joints[0, 0], poses[0, 0] + root[0])


def test_rejects_pickles(tmp_path):
    np.savez(tmp_path / "poses.npz", poses=np.array([{}], dtype=object))
    with pytest.raises(ResultError, match="no result"):
        Pose3DResult.load(tmp_path / "poses.npz")


def test_rejects_zip_bomb_before_unpacking(tmp_path, monkeypatch):
    monkeypatch.setenv("HOT_SDK_INPUT_BUDGET", "0.001")
    with zipfile.ZipFile(tmp_path / "poses.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("poses.npy", bytes(2 << 20))
    with pytest.raises(ResultError, match="2097152 bytes once it is unpacked"):
        Pose3DResult.load(tmp_path / "poses.npz")


def loads_or_is_told(path):
    with contextlib.suppress(ResultError):
        loaded = Pose3DResult.load(path)
        assert loaded.poses.shape == (len(loaded), 17, 3)


def flipped(content, data, first=0, last=None):
    """Some bytes changed; those of a header's syntax more often than others."""
    changed = bytearray(content)
    last = len(content) - 1 if last is None else min(last, len(content) - 1)
    values = st.one_of(st.sampled_from(b"()[]{}'\",:<fO0 \n"), st.integers(0, 255))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(first, last))] = data.draw(values)
    return bytes(changed)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_files_raise_only_our_error(tmp_path, name, data):
    path = tmp_path / f"poses.{name}"
    content = flipped(result_of(body("sit")[:2]).save(path).read_bytes(), data)
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    path.write_bytes(content[:cut])
    loads_or_is_told(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_broken_arrays_in_an_intact_archive_raise_only_our_error(tmp_path, data):
    # Its checksums hold, so that numpy is reached.
    path = result_of(body("sit")[:2]).save(tmp_path / "poses.npz")
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    broken = data.draw(st.sampled_from(sorted(entries)))
    entries[broken] = flipped(entries[broken], data, last=128)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    loads_or_is_told(path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("poses", [[[1e300] * 3] * 17] * 2),
        ("poses", [[["x"] * 3] * 17] * 2),
        ("poses", [[[10**400] * 3] * 17] * 2),
        ("poses", None),
        ("timestamps", [None, 1.0]),
        ("timestamps", [0.0]),
        ("timestamps", 10**400),
        ("valid", [["yes"] * 17] * 2),
        ("valid", [[True] * 17]),
        ("root", [[0.0, 0.0, 1.0]] * 2),
        ("description", None),
        ("description", {"schema": 1}),
    ],
)
def test_rejects_json_values_that_do_not_fit(tmp_path, place, value):
    path = result_of(body("sit")[:2]).save(tmp_path / "poses.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, place: value}))
    with pytest.raises(ResultError):
        Pose3DResult.load(path)


@pytest.mark.parametrize("cell", ["1e39", "inf", "x", '"', "1,2"])
def test_rejects_csv_cells_that_do_not_fit(tmp_path, cell):
    path = result_of(body("sit")[:2]).save(tmp_path / "poses.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].rsplit(",", 2)[0] + f",{cell},1", lines[3]]))
    with pytest.raises(ResultError):
        Pose3DResult.load(path)


def test_rejects_truncated_lzma(tmp_path):
    path = tmp_path / "poses.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("description.npy", bytes(range(256)) * 40)
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(ResultError, match="no result of this SDK"):
        Pose3DResult.load(path)
