"""Read the frames of a video file (with PyAV), a camera or a network stream (with OpenCV)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.closing import Closing
from hot_sdk.errors import KeypointsError, UsageError, VideoError
from hot_sdk.timestamps import checked_fps
from hot_sdk.video.files import (
    HIGHEST_RATE,
    NETWORK_TIMEOUT_S,
    Frame,
    VideoFile,
    check_pixels,
    frame_step,
)
from hot_sdk.video.quiet import quiet_opencv, require_opencv

# A camera that gives no frame is asked again: cheap ones miss some, above all the first.
_PATIENCE_S = 2.0
_PAUSE_S = 0.02
# A camera may begin in another mode than the one it was opened in.
_OTHER_SIZES = 5

_LIVE_SCHEMES = ("rtsp", "rtsps")
_FILE_SCHEMES = ("http", "https")

_log = logging.getLogger(__name__)


class VideoReader(Closing):
    """An open video: iterate over it once for its frames. Made by ``open_video``.

    Attributes:
        name: What was opened, for messages.
        size: Width and height in pixels, upright.
        fps: Nominal frames per second, or those given; None if the source does not say.
        frame_count: Frames that the file counts, or else those of its duration at the nominal rate;
            None for cameras and streams.
        warnings: What had to be assumed about the times of its frames; also logged.
        is_live: True for a camera or a stream, which has no end.
        decoded: Number of frames returned so far.
        missing_at_end: Once a file was read to its end, how many of the frames that it counts, or
            that its duration needs, were missing there: more than 0 for a file that was cut off.
    """

    def __init__(self, source: VideoFile | _Camera) -> None:
        self.name = source.name
        self.is_live = isinstance(source, _Camera)
        self.fps = source.fps
        self.frame_count = source.frame_count
        self.warnings = source.warnings
        self.decoded = 0
        self.missing_at_end = 0
        self._source: VideoFile | _Camera | None = source
        self._lost = 0
        self._times: list[float] = []
        try:
            self._first = source.read()
            if self._first is None:
                raise VideoError(
                    f"No frame of '{self.name}' can be decoded.",
                    hint="Check that no other program uses the camera."
                    if self.is_live
                    else "Convert it with: ffmpeg -i INPUT -c:v libx264 output.mp4",
                )
        except BaseException:
            source.close()
            raise
        self.size = self._first.size
        for warning in self.warnings:
            _log.warning("'%s': %s", self.name, warning)

    @property
    def undecodable_frames(self) -> int:
        """Number of frames so far that could not be decoded; their indices were left out."""
        return self._lost

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order.

        Raises:
            VideoError: The video is closed, its frames change size, or a live source ended.
        """
        while (frame := self._next()) is not None:
            self.decoded += 1
            self._times.append(frame.timestamp_s)
            yield frame
        if self.is_live:
            raise VideoError(
                f"'{self.name}' stopped giving frames after {self.decoded}.",
                hint="Check the cable or the network, and open it again.",
            )
        if isinstance(self._source, VideoFile):
            step_s = frame_step(self._times)
            self.missing_at_end = self._source.missing_at_end(self.decoded + self._lost, step_s)
        if self.missing_at_end or self._lost:
            _log.warning(
                "'%s': %d frames were decoded, %d lost before the last of them, %d missing at the"
                " end",
                self.name,
                self.decoded,
                self._lost,
                self.missing_at_end,
            )

    def close(self) -> None:
        """Release the file or the camera; harmless if it is closed."""
        if self._source is not None:
            self._source.close()
            self._source = self._first = None

    def _next(self) -> Frame | None:
        if self._source is None:
            raise VideoError(f"'{self.name}' is closed.", hint="Open it again.")
        frame, self._first = self._first or self._source.read(), None
        if frame is None:
            return None
        if frame.size != self.size:
            raise VideoError(
                f"The frames of '{self.name}' change from {self.size} to {frame.size} pixels.",
                hint="Cut the video where its size changes.",
            )
        self._lost = frame.index - self.decoded
        return frame


def open_video(source: str | Path | int, *, fps: float | None = None) -> VideoReader:
    """Open a video; use it as a context manager.

    A file's times are those that it states. A raw stream, such as ``.h264`` or ``.mjpeg``, states
    none: its frames are placed by the rate in its header, with a warning, or by ``fps``.

    Args:
        source: A file; the index of a camera; or the address of a stream: ``rtsp://`` and
            ``rtsps://`` are live like a camera, ``http://`` and ``https://`` are read like a file.
            Other addresses are refused, because the decoder would open anything they point at.
        fps: Frames per second at which a file was taken, if it is not what the file says, as in
            slow motion: all of its times are scaled so that frames are usually 1 / fps apart.

    Raises:
        VideoError: It is missing, is not a video, needs a codec that FFmpeg lacks, or is too large.
        UsageError: The source is of another type, the address has another scheme, or the rate is
            out of range or given for a live source.
        MissingDependencyError: PyAV (for files) or OpenCV (for cameras) is not installed.
    """
    if isinstance(source, bool) or not isinstance(source, (str, Path, int)):
        raise UsageError(
            f"A video source is a {type(source).__name__}.",
            hint="Give a file, an address or the index of a camera.",
        )
    if fps is not None:
        fps = _checked_rate(source, fps)
    if isinstance(source, int):
        return VideoReader(_Camera(source, f"camera {source}"))
    if isinstance(source, Path) or "://" not in source:
        _check_file(Path(source))
        return VideoReader(VideoFile(str(Path(source).absolute()), str(source), fps=fps))
    scheme, _, rest = source.partition("://")
    # A password may stand before the host.
    name = f"{scheme}://{rest.rpartition('@')[2]}"
    if scheme.lower() in _LIVE_SCHEMES:
        return VideoReader(_Camera(source, name))
    if scheme.lower() in _FILE_SCHEMES:
        return VideoReader(VideoFile(source, name, fps=fps, is_remote=True))
    raise UsageError(
        f"Addresses that begin with '{scheme}://' are not opened.",
        hint=f"Use one of: {', '.join(_LIVE_SCHEMES + _FILE_SCHEMES)}; or the name of a file.",
    )


def parse_source(text: str) -> str | int:
    """Return the source that a command line's argument names.

    Digits are the index of a camera, unless a file has that name.
    """
    return int(text) if text.isascii() and text.isdigit() and not Path(text).exists() else text


def is_live_source(source: str | Path | int) -> bool:
    """Return True for a camera or a stream, which have no end."""
    return isinstance(source, int) or str(source).partition("://")[0].lower() in _LIVE_SCHEMES


def _checked_rate(source: str | Path | int, fps: float) -> float:
    if is_live_source(source):
        raise UsageError(
            f"fps is {fps!r:.80}, and a camera's frames have the times at which they come.",
            hint="Leave it out.",
        )
    try:
        return checked_fps(fps, None)
    except KeypointsError as error:
        raise UsageError(error.message, hint=error.hint) from error


class _Camera:
    """A camera or a live stream, by OpenCV; the counterpart of ``VideoFile``."""

    frame_count = None
    warnings = ()

    def __init__(self, source: int | str, name: str) -> None:
        cv2 = require_opencv("Reading a camera")
        self.name = name
        self._cv2 = cv2
        self._index = -1
        with quiet_opencv(cv2):
            capture = self._capture = _capture(cv2, source, name)
            # Cameras hold frames back in a queue, whose oldest would otherwise come first.
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        try:
            sides = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
            check_pixels(name, math.prod(capture.get(side) for side in sides))
        except VideoError:
            self.close()
            raise
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0.0 < fps <= HIGHEST_RATE else None
        self._size = tuple(round(capture.get(side) or 0.0) for side in sides)
        self._opened = time.monotonic()

    def read(self) -> Frame | None:
        """Return the newest frame; None if the camera has given none for a while."""
        end = time.monotonic() + _PATIENCE_S
        others = 0
        while (image := self._read_image()) is not None or time.monotonic() < end:
            if image is None:
                time.sleep(_PAUSE_S)
            elif self._index < 0 and others < _OTHER_SIZES and self._is_other_size(image):
                others += 1
            else:
                self._index += 1
                return Frame(self._index, time.monotonic() - self._opened, image)
        return None

    def _is_other_size(self, image: NDArray[np.uint8]) -> bool:
        return min(self._size) > 0 and sorted(image.shape[:2]) != sorted(self._size)

    def _read_image(self) -> NDArray[np.uint8] | None:
        try:
            is_read, image = self._capture.read()
        except self._cv2.error as error:
            raise VideoError(
                f"'{self.name}' cannot be decoded: {' '.join(str(error).split())}.",
                hint="Check the camera's driver, or use another camera.",
            ) from error
        if not is_read or image is None or not image.size:
            return None
        if image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2] == 1):
            # An infrared camera.
            image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
        elif image.dtype == np.uint8 and image.shape[2] == 4:
            image = np.ascontiguousarray(image[:, :, :3])
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != "uint8":
            raise VideoError(
                f"'{self.name}' gives images of shape {image.shape} and type {image.dtype};"
                " expected (height, width, 3) and uint8.",
                hint="Set the camera to an ordinary color format.",
            )
        return cast("NDArray[np.uint8]", image)

    def close(self) -> None:
        self._capture.release()


def _capture(cv2: Any, source: int | str, name: str) -> Any:  # noqa: ANN401
    if isinstance(source, str):
        timeout = 1000 * NETWORK_TIMEOUT_S
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            raise VideoError(
                f"'{name}' gave no video within {NETWORK_TIMEOUT_S} s.",
                hint="Check the address with: ffprobe ADDRESS",
            )
        return capture
    capture = cv2.VideoCapture(source) if source >= 0 else None
    if capture is None or not capture.isOpened():
        present = sorted(str(device) for device in Path("/dev").glob("video*"))
        hint = f"Present: {', '.join(present)}." if present else "No /dev/video* is present."
        raise VideoError(
            f"Camera {source} cannot be opened.",
            hint=f"{hint} Check the cable, other programs that use it, and your right to read it.",
        )
    return capture


def _check_file(path: Path) -> None:
    if "\0" in str(path):
        raise VideoError("The name of the video holds a zero byte.", hint="Check the name.")
    if not path.exists():
        raise VideoError(f"There is no file '{path}'.", hint="Check the name.")
    if not path.is_file():
        hint = "Give the name of a file"
        if str(path).startswith("/dev/video"):
            hint += ", or the camera's index: the number at the end of its name"
        raise VideoError(f"'{path}' is not a file.", hint=f"{hint}.")
    try:
        with path.open("rb") as stream:
            is_empty = not stream.read(1)
    except OSError as error:
        raise VideoError(
            f"'{path}' cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    if is_empty:
        raise VideoError(f"'{path}' is empty.", hint="Copy or record it again.")
