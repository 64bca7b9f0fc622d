"""The video of two streams shows what was pushed, what came of it, and how late."""

import live_video
import numpy as np

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.drawing import SideBySide


def test_a_row_shows_the_pose_and_its_delay():
    body = np.random.default_rng(0).uniform(100.0, 300.0, (1, 17, 2)).astype(np.float32)
    person = Keypoints(body, skeleton="coco17", image_size=(480, 360), track_id=1)
    image = np.zeros((360, 480, 3), np.uint8)
    pictures, delays = SideBySide(size=(960, 360), fps=30.0), []
    with (
        Pose3DEngine("starter-live", threads=1) as engine,
        engine.stream("video", fps=30.0, lookahead=0) as stream,
    ):
        empty = live_video._row(stream, image, [], 0.0, pictures, delays)
        assert delays == []
        shown = live_video._row(stream, image, [person], 1 / 30, pictures, delays)
    assert len(delays) == 1
    assert 0.0 < delays[0] < 60_000.0
    assert shown.shape == empty.shape == (360, 960, 3)
    # The left half has the keypoints, the right one the pose.
    for half in (slice(0, 480), slice(480, 960)):
        assert (shown[:, half] != empty[:, half]).any()
