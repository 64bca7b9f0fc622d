"""MediaPipe on real frames, by the weights of its wheel."""

import itertools

import numpy as np
import pytest

from hot_sdk.errors import StreamError, UsageError, VideoError
from hot_sdk.video import create_detector, keypoints_from_video, open_video
from hot_sdk.video.extraction import VideoKeypoints

pytest.importorskip("mediapipe", reason="mediapipe is not installed (extra video)")
pytest.importorskip("trackers", reason="trackers is not installed (extra video)")


@pytest.fixture(scope="module")
def found(two_people):
    """The real video through the detector and the tracker, once for all tests."""
    reported = []
    detector = create_detector("mediapipe", max_people=2)
    result = keypoints_from_video(
        two_people, detector, progress=lambda done, total: reported.append((done, total))
    )
    detector.close()
    assert reported == [(done, 20) for done in range(1, 21)]
    return result


def test_finds_both_people_of_a_video_and_keeps_them_apart(found):
    assert isinstance(found, VideoKeypoints)
    assert found.detector == "mediapipe 0.10.14"
    assert (found.image_size, found.fps) == ((400, 362), 30.0)
    assert (found.undecodable_frames, found.missing_at_end) == (0, 0)
    assert len(found.people) == 2
    for person in found.people:
        assert person.skeleton == "mediapipe33"
        frames = person.first_frame + np.arange(len(person))
        assert frames[-1] < 20
        np.testing.assert_allclose(person.timestamps, frames / 30, atol=1e-6)
        assert np.isfinite(person.points).all(axis=(1, 2)).sum() >= 15
    left, right = sorted(found.people, key=lambda person: np.nanmean(person.points[..., 0]))
    assert np.nanmax(left.points[..., 0]) < 200 < np.nanmin(right.points[..., 0])
    # One stands on a roof, the other walks to the left below it.
    assert np.nanmean(left.points[..., 1]) < 130 < np.nanmean(right.points[..., 1])
    hips = right.points[:, 23, 0]
    hips = hips[np.isfinite(hips)]
    assert hips[0] - hips[-1] > 20


def test_joints_match_those_of_mediapipes_single_person_api(found, two_people):
    with np.load(two_people.with_name("jumper_mp33.npz"), allow_pickle=False) as file:
        reference = file["points"]
    left = min(found.people, key=lambda person: np.nanmean(person.points[..., 0]))
    reference = reference[left.first_frame :][: len(left)]
    distances = np.linalg.norm(left.points[:, 11:] - reference[:, 11:, :2], axis=-1)
    assert np.nanmedian(distances) < 3.0
    # A limb may be taken for another in a frame or two of the jump's beginning; most are not.
    assert np.nanmean(distances < 10.0) > 0.7


def test_writes_nothing_to_the_terminal(two_people, capfd):
    detector = create_detector("mediapipe")
    with open_video(two_people) as video:
        for frame in itertools.islice(video, 3):
            people = detector(frame.image, frame.timestamp_s)
    assert people
    for person in people:
        assert person.points.shape == (1, 33, 2)
        assert person.track_id is None
        assert 0.0 < person.scores.mean() <= 1.0
    detector.close()
    detector.close()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(VideoError, match="closed"):
        detector(frame.image, 9.0)


def test_max_people_limits_the_people_and_an_empty_image_has_none(two_people):
    detector = create_detector("mediapipe", max_people=1)
    empty = np.full((120, 160, 3), 127, dtype=np.uint8)
    # A clock of the day as well as one of the video.
    assert detector(empty, 1_790_000_000.0) == ()
    with open_video(two_people) as video:
        for frame in itertools.islice(video, 4):
            assert len(detector(frame.image, 1_790_000_001.0 + frame.timestamp_s)) == 1
    with pytest.raises(StreamError, match="after that of"):
        detector(empty, 1_790_000_000.5)
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(VideoError, match="expected an array"):
            detector(wrong, 1_790_000_009.0)
    detector.close()


def test_undecodable_frames_have_a_place_without_people(make_video):
    class FindsNone:
        name = version = "none"
        skeleton = "coco17"
        calls = 0

        def __call__(self, image, timestamp):
            self.calls += 1
            return ()

        def close(self):
            pass

    path = make_video("gray.mkv", "MJPG")
    content = bytearray(path.read_bytes())
    start, after = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"][:2]
    content[start : after - 40] = bytes(after - 40 - start)
    path.write_bytes(content)
    detector = FindsNone()
    result = keypoints_from_video(path, detector)
    assert (result.people, result.undecodable_frames, detector.calls) == ((), 1, 29)
    np.testing.assert_allclose(result.timestamps, np.arange(30) / 30, atol=1e-3)
    # Both ends are counted in decoded frames.
    assert len(keypoints_from_video(path, detector, max_frames=7).timestamps) == 8
    answers = iter([False, False, True])
    assert len(keypoints_from_video(path, detector, stop=lambda: next(answers)).timestamps) == 3
    with pytest.raises(UsageError, match="max_frames"):
        keypoints_from_video(path, detector, max_frames=0)
