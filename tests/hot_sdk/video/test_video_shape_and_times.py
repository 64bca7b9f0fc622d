"""Square pixels, mirrored pictures, the end of a file by its own times, and cameras that miss."""

import struct
import sys
import time
from fractions import Fraction
from types import ModuleType

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.errors import MissingDependencyError, UsageError, VideoError
from hot_sdk.video import (
    Tracker,
    VideoWriter,
    create_detector,
    keypoints_from_video,
    open_video,
    reader,
)
from hot_sdk.video.files import Timeline

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (extra video)")


def ramp(width, height):
    """A picture that is brighter to the right, and a little to the bottom."""
    across, down = np.meshgrid(np.linspace(0, 180, width), np.linspace(0, 60, height))
    return np.repeat((across + down)[..., None], 3, axis=2).astype(np.uint8)


@pytest.fixture
def write(tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed (extra video)")

    def encode(name, image, times_ms=range(0, 330, 33), *, ratio=None, rate=30):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            codec = "libvpx" if name.endswith("webm") else "libx264"
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height = image.shape[1::-1]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            if ratio is not None:
                stream.codec_context.sample_aspect_ratio = ratio
            for time in times_ms:
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return encode


@pytest.mark.parametrize(
    ("size", "ratio", "shown"),
    [
        ((96, 96), Fraction(4, 3), (128, 96)),
        ((96, 96), Fraction(3, 4), (96, 128)),
        ((96, 96), Fraction(1), (96, 96)),
        ((96, 96), None, (96, 96)),
    ],
)
@pytest.mark.parametrize("name", ["sar.mp4", "sar.mkv"])
def test_pixels_become_square(write, name, size, ratio, shown):
    with open_video(write(name, ramp(*size), ratio=ratio)) as video:
        frames = list(video)
    assert video.size == shown
    for frame in frames:
        assert frame.size == shown
        difference = frame.image.astype(int) - ramp(*shown)
        assert np.abs(difference).mean() < 3.0


def test_rejects_pixels_that_cannot_be(write):
    with pytest.raises(VideoError, match="states pixels of 20:1") as raised:
        open_video(write("sar.mkv", ramp(96, 96), ratio=Fraction(20)))
    assert "setsar=1" in raised.value.hint


@pytest.mark.parametrize("signs", [(-1, 1), (1, -1), (-1, -1)])
def test_mirrored_video_is_as_it_is_shown(write, signs):
    path = write("plain.mp4", ramp(64, 48))
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = (signs[0] * one, 0, 0, 0, signs[1] * one, 0, 0, 0, 1 << 30)
    content[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
    with open_video(path) as video:
        image = next(iter(video)).image
    assert np.abs(image.astype(int) - ramp(64, 48)[:: signs[1], :: signs[0]]).mean() < 3.0


@pytest.mark.parametrize("rate", [30, 60, 120, 240, 1000])
@pytest.mark.parametrize("name", ["nominal.mkv", "nominal.webm"])
def test_nominal_rate_neither_adds_frames_nor_misses_some(write, name, rate):
    times = [round(1000 * frame / 30) for frame in range(40)]
    with open_video(write(name, ramp(64, 48), times, rate=rate)) as video:
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(40))
    np.testing.assert_allclose([f.timestamp_s for f in frames], np.array(times) / 1e3, atol=2e-3)
    assert (video.undecodable_frames, video.missing_at_end) == (0, 0)


@pytest.mark.parametrize("rate", [15, 60, 240.0, 1000 / 3])
@pytest.mark.parametrize("nominal", [30, 120])
@pytest.mark.parametrize("name", ["slow.mkv", "slow.mp4"])
def test_given_rate_scales_the_times_whatever_the_nominal_one(write, name, nominal, rate):
    # Ten frames are missing after the twentieth: that remains a gap.
    places = [*range(20), *range(30, 40)]
    times = [round(1000 * place / 30) for place in places]
    with open_video(write(name, ramp(64, 48), times, rate=nominal), fps=rate) as video:
        frames = list(video)
    assert video.fps == rate
    assert [frame.index for frame in frames] == list(range(30))
    found = [frame.timestamp_s for frame in frames]
    np.testing.assert_allclose(found, np.array(places) / rate, atol=2e-3 * 30 / rate)
    assert (video.undecodable_frames, video.missing_at_end) == (0, 0)
    assert video.warnings == ()


def test_rejects_rates_of_no_camera_and_for_a_camera(write):
    path = write("plain.mp4", ramp(64, 48))
    for rate in (0, -30.0, 1e5, float("nan"), "30"):
        with pytest.raises(UsageError, match="expected frames per second"):
            open_video(path, fps=rate)
    with pytest.raises(UsageError, match="a camera's frames have the times"):
        open_video(0, fps=30.0)


@pytest.mark.parametrize(
    ("name", "codec", "stated"), [("raw.h264", "libx264", True), ("raw.mjpeg", "mjpeg", False)]
)
def test_rate_of_a_raw_stream_is_never_invented(encode, name, codec, stated, caplog):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = encode(name, codec, range(12), pixels=pixels)
    if stated:
        # The decoder's library would say 25.
        with open_video(path) as video:
            times = [frame.timestamp_s for frame in video]
        np.testing.assert_allclose(times, np.arange(12) / 30, atol=1e-6)
        (warning,) = video.warnings
        assert "placed by the 30 frames per second of its header" in warning
        assert warning in caplog.text
    else:
        with (
            open_video(path) as video,
            pytest.raises(VideoError, match="neither its frame rate nor the times") as raised,
        ):
            list(video)
        assert "--fps" in raised.value.hint
    caplog.clear()
    with open_video(path, fps=50) as video:
        frames = list(video)
    np.testing.assert_allclose([f.timestamp_s for f in frames], np.arange(12) / 50, atol=1e-6)
    np.testing.assert_allclose([f.image.mean() for f in frames], np.arange(12) * 7 + 9.5, atol=4)
    assert (video.undecodable_frames, video.missing_at_end, video.warnings) == (0, 0, ())
    assert caplog.text == ""


def test_start_after_zero_is_not_a_missing_end(write):
    path = write("late.mkv", ramp(64, 48), range(5000, 6320, 33))
    with open_video(path) as video:
        frames = list(video)
    assert (len(frames), frames[0].timestamp_s) == (40, 0.0)
    assert (video.undecodable_frames, video.missing_at_end) == (0, 0)


def test_fields_of_interlaced_frames_are_not_lost_frames():
    for is_interlaced, indices in ((True, [0, 1, 3]), (False, [0, 2, 5])):
        timeline = Timeline(Fraction(1, 50), 0, 25.0)
        placed = []
        # Each frame is two packets; that of 4 is lost.
        for pts in range(8):
            timeline.expect(pts)
        for pts in (0, 2, 6):
            placed.append(timeline.place(pts, is_interlaced=is_interlaced)[0])
        assert placed[:2] == indices[:2]
        assert (placed[2] == 3) is is_interlaced


READS = {
    "o": np.full((48, 64, 3), 80, np.uint8),
    "g": np.full((48, 64), 80, np.uint8),
    "a": np.full((48, 64, 4), 80, np.uint8),
    "b": np.full((96, 128, 3), 80, np.uint8),
    "e": np.zeros((0, 0, 3), np.uint8),
    "x": None,
}


class Camera:
    """Stands in for ``cv2.VideoCapture``; one letter of the script is one read."""

    def __init__(self, script):
        self.reads = iter(script)

    def isOpened(self):  # noqa: N802
        return True

    def read(self):
        # Frames as fast as these are still a camera's.
        time.sleep(0.002)
        image = READS[next(self.reads, "x")]
        return image is not None, image

    def get(self, key):
        return {cv2.CAP_PROP_FRAME_WIDTH: 64.0, cv2.CAP_PROP_FRAME_HEIGHT: 48.0}.get(key, 0.0)

    def set(self, key, value):
        return False

    def release(self):
        pass


@pytest.mark.parametrize(
    "script",
    [
        "o" * 20,
        "x" + "o" * 20,
        "xxx" + "o" * 20,
        "o" * 10 + "x" + "o" * 10,
        "e" + "o" * 20,
        "b" + "o" * 20,
        "g" * 20,
        "a" * 20,
    ],
)
def test_camera_that_misses_a_frame_goes_on(monkeypatch, script):
    monkeypatch.setattr(reader, "_capture", lambda *arguments: Camera(script))
    monkeypatch.setattr(reader, "_PATIENCE_S", 0.2)
    with open_video(0) as video:
        frames = iter(video)
        for index in range(20):
            frame = next(frames)
            assert (frame.index, frame.size, frame.image.mean()) == (index, (64, 48), 80.0)
        with pytest.raises(VideoError, match="stopped giving frames after 20"):
            next(frames)


class SeesOne:
    """A detector of one person, who stands."""

    name, version, skeleton = "one", "1", "coco17"

    def __call__(self, image, timestamp):
        body = np.random.default_rng(0).uniform((10, 5), (40, 45), (1, 17, 2))
        return (Keypoints(body, skeleton="coco17", image_size=(64, 48)),)

    def close(self):
        pass


@pytest.mark.parametrize("end", ["", "b"])
def test_what_a_camera_saw_before_it_ended_is_kept(monkeypatch, caplog, end):
    pytest.importorskip("trackers", reason="trackers is not installed (extra video)")
    monkeypatch.setattr(reader, "_capture", lambda *arguments: Camera("o" * 20 + end))
    monkeypatch.setattr(reader, "_PATIENCE_S", 0.05)
    found = keypoints_from_video(0, SeesOne(), max_frames=30)
    (person,) = found.people
    assert (len(person), len(found.timestamps), len(found.detection_ms)) == (20, 20, 20)
    (warning,) = person.warnings
    assert found.warnings == (warning,)
    reason = "stopped giving frames after 20" if not end else "change from (64, 48) to (128, 96)"
    assert warning.startswith("The recording ended early, and what was seen before is kept: ")
    assert reason in warning
    assert warning in caplog.text


def test_camera_that_gives_nothing_and_a_detector_that_fails_are_errors(monkeypatch):
    pytest.importorskip("trackers", reason="trackers is not installed (extra video)")
    monkeypatch.setattr(reader, "_capture", lambda *arguments: Camera("o" * 9))
    monkeypatch.setattr(reader, "_PATIENCE_S", 0.05)

    class Fails(SeesOne):
        def __call__(self, image, timestamp):
            raise VideoError("The network failed.", hint="Create it again.")

    with pytest.raises(VideoError, match="The network failed"):
        keypoints_from_video(0, Fails(), max_frames=30)
    monkeypatch.setattr(reader, "_capture", lambda *arguments: Camera(""))
    with pytest.raises(VideoError, match="No frame of 'camera 0' can be decoded"):
        keypoints_from_video(0, SeesOne(), max_frames=30)


def test_remains_of_opencv_are_named_with_the_repair(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    for use in (
        lambda: open_video(0),
        lambda: VideoWriter(tmp_path / "out.mp4", size=(64, 48), fps=30.0),
        lambda: Tracker(),
        lambda: create_detector("mediapipe"),
        lambda: create_detector("rtmlib"),
    ):
        with pytest.raises(MissingDependencyError, match="only remains") as raised:
            use()
        assert "pip uninstall -y opencv-python" in raised.value.hint


def test_opencv_that_is_installed_and_cannot_be_imported_has_the_same_repair(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match="needs the package 'cv2'") as raised:
        open_video(0)
    assert "pip uninstall -y opencv-python" in raised.value.hint
