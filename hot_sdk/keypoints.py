"""2D keypoints of one person over time: the input of every lifter."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from hot_sdk.camera_knowledge import CameraKnowledge, Up, checked_knowledge
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import KeypointsError
from hot_sdk.keypoint_checks import checked_points, mark_missing, numbers
from hot_sdk.readers import Detection, KeypointFrames, ReadOptions, live, read_frames
from hot_sdk.readers.detections import (
    MAX_FRAMES,
    ArrayDetections,
    TrackId,
    checked_first_frame,
    checked_image_size,
    checked_track_id,
    format_error,
)
from hot_sdk.skeletons import SkeletonFormat, in_h36m17, skeleton_format
from hot_sdk.timestamps import check_timestamps, checked_fps, measured_fps

if TYPE_CHECKING:
    # In typing from Python 3.11 on; annotations are not evaluated here.
    from typing_extensions import Unpack

__all__ = ["LARGEST", "MAX_FRAMES", "ClipOptions", "Keypoints", "choose_person", "people_of"]

LARGEST = "largest"
"""Stands, in place of a track id, for the person with the largest box in each frame."""

_MAX_VALUES = 100_000_000


class ClipOptions(TypedDict, total=False):
    """What a detector's results do not say.

    Attributes:
        fps: See ``Keypoints``.
        timestamps: See ``Keypoints``.
        track_id: The person to return, if the results show several; ``largest`` is the one with the
            largest box in each frame.
    """

    fps: float | None
    timestamps: NDArray[np.float64] | None
    track_id: int | str | None


@dataclass(frozen=True, eq=False)
class Keypoints:
    """2D keypoints of one person.

    A missing joint is NaN in ``points``, in both coordinates; joints with a low score are left to
    the engine, which compares scores with its own limit. Arrays are copied and read-only.

    Attributes:
        points: (frames, joints, 2), pixels, x right and y down from the image's upper left corner;
            NaN if a joint is missing.
        scores: (frames, joints), the detector's confidence, clipped to 0 to 1; 0 if a joint is
            missing. None if the detector gives none.
        skeleton: Name of the joints' order, one of ``list_skeletons()``. Never guessed: the
            17 joints of COCO and of Human3.6M are other joints.
        image_size: Width and height of the image in pixels.
        fps: Frames per second; None if unknown.
        timestamps: (frames,), seconds, strictly increasing; None if frames are evenly spaced.
        track_id: Identifies the person among several.
        first_frame: Number of the first frame in the video or file that this is a part of. Without
            timestamps, times begin at ``first_frame / fps``.
        warnings: What a reader of poses that were lifted from these has to know; results repeat it.
        camera: The camera's intrinsics, in pixels of this image; None if unknown.
        up: The direction away from the ground along the camera's axes (x right, y down, z forward),
            of any length, (3,); what an accelerometer at rest measures. A camera that moves has
            one for each frame, (frames, 3), NaN where it is unknown. A ``CameraPose`` gives that of
            a robot that stands level. None if unknown; needs ``camera``. Kept with length 1.
        height_m: The person's standing height without shoes, meters; None if unknown.

    Raises:
        KeypointsError: No skeleton is named, a value does not fit the others, or the coordinates
            cannot be pixels of the image.
        UsageError: ``camera``, ``up`` or ``height_m`` is no such thing, or does not fit the image.
    """

    points: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None
    _: dataclasses.KW_ONLY
    skeleton: str = ""
    image_size: tuple[int, int] = (0, 0)
    fps: float | None = None
    timestamps: NDArray[np.float64] | None = None
    track_id: int | str | None = None
    first_frame: int = 0
    warnings: tuple[str, ...] = ()
    camera: Intrinsics | None = None
    up: Up | None = None
    height_m: float | None = None

    def __post_init__(self) -> None:
        points = checked_points(self.points, self.skeleton)
        size = checked_image_size(self.image_size)
        scores = mark_missing(points, self.scores, size)
        if scores is not None:
            scores.setflags(write=False)
        points.setflags(write=False)
        timestamps = self.timestamps
        if timestamps is not None:
            timestamps = numbers(timestamps, "timestamps", np.float64)
            check_timestamps(timestamps, len(points))
            timestamps.setflags(write=False)
        fps = None if self.fps is None else checked_fps(self.fps, timestamps)
        track_id = checked_track_id(self.track_id)
        knowledge = checked_knowledge(self.camera, self.up, self.height_m, frames=len(points))
        if knowledge.camera is not None:
            knowledge.camera.check_image(size)
        for name, value in (
            ("points", points),
            ("scores", scores),
            ("image_size", size),
            ("fps", fps),
            ("timestamps", timestamps),
            ("track_id", track_id),
            ("first_frame", checked_first_frame(self.first_frame)),
            ("up", knowledge.up),
            ("height_m", knowledge.height_m),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.points)

    @property
    def skeleton_format(self) -> SkeletonFormat:
        """The description of the skeleton."""
        return skeleton_format(self.skeleton)

    @property
    def knowledge(self) -> CameraKnowledge:
        """What is known of the camera and the person: ``camera``, ``up`` and ``height_m``."""
        # As __post_init__ left it.
        up = None if self.up is None else np.asarray(self.up, dtype=np.float64)
        return CameraKnowledge(self.camera, up, self.height_m)

    @property
    def effective_fps(self) -> float | None:
        """Frames per second: ``fps``, else from the timestamps' median interval, else None."""
        if self.fps is not None or self.timestamps is None or len(self.timestamps) < 2:
            return self.fps
        return measured_fps(self.timestamps)

    def times(self, fps: float) -> NDArray[np.float64]:
        """Return the seconds of each frame, (frames,): the timestamps, or frames at a rate.

        Args:
            fps: Frames per second, if there are no timestamps.
        """
        if self.timestamps is not None:
            return self.timestamps
        return (self.first_frame + np.arange(len(self))) / fps

    def trimmed(self) -> Keypoints:
        """Return the frames from the first to the last that show a joint.

        ``first_frame`` and the timestamps stay those of the video. A clip without any joint is
        returned as it is.
        """
        seen = np.flatnonzero(~np.isnan(self.points[..., 0]).all(axis=1))
        if not len(seen) or len(self) == seen[-1] - seen[0] + 1:
            return self
        span = slice(int(seen[0]), int(seen[-1]) + 1)
        return dataclasses.replace(
            self,
            points=self.points[span],
            scores=None if self.scores is None else self.scores[span],
            # A part of uneven timestamps may have another rate.
            fps=self.fps if self.timestamps is None else None,
            timestamps=None if self.timestamps is None else self.timestamps[span],
            first_frame=self.first_frame + span.start,
            up=self.knowledge.up_of(span),
        )

    def with_camera(
        self, camera: Intrinsics | None, *, up: Up | None = None, height_m: float | None = None
    ) -> Keypoints:
        """Return the same keypoints with what is known of the camera and the person.

        Args:
            camera: See ``Keypoints``; None, as for the next two, leaves what is there.
            up: See ``Keypoints``.
            height_m: See ``Keypoints``.

        Raises:
            UsageError: See ``Keypoints``.
        """
        given: dict[str, Any] = {"camera": camera, "up": up, "height_m": height_m}
        known = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(self, **known)

    def to_h36m17(self) -> Keypoints:
        """Return the same person in Human3.6M's 17 joints, as ``SkeletonFormat`` derives them."""
        if self.skeleton == "h36m17":
            return self
        points, scores = self.h36m17_arrays()
        return dataclasses.replace(self, points=points, scores=scores, skeleton="h36m17")

    def h36m17_arrays(
        self, frames: slice | NDArray[np.int64] = slice(None)
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return points (frames, 17, 2) and scores (frames, 17) of ``to_h36m17``, unchecked.

        Args:
            frames: Which frames; all of them by default.
        """
        points = self.points[frames]
        scores = None if self.scores is None else self.scores[frames]
        return in_h36m17(points, scores, self.skeleton)

    def save(self, path: str | Path) -> Path:
        """Write a file that ``from_file`` reads back to the same keypoints.

        Args:
            path: The file; ``.npz`` or ``.csv`` says how it is written. An existing one is
                replaced when the new one is complete.

        Returns:
            The path.

        Raises:
            UsageError: The suffix is another, or the file cannot be written.
            KeypointsError: A table cannot hold the track id, or what is known of the camera.
        """
        names = ("skeleton", "image_size", "fps", "timestamps", "track_id", "first_frame")
        about = {name: getattr(self, name) for name in names}
        # Here, because few programs write keypoints.
        from hot_sdk.readers import saving

        saving.save(Path(path), self.points, self.scores, about, self.knowledge)
        return Path(path)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        format: str | None = None,  # noqa: A002
        *,
        track_id: int | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Keypoints:
        """Read one person of a keypoint file of any supported kind; see ``hot_sdk.readers``.

        Args:
            path: The file, or a folder of OpenPose's one-frame files.
            format: One of ``hot_sdk.readers.FORMATS``, to refuse a file of another; None accepts
                any, recognized by its content.
            track_id: The person to return, if there are several; ``largest`` is the one with the
                largest box in each frame.
            **options: What the file does not say: ``skeleton``, ``image_size`` (width and height,
                pixels) and ``fps``.

        Raises:
            KeypointsError: The file is not recognized or broken; it holds several people and none
                was chosen, or not this one; or it does not say something that is needed.
        """
        return choose_person(read_frames(path, format, **options), track_id)

    @classmethod
    def from_mediapipe(
        cls, results: object, image_size: tuple[int, int], **options: Unpack[ClipOptions]
    ) -> Keypoints:
        """Convert results of MediaPipe's pose landmarker, or of its legacy solutions.

        Args:
            results: One result (one frame), or an iterable of one for each frame; frames without
                the person become missing joints. Visibility is the score.
            image_size: Width and height in pixels, to which the landmarks are scaled.
            **options: See ``ClipOptions``.

        Raises:
            KeypointsError: A result does not look like one of MediaPipe's; or there are several
                people and none was chosen.
        """
        return _from_live(live.mediapipe_frames(results, image_size), **options)

    @classmethod
    def from_ultralytics(
        cls, results: object, *, skeleton: str | None = None, **options: Unpack[ClipOptions]
    ) -> Keypoints:
        """Convert ``Results`` of Ultralytics' pose models; sizes and track ids are theirs.

        Args:
            results: One ``Results`` (one frame), or an iterable of one for each frame; frames
                without the person become missing joints. If any person has an id (``boxes.id``),
                those without are left out.
            skeleton: Name of the joints' order; None for COCO's 17.
            **options: See ``ClipOptions``.

        Raises:
            KeypointsError: A result does not look like one of Ultralytics'; the images differ in
                size; or there are several people and none was chosen, or not this one.
        """
        return _from_live(live.ultralytics_frames(results, skeleton), **options)

    @classmethod
    def from_rtmlib(
        cls,
        results: object,
        image_size: tuple[int, int],
        *,
        skeleton: str | None = None,
        **options: Unpack[ClipOptions],
    ) -> Keypoints:
        """Convert the arrays that rtmlib's solutions return.

        Args:
            results: Keypoints (people, joints, 2) in pixels and scores (people, joints) of one
                frame, or an iterable of such pairs, one for each frame; frames without people
                become missing joints.
            image_size: Width and height in pixels.
            skeleton: Name of the joints' order; None for that of rtmlib's own models: COCO's 17,
                Halpe's 26 or COCO-WholeBody's 133 joints.
            **options: See ``ClipOptions``.

        Raises:
            KeypointsError: A result does not look like one of rtmlib's; or there are several people
                and none was chosen.
        """
        return _from_live(live.rtmlib_frames(results, image_size, skeleton), **options)


def people_of(source: KeypointFrames) -> tuple[Keypoints, ...]:
    """Return one clip for each track id, all of the source's frames, NaN if a person is absent.

    Raises:
        KeypointsError: A frame shows several people without track ids, or one twice; only some
            people have ids; or there are no people.
    """
    if isinstance(source.detections, ArrayDetections):
        return _clips_of_arrays(source, source.detections)
    tracks: dict[TrackId, dict[int, Detection]] = {}
    for detection in source.detections:
        track = tracks.setdefault(detection.track_id, {})
        if detection.frame in track:
            name = detection.track_id
            raise KeypointsError(
                f"Frame {detection.frame} of the input, read as {source.kind}, shows"
                + (" several people without track ids." if name is None else f" {name!r} twice."),
                hint=f"Track the people first, or choose track_id='{LARGEST}'.",
            )
        track[detection.frame] = detection
    if not tracks:
        raise format_error(source.kind, "it shows no people")
    if None in tracks and len(tracks) > 1:
        raise KeypointsError(
            f"The input, read as {source.kind}, shows people with track ids, and others without in"
            f" {len(tracks[None])} frames.",
            hint=f"Leave out those without, or choose track_id='{LARGEST}'.",
        )
    joints = max(len(detection.points) for detection in source.detections)
    if len(tracks) * source.frames * joints > _MAX_VALUES:
        raise format_error(
            source.kind, f"{len(tracks)} people in {source.frames} frames are too many"
        )
    ordered = sorted(tracks, key=lambda name: (isinstance(name, str), str(name).zfill(20)))
    return tuple(_clip(source, name, tracks[name]) for name in ordered)


def _clips_of_arrays(source: KeypointFrames, people: ArrayDetections) -> tuple[Keypoints, ...]:
    scores = [None] * len(people.names) if people.scores is None else people.scores
    each = zip(people.names, people.points, scores, strict=True)
    return tuple(_keypoints(source, name, points, score) for name, points, score in each)


def choose_person(source: KeypointFrames, track_id: TrackId) -> Keypoints:
    """Return one person's clip; see ``Keypoints.from_file``.

    Raises:
        KeypointsError: There are several people and none was chosen, or not this one.
    """
    if track_id == LARGEST:
        return _largest_of(source)
    people = people_of(source)
    if track_id is None and len(people) == 1:
        return people[0]
    for person in people:
        if track_id is not None and person.track_id == track_id:
            return person
    known = ", ".join(repr(person.track_id) for person in people[:20])
    problem = "none was chosen" if track_id is None else f"{track_id!r} is none of them"
    raise KeypointsError(
        f"The input shows {len(people)} people ({known}), and {problem}.",
        hint=f"Give track_id= one of them, or track_id='{LARGEST}'.",
    )


def _largest_of(source: KeypointFrames) -> Keypoints:
    people = source.detections
    if isinstance(people, ArrayDetections) and len(people.names) == 1:
        return dataclasses.replace(people_of(source)[0], track_id=None)
    best: dict[int, tuple[float, Detection]] = {}
    for detection in source.detections:
        known = detection.points[~np.isnan(detection.points[:, 0])]
        with np.errstate(over="ignore", invalid="ignore"):
            area = float(np.prod(np.ptp(known, axis=0))) if len(known) else -1.0
        if detection.frame not in best or area > best[detection.frame][0]:
            best[detection.frame] = (area, detection)
    if not best:
        raise format_error(source.kind, "it shows no people")
    return _clip(source, None, {frame: detection for frame, (_, detection) in best.items()})


def _from_live(
    source: KeypointFrames,
    *,
    fps: float | None = None,
    timestamps: NDArray[np.float64] | None = None,
    track_id: int | str | None = None,
) -> Keypoints:
    if source.detections:
        person = choose_person(source, track_id)
    else:
        # In a loop, a frame without people is no error.
        name = None if track_id == LARGEST else track_id
        person = _clip(source, name, {})
    return dataclasses.replace(person, fps=fps, timestamps=timestamps)


def _clip(source: KeypointFrames, name: TrackId, track: dict[int, Detection]) -> Keypoints:
    skeleton = source.skeleton or ""
    joints = {len(found.points) for found in track.values()}
    if len(joints) > 1:
        raise format_error(source.kind, f"the number of joints changes: {sorted(joints)}")
    count = joints.pop() if joints else len(skeleton_format(skeleton).joints)
    points = np.full((source.frames, count, 2), np.nan, dtype=np.float32)
    unscored = track and all(found.scores is None for found in track.values())
    scores = None if unscored else np.zeros(points.shape[:2], dtype=np.float32)
    # A value too large for single precision becomes infinite, which Keypoints refuses.
    with np.errstate(over="ignore"):
        for frame, found in track.items():
            points[frame] = found.points
            if scores is not None:
                scores[frame] = 1.0 if found.scores is None else found.scores
    return _keypoints(source, name, points, scores)


def _keypoints(
    source: KeypointFrames, name: TrackId, points: NDArray[Any], scores: NDArray[Any] | None
) -> Keypoints:
    return Keypoints(
        points,
        scores,
        skeleton=source.skeleton or "",
        image_size=source.image_size or (0, 0),
        fps=source.fps,
        timestamps=source.timestamps,
        track_id=name,
        warnings=source.notes,
        first_frame=source.first_frame,
        camera=source.knowledge.camera,
        up=source.knowledge.up,
        height_m=source.knowledge.height_m,
    )
