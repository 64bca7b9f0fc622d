import numpy as np
import pytest
import root_accuracy
from root_accuracy import motion_table, size_table
from root_scenes import CAMERA_HEIGHT_M, motion, scene

from hot_sdk._base.tables import report_text


@pytest.fixture(scope="module")
def rows():
    scenes = [scene("14_18", seed, frames=100) for seed in range(2)]
    return root_accuracy._rows("walks", scenes)


def test_roots_over_time_are_twice_as_good_as_those_of_frames(rows):
    alone, at_once, later, whole = rows
    assert whole.along_mm < 0.5 * alone.along_mm
    assert later.along_mm < 0.55 * alone.along_mm
    assert at_once.along_mm < alone.along_mm
    assert at_once.velocity_m_s < 0.15 < 0.3 < alone.velocity_m_s
    assert later.velocity_m_s < 0.09
    # No later than is said.
    assert abs(later.lag_ms) < 10.0
    assert abs(whole.lag_ms) < 10.0
    assert at_once.lag_ms < 60.0
    for row in (at_once, later, whole):
        assert row.held[2] > 90.0
        assert row.held[5] > 93.0
    assert "walks" in report_text([motion_table(rows)])


def test_scenes_stand_on_the_floor_in_front_of_the_camera():
    one = scene("14_18", 0, size=0.9, frames=60, speed_m_s=1.0)
    lower = one.joints[:, (3, 6), 2].min(axis=1)
    assert 0.0 < np.median(lower) < 0.12
    assert one.cameras[0].translation.tolist() == [0.0, 0.0, CAMERA_HEIGHT_M]
    assert one.joints[:, 0, 0].min() > 1.8
    # The poses are those of a person of the usual size, and lie on the keypoints.
    usual = np.linalg.norm(motion("14_18")[0, 2] - motion("14_18")[0, 3])
    assert np.linalg.norm(one.poses[:, 2] - one.poses[:, 3], axis=1).mean() == pytest.approx(
        usual, rel=0.01
    )
    assert one.measure().residual_px.mean() == pytest.approx(2.0 * 2**0.5, rel=0.15)


def test_size_rows(monkeypatch):
    monkeypatch.setattr(root_accuracy, "_SIZES", (1.15,))
    monkeypatch.setattr(root_accuracy, "WALKS", ("14_18",) * 3)
    whole = scene
    monkeypatch.setattr(
        root_accuracy, "scene", lambda *given, **more: whole(*given, **{**more, "frames": 45})
    )
    found = {row.known: row for row in root_accuracy.size_rows(1)}
    assert found["nothing"].along_mm > 250.0
    assert found["nothing"].stated_mm > 130.0
    for known in ("height", "shin", "floor", "depth at the pelvis"):
        assert found[known].along_mm < 0.7 * found["nothing"].along_mm
        assert found[known].stated_mm < 0.8 * found["nothing"].stated_mm
    assert "nothing" in report_text([size_table(list(found.values()))])
