"""The windows that exported files are verified on."""

import numpy as np
import pytest

from hot_sdk.export.models import resolve
from hot_sdk.export.verification.clips import real_clips, verification_windows


@pytest.mark.parametrize("frames", [9, 27, 81, 243, 351])
@pytest.mark.parametrize("channels", [2, 3])
def test_windows_fit_the_network_and_are_finite(frames, channels):
    windows = verification_windows(resolve("mixste", frames=frames, channels=channels))
    assert len({window.name for window in windows}) == len(windows) >= 5
    for window in windows:
        assert window.keypoints.shape == (frames, 17, channels)
        assert window.keypoints.dtype == np.float32
        assert np.isfinite(window.keypoints).all()


def test_real_clips_are_people_in_their_images():
    clips = {clip.name: clip for clip in real_clips()}
    assert {name: len(clip.points) for name, clip in clips.items()} == {
        "pose_1": 120,
        "pose_squats": 65,
        "sports2d_demo": 230,
    }
    for clip in clips.values():
        width, height = clip.size
        inside = (clip.points >= 0) & (clip.points <= (width, height))
        assert inside.mean() > 0.9
        head, pelvis = clip.points[:, 10], clip.points[:, 0]
        assert (head[:, 1] < pelvis[:, 1]).mean() > 0.9
        assert clip.scores.min() >= 0
        assert clip.scores.max() <= 1


def test_normalization_keeps_the_aspect_ratio():
    spec = resolve("mixste", frames=9)
    window = next(w for w in verification_windows(spec) if w.name.startswith("sports2d_demo, st"))
    clip = next(clip for clip in real_clips() if clip.name == "sports2d_demo")
    width, height = clip.size
    x, y = clip.points[0, 0]
    expected = [x / width * 2 - 1, y / width * 2 - height / width]
    np.testing.assert_allclose(window.keypoints[0, 0], expected, atol=1e-6)


def test_short_clip_is_continued_by_its_last_frame():
    spec = resolve("mixste", frames=243)
    held = next(w for w in verification_windows(spec) if w.name == "pose_1, last frame held")
    tail = held.keypoints[-30:]
    assert (tail == tail[0]).all()
    assert not (held.keypoints[:100] == held.keypoints[0]).all()
