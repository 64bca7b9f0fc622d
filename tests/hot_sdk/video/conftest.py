"""Videos that the tests decode."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def two_people():
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    return DATA / "two_people.mp4"


def gray(index, size=(64, 48)):
    """A numbered gray level with a little texture."""
    noise = np.random.default_rng(0).integers(0, 20, (size[1], size[0], 3), dtype=np.uint8)
    return noise + np.uint8(7 * index)


@pytest.fixture
def make_video(tmp_path):
    """Write a video of numbered gray levels with OpenCV; return its path."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (extra video)")

    def make(name, fourcc, frames=30, size=(64, 48), fps=30.0):
        path = tmp_path / name
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*fourcc), fps, size
        )
        for index in range(frames):
            writer.write(gray(index, size))
        writer.release()
        return path

    return make


@pytest.fixture
def encode(tmp_path):
    """Write numbered gray levels with PyAV, shown at ``times`` (in 1/30 s); return the path."""
    av = pytest.importorskip("av", reason="PyAV is not installed (extra video)")

    def write(name, codec, times, *, size=(64, 48), pixels="yuv420p", **options):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=30, options=options)
            stream.width, stream.height = size
            stream.pix_fmt = pixels
            stream.codec_context.time_base = Fraction(1, 30)
            for index, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(gray(index, size), format="bgr24")
                frame.pts, frame.time_base = time, Fraction(1, 30)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write
