"""Square pixels, mirrored pictures, the end of a file by its own times, and cameras that miss."""

import struct
import sys
from fractions import Fraction
from types import ModuleType

import numpy as np
import pytest

from hot_sdk.errors import MissingDependencyError, VideoError
from hot_sdk.video import Tracker, VideoWriter, open_video, reader
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


def test_remains_of_opencv_are_named_with_the_repair(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    for use in (
        lambda: open_video(0),
        lambda: VideoWriter(tmp_path / "out.mp4", size=(64, 48), fps=30.0),
        lambda: Tracker(),
    ):
        with pytest.raises(MissingDependencyError, match="only remains") as raised:
            use()
        assert "pip uninstall -y opencv-python" in raised.value.hint
