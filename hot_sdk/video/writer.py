"""Write video files: mp4 with OpenCV, gif with Pillow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.optional import require
from hot_sdk.errors import UsageError, VideoError
from hot_sdk.video.quiet import quiet_opencv, require_opencv

# The one codec for mp4 that OpenCV's wheels write on every machine: their license excludes an H.264
# encoder, and VP9 takes about a second per frame.
_FOURCC = "mp4v"
_FASTEST_GIF = 50.0
_MAX_GIF_BYTES = 1 << 29
_PROBE_BYTES = 4096


class VideoWriter:
    """Writes images to a video file, which is either complete or absent.

    Use it as a context manager: the file gets its name when the block ends without an error. An mp4
    is first opened again and a frame decoded, because the encoder does not report a full disk.

    Attributes:
        frames: Images written so far.
    """

    def __init__(self, path: str | Path, *, size: tuple[int, int], fps: float) -> None:
        """Check everything that can be checked before the first frame.

        Args:
            path: The file; ``.mp4`` (MPEG-4 part 2) or ``.gif``. A gif has 256 colors per frame and
                times in hundredths of a second, and stays in memory until the end (at most half a
                gigabyte).
            size: Width and height in pixels; even numbers for mp4.
            fps: Frames per second; at most 50 for gif, because viewers slow down faster ones.

        Raises:
            UsageError: The kind of file is unknown, it cannot be written there, or it does not
                support the size or the rate.
            MissingDependencyError: OpenCV or Pillow is not installed.
        """
        self.frames = 0
        self._path = Path(path)
        self._size = size
        self._fps = float(fps)
        self._kind = self._path.suffix.lower()
        if self._kind not in (".mp4", ".gif"):
            raise UsageError(
                f"'{path}' is not a supported kind of video.",
                hint="Give a name that ends in .mp4 or .gif.",
            )
        fastest = _FASTEST_GIF if self._kind == ".gif" else 1000.0
        if not 0.1 <= self._fps <= fastest:
            raise UsageError(
                f"fps is {fps!r}; expected 0.1 to {fastest:g} for {self._kind}.",
                hint="Write fewer frames, or an mp4.",
            )
        if len(size) != 2 or not all(2 <= side <= 8192 for side in size):
            raise UsageError(
                f"size is {size!r}; expected width and height, 2 to 8192 pixels.",
                hint="Scale the images.",
            )
        if self._kind == ".mp4" and any(side % 2 for side in size):
            raise UsageError(
                f"size is {size!r}; mp4 needs even numbers.",
                hint="Make the images one pixel wider or taller.",
            )
        require_writable_target(self._path)
        self._cv2 = require_opencv("Writing video")
        if self._kind == ".gif":
            require("PIL.Image", extra="video", purpose="Writing gif")
        self._block: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        self._sink: _Mp4 | _Gif | None = None

    def __enter__(self) -> VideoWriter:
        self._block = self._written()
        self._block.__enter__()
        return self

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append one image.

        Args:
            image: (height, width, 3), uint8, blue, green, red, of the writer's size.

        Raises:
            VideoError: The image has another shape or type, the writer is not open, or a gif
                becomes too large.
        """
        if self._sink is None:
            raise VideoError(
                f"'{self._path}' is not open for writing.", hint="Write inside a with block."
            )
        expected = (self._size[1], self._size[0], 3)
        if image.shape != expected or image.dtype != np.uint8:
            raise VideoError(
                f"Image {self.frames} has shape {image.shape} and type {image.dtype}; expected"
                f" {expected} and uint8.",
                hint="Scale it to the writer's size.",
            )
        self._sink.write(image)
        self.frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._block.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        with replaced_on_success(self._path) as temporary:
            if self._kind == ".gif":
                sink: _Mp4 | _Gif = _Gif(temporary, self._fps, self._cv2)
            else:
                sink = _Mp4(temporary, self._size, self._fps, self._cv2)
            self._sink = sink
            try:
                yield
                if not self.frames:
                    raise VideoError(
                        f"No frame was written to '{self._path}'.", hint="Write one or more."
                    )
                sink.finish()
            finally:
                self._sink = None
                sink.discard()


class _Mp4:
    def __init__(self, target: Path, size: tuple[int, int], fps: float, cv2: ModuleType) -> None:
        self._target = target
        # OpenCV chooses the container by the suffix, which the temporary name lacks.
        self._work = target.with_suffix(".mp4")
        self._cv2 = cv2
        self._count = 0
        with quiet_opencv(cv2):
            self._writer: Any = cv2.VideoWriter(
                str(self._work), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*_FOURCC), fps, size
            )
        if not self._writer.isOpened():
            self.discard()
            # OpenCV does not say why; a full disk raises here.
            target.write_bytes(bytes(_PROBE_BYTES))
            raise VideoError(
                f"This OpenCV ({cv2.__version__}) cannot write mp4 files.",
                hint="Install the wheel: pip install opencv-python",
            )

    def write(self, image: NDArray[np.uint8]) -> None:
        # Else it says of each frame that it cannot be written, if the disk is full.
        with quiet_opencv(self._cv2):
            self._writer.write(image)
        self._count += 1

    def finish(self) -> None:
        self._writer.release()
        with quiet_opencv(self._cv2):
            capture = self._cv2.VideoCapture(str(self._work), self._cv2.CAP_FFMPEG)
            count = int(capture.get(self._cv2.CAP_PROP_FRAME_COUNT))
            readable, _ = capture.read()
            capture.release()
        if not readable or count != self._count:
            raise VideoError(
                f"Of {self._count} frames, {max(0, count)} can be read back.",
                hint="Check that the disk is not full.",
            )
        os.replace(self._work, self._target)

    def discard(self) -> None:
        self._writer.release()
        self._work.unlink(missing_ok=True)


class _Gif:
    def __init__(self, target: Path, fps: float, cv2: ModuleType) -> None:
        self._target = target
        self._fps = fps
        self._cv2 = cv2
        self._pictures: list[Any] = []
        self._bytes = 0

    def write(self, image: NDArray[np.uint8]) -> None:
        self._bytes += image.shape[0] * image.shape[1]
        if self._bytes > _MAX_GIF_BYTES:
            raise VideoError(
                f"The gif has over {_MAX_GIF_BYTES >> 20} million pixels after"
                f" {len(self._pictures)} frames.",
                hint="Write an mp4, or fewer or smaller frames.",
            )
        pil = require("PIL.Image", extra="video", purpose="Writing gif")
        picture = pil.fromarray(self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB))
        # Median cut, the default, is closer by a quarter and takes twenty times as long.
        self._pictures.append(
            picture.quantize(method=pil.Quantize.FASTOCTREE, dither=pil.Dither.NONE)
        )

    def finish(self) -> None:
        # Rounding the ends, not the durations, keeps the error from adding up.
        ends = [round(100 * (at + 1) / self._fps) for at in range(len(self._pictures))]
        durations = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]
        try:
            self._pictures[0].save(
                self._target,
                format="GIF",
                save_all=True,
                append_images=self._pictures[1:],
                duration=durations,
                loop=0,
            )
        except OSError as error:
            raise VideoError(
                f"The gif cannot be written: {error.strerror}.",
                hint="Check that the disk is not full.",
            ) from error

    def discard(self) -> None:
        self._pictures.clear()
