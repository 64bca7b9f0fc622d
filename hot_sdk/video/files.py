"""Decode video files with PyAV: images, presentation times, and the places of lost frames."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.optional import require
from hot_sdk.errors import VideoError

MAX_PIXELS = 1 << 26
"""Most pixels of one frame: twice 8K. A small file can claim any size."""

HIGHEST_RATE = 1000.0
MOST_STRETCH = 5.0
"""Most that a pixel may be wider than high, or higher than wide."""

NETWORK_TIMEOUT_S = 10

_NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS

_SMALLEST_STEP_S = 1e-6
# Durations are rounded, and include the sound's last packet: less than this is not missing.
_TAIL_S, _TAIL_STEPS = 0.1, 2.5
# The second field of an interlaced frame may be a packet, half a step after the first.
_FIELD_STEP = 0.75

# Enough packets to know their usual distance; those of an address are loaded twice.
_MOST_MEASURED, _MOST_MEASURED_REMOTE = 20_000, 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        index: Its place on the video's timeline, from 0. Frames that cannot be decoded keep their
            places, so an index may be more than one above the previous one.
        timestamp_s: When it was taken, in seconds, strictly increasing: the container's
            presentation time for a file, the time since opening for a camera.
        image: (height, width, 3), uint8, blue, green, red; with square pixels, and upright (or
            mirrored) by the file's display matrix.
    """

    index: int
    timestamp_s: float
    image: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image in pixels."""
        return int(self.image.shape[1]), int(self.image.shape[0])


class Timeline:
    """Gives decoded frames strictly increasing times, and indices that lost frames do not shift.

    Each packet of a file holds one frame and states when it is shown. If the decoder skips a
    packet, with an error or silently, later frames keep the indices they would have had. Steps in
    time need not be regular.

    A time that is missing, before the start, or not after the previous frame's is repaired: the
    frame is placed one nominal frame duration after the previous one.

    Attributes:
        repaired: Number of times that were repaired so far.
    """

    def __init__(self, time_base: Fraction, start: int, fps: float | None) -> None:
        """Start before the first frame.

        Args:
            time_base: Seconds per unit of the container's times.
            start: The container's time that becomes 0 seconds.
            fps: Nominal frames per second; None if unknown.
        """
        self.repaired = 0
        self._time_base = time_base
        self._start = start
        self._interval = None if fps is None else 1.0 / fps
        self._expected: list[int] = []
        self._last_pts: float = -math.inf
        self._index = -1
        self._time_s = -math.inf

    def expect(self, pts: int | None) -> None:
        """Record that a packet with this presentation time goes to the decoder."""
        if pts is not None:
            self._expected.append(pts)

    def place(self, pts: int | None, *, is_interlaced: bool = False) -> tuple[int, float] | None:
        """Return the index, from 0, and the time, in seconds, of the next decoded frame.

        Args:
            pts: Its presentation time, in units of the time base; None if unknown.
            is_interlaced: A packet may hold a field of the frame instead of the frame.

        Returns:
            None if the time has to be repaired and the nominal rate is unknown.
        """
        lost, time_s = 0, -math.inf
        if pts is not None:
            # What is before the previous frame is out of order, as in files that were joined.
            between = sorted(at for at in self._expected if self._last_pts < at < pts)
            lost = len(self._without_fields(between)) if is_interlaced else len(between)
            self._expected = [expected for expected in self._expected if expected > pts]
            self._last_pts = pts
            time_s = float((pts - self._start) * self._time_base)
        is_first = self._index < 0
        if time_s < 0.0 or time_s <= self._time_s + _SMALLEST_STEP_S:
            if self._interval is None and not is_first:
                return None
            steps = lost if is_first else lost + 1
            time_s = max(0.0, self._time_s) + steps * (self._interval or 0.0)
            self.repaired += 1
        self._index += 1 + lost
        self._time_s = time_s
        return self._index, time_s

    def _without_fields(self, expected: list[int]) -> list[int]:
        """Leave out times that follow the previous ones by less than a frame."""
        least = _FIELD_STEP * (self._interval or 0.0) / float(self._time_base)
        kept, last = [], self._last_pts
        for pts in expected:
            if pts - last >= least:
                kept.append(pts)
                last = pts
        return kept


class VideoFile:
    """The first video stream of a file or of an http address.

    Attributes:
        name: What errors call it.
        fps: Nominal frames per second, or those given; None if the container does not say.
        frame_count: Frames that the container counts, or else those of its duration at the nominal
            rate; None if it says neither.
        warnings: What had to be assumed about its times.
    """

    def __init__(
        self, location: str, name: str, *, fps: float | None = None, is_remote: bool = False
    ) -> None:
        """Open a file by its absolute path, or an address.

        Args:
            location: The path or address.
            name: What errors call it.
            fps: Frames per second at which it was taken, if it is not what the file says.
            is_remote: Whether the location is an address.

        Raises:
            VideoError: It is not a video, too large, or needs a codec that FFmpeg lacks.
            MissingDependencyError: PyAV is not installed.
        """
        self._av = require("av", extra="video", purpose="Reading video")
        self.name = name
        self.warnings: tuple[str, ...] = ()
        with contextlib.ExitStack() as stack:
            self._container = stack.enter_context(self._opened(location, is_remote=is_remote))
            self._stream = stream = self._container.streams.video[0]
            self._decoder = stream.codec_context
            # Threads that decode several frames at once report errors late, and drop frames.
            self._decoder.thread_type = "SLICE"
            check_pixels(name, stream.width * stream.height)
            self._stretch = _stretch(name, stream.sample_aspect_ratio)
            self._is_raw = bool(int(self._container.format.flags) & _NO_TIMESTAMPS)
            # FFmpeg gives a raw stream whose header states no rate 25 frames per second.
            stated = self._decoder.framerate if self._is_raw else stream.guessed_rate
            rate = float(stated or 0.0)
            nominal = rate if 0.0 < rate <= HIGHEST_RATE else None
            claimed = round(self._duration_s() * (nominal or 0.0))
            self.frame_count = stream.frames or (None if self._is_raw else claimed) or None
            self.fps = fps or nominal
            self._scale = 1.0
            if self._is_raw:
                if fps is None and nominal is not None:
                    self.warnings += (
                        "The video is a raw stream without times; its frames were placed by the"
                        f" {nominal:g} frames per second of its header: give fps, or --fps, if it"
                        " was taken at another rate.",
                    )
            elif fps is not None:
                self._scale = self._scale_to(fps, location, is_remote=is_remote)
            self._end_s = -math.inf
            self._not_shown = 0
            base = stream.time_base * Fraction(self._scale)
            self._timeline = Timeline(base, stream.start_time or 0, self.fps)
            self._frames = self._decode()
            stack.pop_all()

    def read(self) -> Frame | None:
        """Return the next frame; None at the end.

        Raises:
            VideoError: The file states neither times nor a rate, or a frame is too large.
        """
        return next(self._frames, None)

    def missing_at_end(self, frames: int, step_s: float | None) -> int:
        """Return how many frames are missing at the end, once the file was read to it.

        A container that counts its frames is taken at its word. A duration is compared with the
        last packet of any stream, because sound may be longer than the picture.

        Args:
            frames: Number of frames that were decoded, or lost before the last of them.
            step_s: Seconds from frame to frame.
        """
        if self._stream.frames:
            return max(0, int(self._stream.frames) - self._not_shown - frames)
        if not step_s or not math.isfinite(self._end_s) or not self._container.duration:
            return 0
        if self._is_raw:
            return 0
        step_s /= self._scale
        lacking_s = self._duration_s() - self._end_s
        return round(lacking_s / step_s) if lacking_s > max(_TAIL_S, _TAIL_STEPS * step_s) else 0

    def close(self) -> None:
        """Close the file; harmless if it is closed."""
        self._container.close()

    def _opened(self, location: str, *, is_remote: bool) -> Any:  # noqa: ANN401
        """Return a container that has a video stream whose codec is known."""
        # A file that is a playlist must not lead elsewhere.
        protocols = "http,https,httpproxy,tcp,tls" if is_remote else "file"
        try:
            container = self._av.open(
                location,
                options={"protocol_whitelist": protocols},
                timeout=NETWORK_TIMEOUT_S if is_remote else None,
            )
            with contextlib.ExitStack() as stack:
                stack.callback(container.close)
                if container.streams.video[0].codec_context is None:
                    raise ValueError("the codec is unknown")
                stack.pop_all()
        except (self._av.FFmpegError, AttributeError, IndexError, ValueError) as error:
            # FFmpeg's error holds the address, and with it a password.
            raise _not_opened(self.name, is_remote) from None if is_remote else error
        return container

    def _scale_to(self, fps: float, location: str, *, is_remote: bool) -> float:
        """Return the factor that makes the usual step from frame to frame that of a rate."""
        most = _MOST_MEASURED_REMOTE if is_remote else _MOST_MEASURED
        times = []
        with self._opened(location, is_remote=is_remote) as container:
            try:
                for packet in container.demux(video=0):
                    if packet.size and packet.pts is not None and not _is_hidden(packet):
                        times.append(float(packet.pts * packet.time_base))
                    if len(times) == most:
                        break
            except self._av.FFmpegError as error:
                _log.debug("'%s' ends early: %s", self.name, error.strerror)
        step_s = frame_step(sorted(set(times)))
        return 1.0 / (fps * step_s) if step_s else 1.0

    def _duration_s(self) -> float:
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        return float((self._container.duration or 0) / self._av.time_base)

    def _decode(self) -> Iterator[Frame]:
        try:
            for packet in self._container.demux():
                self._see_end(packet)
                if packet.stream is not self._stream:
                    continue
                if packet.size and (packet.is_discard or _is_hidden(packet)):
                    self._not_shown += 1
                elif packet.size and not self._is_raw:
                    self._timeline.expect(packet.pts)
                yield from self._decode_packet(packet)
        except self._av.FFmpegError as error:
            _log.debug("'%s' ends early: %s", self.name, error.strerror)
            yield from self._decode_packet(None)
        if self._timeline.repaired and not self._is_raw:
            _log.warning(
                "'%s' has %d frames whose times are missing or go back; they were placed by its"
                " frame rate",
                self.name,
                self._timeline.repaired,
            )

    def _see_end(self, packet: Any) -> None:  # noqa: ANN401
        if packet.pts is not None and packet.size:
            # Matroska's durations count from 0, and others from the start.
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._end_s = max(self._end_s, end)

    def _decode_packet(self, packet: Any) -> Iterator[Frame]:  # noqa: ANN401
        """Yield what the decoder returns for a packet; None empties it."""
        try:
            decoded = self._decoder.decode(packet)
        except self._av.FFmpegError as error:
            _log.debug("a frame of '%s' cannot be decoded: %s", self.name, error.strerror)
            return
        for frame in decoded:
            check_pixels(self.name, frame.width * frame.height)
            pts = frame.dts if frame.pts is None else frame.pts
            place = self._timeline.place(
                None if self._is_raw else pts, is_interlaced=frame.interlaced_frame
            )
            if place is None:
                raise VideoError(
                    f"'{self.name}' states neither its frame rate nor the times of its frames.",
                    hint="Give fps=, or --fps on a command line, or write it again with:"
                    " ffmpeg -r RATE -i INPUT output.mp4",
                )
            image = self._square(frame).to_ndarray(format="bgr24")
            yield Frame(*place, np.ascontiguousarray(_displayed(image, frame)))

    def _square(self, frame: Any) -> Any:  # noqa: ANN401
        """Return a frame with square pixels: the shorter side of its pixels is stretched."""
        width = round(frame.width * max(1.0, self._stretch))
        height = round(frame.height * max(1.0, 1.0 / self._stretch))
        if (width, height) == (frame.width, frame.height):
            return frame
        check_pixels(self.name, width * height)
        return frame.reformat(width=width, height=height, format="bgr24", interpolation="BICUBIC")


def frame_step(times: Sequence[float]) -> float | None:
    """Return the seconds from frame to frame, gaps left out; None for fewer than two frames."""
    steps = np.diff(times)
    if not len(steps):
        return None
    return float(steps[steps < 1.5 * np.median(steps)].mean())


def check_pixels(name: str, pixels: float) -> None:
    """Check the size of a video's frames.

    Raises:
        VideoError: They are too large to be decoded.
    """
    if pixels > MAX_PIXELS:
        raise VideoError(
            f"'{name}' has frames of {pixels:.3g} pixels; at most {MAX_PIXELS} are decoded.",
            hint="Scale the video down.",
        )


def _stretch(name: str, ratio: Fraction | None) -> float:
    """Return the width of a video's pixels as a multiple of their height; 1 if it is unknown."""
    stretch = float(ratio or 1.0)
    if not 1.0 / MOST_STRETCH <= stretch <= MOST_STRETCH:
        raise VideoError(
            f"'{name}' states pixels of {ratio.numerator}:{ratio.denominator}, wide to high."
            if ratio
            else f"'{name}' states impossible pixels.",
            hint="If they are square, run: ffmpeg -i INPUT -vf setsar=1 output.mp4",
        )
    return stretch


def _displayed(image: NDArray[np.uint8], frame: Any) -> NDArray[np.uint8]:  # noqa: ANN401
    """Rotate by quarter turns and mirror an image as its frame's display matrix says."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            matrix = np.frombuffer(bytes(data), dtype=np.int32)[[0, 1, 3, 4]] / 65536
            along, turned = matrix[[0, 3]], matrix[[2, 1]]
            is_turned = bool(np.abs(along).max() < np.abs(turned).max())
            signs = turned if is_turned else along
            if np.abs(np.abs(signs) - 1.0).max() > 0.01:
                return image
            if is_turned:
                image = image.transpose(1, 0, 2)
            return image[:: -1 if signs[1] < 0 else 1, :: -1 if signs[0] < 0 else 1]
    return image


def _is_hidden(packet: Any) -> bool:  # noqa: ANN401
    """Return True for a VP8 frame that is never shown, because only other frames refer to it."""
    return packet.stream.codec_context.name == "vp8" and not bytes(packet)[0] >> 4 & 1


def _not_opened(name: str, is_remote: bool) -> VideoError:
    if is_remote:
        return VideoError(
            f"'{name}' gave no video within {NETWORK_TIMEOUT_S} s.",
            hint="Check the address with: ffprobe ADDRESS",
        )
    return VideoError(
        f"'{name}' cannot be opened as a video: it is not one, is cut off before its index, or is"
        " of a kind that FFmpeg does not know.",
        hint="Check it with: ffprobe FILE. A cut-off mp4 cannot be read without its end.",
    )
