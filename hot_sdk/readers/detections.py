"""What every keypoint file comes down to: who was found in each frame."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import KeypointsError
from hot_sdk.keypoints import MAX_FRAMES, Keypoints

LARGEST = "largest"
"""Names, in place of a track id, the person with the largest box of each frame."""

MOST_DETECTIONS = 2_000_000
"""Most people in all frames together."""

_MOST_VALUES = 100_000_000

# A small file must not claim the memory of a large one.
_MOST_FRAMES_A_DETECTION, _SURELY_FINE = 1000, 10_000

_Value = TypeVar("_Value")

TrackId = int | str | None
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Detection:
    """One person in one frame.

    Attributes:
        frame: Number of the frame, from 0.
        points: (joints, 2), pixels, NaN where missing.
        scores: (joints,), or None.
        track_id: Whose they are; None where the file does not say.
    """

    frame: int
    points: Floats
    scores: Floats | None
    track_id: TrackId


@dataclass(frozen=True)
class KeypointFrames:
    """A keypoint file.

    Attributes:
        kind: What the file was taken for.
        frames: How many frames it covers.
        detections: Who was found, in order of the frames.
        skeleton: Name of the joints' order.
        image_size: Width and height in pixels; None where the file does not say.
        fps: Frames a second; None where the file does not say.
        timestamps: (frames,), seconds; None where the file has none.
    """

    kind: str
    frames: int
    detections: tuple[Detection, ...]
    skeleton: str | None
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    timestamps: Floats | None = None

    def completed(
        self,
        *,
        skeleton: str | None,
        image_size: tuple[int, int] | None,
        fps: float | None,
    ) -> KeypointFrames:
        """Add what the caller knows.

        Raises:
            KeypointsError: The file says otherwise, or neither says what is needed.
        """
        return dataclasses.replace(
            self,
            skeleton=self._agreed("skeleton", self.skeleton, skeleton, needed=True),
            image_size=self._agreed("image_size", self.image_size, image_size, needed=True),
            fps=self._agreed("fps", self.fps, fps, needed=False),
        )

    def _agreed(
        self, name: str, said: _Value | None, given: _Value | None, *, needed: bool
    ) -> _Value | None:
        if given is not None and said is not None and given != said:
            raise KeypointsError(
                f"The file, taken for {self.kind}, says {name} {said!r}, and {given!r} was given.",
                hint=f"Leave {name} out.",
            )
        agreed = said if given is None else given
        if agreed is None and needed:
            raise KeypointsError(
                f"The file, taken for {self.kind}, does not say its {name}.",
                hint=f"Give {name}=, or --{name.replace('_', '-')} on a command line.",
            )
        return agreed


def broken(kind: str, what: str) -> KeypointsError:
    """An error about a file's content."""
    return KeypointsError(
        f"The file was taken for {kind}, and {what}.", hint="Check how the file was written."
    )


def check_sparseness(source: KeypointFrames) -> None:
    """Refuse a file that shows next to nobody in a great many frames.

    Raises:
        KeypointsError: It does.
    """
    found = len(source.detections)
    if source.frames > max(_SURELY_FINE, _MOST_FRAMES_A_DETECTION * found):
        raise broken(source.kind, f"of {source.frames} frames only {found} show anybody")


def checked_frames(kind: str, last: int) -> int:
    """Number of frames that end with number ``last``; raises where there are too many."""
    if not 0 <= last < MAX_FRAMES:
        # A number in a file may have thousands of digits.
        shown = last if abs(last) < 10**20 else "with over 20 digits"
        raise broken(kind, f"it names a frame {shown}; expected 0 to {MAX_FRAMES - 1}")
    return last + 1


def people_of(source: KeypointFrames) -> tuple[Keypoints, ...]:
    """One clip for each track id, all of the file's frames, NaN where somebody is absent.

    Raises:
        KeypointsError: A frame shows several people without track ids, or one twice; only some
            people have ids; nobody is in the file.
    """
    tracks: dict[TrackId, dict[int, Detection]] = {}
    for detection in source.detections:
        track = tracks.setdefault(detection.track_id, {})
        if detection.frame in track:
            who = detection.track_id
            raise KeypointsError(
                f"Frame {detection.frame} of the file, taken for {source.kind}, shows"
                + (" several people without track ids." if who is None else f" {who!r} twice."),
                hint=f"Write the file with tracking, or choose track_id='{LARGEST}'.",
            )
        track[detection.frame] = detection
    if not tracks:
        raise broken(source.kind, "it shows nobody")
    if None in tracks and len(tracks) > 1:
        raise KeypointsError(
            f"The file, taken for {source.kind}, shows people with track ids, and others without"
            f" in {len(tracks[None])} frames.",
            hint=f"Leave out those without, or choose track_id='{LARGEST}'.",
        )
    joints = max(len(detection.points) for detection in source.detections)
    if len(tracks) * source.frames * joints > _MOST_VALUES:
        raise broken(source.kind, f"{len(tracks)} people in {source.frames} frames are too many")
    ordered = sorted(tracks, key=lambda name: (isinstance(name, str), str(name).zfill(20)))
    return tuple(_clip(source, name, tracks[name]) for name in ordered)


def largest_of(source: KeypointFrames) -> Keypoints:
    """The person with the largest box of each frame, whoever it is.

    Raises:
        KeypointsError: Nobody is in the file.
    """
    best: dict[int, tuple[float, Detection]] = {}
    for detection in source.detections:
        known = detection.points[~np.isnan(detection.points[:, 0])]
        with np.errstate(over="ignore", invalid="ignore"):
            area = float(np.prod(np.ptp(known, axis=0))) if len(known) else -1.0
        if detection.frame not in best or area > best[detection.frame][0]:
            best[detection.frame] = (area, detection)
    if not best:
        raise broken(source.kind, "it shows nobody")
    return _clip(source, None, {frame: detection for frame, (_, detection) in best.items()})


def _clip(source: KeypointFrames, name: TrackId, track: dict[int, Detection]) -> Keypoints:
    joints = {len(detection.points) for detection in track.values()}
    if len(joints) > 1:
        raise broken(source.kind, f"the number of joints changes: {sorted(joints)}")
    points = np.full((source.frames, joints.pop(), 2), np.nan, dtype=np.float32)
    scored = any(detection.scores is not None for detection in track.values())
    scores = np.zeros(points.shape[:2], dtype=np.float32) if scored else None
    # What is too large for single precision becomes infinite, which Keypoints refuses.
    with np.errstate(over="ignore"):
        for frame, detection in track.items():
            points[frame] = detection.points
            if scores is not None:
                scores[frame] = 1.0 if detection.scores is None else detection.scores
    return Keypoints(
        points,
        scores,
        skeleton=source.skeleton or "",
        image_size=source.image_size or (0, 0),
        fps=source.fps,
        timestamps=source.timestamps,
        track_id=name,
    )
