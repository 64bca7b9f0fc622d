"""The common form of every source of keypoints: the people detected in each frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.budget import OverBudgetError, input_budget, require
from hot_sdk.camera_knowledge import CameraKnowledge
from hot_sdk.errors import KeypointsError
from hot_sdk.readers.joint_names import places_of
from hot_sdk.skeletons import list_skeletons, skeleton_format

MAX_FRAMES = 1_000_000
"""Most frames of one clip: over five hours at 50 frames per second."""

MAX_DETECTIONS = 2_000_000
"""Most people in all frames together."""

_MAX_PIXELS = 100_000

# Memory of a person in a frame without numbers, and of x, y and score of a joint.
_DETECTION_BYTES, _JOINT_BYTES = 400, 24

_Value = TypeVar("_Value")

TrackId = int | str | None
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Detection:
    """One person in one frame.

    Attributes:
        frame: Number of the frame, from 0.
        points: (joints, 2), pixels, NaN if missing.
        scores: (joints,), or None.
        track_id: Whose they are; None if the source does not say.
    """

    frame: int
    points: Floats
    scores: Floats | None
    track_id: TrackId


@dataclass(frozen=True, eq=False)
class ArrayDetections(Sequence[Detection]):
    """The people of arrays, each in every frame, ordered by frames.

    A ``Detection`` exists only while it is looked at: those of a million frames would take several
    times the memory of the arrays.

    Attributes:
        points: (people, frames, joints, 2), pixels, NaN if missing.
        scores: (people, frames, joints), or None.
        names: (people,), their track ids: all different, or None for a single person.
    """

    points: NDArray[Any]
    scores: NDArray[Any] | None
    names: tuple[TrackId, ...]

    def __len__(self) -> int:
        """Return the number of people in all frames together."""
        return len(self.names) * int(self.points.shape[1])

    @overload
    def __getitem__(self, at: int) -> Detection: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Detection]: ...

    def __getitem__(self, at: int | slice) -> Detection | Sequence[Detection]:
        if isinstance(at, slice):
            return tuple(self[place] for place in range(*at.indices(len(self))))
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        frame, person = divmod(at % len(self), len(self.names))
        scores = None if self.scores is None else self.scores[person, frame]
        return Detection(frame, self.points[person, frame], scores, self.names[person])


@dataclass(frozen=True)
class KeypointFrames:
    """The content of a keypoint file, or the results of a detector.

    Attributes:
        kind: What the source was recognized as, in words.
        frames: The number of frames.
        detections: The people found, in order of the frames.
        skeleton: Name of the joints' order; None if the source does not say.
        image_size: Width and height in pixels; None if the source does not say.
        fps: Frames per second; None if the source does not say.
        timestamps: (frames,), seconds; None if the source has none.
        first_frame: Number of the first frame, if the source is a part of a video.
        relative: Whether points are fractions of the image's size instead of pixels.
        guessed: Whether the skeleton only follows from the number of joints or their places, so
            that the caller may name another.
        problem: Why the skeleton is unknown, as the end of a sentence about the source.
        notes: What the user should know about how the source was read.
        joints: Names of the points, if they are a part of several skeletons' joints; the caller
            has to name one, whose other joints are then missing.
        knowledge: What the source states of the camera and the height of its people.
    """

    kind: str
    frames: int
    detections: Sequence[Detection]
    skeleton: str | None
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    timestamps: Floats | None = None
    relative: bool = False
    guessed: bool = False
    problem: str = "does not say its skeleton"
    notes: tuple[str, ...] = ()
    first_frame: int = 0
    joints: tuple[str, ...] | None = None
    knowledge: CameraKnowledge = field(default_factory=CameraKnowledge)

    def with_defaults(
        self,
        *,
        skeleton: str | None = None,
        image_size: tuple[int, int] | None = None,
        fps: float | None = None,
    ) -> KeypointFrames:
        """Add what the caller knows, and scale relative points to pixels.

        Raises:
            KeypointsError: The source says otherwise, or neither says what is needed.
        """
        if self.joints is not None and skeleton is not None:
            named = self._with_missing_joints(self.joints, skeleton)
            return named.with_defaults(skeleton=skeleton, image_size=image_size, fps=fps)
        notes = self.notes
        if skeleton is not None and (self.guessed or self.skeleton is None):
            self._check_joints(skeleton)
            if self.skeleton not in (None, skeleton):
                notes += (f"read as {skeleton}, as requested; without that, as {self.skeleton}",)
        else:
            skeleton = self._agreed("skeleton", self.skeleton, skeleton)
        if skeleton is None:
            raise self._without_skeleton()
        size = None if image_size is None else checked_image_size(image_size)
        size = self._agreed("image_size", self.image_size, size)
        if size is None:
            relative = "gives shares of the image and not its size"
            missing = "does not say its image_size"
            raise self._incomplete(relative if self.relative else missing, "image_size")
        detections = self.detections
        if self.relative:
            detections = tuple(
                dataclasses.replace(found, points=found.points * size) for found in detections
            )
        return KeypointFrames(
            kind=self.kind,
            frames=self.frames,
            detections=detections,
            skeleton=skeleton,
            image_size=size,
            fps=self._agreed("fps", self.fps, fps),
            timestamps=self.timestamps,
            notes=notes,
            first_frame=self.first_frame,
            knowledge=self.knowledge,
        )

    def _with_missing_joints(self, names: tuple[str, ...], skeleton: str) -> KeypointFrames:
        joints, places = skeleton_format(skeleton).joints, np.array(places_of(skeleton, names))
        if set(places.tolist()) - {-1} != set(range(len(names))):
            others = [name[:40] for at, name in enumerate(names) if at not in places]
            raise format_error(self.kind, f"{skeleton} has no joint '{others[0]}'")
        found = places >= 0
        people = tuple(
            dataclasses.replace(
                one,
                points=np.where(found[:, None], one.points[places], np.nan),
                scores=None if one.scores is None else np.where(found, one.scores[places], 0.0),
            )
            for one in self.detections
        )
        absent = ", ".join(name for name, known in zip(joints, found, strict=True) if not known)
        note = f"these joints of {skeleton} are not in the file and count as missing: {absent}"
        return dataclasses.replace(
            self, detections=people, skeleton=skeleton, joints=None, notes=(*self.notes, note)
        )

    def _check_joints(self, skeleton: str) -> None:
        expected = len(skeleton_format(skeleton).joints)
        found = sorted(joint_counts(self.detections))
        if found and found != [expected]:
            raise KeypointsError(
                f"The input was read as {self.kind}, but people have {found} joints; expected"
                f" {expected}, the number of {skeleton}.",
                hint=f"Leave skeleton out, for {self.skeleton}."
                if self.skeleton is not None
                else "Give the skeleton that the file was written with, one of list_skeletons().",
            )

    def _without_skeleton(self) -> KeypointsError:
        if self.joints is not None:
            shown = ", ".join(name[:30] for name in self.joints[:4])
            whole = set(range(len(self.joints)))
            fit = [s for s in list_skeletons() if whole <= set(places_of(s, self.joints))]
            return KeypointsError(
                f"The input, read as {self.kind}, names {len(self.joints)} joints ({shown}, ...), a"
                f" part of those of {', '.join(fit)}.",
                hint="Give skeleton= one of these, or --skeleton on a command line; the joints that"
                " it has more count as missing.",
            )
        counts = {len(skeleton_format(name).joints) for name in list_skeletons()}
        if joint_counts(self.detections) & counts:
            return self._incomplete(self.problem, "skeleton")
        return KeypointsError(
            f"The input, read as {self.kind}, {self.problem}.",
            hint="Choose the joints of one of list_skeletons() in its order, and give them as"
            " Keypoints(points, scores, skeleton=...).",
        )

    def _incomplete(self, problem: str, name: str) -> KeypointsError:
        return KeypointsError(
            f"The input, read as {self.kind}, {problem}.",
            hint=f"Give {name}=, or --{name.replace('_', '-')} on a command line.",
        )

    def _agreed(self, name: str, said: _Value | None, given: _Value | None) -> _Value | None:
        if given is not None and said is not None and given != said:
            raise KeypointsError(
                f"The input, read as {self.kind}, says {name} {said!r}, but {given!r} was given.",
                hint=f"Leave {name} out.",
            )
        return said if given is None else given


def checked_image_size(size: object) -> tuple[int, int]:
    """Return an image's width and height as two integers.

    Raises:
        KeypointsError: They are not two whole numbers from 1 to 100000.
    """
    # OpenCV returns whole floats, NumPy arrays and its own integers.
    if isinstance(size, (Sequence, np.ndarray)) and not isinstance(size, str) and len(size) == 2:
        width, height = (_whole_pixels(side) for side in size)
        if width and height:
            return width, height
    raise KeypointsError(
        f"image_size is {size!r}; expected width and height in whole pixels, 1 to {_MAX_PIXELS}.",
        hint="Give the size of the image in which the keypoints were found: (width, height).",
    )


def _whole_pixels(side: object) -> int | None:
    numbers = (int, np.integer, float, np.floating)
    if not isinstance(side, numbers) or isinstance(side, bool):
        return None
    # A comparison with NaN is False.
    return int(side) if 1 <= side <= _MAX_PIXELS and side == side // 1 else None


def checked_track_id(value: object) -> TrackId:
    """Return a track id as Python's own integer, a text or None; whole floats are accepted.

    -1, with which trackers mark a person whom they do not follow, is None.

    Raises:
        KeypointsError: It is something else.
    """
    if value is None or isinstance(value, str):
        return value
    # Trackers write ids in arrays of floats.
    if isinstance(value, (int, np.integer, float, np.floating)) and value == value // 1:
        return None if value == -1 else int(value)
    raise KeypointsError(
        f"track_id is a {type(value).__name__}: {value!r:.80}.",
        hint="Give a whole number, a text or None.",
    )


def checked_first_frame(value: object) -> int:
    """Return the number of a clip's first frame.

    Raises:
        KeypointsError: It is not a whole number from 0.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 0:
        return int(value)
    raise KeypointsError(
        f"first_frame is {value!r:.80}; expected a whole number from 0.", hint="Leave it out for 0."
    )


def format_error(kind: str, problem: str) -> KeypointsError:
    """Return an error about the content of a file."""
    return KeypointsError(
        f"The input was read as {kind}, but {problem}.", hint="Check how it was written."
    )


def require_room(kind: str, people: int, joints: int) -> None:
    """Raise if people in all frames together take more memory than the budget allows.

    Raises:
        KeypointsError: They do.
    """
    size = people * (_DETECTION_BYTES + joints * _JOINT_BYTES)
    try:
        require(size, input_budget().parsed_bytes, "bytes of keypoints")
    except OverBudgetError as error:
        raise format_error(kind, f"it shows {people} people in all frames: {error}") from error


def frame_count(kind: str, last: int) -> int:
    """Return the number of frames up to number ``last``; raise if there are too many."""
    if not 0 <= last < MAX_FRAMES:
        # A number in a file may have thousands of digits.
        shown = last if abs(last) < 10**20 else "with over 20 digits"
        raise format_error(kind, f"it names a frame {shown}; expected 0 to {MAX_FRAMES - 1}")
    return last + 1


def joint_counts(people: Iterable[Detection]) -> set[int]:
    """Return the numbers of joints that people have."""
    if isinstance(people, ArrayDetections):
        return {people.points.shape[2]}
    return {len(person.points) for person in people}


def joint_count(kind: str, people: Iterable[Detection]) -> int | None:
    """Return the number of joints of all people, None if they differ; raise if there are none."""
    counts = joint_counts(people)
    if not counts:
        raise format_error(kind, "it shows no people")
    return counts.pop() if len(counts) == 1 else None


def skeleton_by_joints(
    kind: str, people: Sequence[Detection], known: Mapping[int, str]
) -> tuple[str | None, str]:
    """Return the skeleton with the people's number of joints, or None and why it is unknown."""
    joints = joint_count(kind, people)
    if joints is not None and joints in known:
        return known[joints], ""
    found = sorted({len(person.points) for person in people})
    expected = ", ".join(map(str, known))
    return None, f"shows people with {found} joints; expected one of {expected}"


def with_notes_on_scores(source: KeypointFrames) -> KeypointFrames:
    """Add a note if scores are no confidences of 0 to 1."""
    # The larger of NaN, the score of a joint that is missing, and 0 is 0.
    people = source.detections
    if isinstance(people, ArrayDetections):
        known = [] if people.scores is None else [np.fmax(np.fmax.reduce(people.scores, None), 0.0)]
    else:
        known = [np.fmax(one.scores, 0.0).max() for one in people if one.scores is not None]
    highest = float(max(known, default=0.0))
    # COCO's visibility is 2 for a joint in sight.
    if highest <= 2.0:
        return source
    note = f"scores are up to {highest:g}, not 0 to 1; every joint above 1 counts as certain"
    return dataclasses.replace(source, notes=(*source.notes, note))


def without_doubtful_ids(source: KeypointFrames) -> KeypointFrames:
    """Leave out people without a track id if others have one, and ids that tell no one apart."""
    if isinstance(source.detections, ArrayDetections):
        return source
    names = {found.track_id for found in source.detections}
    if names == {None} or not names:
        return source
    frames = [found.frame for found in source.detections]
    if len(names) == 1 and len(set(frames)) < len(frames):
        # Trackers that are off give everyone the same id.
        people = tuple(dataclasses.replace(found, track_id=None) for found in source.detections)
        return dataclasses.replace(source, detections=people)
    if None not in names:
        return source
    people = tuple(found for found in source.detections if found.track_id is not None)
    absent = len(source.detections) - len(people)
    frames_without = len({one.frame for one in source.detections if one.track_id is None})
    note = f"{absent} detections without a track id, in {frames_without} frames, were left out"
    return dataclasses.replace(source, detections=people, notes=(*source.notes, note))


def is_untracked(source: KeypointFrames) -> bool:
    """Return whether a frame shows several people, none of whom has a track id."""
    if isinstance(source.detections, ArrayDetections):
        return False
    if any(found.track_id is not None for found in source.detections):
        return False
    return len({found.frame for found in source.detections}) < len(source.detections)
