"""Track people from frame to frame by ByteTrack, and collect the keypoints of each person."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.optional import require
from hot_sdk.errors import StreamError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.video.quiet import require_opencv

_PURPOSE = "Tracking several people"
# Margin around the joints, as a share of the box's longer side: a person reaches beyond the joints,
# and in profile the box would be too thin to overlap the next one.
_MARGIN = 0.1
# A first detection and its confirmation in the next frame are one person from this overlap on.
_SAME_PERSON = 0.1


class Tracker:
    """Gives people stable ids with ByteTrack (Zhang et al., ECCV 2022) of ``trackers``.

    People are tracked by the boxes around their joints, not by their looks: two who cross keep
    their ids as long as they move on as before, and a person who reappears within ``lost_seconds``
    near the expected position gets the same id.
    """

    def __init__(
        self,
        *,
        fps: float = 30.0,
        lost_seconds: float = 1.0,
        min_start_score: float = 0.4,
        min_overlap: float = 0.1,
    ) -> None:
        """Start without people.

        Args:
            fps: Nominal frames per second, the unit of predicted movement; the actual steps are
                those of the timestamps.
            lost_seconds: How long a person who is not detected keeps the id.
            min_start_score: Mean score of the joints, 0 to 1, from which a detection may be a new
                person; a lower one can only continue a known person. Detections without scores
                count as certain.
            min_overlap: Minimum overlap (intersection over union), 0 to 1, of a detection with
                the expected position.

        Raises:
            UsageError: A value is out of range.
            MissingDependencyError: ``trackers`` is not installed.
        """
        for name, value, holds, expected in (
            ("fps", fps, 0.01 <= fps <= 10_000.0, "0.01 to 10000"),
            ("lost_seconds", lost_seconds, 0.0 <= lost_seconds <= 3600.0, "0 to 3600"),
            ("min_start_score", min_start_score, 0.0 <= min_start_score <= 1.0, "0 to 1"),
            ("min_overlap", min_overlap, 0.0 < min_overlap <= 1.0, "above 0, up to 1"),
        ):
            if not holds:
                raise UsageError(
                    f"{name} is {value!r}; expected {expected}.",
                    hint="Leave it out for the default.",
                )
        require_opencv(_PURPOSE)  # Which the tracker imports, and fails without a hint.
        bytetrack = require("trackers", extra="video", purpose=_PURPOSE).ByteTrackTracker
        self._supervision = require("supervision", extra="video", purpose=_PURPOSE)
        self._tracker: Any = bytetrack(
            # In thirtieths of a second at any rate.
            lost_track_buffer=round(30.0 * lost_seconds),
            frame_rate=float(fps),
            track_activation_threshold=min_start_score,
            high_conf_det_threshold=min_start_score,
            minimum_iou_threshold=min_overlap,
            minimum_consecutive_frames=2,
        )
        self._last = -math.inf

    def update(self, people: Sequence[Keypoints], timestamp: float) -> tuple[Keypoints, ...]:
        """Identify the people of the next frame.

        Args:
            people: Keypoints of one frame each, in pixels.
            timestamp: When the frame was taken, in seconds. Also pass frames without people.

        Returns:
            The same people in the same order, each with a ``track_id``, a whole number from 1. It
            is None until the next frame confirms the person.

        Raises:
            StreamError: The timestamp is not after the previous one.
            UsageError: A person has more than one frame.
        """
        if not math.isfinite(timestamp) or timestamp <= self._last:
            raise StreamError(
                f"The people of {timestamp:.6f} s were given after those of {self._last:.6f} s.",
                hint="Give frames in order, and each video its own tracker.",
            )
        if any(len(person) != 1 for person in people):
            raise UsageError(
                "A person has several frames.", hint="Give keypoints of one frame for each person."
            )
        self._last = timestamp
        boxes = [person_box(person) for person in people]
        seen = [at for at, box in enumerate(boxes) if box is not None]
        if seen:
            detections = self._supervision.Detections(
                xyxy=np.array([boxes[at] for at in seen], dtype=np.float64),
                confidence=np.array([_score(people[at]) for at in seen]),
                # ByteTrack returns detections in another order.
                data={"at": np.array(seen)},
            )
        else:
            detections = self._supervision.Detections.empty()
        tracked = self._tracker.update(detections, timestamp=timestamp)
        ids: dict[int, int] = {}
        if len(tracked):
            pairs = zip(tracked.data["at"].tolist(), tracked.tracker_id.tolist(), strict=True)
            ids = {at: track + 1 for at, track in pairs if track >= 0}
        return tuple(
            dataclasses.replace(person, track_id=ids.get(at)) for at, person in enumerate(people)
        )


def person_box(person: Keypoints) -> NDArray[np.float64] | None:
    """Return the box around a person's joints in one frame, with a margin.

    Returns:
        (4,): left, top, right and bottom in pixels; None if no joint is known.
    """
    points = person.points[0]
    known = points[~np.isnan(points[:, 0])].astype(np.float64)
    if not len(known):
        return None
    low, high = known.min(axis=0), known.max(axis=0)
    margin = max(1.0, _MARGIN * float((high - low).max()))
    return np.concatenate([low - margin, high + margin])


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the intersection over union of two boxes (left, top, right, bottom)."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0.0)))
    return shared / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared)


def _score(person: Keypoints) -> float:
    if person.scores is None:
        return 1.0
    known = ~np.isnan(person.points[0, :, 0])
    return float(person.scores[0, known].mean())


@dataclass(eq=False)
class _Person:
    rows: list[int] = field(default_factory=list)
    detections: list[Keypoints] = field(default_factory=list)


class PeopleTimeline:
    """Collects tracked people frame by frame, and returns one clip for each.

    A tracker gives a person an id when a second frame confirms them; their first frame is then
    added to the same clip. In a clip of a single frame every person counts.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._people: dict[int | str, _Person] = {}
        self._unnamed: list[Keypoints] = []

    def __len__(self) -> int:
        """Number of frames so far."""
        return len(self._times)

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """(frames,), seconds."""
        return np.array(self._times)

    def add(self, timestamp: float, people: Sequence[Keypoints]) -> None:
        """Append a frame.

        Args:
            timestamp: When it was taken, in seconds.
            people: Keypoints of one frame each, with their ``track_id``, or None if unknown.

        Raises:
            StreamError: The timestamp is not after the previous one.
            UsageError: Two people have the same id, or joints or image size differ from those of
                earlier people.
        """
        if self._times and not timestamp > self._times[-1]:
            raise StreamError(
                f"The frame of {timestamp:.6f} s comes after that of {self._times[-1]:.6f} s.",
                hint="Add frames in order.",
            )
        row = len(self._times)
        named = [person for person in people if person.track_id is not None]
        if len({person.track_id for person in named}) != len(named):
            raise UsageError("Two people have the same track_id.", hint="Track them first.")
        known = [person.detections[0] for person in self._people.values()]
        kinds = {(person.skeleton, person.image_size) for person in (*people, *known)}
        if len(kinds) > 1:
            raise UsageError(
                f"Some keypoints differ in skeleton or image size: {sorted(kinds)}.",
                hint="Collect those of one detector on one video.",
            )
        self._times.append(float(timestamp))
        for detection in named:
            assert detection.track_id is not None
            person = self._people.get(detection.track_id)
            if person is None:
                person = self._people[detection.track_id] = _Person()
                earlier = self._take_unnamed(detection)
                if earlier is not None:
                    person.rows.append(row - 1)
                    person.detections.append(earlier)
            person.rows.append(row)
            person.detections.append(detection)
        self._unnamed = [person for person in people if person.track_id is None]

    def clips(self, *, min_frames: int = 1) -> tuple[tuple[Keypoints, ...], int]:
        """Return each person's keypoints from the first frame to the last that shows the person.

        In between, points are NaN and scores 0 if the person was not found. ``first_frame`` and the
        timestamps say where a clip lies in the video.

        Args:
            min_frames: People found in fewer frames are left out; at most half of all frames, so
                that a short clip keeps its people.

        Returns:
            The people in the order of their ids, and how many were left out.
        """
        people = dict(self._people)
        if len(self._times) == 1:
            taken = [key for key in people if isinstance(key, int)]
            for number, detection in enumerate(self._unnamed, start=max(taken, default=0) + 1):
                people[number] = _Person([0], [detection])
        least = fewest_frames(min_frames, len(self._times))
        kept = {key: person for key, person in people.items() if len(person.rows) >= least}
        order = sorted(kept, key=lambda key: (isinstance(key, str), key))
        return tuple(self._clip(key, kept[key]) for key in order), len(people) - len(kept)

    def _take_unnamed(self, person: Keypoints) -> Keypoints | None:
        """Take the unnamed detection of the previous frame that overlaps a person most."""
        box, boxes = person_box(person), [person_box(earlier) for earlier in self._unnamed]
        shares = [0.0 if box is None or b is None else overlap(box, b) for b in boxes]
        if not shares or max(shares) < _SAME_PERSON:
            return None
        return self._unnamed.pop(shares.index(max(shares)))

    def _clip(self, track_id: int | str, person: _Person) -> Keypoints:
        found = person.detections
        first, frames = person.rows[0], person.rows[-1] - person.rows[0] + 1
        joints = found[0].points.shape[1]
        points = np.full((frames, joints, 2), np.nan, dtype=np.float32)
        scores = np.zeros((frames, joints), dtype=np.float32)
        for row, detection in zip(person.rows, found, strict=True):
            points[row - first] = detection.points[0]
            # Without scores, a detection is certain.
            scores[row - first] = 1.0 if detection.scores is None else detection.scores[0]
        unscored = all(detection.scores is None for detection in found)
        return Keypoints(
            points,
            None if unscored else scores,
            skeleton=found[0].skeleton,
            image_size=found[0].image_size,
            timestamps=self.timestamps[first : first + frames],
            track_id=track_id,
            first_frame=first,
            camera=found[0].camera,
            up=_joined_up(found, [row - first for row in person.rows], frames),
            height_m=found[0].height_m,
        )


def _joined_up(
    found: Sequence[Keypoints], rows: Sequence[int], frames: int
) -> NDArray[np.float64] | None:
    """Return the up direction of each frame, NaN where the person was not found; None if unknown.

    One direction, (3,), if it is the same in all frames.
    """
    each = [one.knowledge.up_of(slice(0, 1)) for one in found]
    known = [up.reshape(3) for up in each if up is not None]
    if not known:
        return None
    if len(known) == len(each) and (np.stack(known) == known[0]).all():
        return known[0]
    whole = np.full((frames, 3), np.nan)
    for row, up in zip(rows, each, strict=True):
        if up is not None:
            whole[row] = up
    return whole


def fewest_frames(min_frames: int, frames: int) -> int:
    """Return in how many frames a person has to be found: at most half of all of a video's."""
    return max(1, min(min_frames, frames // 2))
