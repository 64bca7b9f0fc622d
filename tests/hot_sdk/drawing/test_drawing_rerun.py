"""Rerun recordings, read back."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from mocap import SIZE, body, result_of, seen

from hot_sdk import Keypoints
from hot_sdk.drawing import PersonClip, write_rerun
from hot_sdk.errors import UsageError

cv2 = pytest.importorskip("cv2", reason="a recording of a video needs OpenCV (extra video)")
with warnings.catch_warnings():
    # Under Python 3.10, rerun says at its import that it will leave 3.10 behind.
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("rerun", reason="a recording needs rerun-sdk (extra viz)")
CHUNK = pytest.importorskip("rerun.chunk", reason="this rerun-sdk cannot read recordings")

FRAMES = 12


def people():
    """Two people, of whom the first is away for two frames, and one joint of the second."""
    clips = []
    for number, name in enumerate(("walk", "sit")):
        joints = body(name)[:FRAMES]
        points = np.asarray(seen(joints).points).copy()
        valid = np.ones((FRAMES, 17), dtype=bool)
        if number == 0:
            points[4:6], valid[4:6] = np.nan, False
        else:
            points[:, 16] = np.nan
        given = Keypoints(points, skeleton="h36m17", image_size=SIZE, fps=10.0, track_id=number)
        clips.append(PersonClip(given, result_of(joints, valid=valid, track_id=number)))
    return clips


def read(path):
    """Return tables by entity: of what changes over time, and of what does not."""
    moving, static = {}, {}
    for chunk in CHUNK.RrdReader(path).stream():
        table = static if chunk.is_static else moving
        table.setdefault(chunk.entity_path, []).append(chunk.to_record_batch())
    return moving, static


def column(tables, entity, name):
    return [row for batch in tables[entity] for row in batch.column(name).to_pylist()]


def test_recording_holds_everything(tmp_path):
    times = np.arange(FRAMES) / 10
    images = (np.full((SIZE[1], SIZE[0], 3), 20 * i, dtype=np.uint8) for i in range(3))
    latency = np.array([np.nan, 5.0, 6.0])
    path = write_rerun(
        tmp_path / "out.rrd", people(), timestamps=times, images=images, latency_ms=latency
    )
    assert [p.name for p in tmp_path.iterdir()] == ["out.rrd"]
    moving, static = read(path)
    assert set(moving) == {
        "/video/image",
        "/latency/frame",
        *(f"/video/person_{n}{end}" for n in (0, 1) for end in ("", "/links")),
        *(f"/world/person_{n}/{end}" for n in (0, 1) for end in ("pose", "links")),
    }
    assert {"/world", "/video/person_0", "/world/person_1"} <= set(static)
    assert column(moving, "/video/person_0", "frame") == list(range(FRAMES))
    seconds = column(moving, "/video/person_0", "seconds")
    assert [s.total_seconds() for s in seconds] == pytest.approx(times.tolist())
    assert column(moving, "/latency/frame", "frame") == [1, 2]
    assert column(moving, "/latency/frame", "Scalars:scalars") == [[5.0], [6.0]]

    first = column(moving, "/video/person_0", "Points2D:positions")
    assert [len(row) for row in first] == [17] * 4 + [0] * 2 + [17] * 6
    np.testing.assert_allclose(first[7], people()[0].keypoints.points[7] / 2, rtol=1e-6)
    second = column(moving, "/video/person_1", "Points2D:keypoint_ids")
    assert second == [list(range(16))] * FRAMES
    assert [len(row) for row in column(moving, "/video/person_1/links", "LineStrips2D:strips")] == [
        15
    ] * FRAMES

    pose = column(moving, "/world/person_0/pose", "Points3D:positions")
    assert [len(row) for row in pose] == [17] * 4 + [0] * 2 + [17] * 6
    np.testing.assert_allclose(pose[8], people()[0].poses_m[8], atol=1e-6)
    links = column(moving, "/world/person_1/links", "LineStrips3D:strips")
    assert [len(row) for row in links] == [16] * FRAMES

    picture = picture_of(moving, 2)
    assert picture.shape == (360, 640, 3)
    assert picture.mean() == pytest.approx(40, abs=2)


def picture_of(moving, frame):
    (blob,) = column(moving, "/video/image", "EncodedImage:blob")[frame]
    return cv2.imdecode(np.array(blob, dtype=np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    ("given", "side", "recorded"),
    [((1280, 720), 640, (640, 360)), ((720, 1281), 300, (169, 300)), ((320, 200), 640, (320, 200))],
)
def test_keypoints_lie_on_the_recorded_images(tmp_path, given, side, recorded):
    at = np.array([0.6 * given[0], 0.4 * given[1]])
    points = np.full((1, 17, 2), np.nan)
    points[0, 13] = at
    person = PersonClip(Keypoints(points, skeleton="h36m17", image_size=given, fps=10.0))
    picture = np.zeros((given[1], given[0], 3), dtype=np.uint8)
    cv2.circle(picture, tuple(np.rint(at).astype(int).tolist()), given[1] // 30, (255,) * 3, -1)
    options = {"timestamps": np.zeros(1), "image_side": side}
    path = write_rerun(tmp_path / "out.rrd", [person], images=[picture], **options)
    moving, _ = read(path)
    shown = picture_of(moving, 0)
    assert shown.shape[1::-1] == recorded
    middle = np.argwhere(shown[..., 0] > 127).mean(axis=0)[::-1]
    ((place,),) = column(moving, "/video/person_0", "Points2D:positions")
    np.testing.assert_allclose(place, middle, atol=0.8)
    without = write_rerun(tmp_path / "out.rrd", [person], timestamps=np.zeros(1))
    ((place,),) = column(read(without)[0], "/video/person_0", "Points2D:positions")
    np.testing.assert_allclose(place, at, rtol=1e-6)


def test_annotations_name_the_joints(tmp_path):
    path = write_rerun(tmp_path / "out.rrd", people()[:1], timestamps=np.arange(FRAMES) / 10)
    _, static = read(path)
    (batch,) = [
        b for b in static["/video/person_0"] if "AnnotationContext:context" in b.schema.names
    ]
    text = str(batch.column("AnnotationContext:context").to_pylist())
    assert "left_wrist" in text
    assert "thorax" in text


def test_recording_that_does_not_fit_on_the_disk_is_refused(tmp_path, monkeypatch):
    """Rerun itself may hang on a full disk, so it is not asked to fill one."""
    times = np.arange(FRAMES) / 10
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2_500_000))
    with pytest.raises(UsageError, match=r"may take 3 MB, and 2 MB are free\."):
        write_rerun(tmp_path / "out.rrd", people(), timestamps=times, images=iter(()))
    assert not list(tmp_path.iterdir())
    write_rerun(tmp_path / "out.rrd", people(), timestamps=times)
    assert (tmp_path / "out.rrd").stat().st_size < 2_500_000


def test_rejects_wrong_names_ids_and_lengths(tmp_path):
    times = np.arange(FRAMES) / 10
    with pytest.raises(UsageError, match="rrd"):
        write_rerun(tmp_path / "out.txt", people(), timestamps=times)
    with pytest.raises(UsageError, match="12 frames and 11 timestamps"):
        write_rerun(tmp_path / "out.rrd", people(), timestamps=times[:-1])
    with pytest.raises(UsageError, match="person_0, person_0"):
        write_rerun(tmp_path / "out.rrd", people()[:1] * 2, timestamps=times)
    with pytest.raises(UsageError, match="image_side is 8"):
        write_rerun(tmp_path / "out.rrd", people(), timestamps=times, images=[], image_side=8)
    images = [np.zeros((8, 8, 3), dtype=np.uint8)] * (FRAMES + 1)
    with pytest.raises(UsageError, match="more images"):
        write_rerun(tmp_path / "out.rrd", people(), timestamps=times, images=images)
    assert not list(tmp_path.iterdir())
