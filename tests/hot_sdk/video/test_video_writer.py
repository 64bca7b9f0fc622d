"""Writing video: it can be read again, and a failure leaves nothing behind."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from hot_sdk.errors import UsageError, VideoError
from hot_sdk.video import VideoWriter, open_video
from hot_sdk.video.quiet import quiet_opencv

pytest.importorskip("cv2", reason="OpenCV is not installed (extra video)")
pytest.importorskip("PIL", reason="Pillow is not installed (extra video)")


def images(count=12, size=(64, 48)):
    """A bright square that moves right, on a dark ground of another color."""
    for index in range(count):
        image = np.full((size[1], size[0], 3), (90, 20, 20), dtype=np.uint8)
        image[16:32, 4 * index : 4 * index + 16] = (40, 220, 240)
        yield image


@pytest.mark.parametrize(("name", "fps"), [("out.mp4", 30.0), ("out.gif", 12.5), ("a.GIF", 30.0)])
def test_written_video_can_be_read_again(name, fps):
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    with VideoWriter(name, size=(64, 48), fps=fps) as writer:
        for image in images():
            writer.write(image)
    assert writer.frames == 12
    with open_video(name) as video:
        frames = list(video)
    assert video.size == (64, 48)
    assert len(frames) == 12
    for frame, image in zip(frames, images(), strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 6.0
    # A gif counts in hundredths of a second.
    times = [frame.timestamp_s for frame in frames]
    np.testing.assert_allclose(times, np.arange(12) / fps, atol=0.011)
    assert os.listdir() == [name]


def test_error_inside_the_block_keeps_the_old_file():
    for name in ("out.mp4", "out.gif"):
        with open(name, "wb") as stream:
            stream.write(b"before")

        def write(name=name):
            with VideoWriter(name, size=(64, 48), fps=30.0) as writer:
                writer.write(next(images()))
                raise KeyError("of the caller")

        with pytest.raises(KeyError, match="of the caller"):
            write()
        with open(name, "rb") as stream:
            assert stream.read() == b"before"
    assert sorted(os.listdir()) == ["out.gif", "out.mp4"]


@pytest.mark.parametrize("name", ["out.mp4", "out.gif"])
def test_video_without_frames_is_an_error_and_no_file(name):
    with (
        pytest.raises(VideoError, match="No frame was written"),
        VideoWriter(name, size=(64, 48), fps=30.0),
    ):
        pass
    assert os.listdir() == []


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 62, 3), np.uint8),
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 3), np.float32),
    ],
)
def test_image_of_another_shape_is_an_error(image):
    with (
        pytest.raises(VideoError, match="Image 0 has shape"),
        VideoWriter("out.mp4", size=(64, 48), fps=30.0) as writer,
    ):
        writer.write(image)
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("name", "size", "fps", "expected"),
    [
        ("out.avi", (64, 48), 30.0, "not a supported kind of video"),
        ("out.mp4", (63, 48), 30.0, "even numbers"),
        ("out.mp4", (64, 0), 30.0, "size is"),
        ("out.mp4", (64, 48), 0.0, "fps is"),
        ("out.mp4", (64, 48), float("nan"), "fps is"),
        ("out.gif", (64, 48), 60.0, "0.1 to 50"),
        ("absent/out.mp4", (64, 48), 30.0, "does not exist"),
    ],
)
def test_rejects_impossible_videos_before_the_first_frame(name, size, fps, expected):
    with pytest.raises(UsageError, match=expected):
        VideoWriter(name, size=size, fps=fps)


def test_writer_needs_a_with_block():
    writer = VideoWriter("out.mp4", size=(64, 48), fps=30.0)
    with pytest.raises(VideoError, match="not open for writing"):
        writer.write(next(images()))
    assert os.listdir() == []


@pytest.mark.parametrize("nested", [False, True], ids=["OpenCV 4", "OpenCV 5"])
def test_opencv_is_quiet_in_the_block_only(nested):
    levels = [3]
    functions = {"getLogLevel": lambda: levels[-1], "setLogLevel": levels.append}
    module = SimpleNamespace(utils=SimpleNamespace(), **({} if nested else functions))
    if nested:
        module.utils.logging = SimpleNamespace(**functions)
    with quiet_opencv(module):
        assert levels == [3, 0]
    assert levels == [3, 0, 3]


def test_a_disk_that_is_full_from_the_start_is_named(tmp_path):
    # OpenCV then says no more than that it has opened nothing.
    code = (
        "import resource, sys\n"
        "import cv2\n"
        "from hot_sdk.errors import UsageError\n"
        "from hot_sdk.video import VideoWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    with VideoWriter('a.mp4', size=(64, 48), fps=30.0): pass\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "'a.mp4' cannot be written: File too large" in run.stdout, run.stderr
    assert list(tmp_path.iterdir()) == []
