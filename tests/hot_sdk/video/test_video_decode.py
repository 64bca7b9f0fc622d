"""Decoding: order, times, damage, and what is no video."""

import logging
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

from hot_sdk.errors import UsageError, VideoError
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
    """What a new process says that opens the video as its first.

    FFmpeg's level is set once in a process, so another test's video could have set it here.
    """
    command = [sys.executable, "-c", _REFUSED, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert out.stderr == ""
    return out.stdout


def test_a_real_video_gives_its_frames_in_order_with_their_times(two_people):
    with open_video(two_people) as video:
        assert (video.size, video.fps, video.frame_count) == ((400, 362), 30.0, 20)
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(20))
    np.testing.assert_allclose([f.timestamp_s for f in frames], np.arange(20) / 30, atol=1e-6)
    assert all(f.image.shape == (362, 400, 3) and f.image.dtype == np.uint8 for f in frames)
    assert (video.decoded, video.undecodable_frames, video.missing_at_end) == (20, 0, 0)


def test_each_frame_is_the_one_that_was_written(make_video):
    path = make_video("grey.mp4", "mp4v")
    with open_video(str(path)) as video:
        levels = [frame.image.mean() for frame in video]
    np.testing.assert_allclose(levels, np.arange(30) * 7 + 9.5, atol=3.0)


def test_frames_that_cannot_be_decoded_keep_their_places(make_video, caplog):
    path = make_video("grey.mkv", "MJPG")
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


def test_a_video_cut_off_gives_what_is_left_and_says_what_is_missing(make_video, caplog):
    path = make_video("grey.mkv", "MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with caplog.at_level(logging.WARNING, "hot_sdk"), open_video(path) as video:
        decoded = len(list(video))
    assert 15 <= decoded <= 20
    assert video.missing_at_end == 30 - decoded
    assert f"{30 - decoded} missing at the end" in caplog.text


def test_an_mp4_cut_off_before_its_index_is_an_error_without_noise(two_people, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(two_people.read_bytes()[:100_000])
    (line,) = refused(path).splitlines()
    assert "cut off before its index" in line


def test_a_video_held_upright_is_given_upright(make_video):
    path = make_video("grey.mp4", "mp4v", size=(64, 48))
    content = bytearray(path.read_bytes())
    # The matrix of the track header, ISO 14496-12 section 8.3.2: turned by 90 degrees.
    at = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    content[at : at + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30)
    path.write_bytes(content)
    with open_video(path) as video:
        assert video.size == (48, 64)
        assert next(iter(video)).image.shape == (64, 48, 3)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"no video at all" * 100, "cannot be opened as a video"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(2000), "cannot be opened as a video"),
    ],
)
def test_what_is_no_video_is_an_error_without_noise(tmp_path, content, expected):
    pytest.importorskip("cv2", reason="OpenCV is not installed (extra video)")
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    (line,) = refused(path).splitlines()
    assert expected in line


def test_what_is_not_there_or_not_a_file_is_an_error(tmp_path, two_people):
    with pytest.raises(VideoError, match=r"There is no file 'absent\.mp4'"):
        open_video("absent.mp4")
    with pytest.raises(VideoError, match="is not a file"):
        open_video(tmp_path)
    with pytest.raises(VideoError, match="zero byte"):
        open_video("a\0b.mp4")


def test_a_camera_that_is_absent_is_an_error_that_says_which_are_present(two_people, capfd):
    present = sorted(name for name in os.listdir("/dev") if name.startswith("video"))
    with pytest.raises(VideoError, match="Camera 97") as raised:
        open_video(97)
    expected = [f"/dev/{name}" for name in present] or ["No /dev/video* is present"]
    assert all(name in raised.value.hint for name in expected)
    with pytest.raises(VideoError, match="Camera -1"):
        open_video(-1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "concat://a|b", "ftp://host/a.mp4"])
def test_addresses_of_other_schemes_are_refused(two_people, address):
    with pytest.raises(UsageError, match="are not opened"):
        open_video(address)


def test_a_password_in_an_address_stands_in_no_error(two_people):
    with pytest.raises(VideoError) as raised:
        open_video("http://user:secret@127.0.0.1:9/a.mp4")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("source", [True, 1.5, None, b"a.mp4"])
def test_sources_of_other_kinds_are_refused(source):
    with pytest.raises(UsageError, match="video source"):
        open_video(source)


def test_a_closed_video_gives_no_more_frames(two_people):
    video = open_video(two_people)
    frames = iter(video)
    next(frames)
    video.close()
    video.close()
    with pytest.raises(VideoError, match="is closed"):
        next(frames)


def test_a_command_lines_digits_are_a_camera_unless_a_file_has_that_name(tmp_path):
    assert parse_source("0") == 0
    assert parse_source("clip.mp4") == "clip.mp4"
    (tmp_path / "7").touch()
    assert parse_source("7") == "7"
