"""Videos that the tests decode."""

from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def two_people():
    pytest.importorskip("cv2", reason="OpenCV is not installed (extra video)")
    return DATA / "two_people.mp4"


@pytest.fixture
def make_video(tmp_path):
    """Writes a video of numbered grey levels; returns its path."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (extra video)")
    np = pytest.importorskip("numpy")

    def make(name, fourcc, frames=30, size=(64, 48), fps=30.0):
        path = tmp_path / name
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*fourcc), fps, size
        )
        noise = np.random.default_rng(0).integers(0, 20, (size[1], size[0], 3), dtype=np.uint8)
        for index in range(frames):
            writer.write(noise + np.uint8(index * 7))
        writer.release()
        return path

    return make
