import json

import numpy as np
import pytest

from hot_sdk.errors import KeypointsError
from hot_sdk.people import read_people, read_tracked_people, track_people
from hot_sdk.readers import read_frames

SIZE = (640, 480)


def written(tmp_path, frames=12, people=2, ids=False):
    """COCO's results of people who stand apart and sway a little."""
    body = np.random.default_rng(0).uniform(0, 100, (17, 2))
    lines = []
    for frame in range(frames):
        for person in range(people):
            points = body + np.array([200.0 * person + 0.5 * frame, 20.0])
            values = np.column_stack([points, np.ones(17)]).ravel().tolist()
            line = {"image_id": frame, "category_id": 1, "keypoints": values, "score": 1.0}
            lines.append({**line, "track_id": 7 + person} if ids else line)
    path = tmp_path / "people.json"
    path.write_text(json.dumps(lines))
    return path


def test_people_with_ids_are_not_tracked(tmp_path):
    found = read_tracked_people(written(tmp_path, ids=True), image_size=SIZE)
    assert [person.track_id for person in found.people] == [7, 8]
    assert found.notes == ()


def test_one_person_is_chosen(tmp_path):
    path = written(tmp_path, ids=True)
    (person,) = read_tracked_people(path, image_size=SIZE, track_id=8).people
    assert person.track_id == 8
    with pytest.raises(KeypointsError, match="9 is none of them"):
        read_tracked_people(path, image_size=SIZE, track_id=9)


def test_people_without_ids_are_tracked_only_on_request(tmp_path):
    pytest.importorskip("trackers")
    path = written(tmp_path)
    with pytest.raises(KeypointsError, match="several people without track ids"):
        read_people(path, image_size=SIZE)
    found = read_tracked_people(path, image_size=SIZE, fps=25.0)
    assert [person.track_id for person in found.people] == [1, 2]
    assert [person.fps for person in found.people] == [25.0, 25.0]
    assert all(np.isfinite(person.points).all() for person in found.people)
    (note,) = found.notes
    assert note == "2 people were identified by tracking, because the file has no ids"


def test_people_seen_too_briefly_are_dropped_with_a_note(tmp_path):
    pytest.importorskip("trackers")
    path = written(tmp_path, frames=24)
    lines = json.loads(path.read_text())
    # The second person leaves after four frames.
    path.write_text(json.dumps([line for at, line in enumerate(lines) if at % 2 == 0 or at < 8]))
    found = read_tracked_people(path, image_size=SIZE)
    (person,) = found.people
    assert found.notes[0].startswith("1 person was identified by tracking")
    # Half of all frames, as the file is short.
    assert found.notes[1] == "1 more person was left out, found in fewer than 12 frames."
    assert person.warnings == found.notes
    kept = read_tracked_people(path, image_size=SIZE, min_frames=1)
    assert [len(one) for one in kept.people] == [24, 4]


def test_clips_of_several_people_last_while_they_are_seen(tmp_path):
    path = written(tmp_path, frames=40, ids=True)
    lines = json.loads(path.read_text())
    # The second person comes at frame 10 and goes at 30.
    kept = [line for line in lines if line["track_id"] == 7 or 10 <= line["image_id"] < 30]
    path.write_text(json.dumps(kept))
    one, two = read_tracked_people(path, image_size=SIZE, fps=20.0).people
    assert (one.first_frame, len(one)) == (0, 40)
    assert (two.first_frame, len(two)) == (10, 20)
    np.testing.assert_allclose(two.times(20.0), np.arange(10, 30) / 20)
    assert np.isfinite(two.points).all()
    (chosen,) = read_tracked_people(path, image_size=SIZE, track_id=8).people
    assert (chosen.first_frame, len(chosen)) == (10, 20)
    # A file of one person is one clip of all its frames, as everywhere.
    alone = [line for line in lines if line["track_id"] == 7 and line["image_id"] != 5]
    path.write_text(json.dumps(alone))
    (person,) = read_tracked_people(path, image_size=SIZE).people
    assert (person.first_frame, len(person)) == (0, 40)


def test_people_who_are_all_seen_too_briefly_are_an_error_with_the_way_out(tmp_path):
    path = written(tmp_path, frames=40, people=1, ids=True)
    lines = json.loads(path.read_text())
    # A tracker that gives another id every five frames.
    for line in lines:
        line["track_id"] = line["image_id"] // 5
    path.write_text(json.dumps(lines))
    with pytest.raises(KeypointsError, match="None of the 8 people is seen in at least 20") as info:
        read_tracked_people(path, image_size=SIZE)
    assert "--min-frames 1" in info.value.hint
    found = read_tracked_people(path, image_size=SIZE, min_frames=1)
    assert [person.first_frame for person in found.people] == list(range(0, 40, 5))


def test_rejects_files_in_which_no_person_stays(tmp_path):
    pytest.importorskip("trackers")
    far = [
        {"image_id": frame, "keypoints": [300.0 * (frame % 2) + at, 5.0 * at, 0.1] * 17}
        for frame in range(30)
        for at in (1, 2)
    ]
    path = tmp_path / "far.json"
    path.write_text(json.dumps(far))
    with pytest.raises(KeypointsError, match="No person could be tracked"):
        track_people(read_frames(path, image_size=SIZE))
