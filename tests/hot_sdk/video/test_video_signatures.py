"""Videos are recognized by their content, under any name; other files are not."""

import shutil
import struct
from pathlib import Path

import pytest

from hot_sdk.video.signatures import is_video_file

EXAMPLES = Path(__file__).parents[3] / "examples"
SHAPES = {
    "h263": (176, 144),
    "dvvideo": (720, 576),
}
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}


@pytest.fixture
def written(tmp_path):
    """Write a video of three frames in a container; return its path, which has no suffix."""
    av = pytest.importorskip("av", reason="PyAV is not installed (extra video)")

    def write(container, codec):
        path = tmp_path / "clip"
        with av.open(str(path), "w", format=container) as output:
            stream = output.add_stream(codec, rate=25)
            stream.width, stream.height = SHAPES.get(codec, (64, 48))
            stream.pix_fmt = PIXELS.get(codec, "yuv420p")
            for _ in range(3):
                frame = av.VideoFrame(stream.width, stream.height, stream.pix_fmt)
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "libx264"),
        ("mov", "mpeg4"),
        ("3gp", "h263"),
        ("matroska", "libx264"),
        ("webm", "libvpx"),
        ("avi", "mpeg4"),
        ("flv", "flv"),
        ("mpegts", "libx264"),
        ("mpeg", "mpeg1video"),
        ("vob", "mpeg2video"),
        ("asf", "wmv2"),
        ("mxf", "mpeg2video"),
        ("gif", "gif"),
        ("ivf", "libvpx"),
        ("yuv4mpegpipe", "rawvideo"),
        ("dv", "dvvideo"),
        ("nut", "mpeg4"),
        ("rm", "rv10"),
        ("h264", "libx264"),
        ("hevc", "libx265"),
        ("mjpeg", "mjpeg"),
        ("mpeg2video", "mpeg2video"),
        ("m4v", "mpeg4"),
    ],
)
def test_video_is_recognized_without_a_suffix_and_under_any(written, container, codec):
    path = written(container, codec)
    assert is_video_file(path)
    for name in ("A.MTS", "b.ts", "c.JSON", "d.flv", "e.bin"):
        shutil.copy(path, name)
        assert is_video_file(Path(name))


def test_transport_stream_of_a_camcorder_is_recognized_even_if_it_is_cut(written):
    packets = written("mpegts", "libx264").read_bytes()
    packets = [packets[at : at + 188] for at in range(0, len(packets), 188)]
    # With a time before each packet, as .MTS has it.
    content = b"".join(struct.pack(">I", number) + one for number, one in enumerate(packets))
    for cut in (0, 100):
        Path("00001.MTS").write_bytes(content[cut:])
        assert is_video_file(Path("00001.MTS"))


@pytest.mark.parametrize(
    "name",
    [
        "data/jump_mediapipe33.npz",
        "README.md",
        "video_to_3d.py",
    ],
)
@pytest.mark.parametrize("suffix", ["", ".ts", ".mts"])
def test_other_files_are_no_videos(name, suffix):
    copy = Path("copy" + suffix)
    shutil.copy(EXAMPLES / name, copy)
    assert not is_video_file(copy)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.mp4", b"", True),
        ("a.MP4", b"damaged", True),
        ("a.mp4", b' {"people": []}', False),
        ("a.npz", b"PK\x03\x04", False),
        ("app.ts", b"export const a = 1;\n" * 300, False),
        ("photo.heic", b"\x00\x00\x00\x18ftypheic", False),
        ("sound.m4a", b"\x00\x00\x00\x18ftypM4A ", False),
        ("photo.jpg", b"\xff\xd8\xff\xe0 \xff\xd9\xff\xd8\xff\xe1 \xff\xd9", False),
        ("one", b"\xff\xd8\xff\xe0 \xff\xd9", False),
        ("many", b"\xff\xd8\xff\xe0 \xff\xd9\xff\xd8\xff\xe0 \xff\xd9", True),
        ("icon.ico", b"\x00\x00\x01\x00\x01\x00 ", False),
        ("sound.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ", False),
        ("picture.webp", b"RIFF\x24\x00\x00\x00WEBPVP8 ", False),
        ("sound.ogg", b"OggS\x00\x02 vorbis", False),
    ],
)
def test_content_decides_and_then_the_suffix(name, content, expected):
    Path(name).write_bytes(content)
    assert is_video_file(Path(name)) is expected


def test_what_is_no_file_is_judged_by_its_name():
    assert is_video_file(Path("missing.MOV"))
    assert is_video_file(Path("/dev/video0"))
    assert not is_video_file(Path("missing.json"))
    Path("folder.mp4x").mkdir()
    assert not is_video_file(Path("folder.mp4x"))
