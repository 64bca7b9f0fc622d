"""Read the inputs of ``hot-infer``, lift them, and save their results, as the options say."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import math
import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.leftovers import temporary_folder
from hot_sdk._base.progress import Progress
from hot_sdk.camera_knowledge import CameraKnowledge, Up, checked_knowledge
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import KeypointsError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.manifest import read_manifest
from hot_sdk.offline import LiftedPeople, lift_at_once, lift_stream
from hot_sdk.people import USUAL_FPS, read_tracked_people
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.preprocessing.policies import PUBLISHED
from hot_sdk.results.files import FORMATS
from hot_sdk.starter import STARTER, resolve_model
from hot_sdk.video import Frame, VideoWriter, create_detector, keypoints_from_video, parse_source
from hot_sdk.video.detector import DEFAULT_DETECTOR, DEFAULT_MAX_PEOPLE
from hot_sdk.video.reader import is_live_source
from hot_sdk.video.signatures import is_video_file
from hot_sdk.windows import HOT_DEMO

PUBLISHED_DEMO = "published"
"""The policies of HoT's demo, in ``EngineOptions``."""

_LOG = logging.getLogger(__name__)

BVH = "bvh"
OUTPUT_FORMATS = (*FORMATS, BVH)
"""What results are written as; the last holds no more than rotations and the root."""

_Options = TypeVar("_Options", "EngineOptions", "InputOptions")


@dataclass(frozen=True)
class EngineOptions:
    """How a model is opened; see ``Pose3DEngine`` for all but the last.

    Attributes:
        policies: ``published`` lifts as the demo of HoT (NationalGAILab/HoT, demo/vis.py) does:
            keypoints as they are, the windows ``hot_demo`` unless others are chosen, or each
            window's center if the model returns only that, averaged with the mirror image. None
            leaves the engine's own policies.
    """

    engine: str | None = None
    device: str = "cpu"
    threads: int | None = None
    cache_dir: Path | None = None
    fast_math: bool = False
    provider: str | None = None
    largest_batch: int | None = None
    windows: str | None = None
    overlap: int | None = None
    flip: bool = False
    policies: str | None = None

    def open(self, model: str | Path | None) -> Pose3DEngine:
        """Open a model.

        Raises:
            HotSDKError: See ``Pose3DEngine``.
        """
        options = dataclasses.asdict(self)
        if options.pop("policies") == PUBLISHED_DEMO:
            options.update(policies=PUBLISHED, flip=True)
            manifest = read_manifest(resolve_model(STARTER if model is None else model))
            if self.windows is None and manifest.output_frames == manifest.frames:
                options["windows"] = HOT_DEMO
        return Pose3DEngine(model, **options)


@dataclass(frozen=True)
class InputOptions:
    """How each input is read and lifted.

    Attributes:
        skeleton: Order of the joints in keypoint files; None if the files say it, as for the next
            two.
        image_size: Width and height in pixels.
        fps: Frames per second.
        track_id: The one person to be lifted; None for all people.
        detector: Name of the 2D detector for videos.
        max_people: Maximum people per frame of a video.
        duration: Seconds after which a video ends; None for its own end, or Ctrl-C.
        keep_camera: Keep what a camera saw until the input is done.
        lookahead: Lift as a stream that waits for this many frames; None lifts clips at once.
        hop: Frames between runs of a stream.
        constant_bones: Hold the length of each bone.
        formats: Formats of the result files.
        intrinsics: Of the camera: fx, fy, cx and cy in pixels, and the coefficients of its lens;
            None if unknown, as for the next two.
        up: The direction away from the ground along the camera's axes.
        height_m: Standing height of the person, meters.
        camera: Where the camera is: forward, left, up in meters, then yaw, pitch and roll in
            degrees, if any.
        ground: Height of the camera above the floor, meters.
    """

    skeleton: str | None = None
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    track_id: int | str | None = None
    min_frames: int | None = None
    detector: str = DEFAULT_DETECTOR
    max_people: int = DEFAULT_MAX_PEOPLE
    duration: float | None = None
    keep_camera: bool = False
    lookahead: int | None = None
    hop: int = 1
    constant_bones: bool = False
    formats: tuple[str, ...] = ("npz",)
    intrinsics: tuple[float, ...] | None = None
    up: tuple[float, ...] | None = None
    height_m: float | None = None
    camera: tuple[float, ...] | None = None
    ground: float | None = None

    def knowledge(self) -> CameraKnowledge:
        """Return what is known of the camera and the person.

        Raises:
            UsageError: A value cannot be what it should be.
        """
        camera = None
        if self.intrinsics is not None:
            fx, fy, cx, cy, *lens = self.intrinsics
            camera = Intrinsics(fx, fy, cx, cy, tuple(lens))
        up: Up | None = self.up
        if up is None and camera is not None:
            up = self.camera_pose()
        if self.ground is not None:
            # Here, because what places people takes longer to import than a short clip to lift.
            from hot_sdk.root.placement import Placement

            Placement(ground=self.ground)  # For its checks alone.
        return checked_knowledge(camera, up, self.height_m, frames=None)

    def camera_pose(self) -> CameraPose | None:
        """Return where the camera is; None if it is not known.

        Raises:
            UsageError: Intrinsics or a direction are not as they should be.
        """
        if self.camera is None:
            return None
        if self.intrinsics is None:
            raise UsageError(
                "--camera says where the camera is; where people are needs its lens, too.",
                hint="Add --intrinsics FX,FY,CX,CY.",
            )
        if self.up is not None:
            raise UsageError("--camera says where up is, as --up does.", hint="Remove --up.")
        angles = zip(("yaw", "pitch", "roll"), np.radians(self.camera[3:]).tolist(), strict=False)
        return CameraPose.mounted(self.camera[:3], **dict(angles))


@dataclass(frozen=True, eq=False)
class Footage:
    """The people of an input.

    Attributes:
        people: Keypoints of each person, from the first frame that shows the person to the last.
        timestamps: (frames,), seconds, of all frames of the input.
        video: The frames' images, for ``open_video``; None for a keypoint file.
        detection_ms: (frames,), the time for detection and tracking; None for a keypoint file.
        notes: What the user should know about how the people were found.
        first_frame: Number of the input's first frame, if a file does not begin with 0.
    """

    people: tuple[Keypoints, ...]
    timestamps: NDArray[np.float64]
    video: str | None = None
    detection_ms: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    first_frame: int = 0


def options_from(kind: type[_Options], arguments: argparse.Namespace) -> _Options:
    """Fill the fields of an options class from the arguments of the same names."""
    given = {field.name: getattr(arguments, field.name, None) for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in given.items() if value is not None})


def is_video(name: str) -> bool:
    """Return True for a video file (by its content), a camera's index or a stream's address."""
    source = parse_source(name)
    return isinstance(source, int) or "://" in name or is_video_file(Path(name))


def check_input(name: str, options: InputOptions) -> None:
    """Check what can be checked without opening an input.

    Raises:
        UsageError: There is no such file, or an option of keypoint files was given for a video.
    """
    is_file = not (is_live_source(parse_source(name)) or "://" in name)
    if is_file and not Path(name).exists():
        raise UsageError(f"There is no file '{name}'.", hint="Check the path.")
    if not is_video(name):
        return
    if options.fps is not None and is_live_source(parse_source(name)):
        raise UsageError(
            f"--fps was given, and the frames of '{name}' have the times at which they come.",
            hint="Remove it.",
        )
    for field in ("skeleton", "image_size"):
        if getattr(options, field) is not None:
            raise UsageError(
                f"--{field.replace('_', '-')} applies only to keypoint files, and '{name}' is a"
                " video.",
                hint="Remove it.",
            )
    if isinstance(options.track_id, str):
        raise UsageError(
            f"--track-id is '{options.track_id}'; people in a video are numbered.",
            hint="Give a number, or --max-people 1 for one person only.",
        )


def check_rate(names: Iterable[str], fps: float | None) -> None:
    """Check that a frame rate means one thing for all inputs.

    Raises:
        UsageError: It was given for videos and keypoint files together.
    """
    if fps is not None and len({is_video(name) for name in names}) > 1:
        raise UsageError(
            "--fps was given for videos and keypoint files together: it replaces the rate of a"
            " video, and is that of a file which states none.",
            hint="Lift the videos by themselves, without it if they are not in slow motion.",
        )


def read_input(name: str, options: InputOptions) -> contextlib.AbstractContextManager[Footage]:
    """Read people's keypoints from a keypoint file, or detect them in a video.

    Inside the block, the images of a video can be read again. A camera is read until ``duration``
    has passed or Ctrl-C is pressed, which ends the recording and not the program.

    Raises:
        VideoError: The video or the detector fails.
        KeypointsError: The file is broken or does not say what is needed, or no person was found,
            or not the requested one.
        MissingDependencyError: The detector, the tracker, PyAV or OpenCV is not installed.
    """
    if is_video(name):
        return _read_video(name, options)
    found = read_tracked_people(
        name,
        skeleton=options.skeleton,
        image_size=options.image_size,
        fps=options.fps,
        track_id=options.track_id,
        min_frames=options.min_frames,
    )
    people = _told(found.people, options)
    return contextlib.nullcontext(
        Footage(people, found.timestamps, notes=found.notes, first_frame=found.first_frame)
    )


def lift_input(
    engine: Pose3DEngine, people: Sequence[Keypoints], options: InputOptions, scratch: Path
) -> LiftedPeople:
    """Lift all people of an input.

    Args:
        engine: The model.
        people: One clip each.
        options: How they are lifted.
        scratch: A folder with as much room as the results take, where long clips are kept.

    Raises:
        KeypointsError: A person is seen in no frame, or a stream has no frame rate.
        UsageError: The window does not reach so far, or the folder has no room.
        EngineError: The engine failed.
    """
    with Progress("lifting") as bar:
        if options.lookahead is None:
            lifted = lift_at_once(
                engine, people, progress=bar.update, ground=options.ground, scratch=scratch
            )
        else:
            lifted = lift_stream(
                engine,
                people,
                lookahead=options.lookahead,
                hop=options.hop,
                progress=bar.update,
                ground=options.ground,
            )
    return lifted.with_constant_bones() if options.constant_bones else lifted


def save_results(
    lifted: LiftedPeople, folder: Path, stem: str, options: InputOptions
) -> tuple[Path, ...]:
    """Save ``<stem>_3d.npz``, or ``<stem>_<track id>_3d.npz`` for each of several people.

    If their ids do not make different names, they are numbered as well. If the camera's place is
    known, results are in that frame.

    Raises:
        UsageError: The folder cannot be written.
    """
    camera = options.camera_pose()
    results = (lifted if camera is None else lifted.in_robot_frame(camera)).results
    people = [f"_{file_name_part(result.track_id)}" for result in results]
    if len(results) == 1:
        people = [""]
    elif len(set(people)) < len(people):
        people = [f"_{number}{person}" for number, person in enumerate(people, 1)]
    up = None if camera is not None else options.knowledge().up
    saved = []
    for result, person in zip(results, people, strict=True):
        for kind in options.formats:
            path = folder / f"{stem}{person}_3d.{kind}"
            if kind == BVH:
                from hot_sdk.results.bvh import save_bvh

                save_bvh(result, path, up=up)
            else:
                result.save(path)
            saved.append(path)
    return tuple(saved)


def file_name_part(text: int | str | None) -> str:
    """Make a track id or an address safe for a file name."""
    return re.sub(r"[^\w-]", "_", str(text))[:60]


@contextlib.contextmanager
def _read_video(name: str, options: InputOptions) -> Iterator[Footage]:
    source = parse_source(name)
    is_live = is_live_source(source)
    with contextlib.ExitStack() as stack:
        detector = create_detector(options.detector, max_people=options.max_people)
        stack.callback(detector.close)
        video = None if is_live else name
        if is_live and options.keep_camera:
            video = str(stack.enter_context(temporary_folder("hot-infer")) / "camera.mp4")
        # One who is named is wanted, however briefly seen.
        least = 1 if options.track_id is not None else None
        watcher = _Watcher(options.duration, is_live=is_live, copy=video if is_live else None)
        with watcher, Progress(f"finding people in {name}") as bar:
            found = keypoints_from_video(
                source,
                detector,
                fps=options.fps,
                min_frames=options.min_frames or least,
                progress=bar.update,
                on_frame=watcher.see,
                stop=watcher.is_over,
            )
        people = found.people
        if not people:
            why = " ".join(found.warnings)
            raise KeypointsError(
                f"No person was found in the {len(found.timestamps)} frames of '{name}'.",
                hint=f"{why} Check that people are visible as a whole and large enough.".lstrip(),
            )
        if options.track_id is not None:
            people = tuple(one for one in people if one.track_id == options.track_id)
        if not people:
            known = ", ".join(str(person.track_id) for person in found.people)
            raise KeypointsError(
                f"The people in the video are {known}; {options.track_id!r} is not among them.",
                hint="Remove --track-id to lift them all.",
            )
        count = f"{len(found.people)} {'person' if len(found.people) == 1 else 'people'}"
        notes = [f"{count} found by {found.detector}", *found.warnings]
        if found.undecodable_frames or found.missing_at_end:
            notes.append(
                f"{found.undecodable_frames} frames could not be decoded, {found.missing_at_end}"
                " are missing at the end"
            )
        people = _told(people, options)
        yield Footage(people, found.timestamps, video, found.detection_ms, tuple(notes))


def _told(people: tuple[Keypoints, ...], options: InputOptions) -> tuple[Keypoints, ...]:
    """Return people with what the command line says of the camera and their height.

    Raises:
        UsageError: The file states something else, the height is that of one person and there are
            several, or the intrinsics do not fit the image.
    """
    known = options.knowledge()
    if not known.stated():
        return people
    if known.height_m is not None and len(people) > 1:
        raise UsageError(
            f"--height is one person's, and the input shows {len(people)} people.",
            hint="Choose one with --track-id, or remove it.",
        )
    for person in people:
        stated = person.knowledge
        for flag, given, said in (
            ("--intrinsics", known.camera, stated.camera),
            ("--up", known.up, stated.up),
            ("--height", known.height_m, stated.height_m),
        ):
            if given is not None and said is not None and not _is_same(given, said):
                raise UsageError(
                    f"{flag} was given, and the file states another value.", hint="Remove it."
                )
    return tuple(
        person.with_camera(known.camera, up=known.up, height_m=known.height_m) for person in people
    )


def _is_same(given: object, said: object) -> bool:
    if isinstance(given, np.ndarray) and isinstance(said, np.ndarray):
        return bool(np.allclose(given, said, rtol=0.0, atol=1e-6))
    return given == said


class _Watcher(contextlib.ExitStack):
    """Sees each frame of a video: copies those of a camera, and ends the video in time.

    For a camera, the first Ctrl-C inside the block ends the recording; the second interrupts the
    program.
    """

    def __init__(self, duration: float | None, *, is_live: bool, copy: str | None) -> None:
        super().__init__()
        self._end_s = math.inf if duration is None else duration
        self._now_s = -math.inf
        self._is_live = is_live
        self._copy = copy
        self._writer: VideoWriter | None = None

    def __enter__(self) -> _Watcher:
        if self._is_live:
            before = signal.getsignal(signal.SIGINT)

            def end(number: int, stack_frame: object) -> None:
                self._end_s = -math.inf
                signal.signal(signal.SIGINT, before)

            signal.signal(signal.SIGINT, end)
            self.callback(signal.signal, signal.SIGINT, before)
        return self

    def see(self, frame: Frame) -> None:
        if self._is_live and self._now_s < 0.0:
            _LOG.warning("recording; Ctrl-C ends it")
        self._now_s = frame.timestamp_s
        if self._copy is not None:
            if self._writer is None:
                # The rate does not matter: the frames are counted when they are read again.
                writer = VideoWriter(self._copy, size=frame.size, fps=USUAL_FPS)
                self._writer = self.enter_context(writer)
            self._writer.write(frame.image)

    def is_over(self) -> bool:
        return self._now_s >= self._end_s
