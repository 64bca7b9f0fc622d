"""The study of virtual cameras that turn in frames or in windows, on a small network."""

import numpy as np
import pytest
import view_turning
from exported_models import small_request

from hot_sdk.benchmarks.evaluation import load_starter_val
from hot_sdk.engines import open_session
from hot_sdk.export import export_model
from hot_sdk.manifest import read_manifest


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("turning") / "told.safetensors"
    config = {"stem": 16, "conditions": 5}
    export_model(small_request("mixste", output=path, engine="torch", config=config))
    return path


@pytest.fixture(scope="module")
def clip():
    return next(clip for clip in load_starter_val(views=1) if clip.name == "14_05-1")


def test_a_windows_camera_stands_still(clip):
    slopes = clip.intrinsics.slopes(clip.keypoints.points[:9])
    ups = np.broadcast_to(clip.up, (9, 3))
    still = view_turning.Way(turns=False, gravity=True, overlap=0).views(slopes, ups)
    turning = view_turning.Way(turns=True, gravity=True, overlap=0).views(slopes, ups)
    assert np.ptp(still.rotations, axis=0).max() == 0.0
    assert np.ptp(turning.rotations, axis=0).max() > 1e-6


def test_the_row_has_all_figures(model, clip):
    manifest = read_manifest(model)
    for turns in (True, False):
        way = view_turning.Way(turns, gravity=True, overlap=2)
        with open_session(model) as session:
            row = view_turning.row(way, [view_turning.lift(session, manifest, clip, way)])
        assert len(row) == len(view_turning.HEADER)
        assert all(float(cell) > 0.0 for cell in row[3:])
