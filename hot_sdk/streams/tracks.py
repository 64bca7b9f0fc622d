"""Follow the people of a stream, and pick the frames whose poses are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import StreamError
from hot_sdk.inference import WindowRunner
from hot_sdk.keypoints import Keypoints
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.preprocessing.resampling import differs
from hot_sdk.skeletons import H36M17
from hot_sdk.streams.options import StreamOptions, check_reach
from hot_sdk.streams.report import StreamCounters

TrackId = int | str | None

_JOINTS = len(H36M17.joints)
_ENTRY = np.dtype(
    [
        ("times", np.float64),
        ("arrivals", np.float64),
        ("points", np.float32, (_JOINTS, 2)),
        ("scores", np.float32, _JOINTS),
    ]
)
_INTERVALS = 8
_FASTEST = 4
"""Multiple of the model's rate up to which a camera of unknown rate fills the window."""


class Detection(NamedTuple):
    """One person in one frame: points (17, 2), scores (17,)."""

    track_id: TrackId
    points: NDArray[np.float32]
    scores: NDArray[np.float32] | None
    image_size: tuple[int, int]


def detection_of(keypoints: Keypoints, track_id: TrackId) -> Detection:
    """Convert one frame of keypoints to the network's joints.

    Raises:
        StreamError: There are several frames.
    """
    if len(keypoints) != 1:
        raise StreamError(
            f"{len(keypoints)} frames were pushed at once.",
            hint="Push one frame at a time, or give the whole clip to the engine.",
        )
    points, scores = keypoints.h36m17_arrays()
    return Detection(
        keypoints.track_id if track_id is None else track_id,
        points[0],
        None if scores is None else scores[0],
        keypoints.image_size,
    )


@dataclass(frozen=True)
class Observations:
    """A person's keypoints, oldest first.

    Attributes:
        times: (frames,), seconds, as they were pushed.
        arrivals: (frames,), seconds of the monotonic clock at which they were pushed.
        points: (frames, 17, 2), pixels, NaN if missing.
        scores: (frames, 17), 0 to 1.
    """

    times: NDArray[np.float64]
    arrivals: NDArray[np.float64]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]


class ObservationBuffer:
    """A ring that returns its newest entries as contiguous arrays.

    Each entry is written twice, a ring's length apart, so that no read ever wraps round.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries = np.zeros(2 * capacity, dtype=_ENTRY)
        self.count = 0

    def append(
        self,
        time: float,
        arrival: float,
        points: NDArray[np.float32],
        scores: NDArray[np.float32] | None,
    ) -> None:
        """Add points, (17, 2), and scores, (17,), or None if the detector has none."""
        slot = self.count % self._capacity
        for place in (slot, slot + self._capacity):
            self._entries[place] = (time, arrival, points, 1.0 if scores is None else scores)
        self.count += 1

    def newest(self, most: int, since: float) -> Observations:
        """Copy at most ``most`` of the newest observations, none older than ``since`` seconds."""
        kept = min(self.count, self._capacity, most)
        end = (self.count - 1) % self._capacity + 1 + self._capacity
        start = end - kept
        start += int(np.searchsorted(self._entries["times"][start:end], since))
        part = self._entries[min(start, end - 1) : end]
        return Observations(*(part[field.name].copy() for field in fields(Observations)))


class FrameRate:
    """The frame rate of a stream: given, or measured on its first frames.

    Attributes:
        fps: Frames per second; None until known.
        measured: The rate was not given.
    """

    def __init__(self, fps: float | None, training_fps: float, tolerance: float | None) -> None:
        self.fps = fps
        self.measured = fps is None
        self._training_fps = training_fps
        self._tolerance = tolerance
        self._times: list[float] = []

    def observe(self, timestamp: float) -> bool:
        """Note a frame's time; return True if this frame made the rate known."""
        if self.fps is not None or (self._times and timestamp <= self._times[-1]):
            return False
        self._times.append(timestamp)
        if len(self._times) <= _INTERVALS:
            return False
        self.fps = float(1.0 / np.median(np.diff(self._times)))
        self._times.clear()
        return True

    @property
    def assumed_fps(self) -> float:
        """Frames per second; the model's own until the rate is known."""
        return self._training_fps if self.fps is None else self.fps

    @property
    def resamples(self) -> bool:
        """Frames are resampled in time to the model's rate."""
        if self.fps is None or self._tolerance is None:
            return False
        return differs(self.fps, self._training_fps, self._tolerance)

    @property
    def frame_interval_s(self) -> float:
        """Seconds between the frames of a window."""
        return 1.0 / (self._training_fps if self.resamples else self.assumed_fps)


@dataclass
class Track:
    """The state of one person.

    Attributes:
        track_id: The person's id.
        buffer: The person's observations.
        settled: Number of observations whose pose was returned or dropped.
        last_time: Timestamp of the newest push.
        last_seen: Timestamp of the newest frame that showed any joint.
    """

    track_id: TrackId
    buffer: ObservationBuffer
    settled: int = 0
    last_time: float = -np.inf
    last_seen: float = -np.inf

    @property
    def waiting(self) -> int:
        """Number of observations whose pose is still to come."""
        return self.buffer.count - self.settled

    def restart(self) -> None:
        """Forget all observations, as after a gap."""
        self.buffer.count = 0
        self.settled = 0


@dataclass(frozen=True)
class PendingFrames:
    """Frames of one person that are to be lifted now.

    Attributes:
        track_id: The person's id.
        seen: The person's observations.
        frames: Number of frames that become final, the newest but ``lookahead``.
        lookahead: Number of known frames after them.
    """

    track_id: TrackId
    seen: Observations
    frames: int
    lookahead: int

    @property
    def final(self) -> slice:
        """The frames that become final, within ``seen``."""
        end = len(self.seen.times) - self.lookahead
        return slice(max(end - self.frames, 0), end)


class TrackTable:
    """The people of a stream. It has no lock: the stream holds its own around each call.

    Attributes:
        rate: The stream's frame rate.
        counters: What happened.
        image_size: Width and height in pixels; if it was not given, None before the first frame.
    """

    def __init__(
        self, runner: WindowRunner, options: StreamOptions, policies: InputPolicies
    ) -> None:
        frames, training_fps = runner.manifest.frames, runner.manifest.training_fps
        tolerance = policies.rate_tolerance if frames > 1 else None
        self.rate = FrameRate(options.fps, training_fps, tolerance)
        self.counters = StreamCounters()
        self.image_size = options.image_size
        self._runner = runner
        self._options = options
        self._check_reach()
        faster = _FASTEST if options.fps is None else max(options.fps / training_fps, 1.0)
        # Beyond a short window, as far back as a missing joint is held.
        self._remembered = max(frames, policies.hold_frames + 1)
        waiting = options.lookahead + options.hop
        self._capacity = int(np.ceil(self._remembered * faster)) + waiting
        self._tracks: dict[TrackId, Track] = {}
        self._now = -np.inf

    def __len__(self) -> int:
        """Return the number of people who are followed."""
        return len(self._tracks)

    def clear(self) -> None:
        """Forget all people."""
        self._tracks.clear()

    def add_frame(
        self, detections: Sequence[Detection], timestamp: float, arrival: float
    ) -> list[PendingFrames]:
        """Add a frame, and return the last frames of people who are no longer followed.

        Args:
            detections: All people in the frame.
            timestamp: Time of the frame, seconds.
            arrival: Time of its push, by ``time.perf_counter``.

        Raises:
            StreamError: The frame does not follow those before.
        """
        self._check_frame(detections, timestamp)
        self._now = timestamp
        if self.rate.observe(timestamp):
            self._check_reach()
        # Half an interval more, for frames that are a little late.
        longest_gap = (self._options.max_gap_frames + 0.5) / self.rate.assumed_fps
        lost = self._expire()
        for detection in detections:
            self.counters.pushes += 1
            seen = not np.isnan(detection.points[:, 0]).all()
            track = self._tracks.get(detection.track_id)
            if track is None:
                track = self._join(detection.track_id) if seen else None
                if track is None:
                    self.counters.unseen += not seen
                    continue
            elif timestamp - track.last_seen > longest_gap and track.buffer.count:
                lost += self._end(track)
                track.restart()
                self.counters.resets += 1
            track.last_time = timestamp
            if seen:
                track.last_seen = timestamp
            elif track.buffer.count == 0:
                self.counters.unseen += 1
                continue
            track.buffer.append(timestamp, arrival, detection.points, detection.scores)
        return lost

    def take_due(self) -> list[PendingFrames]:
        """Return the frames that are to be lifted now, and count them as settled."""
        hop, lookahead = self._options.hop, self._options.lookahead
        due = []
        for track in self._tracks.values():
            waiting = track.waiting - lookahead
            if waiting < hop:
                continue
            # In video mode this never happens: every push is followed by what it made due.
            self.counters.dropped += waiting - hop
            track.settled += waiting
            due.append(self._pending(track, hop, lookahead))
        return due

    def drain(self) -> list[PendingFrames]:
        """Return all frames that still wait; the next frame of each person is a new start."""
        pending = [rest for track in self._tracks.values() for rest in self._take_rest(track)]
        for track in self._tracks.values():
            track.restart()
        return pending

    def _check_frame(self, detections: Sequence[Detection], timestamp: float) -> None:
        if not np.isfinite(timestamp):
            raise StreamError(f"The timestamp is {timestamp}.", hint="Give seconds.")
        if timestamp < self._now:
            raise StreamError(
                f"The timestamp {timestamp:.6f} s is earlier than {self._now:.6f} s, which was"
                " pushed before.",
                hint="Push frames in the order of their time.",
            )
        if len({detection.track_id for detection in detections}) < len(detections):
            raise StreamError(
                "Two people in one frame have the same track id.",
                hint="Give each person a different track id.",
            )
        for detection in detections:
            track = self._tracks.get(detection.track_id)
            if track is not None and timestamp <= track.last_time:
                raise StreamError(
                    f"The timestamp {timestamp:.6f} s is not later than {track.last_time:.6f} s,"
                    f" the last one of the person {detection.track_id!r}.",
                    hint="Push each frame once; give several people different track ids.",
                )
            if self.image_size is None:
                self.image_size = detection.image_size
            if detection.image_size != self.image_size:
                raise StreamError(
                    f"The image is {detection.image_size} pixels large; so far it was"
                    f" {self.image_size}.",
                    hint="Open another stream for another camera.",
                )

    def _check_reach(self) -> None:
        rate = self.rate
        check_reach(
            self._options, self._runner, fps=rate.assumed_fps, interval_s=rate.frame_interval_s
        )

    def _join(self, track_id: TrackId) -> Track | None:
        if len(self._tracks) >= self._options.max_people:
            self.counters.refused += 1
            return None
        self.counters.joined += 1
        track = self._tracks[track_id] = Track(track_id, ObservationBuffer(self._capacity))
        return track

    def _expire(self) -> list[PendingFrames]:
        """Forget people who were not seen for too long, and return their last frames."""
        longest = self._options.time_to_live_s
        gone = [one for one in self._tracks.values() if self._now - one.last_seen > longest]
        lost = [rest for track in gone for rest in self._end(track)]
        for track in gone:
            del self._tracks[track.track_id]
            self.counters.left += 1
        return lost

    def _end(self, track: Track) -> list[PendingFrames]:
        """Return the last frames of a person who was lost."""
        if self._options.mode == "video":
            return self._take_rest(track)
        # They are as old as a gap or a time to live: nothing to act on.
        self.counters.dropped += track.waiting
        return []

    def _take_rest(self, track: Track) -> list[PendingFrames]:
        """Return a person's last frames, which wait for later ones that will not come."""
        waiting = track.waiting
        if waiting < 1:
            return []
        track.settled += waiting
        return [self._pending(track, waiting, 0)]

    def _pending(self, track: Track, frames: int, lookahead: int) -> PendingFrames:
        span = (self._remembered + 1) * self.rate.frame_interval_s
        newest = track.last_time
        if self._runner.center_only:
            newest -= (frames + lookahead) / self.rate.assumed_fps
        seen = track.buffer.newest(self._capacity, newest - span)
        return PendingFrames(track.track_id, seen, frames, lookahead)
