"""The live viewer's messages, recorded to a file instead of a window and read back."""

import warnings

import numpy as np
import pytest
from standing_person import ROOT, at, pose_of, standing

from hot_sdk import Keypoints
from hot_sdk.drawing import LiveViewer
from hot_sdk.drawing.live import check_viewer, ellipsoids
from hot_sdk.errors import UsageError
from hot_sdk.results.result import ROBOT_AXES
from hot_sdk.results.rotations import rotated

pytest.importorskip("cv2", reason="images are encoded by OpenCV (extra video)")
with warnings.catch_warnings():
    # Under Python 3.10, rerun says at its import that it will leave 3.10 behind.
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("rerun", reason="the viewer is that of rerun-sdk (extra viz)")
CHUNK = pytest.importorskip("rerun.chunk", reason="this rerun-sdk cannot read recordings")

SIZE = (1280, 720)


def person(track_id=1):
    points = np.full((1, 17, 2), np.nan)
    points[0, :10] = np.arange(20).reshape(10, 2) * 30.0
    return Keypoints(points, skeleton="h36m17", image_size=SIZE, track_id=track_id)


def read(path):
    """Tables by entity: of what changes over time, and of what does not."""
    moving, static = {}, {}
    for chunk in CHUNK.RrdReader(path).stream():
        table = static if chunk.is_static else moving
        table.setdefault(chunk.entity_path, []).append(chunk.to_record_batch())
    return moving, static


def column(tables, entity, name):
    """Values in the order of time, with their seconds."""
    rows = []
    for batch in tables[entity]:
        if name in batch.schema.names:
            values = batch.column(name).to_pylist()
            seconds = [one.total_seconds() for one in batch.column("seconds").to_pylist()]
            rows += zip(seconds, values, strict=True)
    return [value for _, value in sorted(rows, key=lambda row: row[0]) if value is not None]


def test_view_holds_the_image_the_poses_and_how_sure_they_are(tmp_path):
    image = np.full((720, 1280, 3), 40, dtype=np.uint8)
    path = tmp_path / "live.rrd"
    pose = pose_of(0.0, axes=ROBOT_AXES, frame_id="base_link", missing=["left_wrist"])
    with LiveViewer(path) as viewer:
        viewer.show(0.0, image=image, people=[person()], latency_ms=7.0)
        viewer.show(0.1, image=image, people=[person()], poses=[pose], latency_ms=9.0)
    moving, static = read(path)
    assert column(moving, "/latency/frame", "Scalars:scalars") == [[7.0], [9.0]]
    assert column(moving, "/latency/delay", "Scalars:scalars") == [[pytest.approx(20.0)]]
    assert len(column(moving, "/video/image", "EncodedImage:blob")) == 2
    points = np.array(column(moving, "/video/person_1", "Points2D:positions")[0])
    np.testing.assert_allclose(points, person().points[0, :10] / 2, rtol=1e-6)
    (joints,) = column(moving, "/world/person_1/pose", "Points3D:positions")
    known = [n for n in range(17) if n != at("left_wrist")]
    np.testing.assert_allclose(joints, (standing() + ROOT)[known], atol=1e-6)
    (links,) = column(moving, "/world/person_1/links", "LineStrips3D:strips")
    assert len(links) == 15  # Without the bone to the wrist that is not seen.
    (centers,) = column(moving, "/world/person_1/covariance", "Ellipsoids3D:centers")
    np.testing.assert_allclose(centers, joints, atol=1e-6)
    (halves,) = column(moving, "/world/person_1/covariance", "Ellipsoids3D:half_sizes")
    # 95 % of a normal distribution of three variables are within 2.7955 standard deviations.
    np.testing.assert_allclose(sorted(halves[0]), 2.7955 * np.array([0.01, 0.02, 0.3]), rtol=1e-4)
    # Up is z, as in the robot's frame.
    axes = static["/world"][0].column("ViewCoordinates:xyz").to_pylist()
    assert axes == [[[5, 4, 1]]]  # Forward, left, up.


def test_someone_without_a_place_is_drawn_about_the_origin(tmp_path):
    pose = pose_of(0.0, root=np.full(3, np.nan), joints=np.full((17, 3), np.nan))
    with LiveViewer(tmp_path / "live.rrd") as viewer:
        viewer.show(0.0, people=[person()], poses=[pose])
    moving, static = read(tmp_path / "live.rrd")
    (joints,) = column(moving, "/world/person_1/pose", "Points3D:positions")
    np.testing.assert_allclose(joints, standing(), atol=1e-6)
    assert "/world/person_1/covariance" not in moving
    assert static["/world"][0].column("ViewCoordinates:xyz").to_pylist() == [[[3, 2, 5]]]


def test_who_left_is_cleared(tmp_path):
    with LiveViewer(tmp_path / "live.rrd") as viewer:
        viewer.show(0.0, people=[person(1), person(2)], poses=[pose_of(0.0, 1)])
        viewer.show(0.1, people=[person(2)])
    moving, _ = read(tmp_path / "live.rrd")
    for entity in ("/video/person_1", "/world/person_1"):
        assert column(moving, entity, "Clear:is_recursive") == [[True]]
    assert not any("Clear" in name for name in moving["/video/person_2"][0].schema.names)


def test_ellipsoid_has_the_shape_of_its_covariance():
    numbers = np.random.default_rng(2)
    factors = numbers.normal(size=(20, 3, 3))
    covariances = factors @ np.swapaxes(factors, 1, 2)
    halves, turns = ellipsoids(covariances)
    axes = np.stack([rotated(turns, np.eye(3)[n]) for n in range(3)], axis=-1)
    again = axes @ (halves[:, None] ** 2 / 2.7955**2 * axes).swapaxes(1, 2)
    np.testing.assert_allclose(again, covariances, rtol=1e-6, atol=1e-9)
    inside = numbers.multivariate_normal(np.zeros(3), covariances[0], 20_000) @ axes[0]
    assert np.mean((inside**2 / halves[0] ** 2).sum(axis=1) < 1.0) == pytest.approx(0.95, abs=0.01)
    assert (ellipsoids(np.zeros((1, 3, 3)))[0] > 0.0).all()


@pytest.mark.parametrize("target", ["window", "http://host:9876", "out.png", "rerun+http://", ""])
def test_other_targets_are_refused(target):
    with pytest.raises(UsageError, match="The viewer is"):
        check_viewer(target)


def test_viewer_without_a_screen_says_what_to_do(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(UsageError, match=r"no screen here.*rerun\+http"):
        LiveViewer()
    assert check_viewer("rerun+http://192.0.2.5:9876/proxy").startswith("rerun")
    with pytest.raises(UsageError):
        check_viewer("/no/such/folder/out.rrd")
