"""Who is who from frame to frame: ByteTrack on the boxes around people's keypoints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import StreamError, UsageError
from hot_sdk.extras import require
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
