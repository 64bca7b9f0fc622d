"""``hot-infer --policies published`` against HoT's demo, written again for these tests.

The rules are those of NationalGAILab/HoT, demo/vis.py: one window more than fits, set about the
middle of the video, its ends repeated; x and y divided by the width; averaged with the mirror
image; the pelvis at 0; no score is looked at, and no frame resampled.
"""

import numpy as np
import pytest

from hot_sdk import Pose3DResult
from hot_sdk.engines import open_session
from hot_sdk.infer.cli import main

FRAMES = 27
LEFT, RIGHT = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]


def mirrored(joints):
    swapped = joints.copy()
    swapped[:, LEFT], swapped[:, RIGHT] = joints[:, RIGHT], joints[:, LEFT]
    swapped[..., 0] *= -1
    return swapped


def demo(session, points, size):
    width, height = size
    normalized = points / width * 2 - [1, height / width]
    length = len(points)
    chunks = length // FRAMES + 1
    before = (chunks * FRAMES - length) // 2
    padded = np.pad(
        normalized, ((before, chunks * FRAMES - length - before), (0, 0), (0, 0)), "edge"
    )

    def lift(window):
        return session.run({"keypoints_2d": window[None].astype(np.float32)})["poses_3d"][0]

    poses = [
        (lift(window) + mirrored(lift(mirrored(window)))) / 2
        for window in padded.reshape(chunks, FRAMES, 17, 2)
    ]
    joined = np.concatenate(poses)[before : before + length]
    joined[:, 0] = 0
    return joined


@pytest.mark.parametrize("frames", [2 * FRAMES, 40])
@pytest.mark.parametrize("size", [(576, 576), (576, 1280)])
def test_poses_are_those_of_the_demo(capsys, hot_file, clips, frames, size):
    clip = clips["pose_1"]
    points, scores = clip.points[:frames].copy(), clip.scores[:frames].copy()
    # What is cleaned otherwise: a joint that jumps, and one of no score. The rate is another, too.
    points[9, 13] += 400.0
    scores[20:25, 3] = 0.0
    np.savez("clip.npz", points=points, scores=scores, skeleton="h36m17", image_size=size, fps=30)
    arguments = ["clip.npz", "--model", str(hot_file), "--threads", "1"]
    assert main([*arguments, "--policies", "published"]) == 0
    found = Pose3DResult.load("clip_3d.npz")
    with open_session(hot_file) as session:
        expected = demo(session, points.astype(np.float64), size)
    np.testing.assert_allclose(found.poses, expected, atol=1e-5)
    (windows,) = (policy.detail for policy in found.policies if policy.name == "windows")
    assert windows == "'hot_demo', 27 frames each"
    assert main(arguments) == 0
    assert np.abs(Pose3DResult.load("clip_3d.npz").poses - expected).max() > 1e-3
    capsys.readouterr()


def test_a_model_of_center_frames_needs_its_mirror_image_inside(capsys, tpc_file, clips):
    clips["pose_1"].save("clip.npz")
    assert main(["clip.npz", "--model", str(tpc_file), "--policies", "published"]) == 2
    assert "hot-export --flip" in capsys.readouterr().err


def test_a_demo_lifts_no_stream(capsys, hot_file, clips):
    clips["pose_1"].save("clip.npz")
    arguments = ["clip.npz", "--model", str(hot_file), "--policies", "published"]
    assert main([*arguments, "--lookahead", "0"]) == 2
    assert "--policies published lifts whole clips" in capsys.readouterr().err
