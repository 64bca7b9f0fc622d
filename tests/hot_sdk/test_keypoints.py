import dataclasses

import numpy as np
import pytest

from hot_sdk import Keypoints, list_skeletons
from hot_sdk.errors import KeypointsError

SIZE = (640, 480)


def made(points=None, scores=None, **changes):
    settings = {"skeleton": "h36m17", "image_size": SIZE, **changes}
    points = np.full((4, 17, 2), 100.0) if points is None else points
    return Keypoints(points, scores, **settings)


def test_arrays_are_copied_and_read_only():
    points = np.full((4, 17, 2), 100.0)
    keypoints = made(points)
    points[:] = 0.0
    assert keypoints.points.dtype == np.float32
    assert (keypoints.points == 100.0).all()
    with pytest.raises(ValueError, match="read-only"):
        keypoints.points[0] = 0.0


def test_joint_with_one_coordinate_is_missing():
    points = np.full((2, 17, 2), 100.0)
    points[1, 3, 0] = np.nan
    keypoints = made(points, np.ones((2, 17)))
    assert np.isnan(keypoints.points[1, 3]).all()
    assert keypoints.scores[1, 3] == 0.0
    assert keypoints.scores.sum() == 33.0


def test_scores_are_clipped_to_0_and_1():
    scores = np.array([[-0.5, 1.5, np.nan, 0.25] + [1.0] * 13])
    keypoints = made(np.zeros((1, 17, 2)), scores)
    assert keypoints.scores[0, :4].tolist() == [0.0, 1.0, 0.0, 0.25]


def test_rejects_an_unnamed_skeleton_with_the_reason():
    with pytest.raises(KeypointsError, match=r"COCO's 17 and Human3\.6M's 17 differ") as caught:
        made(skeleton="")
    assert "17 joints" in caught.value.message
    assert all(name in caught.value.hint for name in list_skeletons())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"skeleton": "coco-17"}, "Did you mean 'coco17'"),
        ({"skeleton": "coco17", "points": np.zeros((4, 18, 2))}, r"\(4, 18, 2\); expected"),
        ({"points": np.zeros((4, 17, 3))}, "third column as scores"),
        ({"points": np.zeros((0, 17, 2))}, "0 frames"),
        ({"points": np.zeros((17, 2))}, r"\(17, 2\)"),
        ({"points": np.full((1, 17, 2), np.inf)}, "joint 0 in frame 0 is infinite"),
        ({"points": np.full((1, 17, 2), "a")}, "expected numbers"),
        ({"points": [[1, 2], [3]]}, "points is not an array"),
        ({"scores": np.ones((4, 16))}, r"scores has shape \(4, 16\)"),
        ({"image_size": (640.5, 480)}, "whole pixels"),
        ({"image_size": (0, 0)}, "width and height"),
        ({"image_size": 640}, "width and height"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"fps": "30"}, "fps is '30'"),
        ({"timestamps": [0.0, 1.0, 1.0, 2.0]}, "1.000000 s at frame 1 to 1.000000 s"),
        ({"timestamps": [0, 33, 67, 100]}, "look like milliseconds. Give timestamps / 1000;"),
        ({"timestamps": [0, 33e3, 67e3, 1e5]}, "look like microseconds"),
        ({"timestamps": [0, 33e6, 67e6, 1e8]}, "look like nanoseconds. Give timestamps / 1e"),
        ({"timestamps": [0.0, 0.00055, 0.00111, 0.00166]}, "look like minutes"),
        (
            {"timestamps": [0.0, 300.0, 600.0, 900.0]},
            "say 0.003333 frames per second; they are not",
        ),
        ({"fps": 1 / 30}, "looks like seconds per frame: give fps=30"),
        ({"fps": 33_333.0}, "expected frames per second, 1 to 1000"),
        ({"timestamps": [0.0, 1.0]}, r"timestamps has shape \(2,\)"),
        ({"timestamps": [0.0, 1.0, np.nan, 2.0]}, "NaN or infinity"),
        ({"timestamps": [0.0, 1.0, 2.0, 3.0], "fps": 30.0}, "timestamps say 1"),
        ({"track_id": 1.5}, "track_id is a float"),
    ],
)
def test_rejects_values_that_do_not_fit(changes, said):
    with pytest.raises(KeypointsError, match=said):
        made(**changes)


def test_effective_fps_is_that_of_the_timestamps_if_fps_is_unknown():
    assert made(timestamps=[0.0, 0.1, 0.2, 0.4]).effective_fps == pytest.approx(10.0)
    assert made(timestamps=[0.0, 0.1, 0.2, 0.3], fps=9.9).effective_fps == 9.9
    assert made().effective_fps is None


def test_converts_to_the_17_joints():
    points = np.random.default_rng(0).uniform(0, 400, (3, 17, 2))
    coco = made(points, np.full((3, 17), 0.5), skeleton="coco17", track_id=7, fps=25.0)
    body = coco.to_h36m17()
    assert (body.skeleton, body.track_id, body.fps, len(body)) == ("h36m17", 7, 25.0, 3)
    np.testing.assert_array_equal(body.points[:, 13], coco.points[:, 9])  # left wrists
    np.testing.assert_allclose(
        body.points[:, 0], points[:, [11, 12]].mean(axis=1), rtol=0, atol=1e-3
    )
    assert dataclasses.replace(body).to_h36m17().points is not None
    assert body.to_h36m17() is body
