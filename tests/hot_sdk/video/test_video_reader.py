"""Decoding: order, times, damage, and files that are not videos."""

import logging
import os
import socket
import struct
import subprocess
import sys

import numpy as np
import pytest

from hot_sdk.errors import MissingDependencyError, UsageError, VideoError
from hot_sdk.video import open_video, parse_source

_REFUSED = """
import sys
from hot_sdk.errors import VideoError
from hot_sdk.video import open_video
try:
    open_video(sys.argv[1])
except VideoError as error:
    print(error)
"""


def refused(path):
    """Return what a new process prints that opens the video as its first.

    FFmpeg's level is set once in a process, so another test's video could have set it here.
    """
    command = [sys.executable, "-c", _REFUSED, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert out.stderr == ""
    return out.stdout


def test_frames_come_in_order_with_their_times(two_people):
    with open_video(two_people) as video:
        assert (video.size, video.fps, video.frame_count) == ((400, 362), 30.0, 20)
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(20))
    np.testing.assert_allclose([f.timestamp_s for f in frames], np.arange(20) / 30, atol=1e-6)
    assert all(f.image.shape == (362, 400, 3) and f.image.dtype == np.uint8 for f in frames)
    assert (video.decoded, video.undecodable_frames, video.missing_at_end) == (20, 0, 0)


def test_each_frame_is_the_written_one(make_video):
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    path = make_video("gray.mp4", "mp4v")
    with open_video(str(path)) as video:
        levels = [frame.image.mean() for frame in video]
    np.testing.assert_allclose(levels, np.arange(30) * 7 + 9.5, atol=3.0)


def test_frames_that_cannot_be_decoded_keep_their_places(make_video, caplog):
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    path = make_video("gray.mkv", "MJPG")
    content = bytearray(path.read_bytes())
    starts = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 30
    for lost in (0, 10, 11):
        # All of the picture but its end, next to which the next one's header lies.
        content[starts[lost] : starts[lost + 1] - 40] = bytes(starts[lost + 1] - 40 - starts[lost])
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING, "hot_sdk"), open_video(path) as video:
        frames = list(video)
    assert [frame.index for frame in frames] == [i for i in range(30) if i not in (0, 10, 11)]
    assert (video.undecodable_frames, video.missing_at_end) == (3, 0)
    for frame in frames:
        assert frame.timestamp_s == pytest.approx(frame.index / 30, abs=1e-3)
        assert frame.image.mean() == pytest.approx(frame.index * 7 + 9.5, abs=3.0)
    assert "3 lost" in caplog.text


def test_truncated_video_yields_what_is_left_and_counts_what_is_missing(make_video, caplog):
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    path = make_video("gray.mkv", "MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with caplog.at_level(logging.WARNING, "hot_sdk"), open_video(path) as video:
        decoded = len(list(video))
    assert 15 <= decoded <= 20
    assert video.missing_at_end == 30 - decoded
    assert f"{30 - decoded} missing at the end" in caplog.text


def test_mp4_truncated_before_its_index_is_an_error_without_noise(two_people, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(two_people.read_bytes()[:100_000])
    (line,) = refused(path).splitlines()
    assert "cut off before its index" in line


@pytest.mark.parametrize(("cosine", "sine"), [(0, 1), (0, -1), (-1, 0)])
def test_rotated_video_is_upright_as_opencv_shows_it(make_video, cosine, sine):
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    cv2 = pytest.importorskip("cv2")
    path = make_video("gray.mp4", "mp4v", size=(64, 48))
    content = bytearray(path.read_bytes())
    # The matrix of the track header, ISO 14496-12 section 8.3.2.
    at = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = (cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 48 * one, 0, 1 << 30)
    content[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
    capture = cv2.VideoCapture(str(path))
    _, expected = capture.read()
    capture.release()
    with open_video(path) as video:
        assert video.size == ((64, 48) if sine == 0 else (48, 64))
        image = next(iter(video)).image
    np.testing.assert_allclose(image.astype(int), expected, atol=4)
    assert image.flags.c_contiguous


def test_times_of_a_variable_rate_are_the_containers(encode):
    times = [0, 1, 4, 5, 11, 12]
    with open_video(encode("variable.mp4", "mpeg4", times)) as video:
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(6))
    np.testing.assert_allclose([f.timestamp_s for f in frames], np.array(times) / 30, atol=1e-6)
    assert (video.undecodable_frames, video.missing_at_end) == (0, 0)


def test_times_begin_at_zero_in_a_transport_stream(encode):
    with open_video(encode("shown.ts", "mpeg2video", range(5), bf="2")) as video:
        times = [frame.timestamp_s for frame in video]
    np.testing.assert_allclose(times, np.arange(5) / 30, atol=1e-4)


def test_duplicate_and_backward_times_are_repaired(encode, caplog):
    path = encode("gray.mkv", "mjpeg", range(8), pixels="yuvj420p")
    content = path.read_bytes()
    for stated, wrong in ((67, 33), (167, 100)):
        # Track, time in milliseconds and flags of a block of Matroska.
        before, after = (b"\x81" + struct.pack(">h", time) + b"\x80" for time in (stated, wrong))
        assert content.count(before) == 1
        content = content.replace(before, after)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING, "hot_sdk"), open_video(path) as video:
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(8))
    assert np.all(np.diff([frame.timestamp_s for frame in frames]) > 0)
    np.testing.assert_allclose([f.timestamp_s for f in frames], np.arange(8) / 30, atol=2e-3)
    assert "2 frames whose times are missing or go back" in caplog.text


def test_lost_frames_keep_their_places_between_reordered_ones(encode):
    path = encode("gray.mkv", "libx264", [0, 1, 2, 5, 6, 7, 9, 12], g="3", bf="2")
    intact, content = path.read_bytes(), bytearray(path.read_bytes())
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    # The slice that nothing refers to, but for the length and type of its unit.
    lost = min(packets, key=len)
    at = intact.index(lost)
    content[at + 5 : at + len(lost)] = b"\xff" * (len(lost) - 5)
    path.write_bytes(content)
    with open_video(path) as video:
        frames = list(video)
    times = [0, 1, 2, 5, 6, 7, 9, 12]
    for frame in frames:
        assert frame.timestamp_s == pytest.approx(times[frame.index] / 30, abs=1e-3)
    assert len(frames) + video.undecodable_frames + video.missing_at_end >= 7


def test_hidden_frames_of_vp8_are_not_lost_frames(encode):
    path = encode("gray.webm", "libvpx", range(6))
    content = bytearray(path.read_bytes())
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content[content.index(packets[3])] &= ~0x10  # Its flag "shown".
    path.write_bytes(content)
    with open_video(path) as video:
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(5))
    assert video.undecodable_frames == 0


@pytest.mark.parametrize(
    ("size", "pixels", "codec"),
    [
        ((64, 48), "yuv420p10le", "libx264"),
        ((63, 47), "yuv444p", "libx264"),
        ((63, 47), "yuv420p", "ffv1"),
        ((64, 48), "gray", "ffv1"),
        ((64, 48), "bgra", "ffv1"),
    ],
)
def test_other_pixels_and_odd_sizes_become_color_images(encode, size, pixels, codec):
    path = encode("gray.mkv", codec, range(3), size=size, pixels=pixels)
    with open_video(path) as video:
        frames = list(video)
    assert video.size == size
    for frame in frames:
        assert (frame.image.shape, frame.image.dtype) == ((size[1], size[0], 3), np.uint8)
        assert frame.image.mean() == pytest.approx(7 * frame.index + 9.5, abs=3.0)


def test_file_without_a_video_stream_is_an_error(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 436, b"WAVE", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8
    )
    path = tmp_path / "sound.wav"
    path.write_bytes(head + struct.pack("<4sI", b"data", 400) + bytes(400))
    with pytest.raises(VideoError, match="cannot be opened as a video"):
        open_video(path)


def test_playlist_does_not_lead_elsewhere(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        path = tmp_path / "list.m3u8"
        path.write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(VideoError, match="cannot be opened as a video"):
            open_video(path)
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_pyav_the_extra_is_named(two_people, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"'av'.*hot-sdk\[video\]"):
        open_video(two_people)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"no video at all" * 100, "cannot be opened as a video"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(2000), "cannot be opened as a video"),
    ],
)
def test_rejects_files_that_are_not_videos_without_noise(tmp_path, content, expected):
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    (line,) = refused(path).splitlines()
    assert expected in line


def test_rejects_missing_files_and_folders(tmp_path, two_people):
    with pytest.raises(VideoError, match=r"There is no file 'absent\.mp4'"):
        open_video("absent.mp4")
    with pytest.raises(VideoError, match="is not a file"):
        open_video(tmp_path)
    with pytest.raises(VideoError, match="zero byte"):
        open_video("a\0b.mp4")


def test_missing_camera_error_lists_the_present_ones(two_people, capfd):
    present = sorted(name for name in os.listdir("/dev") if name.startswith("video"))
    with pytest.raises(VideoError, match="Camera 97") as raised:
        open_video(97)
    expected = [f"/dev/{name}" for name in present] or ["No /dev/video* is present"]
    assert all(name in raised.value.hint for name in expected)
    with pytest.raises(VideoError, match="Camera -1"):
        open_video(-1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "concat://a|b", "ftp://host/a.mp4"])
def test_rejects_addresses_of_other_schemes(two_people, address):
    with pytest.raises(UsageError, match="are not opened"):
        open_video(address)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_errors_do_not_contain_the_password_of_an_address(two_people, scheme):
    with pytest.raises(VideoError) as raised:
        open_video(f"{scheme}://user:secret@127.0.0.1:9/a.mp4")
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("source", [True, 1.5, None, b"a.mp4"])
def test_rejects_sources_of_other_types(source):
    with pytest.raises(UsageError, match="video source"):
        open_video(source)


def test_closed_video_raises(two_people):
    video = open_video(two_people)
    frames = iter(video)
    next(frames)
    video.close()
    video.close()
    with pytest.raises(VideoError, match="is closed"):
        next(frames)


def test_digits_are_a_camera_unless_a_file_has_that_name(tmp_path):
    assert parse_source("0") == 0
    assert parse_source("clip.mp4") == "clip.mp4"
    (tmp_path / "7").touch()
    assert parse_source("7") == "7"


@pytest.mark.parametrize("left", ["", "raise RuntimeError('no loader')", "import sys.nothing"])
def test_what_is_left_of_an_opencv_is_named(tmp_path, monkeypatch, left):
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(left)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    with pytest.raises(MissingDependencyError) as raised:
        open_video(0)
    assert raised.value.hint.startswith("Run: pip uninstall -y opencv-python")
