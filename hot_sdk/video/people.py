"""Clips of people out of single frames: one timeline, on which each is present or missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import StreamError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.video.tracking import overlap, person_box

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
