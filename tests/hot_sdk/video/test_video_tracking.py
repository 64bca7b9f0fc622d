"""Ids over crossings, gaps and absences, and clips of people from single frames."""

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.errors import StreamError, UsageError
from hot_sdk.video import PeopleTimeline, Tracker

pytest.importorskip("trackers", reason="trackers is not installed (extra video)")

SIZE = (640, 480)
# A standing figure of 17 joints, 60 wide and 200 tall.
FIGURE = np.random.default_rng(3).uniform((-30, -100), (30, 100), (17, 2))


def person(x, y=240.0, score=0.9, scores=True):
    rng = np.random.default_rng(round(x * 7 + y))
    points = FIGURE + np.array([x, y]) + rng.normal(0, 1.0, FIGURE.shape)
    return Keypoints(
        points[None],
        np.full((1, 17), score) if scores else None,
        skeleton="coco17",
        image_size=SIZE,
    )


def test_crossing_people_keep_their_ids():
    tracker = Tracker(fps=30.0)
    ids = []
    for frame in range(90):
        # They pass one another at frame 45, in opposite order in the list half of the time.
        pair = [person(100 + 5 * frame, 230), person(550 - 5 * frame, 260)]
        tracked = tracker.update(pair[:: 1 if frame % 2 else -1], frame / 30)
        ids.append([one.track_id for one in tracked[:: 1 if frame % 2 else -1]])
    assert ids[0] == [None, None]
    assert {tuple(pair) for pair in ids[1:]} in ({(1, 2)}, {(2, 1)})


def test_track_keeps_id_after_short_occlusion():
    tracker = Tracker(fps=30.0, lost_seconds=1.0)
    seen = {}
    for frame in range(150):
        present = frame < 30 or 50 <= frame < 60 or frame >= 110
        tracked = tracker.update([person(200 + frame)] if present else [], frame / 30)
        seen[frame] = tracked[0].track_id if tracked else None
    assert {seen[frame] for frame in range(1, 30)} == {1}
    assert {seen[frame] for frame in range(50, 60)} == {1}
    # Away for 50 frames, over a second: a new person.
    assert {seen[frame] for frame in range(111, 150)} == {2}


def test_absence_is_counted_in_seconds_at_any_rate():
    tracker = Tracker(fps=10.0, lost_seconds=1.0)
    for frame in range(5):
        tracker.update([person(200)], frame / 10)
    for at in (0.9, 1.0):
        (found,) = tracker.update([person(200)], at)
        assert found.track_id == 1
    (found,) = tracker.update([person(200)], 2.5)
    assert found.track_id is None


def test_people_are_returned_in_order_and_unchanged_but_for_the_id():
    tracker = Tracker()
    people = [person(500), person(100, score=0.1), person(300, scores=False)]
    for frame in range(3):
        tracked = tracker.update(people, frame / 30)
    for before, after in zip(people, tracked, strict=True):
        np.testing.assert_array_equal(before.points, after.points)
    # A low score starts no track.
    assert tracked[1].track_id is None
    assert {tracked[0].track_id, tracked[2].track_id} == {1, 2}


def test_detection_without_joints_has_no_track():
    empty = Keypoints(np.full((1, 17, 2), np.nan), skeleton="coco17", image_size=SIZE)
    tracker = Tracker()
    for frame in range(3):
        tracked = tracker.update([empty, person(300)], frame / 30)
    assert [one.track_id for one in tracked] == [None, 1]


def test_backward_time_is_an_error_with_both_times():
    tracker = Tracker()
    tracker.update([], 0.5)
    for late in (0.5, 0.4, float("nan")):
        with pytest.raises(StreamError, match=r"0\.500000 s"):
            tracker.update([], late)


def test_rejects_several_frames_at_once():
    clip = Keypoints(np.zeros((2, 17, 2)), skeleton="coco17", image_size=SIZE)
    with pytest.raises(UsageError, match="several frames"):
        Tracker().update([clip], 0.0)


@pytest.mark.parametrize(
    "settings",
    [{"fps": 0.0}, {"lost_seconds": -1.0}, {"min_start_score": 2.0}, {"min_overlap": 0.0}],
)
def test_rejects_settings_out_of_range(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        Tracker(**settings)


def test_clip_lasts_while_its_person_is_seen_and_has_nan_in_between():
    tracker, timeline = Tracker(fps=30.0), PeopleTimeline()
    for frame in range(40):
        people = [person(100 + frame)]
        if 10 <= frame < 20 or frame >= 25:
            people.append(person(400, score=0.8))
        if frame in (30, 31):
            people.append(person(600, 100))
        timeline.add(frame / 30, tracker.update(people, frame / 30))
    (one, two), dropped = timeline.clips(min_frames=5)
    assert dropped == 1
    assert (one.track_id, two.track_id) == (1, 2)
    assert (one.first_frame, two.first_frame) == (0, 10)
    np.testing.assert_allclose(one.timestamps, np.arange(40) / 30)
    np.testing.assert_allclose(two.timestamps, np.arange(10, 40) / 30)
    assert one.image_size == two.image_size == SIZE
    # Also the first frame of each, which the second one confirmed.
    present = (np.arange(10, 40) >= 25) | (np.arange(10, 40) < 20)
    assert np.isfinite(one.points).all()
    np.testing.assert_array_equal(np.isfinite(two.points).all(axis=(1, 2)), present)
    np.testing.assert_allclose(two.scores, np.where(present[:, None], 0.8, 0.0) * np.ones(17))
    np.testing.assert_array_equal(two.points[15], person(400).points[0])


def test_people_without_scores_have_none():
    timeline = PeopleTimeline()
    for frame in range(3):
        timeline.add(frame / 30, Tracker().update([person(300, scores=False)], 0.0))
    assert timeline.clips() == ((), 0)
    tracker = Tracker()
    timeline = PeopleTimeline()
    for frame in range(3):
        timeline.add(frame / 30, tracker.update([person(300, scores=False)], frame / 30))
    ((clip,), _) = timeline.clips()
    assert clip.scores is None


def test_all_people_of_a_single_frame_count():
    timeline = PeopleTimeline()
    timeline.add(0.0, Tracker().update([person(100), person(400)], 0.0))
    people, dropped = timeline.clips(min_frames=10)
    assert ([clip.track_id for clip in people], dropped) == ([1, 2], 0)


def test_timeline_rejects_mixed_people_and_equal_times():
    timeline = PeopleTimeline()
    timeline.add(0.0, [])
    with pytest.raises(StreamError, match="comes after"):
        timeline.add(0.0, [])
    tracker = Tracker()
    tracker.update([person(100)], 0.0)
    (known,) = tracker.update([person(100)], 0.1)
    with pytest.raises(UsageError, match="same track_id"):
        timeline.add(0.1, [known, known])
    other = Keypoints(np.zeros((1, 33, 2)), skeleton="mediapipe33", image_size=SIZE)
    with pytest.raises(UsageError, match="differ in skeleton"):
        timeline.add(0.1, [known, other])
    assert len(timeline) == 1
