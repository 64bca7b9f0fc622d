"""Videos and cameras as ``hot-infer`` takes them: the people in them are found first.

What ``hot-infer`` is given: people's keypoints, from a file of them or found in a video.

Keypoint files as ``hot-infer`` takes them, with ids or without.

One input of ``hot-infer``: read, lifted and saved as the options say.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import re
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.progress import Progress
from hot_sdk.errors import KeypointsError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.people import MIN_FRAMES, USUAL_FPS, dropped_note, read_tracked_people
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.streams.offline import LiftedPeople, lift_at_once, lift_stream
from hot_sdk.video import (
    Frame,
    VideoWriter,
    create_detector,
    keypoints_from_video,
    parse_source,
)
from hot_sdk.video.reader import is_live_source


@dataclass(frozen=True, eq=False)
class Footage:
    """An input, read.

    Attributes:
        people: Keypoints of each person, all of the same frames.
        video: The frames' images, as ``open_video`` takes it; None for a keypoint file.
        detection_ms: (frames,), what finding the people in each frame took; None for a keypoint
            file.
        notes: What the user should know of how the people were found.
    """

    people: tuple[Keypoints, ...]
    video: str | None = None
    detection_ms: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeypointOptions:
    """What the user said of keypoint files.

    Attributes:
        skeleton: Name of the joints' order; None where the files say it, as the next two.
        image_size: Width and height in pixels.
        fps: Frames a second.
        track_id: The one person to be lifted; None for everybody.
    """

    skeleton: str | None = None
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    track_id: int | str | None = None


def read_keypoint_file(path: Path, options: KeypointOptions) -> Footage:
    """Read a keypoint file; people without ids are tracked from frame to frame.

    Raises:
        KeypointsError: The file is broken, or does not say what is needed.
        MissingDependencyError: People have to be tracked, and the tracker is not installed.
    """
    found = read_tracked_people(path, **dataclasses.asdict(options))
    return Footage(found.people, notes=found.notes)


VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif")
"""How names of video files end."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoOptions:
    """What the user said of videos and cameras.

    Attributes:
        detector: Name of the 2D detector.
        max_people: Most people to be found in a frame.
        seconds: Where to stop; None for the end of the file, or Ctrl-C.
        track_id: The one person to be lifted; None for everybody.
        keep_camera: Whether what a camera saw is needed afterwards.
    """

    detector: str
    max_people: int
    seconds: float | None = None
    track_id: int | str | None = None
    keep_camera: bool = False


def is_video(text: str) -> bool:
    """Whether an input is a video file, a camera's index or a stream's address."""
    source = parse_source(text)
    return isinstance(source, int) or "://" in text or Path(text).suffix.lower() in VIDEOS


def check_video(text: str, options: KeypointOptions) -> None:
    """Check what needs no video to be opened.

    Raises:
        UsageError: There is no such file, or an option of keypoint files was given for a video.
    """
    if not (is_live_source(parse_source(text)) or "://" in text or Path(text).exists()):
        raise UsageError(f"There is no file '{text}'.", hint="Check the path.")
    given = {
        "--skeleton": options.skeleton,
        "--image-size": options.image_size,
        "--fps": options.fps,
    }
    for flag, value in given.items():
        if value is not None:
            raise UsageError(
                f"{flag} is of keypoint files, and '{text}' is a video.", hint="Leave it out."
            )
    if isinstance(options.track_id, str):
        raise UsageError(
            f"--track-id is '{options.track_id}'; people in a video are numbered.",
            hint="Give a number, or --max-people 1 for one person only.",
        )


@contextlib.contextmanager
def read_video(text: str, options: VideoOptions) -> Iterator[Footage]:
    """Find the people in a video, whose images can be read again inside the block.

    A camera is read until ``seconds`` have passed or Ctrl-C is pressed, which then ends the
    recording and not the program; what it saw is kept in a temporary file.

    Raises:
        VideoError: The video or the detector fails.
        KeypointsError: Nobody was found, or not this person.
        MissingDependencyError: OpenCV, the detector or the tracker is not installed.
    """
    source = parse_source(text)
    with contextlib.ExitStack() as stack:
        detector = create_detector(options.detector, max_people=options.max_people)
        stack.callback(detector.close)
        is_live = is_live_source(source)
        again: Path | None = None
        if is_live and options.keep_camera:
            again = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "camera.mp4"
        watcher = _Watcher(again, options.seconds, is_live=is_live)
        recording = _ended_by_interrupt(watcher) if is_live else contextlib.nullcontext()
        with watcher, recording, Progress(f"finding people in {text}") as bar:
            found = keypoints_from_video(
                source,
                detector,
                min_frames=MIN_FRAMES,
                progress=bar.update,
                on_frame=watcher.see,
                stop=watcher.is_over,
            )
        people = found.people
        if not people:
            raise KeypointsError(
                f"Nobody was found in the {len(found.timestamps)} frames of '{text}'.",
                hint="Check that people are seen whole and large enough.",
            )
        if options.track_id is not None:
            people = tuple(one for one in people if one.track_id == options.track_id)
            if not people:
                known = ", ".join(str(person.track_id) for person in found.people)
                raise KeypointsError(
                    f"Found in the video are {known}; {options.track_id!r} is none of them.",
                    hint="Leave --track-id out to lift them all.",
                )
        many = len(found.people)
        who = f"{many} {'person' if many == 1 else 'people'} found by {found.detector}"
        notes = [who + dropped_note(found.dropped_people)]
        if found.undecodable_frames or found.missing_at_end:
            notes.append(
                f"{found.undecodable_frames} frames could not be decoded, {found.missing_at_end}"
                " are missing at the end"
            )
        video = str(again) if again else None if is_live else text
        yield Footage(people, video, found.detection_ms, tuple(notes))


class _Watcher:
    """Sees each frame of a video: keeps those of a camera, and knows when it is enough."""

    def __init__(self, kept: Path | None, seconds: float | None, *, is_live: bool) -> None:
        self.interrupted = False
        self._is_live = is_live
        self._kept = kept
        self._end_s = math.inf if seconds is None else seconds
        self._now_s = -math.inf
        self._stack = contextlib.ExitStack()
        self._writer: VideoWriter | None = None

    def see(self, frame: Frame) -> None:
        if self._is_live and self._now_s < 0.0:
            _LOG.warning("recording; Ctrl-C ends it")
        self._now_s = frame.timestamp_s
        if self._kept is None:
            return
        if self._writer is None:
            high, wide = frame.image.shape[:2]
            # The rate does not matter: its frames are counted when they are read again.
            writer = VideoWriter(self._kept, size=(wide, high), fps=USUAL_FPS)
            self._writer = self._stack.enter_context(writer)
        self._writer.write(frame.image)

    def is_over(self) -> bool:
        return self.interrupted or self._now_s >= self._end_s

    def __enter__(self) -> _Watcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


@contextlib.contextmanager
def _ended_by_interrupt(watcher: _Watcher) -> Iterator[None]:
    """Lets the first Ctrl-C end a recording; a second one is what it always is."""

    def end(number: int, stack_frame: object) -> None:
        watcher.interrupted = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class InputOptions:
    """What the user said of every input.

    Attributes:
        keypoints: Of keypoint files.
        video: Of videos and cameras.
        lookahead: Lift as a stream that waits for so many frames; None for clips as a whole.
        hop: Frames between runs of a stream.
        constant_bones: Hold the length of each bone.
        formats: Of the results' files.
    """

    keypoints: KeypointOptions
    video: VideoOptions
    lookahead: int | None = None
    hop: int = 1
    constant_bones: bool = False
    formats: tuple[str, ...] = ("npz",)


def read_input(name: str, options: InputOptions) -> contextlib.AbstractContextManager[Footage]:
    """Read people's keypoints, from a file of them or out of a video.

    Raises:
        HotSDKError: The input cannot be read, or shows nobody.
    """
    if not is_video(name):
        return contextlib.nullcontext(read_keypoint_file(Path(name), options.keypoints))
    return read_video(name, options.video)


def lift_input(
    engine: Pose3DEngine, people: Sequence[Keypoints], options: InputOptions
) -> LiftedPeople:
    """Lift everybody.

    Raises:
        KeypointsError: Somebody is seen in no frame, or a stream has no frame rate.
        UsageError: The window does not reach so far.
        EngineError: The engine failed.
    """
    with Progress("lifting") as bar:
        if options.lookahead is None:
            lifted = lift_at_once(engine, people, progress=bar.update)
        else:
            lookahead, hop = options.lookahead, options.hop
            lifted = lift_stream(engine, people, lookahead=lookahead, hop=hop, progress=bar.update)
    return lifted.with_constant_bones() if options.constant_bones else lifted


def save_results(
    lifted: LiftedPeople, folder: Path, stem: str, formats: Sequence[str]
) -> tuple[Path, ...]:
    """Save ``<stem>_3d.npz``, or ``<stem>_<track id>_3d.npz`` for each of several people.

    Where their ids make no different names, they are numbered before them.

    Raises:
        UsageError: The folder cannot be written.
    """
    results = lifted.results
    people = [f"_{plain(result.track_id)}" for result in results]
    if len(results) == 1:
        people = [""]
    elif len(set(people)) < len(people):
        people = [f"_{number}{who}" for number, who in enumerate(people, 1)]
    return tuple(
        result.save(folder / f"{stem}{who}_3d.{kind}")
        for result, who in zip(results, people, strict=True)
        for kind in formats
    )


def plain(track_id: int | str | None) -> str:
    """A track id as a part of a file's name, whatever a file of keypoints calls a person."""
    return re.sub(r"[^\w-]", "_", str(track_id))[:60]
