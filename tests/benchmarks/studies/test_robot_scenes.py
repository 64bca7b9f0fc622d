"""The figures of the study of scenes, of tracks whose errors are known."""

import numpy as np
import pytest
import robot_scenes as study

FRAMES = 90
TIMES = np.arange(FRAMES) / study.FPS


def walked(delay_s=0.0):
    """Joints that swing and go ahead, (frames, 17, 3)."""
    times = (TIMES - delay_s)[:, None, None]
    phase = np.arange(17)[None, :, None] + np.arange(3)
    return 0.3 * np.sin(2.0 * np.pi * times + phase) + times * [0.5, 0.0, 0.0] + [3.0, 0.0, 1.0]


def track(truth, joints, deviation=0.1):
    covariance = np.broadcast_to(np.eye(3) * deviation**2, (FRAMES, 17, 3, 3))
    velocity = np.gradient(joints, 1.0 / study.FPS, axis=0)
    true = np.gradient(truth, 1.0 / study.FPS, axis=0)
    return study.Track(
        truth=truth,
        joints=joints,
        origins=np.zeros(FRAMES, dtype=np.int64),
        root=joints[:, 0],
        true_root=truth[:, 0],
        velocity=velocity,
        root_velocity=velocity[:, 0],
        true_root_velocity=true[:, 0],
        joints_covariance=covariance,
        velocity_covariance=covariance,
        covariance=covariance,
        relative=joints - truth,
    )


def test_exact_joints_have_no_errors():
    row = study._row("walks", "exact", [track(walked(), walked())])
    figures = [row.root_mm, row.wrist_mm, row.root_m_s, row.wrist_m_s, row.jitter_mm]
    np.testing.assert_allclose(figures, 0.0, atol=1e-9)
    assert row.lag_ms == pytest.approx(0.0, abs=0.5)
    assert row.known == 100.0


def test_joints_that_are_late():
    row = study._row("walks", "late", [track(walked(), walked(delay_s=0.1))])
    assert row.lag_ms == pytest.approx(100.0, abs=5.0)
    assert row.root_mm > 50.0


def test_what_is_not_known_is_counted():
    joints = walked()
    joints[20:40] = np.nan
    row = study._row("leaves", "part", [track(walked(), joints)])
    counted = FRAMES - study._WARM_UP - study._END
    assert row.known == pytest.approx(100.0 * (counted - 20) / counted)
    assert row.wrist_mm == pytest.approx(0.0, abs=1e-9)


def test_coverage_of_errors_of_the_stated_size():
    random = np.random.default_rng(0)
    truth = walked()
    tracks = [track(truth, truth + random.normal(size=truth.shape) * 0.1) for _ in range(30)]
    held = study._coverage(tracks)
    np.testing.assert_allclose(held["pose, each axis"], [50, 68.3, 95], atol=1.5)
    np.testing.assert_allclose(held["wrists in the frame"], [50, 68, 95], atol=3.0)
    np.testing.assert_allclose(held["root in the frame"], [50, 68, 95], atol=3.0)


def test_tables_have_a_row_for_each_method():
    row = study._row("walks", "exact", [track(walked(), walked())])
    assert len(study.error_table([row, row]).rows) == 2
    coverage = study.coverage_table({"at once": {"pose": [50.0, 68.0, 95.0]}})
    assert coverage.rows == (("at once", "pose", "50", "68", "95"),)
