"""Who is who from frame to frame: ByteTrack on the boxes around people's keypoints.

Clips of people out of single frames: one timeline, on which each is present or missing.
"""

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

_PURPOSE = "Tracking several people"
# Share of a box's longer side by which it is made larger than the joints: a person reaches beyond
# them, and the box of one who stands in profile would else be too thin to overlap the next.
_MARGIN = 0.1


class Tracker:
    """Gives people ids that stay theirs, by ByteTrack (Zhang et al., ECCV 2022) of ``trackers``.

    People are followed by the boxes around their joints, not by their looks: two who cross keep
    their ids as long as they move on as before, and one who is back within ``lost_seconds`` near
    where he was to be expected has his id again.
    """

    def __init__(
        self,
        *,
        fps: float = 30.0,
        lost_seconds: float = 1.0,
        min_start_score: float = 0.4,
        min_overlap: float = 0.1,
    ) -> None:
        """Start with nobody.

        Args:
            fps: Nominal frames a second, in whose steps movement is reckoned; the true steps are
                taken from the timestamps.
            lost_seconds: How long one who is not seen is waited for.
            min_start_score: Mean score of the joints, 0 to 1, from which a find may be a new
                person; a lower one only goes on with a person who is known. Finds without scores
                count as sure.
            min_overlap: Least overlap (intersection over union), 0 to 1, of a find with where the
                person was expected.

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
        bytetrack = require("trackers", extra="video", purpose=_PURPOSE).ByteTrackTracker
        self._supervision = require("supervision", extra="video", purpose=_PURPOSE)
        self._tracker: Any = bytetrack(
            # In frames of thirtieths of a second, whatever the rate.
            lost_track_buffer=round(30.0 * lost_seconds),
            frame_rate=float(fps),
            track_activation_threshold=min_start_score,
            high_conf_det_threshold=min_start_score,
            minimum_iou_threshold=min_overlap,
            minimum_consecutive_frames=2,
        )
        self._last = -math.inf

    def update(self, people: Sequence[Keypoints], timestamp: float) -> tuple[Keypoints, ...]:
        """Say who the people of the next frame are.

        Args:
            people: Keypoints of one frame each, in pixels.
            timestamp: When the frame was taken, in seconds. Call with nobody too, so that time
                goes on.

        Returns:
            The same in the same order, each with its ``track_id``, a whole number from 1. None for
            one who is not known yet: a find is believed when the next frame confirms it.

        Raises:
            StreamError: The timestamp is not after the one before.
            UsageError: Somebody has more than one frame.
        """
        if not math.isfinite(timestamp) or timestamp <= self._last:
            raise StreamError(
                f"The people of {timestamp:.6f} s were given after those of {self._last:.6f} s.",
                hint="Give frames in order, and each video a tracker of its own.",
            )
        if any(len(person) != 1 for person in people):
            raise UsageError(
                "Somebody has several frames.", hint="Give keypoints of one frame for each person."
            )
        self._last = timestamp
        boxes = [person_box(person) for person in people]
        seen = [at for at, box in enumerate(boxes) if box is not None]
        if seen:
            detections = self._supervision.Detections(
                xyxy=np.array([boxes[at] for at in seen], dtype=np.float64),
                confidence=np.array([_score(people[at]) for at in seen]),
                # ByteTrack gives detections back in an order of its own.
                data={"at": np.array(seen)},
            )
        else:
            detections = self._supervision.Detections.empty()
        tracked = self._tracker.update(detections, timestamp=timestamp)
        ids: dict[int, int] = {}
        if len(tracked):
            for at, track in zip(tracked.data["at"], tracked.tracker_id, strict=True):
                if track >= 0:
                    ids[int(at)] = int(track) + 1
        return tuple(
            dataclasses.replace(person, track_id=ids.get(at)) for at, person in enumerate(people)
        )


def person_box(person: Keypoints) -> NDArray[np.float64] | None:
    """The box around a person's joints in one frame, with a margin.

    Returns:
        (4,): left, top, right and bottom in pixels; None where no joint is known.
    """
    points = person.points[0]
    known = points[~np.isnan(points[:, 0])].astype(np.float64)
    if not len(known):
        return None
    low, high = known.min(axis=0), known.max(axis=0)
    margin = max(1.0, _MARGIN * float((high - low).max()))
    return np.concatenate([low - margin, high + margin])


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0.0)))
    return shared / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared)


def _score(person: Keypoints) -> float:
    if person.scores is None:
        return 1.0
    known = ~np.isnan(person.points[0, :, 0])
    return float(person.scores[0, known].mean())


# A first find and its confirmation in the next frame are one person from this overlap on.
_SAME_PERSON = 0.1


@dataclass(eq=False)
class _Person:
    rows: list[int] = field(default_factory=list)
    finds: list[Keypoints] = field(default_factory=list)


class PeopleTimeline:
    """Collects tracked people frame by frame and gives each one's keypoints over the whole time.

    A tracker names a person when the second frame confirms him; his first frame is then added to
    his own. In a clip of a single frame everybody counts.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._people: dict[int | str, _Person] = {}
        self._unnamed: list[Keypoints] = []

    def __len__(self) -> int:
        """Frames so far."""
        return len(self._times)

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """(frames,), seconds."""
        return np.array(self._times)

    def add(self, timestamp: float, people: Sequence[Keypoints]) -> None:
        """Append a frame.

        Args:
            timestamp: When it was taken, in seconds.
            people: Keypoints of one frame each, with their ``track_id``, or None where unknown.

        Raises:
            StreamError: The timestamp is not after the one before.
            UsageError: Two people have the same id, or other joints or another image size than the
                people before.
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
        kinds = {(person.skeleton, person.image_size) for person in people}
        kinds |= {(p.finds[0].skeleton, p.finds[0].image_size) for p in self._people.values()}
        if len(kinds) > 1:
            raise UsageError(
                f"Some keypoints differ in skeleton or image size: {sorted(kinds)}.",
                hint="Collect those of one detector on one video.",
            )
        self._times.append(float(timestamp))
        for find in named:
            assert find.track_id is not None
            person = self._people.get(find.track_id)
            if person is None:
                person = self._people[find.track_id] = _Person()
                earlier = self._first_find(find)
                if earlier is not None:
                    person.rows.append(row - 1)
                    person.finds.append(earlier)
            person.rows.append(row)
            person.finds.append(find)
        self._unnamed = [person for person in people if person.track_id is None]

    def clips(self, *, min_frames: int = 1) -> tuple[tuple[Keypoints, ...], int]:
        """Everybody's keypoints over all frames, NaN and score 0 where he was not found.

        Args:
            min_frames: Who was found in fewer frames is left out; never more than half of all
                frames, so that a short clip is not left without people.

        Returns:
            The people in the order of their ids, and how many were left out.
        """
        people = dict(self._people)
        if len(self._times) == 1:
            taken = [key for key in people if isinstance(key, int)]
            for number, find in enumerate(self._unnamed, start=max(taken, default=0) + 1):
                people[number] = _Person([0], [find])
        least = max(1, min(min_frames, len(self._times) // 2))
        kept = {key: person for key, person in people.items() if len(person.rows) >= least}
        order = sorted(kept, key=lambda key: (isinstance(key, str), key))
        return tuple(self._clip(key, kept[key]) for key in order), len(people) - len(kept)

    def _first_find(self, find: Keypoints) -> Keypoints | None:
        box = person_box(find)
        best, candidate = _SAME_PERSON, None
        for earlier in self._unnamed:
            earlier_box = person_box(earlier)
            if box is None or earlier_box is None:
                continue
            shared = overlap(box, earlier_box)
            if shared >= best:
                best, candidate = shared, earlier
        if candidate is not None:
            self._unnamed = [other for other in self._unnamed if other is not candidate]
        return candidate

    def _clip(self, track_id: int | str, person: _Person) -> Keypoints:
        first = person.finds[0]
        frames, joints = len(self._times), first.points.shape[1]
        points = np.full((frames, joints, 2), np.nan, dtype=np.float32)
        scores = np.zeros((frames, joints), dtype=np.float32)
        for row, find in zip(person.rows, person.finds, strict=True):
            points[row] = find.points[0]
            # A find without scores is sure where it has a joint.
            scores[row] = 1.0 if find.scores is None else find.scores[0]
        unscored = all(find.scores is None for find in person.finds)
        return Keypoints(
            points,
            None if unscored else scores,
            skeleton=first.skeleton,
            image_size=first.image_size,
            timestamps=self.timestamps,
            track_id=track_id,
        )
