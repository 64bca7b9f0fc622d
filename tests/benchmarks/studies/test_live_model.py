"""The study of live networks measures the window model's stream as it is."""

import numpy as np
import pytest
from live_model import window_stream
from mocap import body
from told_model import make_told_model

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.offline import lift_stream


@pytest.mark.parametrize("lookahead", [0, 3])
def test_one_pass_gives_the_poses_of_a_stream(tmp_path, lookahead):
    """A network whose poses are pulled to the mean of its window, so that each window differs."""
    path = make_told_model(tmp_path / "mean.onnx", mean_share=0.3)
    seconds = np.arange(30)[:, None, None] / 50.0
    moving = body("walk")[:1, :, :2] * 300.0 + [640.0, 360.0] + 80.0 * np.sin(9.0 * seconds)
    clip = Keypoints(moving.astype(np.float32), skeleton="h36m17", image_size=(1280, 720), fps=50.0)
    with Pose3DEngine(path, threads=1) as engine:
        found = window_stream(engine, clip, [lookahead])[lookahead]
        expected = lift_stream(engine, [clip], lookahead=lookahead, hop=1).results[0].poses
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
