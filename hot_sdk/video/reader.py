"""Frames of a video file, a camera or a network stream, by OpenCV.

When each decoded frame was taken, and which place on the video's timeline that is.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.closing import Closing
from hot_sdk._base.optional import require
from hot_sdk.errors import UsageError, VideoError
from hot_sdk.video.quiet import quiet_opencv

# Containers such as Matroska round times to whole milliseconds, at either end of a step.
_ROUNDING_S = 0.0011
# Share of a frame's duration by which a regular video's steps may differ from whole durations.
_REGULAR = 0.1


class FrameClock:
    """Gives decoded frames strictly increasing times, and indices that lost frames do not shift.

    A decoder fails at some of the frames that it cannot decode, and passes over others without a
    word; then the next frame's time tells. As long as every step so far was a whole number of frame
    durations, a step of k durations means that k - 1 frames were lost, and the index moves on by k.
    A video whose steps are others has a variable rate, in which a long step is no loss: from then
    on indices count the frames that were decoded and the failures.

    Attributes:
        lost: Places on the timeline that were passed over so far.
    """

    def __init__(self, fps: float | None) -> None:
        """Start before the first frame.

        Args:
            fps: Nominal frames a second; None where unknown, which makes every rate variable.
        """
        self.lost = 0
        self._interval = None if fps is None else 1.0 / fps
        self._regular = self._interval is not None
        self._index = -1
        self._time = -math.inf

    def place(self, time_s: float | None, *, failures: int = 0) -> tuple[int, float] | None:
        """Index and time of the next decoded frame.

        Args:
            time_s: The time that the container states, in seconds; None where it states none.
                One that is not finite, negative, or not after the frame before is not believed,
                and the frame is put where it belongs by the nominal rate.
            failures: How often decoding failed since the frame before.

        Returns:
            The index from 0, and the time in seconds; None where neither the container nor the
            nominal rate says when the frame was.
        """
        first = self._index < 0
        believed = (
            time_s is not None
            and math.isfinite(time_s)
            and time_s >= 0.0
            and time_s > self._time + (0.0 if first else 1e-6)
        )
        if believed:
            assert time_s is not None
            time = time_s
        elif self._interval is not None:
            time = (failures if first else failures + 1) * self._interval
            time += 0.0 if first else self._time
        elif first:
            time = 0.0
        else:
            return None
        steps = failures + 1
        if believed and not first:
            steps = self._steps(time - self._time) or steps
        self.lost += steps - 1
        self._index += steps
        self._time = time
        return self._index, time

    def _steps(self, seconds: float) -> int | None:
        """Frame durations in a time; None in a video of variable rate."""
        if self._interval is None or not self._regular:
            return None
        steps = round(seconds / self._interval)
        tolerance = _REGULAR * self._interval + _ROUNDING_S
        if steps < 1 or abs(seconds - steps * self._interval) > tolerance:
            self._regular = False
            return None
        return steps


MAX_PIXELS = 1 << 26
"""Most pixels of one frame: twice 8K. A small file can claim any size."""

_LIVE_SCHEMES = ("rtsp", "rtsps")
_FILE_SCHEMES = ("http", "https")
_NETWORK_TIMEOUT_MS = 10_000
_HIGHEST_RATE = 1000.0
# Ten seconds at 30 a second. The decoder fails alike at a broken frame and at the end.
_MOST_FAILURES = 300

_log = logging.getLogger(__name__)


class _Capture(Protocol):
    """What is used of ``cv2.VideoCapture``."""

    def isOpened(self) -> bool: ...  # noqa: N802

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]: ...

    def get(self, prop: int) -> float: ...

    def set(self, prop: int, value: float) -> bool: ...

    def release(self) -> None: ...


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        index: Its place on the video's timeline, from 0. Frames that cannot be decoded keep their
            places, so an index may be more than one above the one before.
        timestamp_s: When it was taken, in seconds: as the container says for a file, since opening
            for a camera. Strictly increasing.
        image: (height, width, 3), uint8, blue, green, red; upright, as the file says it was held.
    """

    index: int
    timestamp_s: float
    image: NDArray[np.uint8]


class VideoReader(Closing):
    """An open video: iterate over it once for its frames. Made by ``open_video``.

    Attributes:
        name: What was opened, for messages.
        size: Width and height in pixels, upright.
        fps: Nominal frames a second; None where the source does not say.
        frame_count: Frames that the file says it has, by its own count or its duration; None for
            cameras and streams.
        is_live: True for a camera or a stream, which has no end.
        decoded: Frames given so far.
        missing_at_end: Once a file was read to its end, how many of the frames that it says it has
            did not come at the end: more than 0 for one that was cut off.
    """

    def __init__(self, capture: _Capture, cv2: ModuleType, name: str, *, is_live: bool) -> None:
        self.name = name
        self.is_live = is_live
        self.decoded = 0
        self.missing_at_end = 0
        self._cv2 = cv2
        self._capture: _Capture | None = capture
        # Cameras hold frames back in a queue, whose oldest would otherwise come first.
        if is_live:
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if pixels > MAX_PIXELS:
            raise VideoError(
                f"'{name}' has frames of {pixels:.3g} pixels; at most {MAX_PIXELS} are decoded.",
                hint="Scale the video down.",
            )
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if math.isfinite(fps) and 0.0 < fps <= _HIGHEST_RATE else None
        count = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        known = not is_live and math.isfinite(count) and count >= 1.0
        self.frame_count = int(count) if known else None
        self._clock = FrameClock(None if is_live else self.fps)
        self._opened = time.monotonic()
        first = self._read()
        if first is None:
            raise VideoError(
                f"No frame of '{name}' can be decoded.",
                hint="Convert it with: ffmpeg -i INPUT -c:v libx264 output.mp4"
                if not is_live
                else "Check that no other program uses the camera.",
            )
        self._first: Frame | None = first
        self.size = (int(first.image.shape[1]), int(first.image.shape[0]))

    @property
    def undecodable_frames(self) -> int:
        """Frames so far that could not be decoded and whose places were left out.

        Counted where the decoder says so, and else read off the times of their neighbours, which
        in a video of variable rate tell nothing.
        """
        return self._clock.lost

    def __iter__(self) -> Iterator[Frame]:
        """The frames in order.

        Raises:
            VideoError: The video is closed, its frames change size, or a live source ended.
        """
        while (frame := self._next()) is not None:
            self.decoded += 1
            yield frame
        if self.is_live:
            raise VideoError(
                f"'{self.name}' stopped giving frames after {self.decoded}.",
                hint="Check the cable or the network, and open it again.",
            )
        if self.frame_count is not None:
            seen = self.decoded + self._clock.lost
            self.missing_at_end = max(0, self.frame_count - seen)
        if self.missing_at_end or self._clock.lost:
            _log.warning(
                "'%s' says it has %s frames: %d were decoded, %d lost before the last of them, %d"
                " missing at the end",
                self.name,
                self.frame_count,
                self.decoded,
                self._clock.lost,
                self.missing_at_end,
            )

    def close(self) -> None:
        """Free the file or the camera; harmless when closed."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
            self._first = None

    def _next(self) -> Frame | None:
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        return self._read()

    def _image(self, capture: _Capture) -> NDArray[np.uint8] | None:
        try:
            given, image = capture.read()
        except self._cv2.error as error:
            raise VideoError(
                f"'{self.name}' cannot be decoded: {' '.join(str(error).split())}.",
                hint="Convert it with: ffmpeg -i INPUT -c:v libx264 output.mp4",
            ) from error
        return image if given else None

    def _read(self) -> Frame | None:
        if self._capture is None:
            raise VideoError(f"'{self.name}' is closed.", hint="Open it again.")
        failures = 0
        while (image := self._image(self._capture)) is None:
            failures += 1
            if self.is_live or failures > _MOST_FAILURES:
                return None
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise VideoError(
                f"'{self.name}' gives images of shape {image.shape} and type {image.dtype};"
                " expected (height, width, 3) and uint8.",
                hint="Convert it to an ordinary colour video.",
            )
        size = (image.shape[1], image.shape[0])
        if hasattr(self, "size") and size != self.size:
            raise VideoError(
                f"The frames of '{self.name}' change from {self.size} to {size} pixels.",
                hint="Cut the video where its size changes.",
            )
        if self.is_live:
            stated = time.monotonic() - self._opened
        else:
            stated = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000.0
        place = self._clock.place(stated, failures=failures)
        if place is None:
            raise VideoError(
                f"'{self.name}' says neither its frame rate nor when its frames were taken.",
                hint="Write it anew with: ffmpeg -r RATE -i INPUT output.mp4",
            )
        return Frame(place[0], place[1], image)


def open_video(source: str | Path | int) -> VideoReader:
    """Open a video; use it as a context manager.

    Args:
        source: A file; the index of a camera; or the address of a stream: ``rtsp://`` and
            ``rtsps://`` are live like a camera, ``http://`` and ``https://`` are read like a file.
            Other addresses are refused, for the decoder would open whatever they point at.

    Raises:
        VideoError: It is missing, is no video, needs a codec that OpenCV lacks, or is too large.
        UsageError: The source is of another kind, or the address of another scheme.
        MissingDependencyError: OpenCV is not installed.
    """
    if isinstance(source, bool) or not isinstance(source, (str, Path, int)):
        raise UsageError(
            f"A video source is a {type(source).__name__}.",
            hint="Give a file, an address or the index of a camera.",
        )
    cv2 = require("cv2", extra="video", purpose="Reading video")
    with quiet_opencv(cv2):
        if isinstance(source, int):
            return _opened(_open_camera(cv2, source), cv2, f"camera {source}", is_live=True)
        if isinstance(source, str) and "://" in source:
            return _open_address(cv2, source)
        path = Path(source)
        _check_file(path)
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise VideoError(
                f"'{path}' cannot be opened as a video: it is none, is cut off before its index,"
                " or is of a kind that this OpenCV does not know.",
                hint="Check it with: ffprobe FILE. A cut-off mp4 cannot be read without its end.",
            )
        return _opened(capture, cv2, str(path), is_live=False)


def parse_source(text: str) -> str | int:
    """What a command line's argument means: digits are a camera, unless a file has that name."""
    return int(text) if text.isascii() and text.isdigit() and not Path(text).exists() else text


def is_live_source(source: str | int) -> bool:
    """Whether a source is a camera or a stream, which have no end."""
    return isinstance(source, int) or source.partition("://")[0].lower() in _LIVE_SCHEMES


def _opened(capture: _Capture, cv2: ModuleType, name: str, *, is_live: bool) -> VideoReader:
    try:
        return VideoReader(capture, cv2, name, is_live=is_live)
    except BaseException:
        capture.release()
        raise


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
            empty = not stream.read(1)
    except OSError as error:
        raise VideoError(
            f"'{path}' cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    if empty:
        raise VideoError(f"'{path}' is empty.", hint="Copy or record it again.")


def _open_camera(cv2: ModuleType, index: int) -> _Capture:
    capture = cv2.VideoCapture(index) if index >= 0 else None
    if capture is None or not capture.isOpened():
        present = sorted(str(device) for device in Path("/dev").glob("video*"))
        hint = f"Present: {', '.join(present)}." if present else "No /dev/video* is present."
        raise VideoError(
            f"Camera {index} cannot be opened.",
            hint=f"{hint} Check the cable, other programs that use it, and your right to read it.",
        )
    return cast(_Capture, capture)


def _open_address(cv2: ModuleType, address: str) -> VideoReader:
    scheme = address.partition("://")[0].lower()
    if scheme not in _LIVE_SCHEMES + _FILE_SCHEMES:
        raise UsageError(
            f"Addresses that begin with '{scheme}://' are not opened.",
            hint=f"Use one of: {', '.join(_LIVE_SCHEMES + _FILE_SCHEMES)}; or the name of a file.",
        )
    # A password may stand before the host.
    name = f"{scheme}://{address.partition('://')[2].rpartition('@')[2]}"
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        _NETWORK_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        _NETWORK_TIMEOUT_MS,
    ]
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise VideoError(
            f"'{name}' gave no video within {_NETWORK_TIMEOUT_MS // 1000} s.",
            hint="Check the address with: ffprobe ADDRESS",
        )
    return _opened(capture, cv2, name, is_live=is_live_source(address))
