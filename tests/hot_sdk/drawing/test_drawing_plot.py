"""The static overview."""

import numpy as np
import pytest
from mocap import body, result_of

from hot_sdk.cameras import CameraPose
from hot_sdk.drawing.plot import invalid_spans, plot_result
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.latency import LatencyReport, Statistics

pytest.importorskip("matplotlib", reason="plotting needs matplotlib (extra viz)")
IMAGE = pytest.importorskip("matplotlib.image", reason="plotting needs matplotlib (extra viz)")


def report():
    stage = Statistics(3, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 0.5)
    return LatencyReport(
        "clip", "onnxruntime", "cpu", "fp32", 90.0, 9.0, stage, stage, stage, stage, 3, 20, 30.0,
        200.0, None, None, None, 0,
    )  # fmt: skip


def test_overview_is_a_png_and_shows_what_is_not_valid(tmp_path):
    joints = body("walk")
    valid = np.ones(joints.shape[:2], dtype=bool)
    whole = plot_result(result_of(joints, latency=report()), tmp_path / "whole.png")
    valid[3:9, 16] = False
    broken = plot_result(
        result_of(joints, latency=report(), valid=valid, model="a $x_{1}$ name"),
        str(tmp_path / "broken.png"),
        latency_ms=np.array([1.0, np.nan, 3.0]),
    )
    pictures = [IMAGE.imread(path) for path in (whole, broken)]
    assert pictures[0].shape == pictures[1].shape
    assert (pictures[0] != pictures[1]).any()
    assert whole.read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.png", "whole.png"]


def test_one_frame_of_a_robots_pose_without_latency(tmp_path):
    result = result_of(body("sit")[:1]).to_robot_frame(CameraPose.mounted())
    assert plot_result(result, tmp_path / "one.png").stat().st_size > 1000


def test_spans_of_frames():
    broken = np.array([1, 0, 1, 1, 0, 1], dtype=bool)
    assert invalid_spans(broken) == [(0, 0), (2, 3), (5, 5)]
    assert invalid_spans(~broken[:0]) == []


def test_rejects_wrong_names_and_empty_results(tmp_path):
    result = result_of(body("sit"))
    for name in ("out.jpg", "out", "missing/out.png"):
        with pytest.raises(UsageError):
            plot_result(result, tmp_path / name)
    with pytest.raises(ResultError, match="no frame"):
        plot_result(result_of(body("sit")[:0]), tmp_path / "none.png")
    assert not list(tmp_path.iterdir())
