"""Arrays on disk hold what was written, take no memory, leave no file, and report a full disk."""

import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk._base.disk_arrays import PART, Scratch, empty_like, parts, release, zeros
from hot_sdk.errors import UsageError
from hot_sdk.starter import STARTER, STARTER_LIVE

STATUS = Path("/proc/self/status")


def resident_kb():
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines["VmRSS"].split()[0])


def on_disk(folder, frames, *shape):
    return zeros(Scratch(folder, least_frames=1), frames, *shape)


def test_content_outlives_its_memory(tmp_path):
    array = on_disk(tmp_path, 3 * PART, 2)
    assert not array.any()
    assert array.flags.writeable
    expected = np.arange(array.size, dtype=np.float32).reshape(array.shape)
    for part in parts(array):
        array[part] = expected[part]
    view = array[5:].view()
    del array
    release(view)
    np.testing.assert_array_equal(view, expected[5:])
    assert not list(tmp_path.iterdir())


def test_short_arrays_and_those_without_a_place_are_in_memory(tmp_path):
    for array in (zeros(None, 1 << 17, 1), zeros(Scratch(tmp_path), 100, 17, 3)):
        array[:] = 1.0
        release(array)
        assert array.all()
        assert array.base is None
        assert empty_like(array, 7).base is None


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux's figures of a process")
def test_memory_stays_flat(tmp_path):
    frames = 40 * PART
    array = on_disk(tmp_path, frames, 17, 3)
    before, peak = resident_kb(), 0
    other = empty_like(array, frames)
    for part in parts(array, other):
        array[part] = 1.0
        other[part] = array[part]
        peak = max(peak, resident_kb())
    assert array.nbytes + other.nbytes > 120 << 20
    assert peak - before < 24 << 10


def test_full_disk_is_an_error_before_anything_is_written(tmp_path):
    program = f"""
import resource, sys
from pathlib import Path
from hot_sdk._base.disk_arrays import Scratch, zeros
from hot_sdk.errors import UsageError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    zeros(Scratch(Path({str(tmp_path)!r})), 1 << 17, 17, 3)
except UsageError as error:
    sys.exit(str(error))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"'{tmp_path}' cannot be written" in ended.stderr, ended.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    with pytest.raises(UsageError, match="cannot be written"):
        on_disk(tmp_path / "nowhere", 10)


@pytest.mark.parametrize("model", [STARTER, STARTER_LIVE])
def test_poses_are_the_same_as_in_memory(model, tmp_path, monkeypatch):
    points = np.random.default_rng(0).uniform(100.0, 900.0, (300, 17, 2)).astype(np.float32)
    points[40:200] = np.nan  # So long that a live network starts anew.
    # At another rate than the network's, so that windows are lifted from samples.
    clip = Keypoints(points, skeleton="h36m17", image_size=(1000, 1000), fps=33.0, height_m=1.5)
    with Pose3DEngine(model, threads=1) as engine:
        (expected,) = engine.lift([clip])
        monkeypatch.setattr("hot_sdk.pose_engine.Scratch", partial(Scratch, least_frames=1))
        (found,) = engine.lift([clip], scratch=tmp_path)
    assert not list(tmp_path.iterdir())
    for name in ("poses", "spread", "valid", "timestamps"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.seams == expected.seams
    for suffix in ("npz", "csv", "json"):
        saved = type(found).load(found.save(tmp_path / f"a.{suffix}"))
        np.testing.assert_array_equal(saved.poses, expected.poses)
