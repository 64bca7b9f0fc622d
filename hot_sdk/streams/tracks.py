"""Follow the people of a stream, and pick the frames whose poses are due."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hot_sdk.camera_knowledge import doubtful_up
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import StreamError
from hot_sdk.inference import Runner
from hot_sdk.plausibility import implausible
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.root.placing import PersonPlacer
from hot_sdk.root.tracking import AT_CAMERA
from hot_sdk.skeletons import H36M17
from hot_sdk.streams.camera import StreamCamera
from hot_sdk.streams.observations import Detection, ObservationBuffer, Observations, TrackId
from hot_sdk.streams.options import StreamOptions, check_reach, frames_within_reach
from hot_sdk.streams.placing import PersonPlacing
from hot_sdk.streams.rate import FASTEST, FrameRate
from hot_sdk.streams.report import StreamCounters

_JOINTS = len(H36M17.joints)
_UNSEEN = np.full((_JOINTS, 2), np.nan, dtype=np.float32)

_OUT_OF_ORDER_S = 0.5
"""A single frame that is earlier by no more than this is out of order; else the clock was set."""

_SINGLE_PRECISE_S = 1e5
_LEAST_GAP_S = 0.2
"""Gaps up to this are bridged at any measured rate."""

_JUDGED_FRAMES = 60
"""Frames of a person after which the keypoints are judged; reports judge them again."""
_JUDGED_LEAST = 10


@dataclass
class Track:
    """The state of one person.

    Attributes:
        track_id: The person's id.
        buffer: The person's observations.
        settled: Number of observations whose pose was returned or dropped.
        last_time: Timestamp of the newest push.
        last_seen: Timestamp of the newest frame that showed any joint.
        ended: Number of observations before the newest frame that did not show the person; they
            do not wait for later ones.
        shares_frames: Other people were pushed with the same timestamp, one by one.
        height_m: The person's height, meters, if it is known.
        placer: Says where the person is, and keeps the size.
        stay: Stands for the observations since the person came, or since the last gap.
    """

    track_id: TrackId
    buffer: ObservationBuffer
    settled: int = 0
    last_time: float = -np.inf
    last_seen: float = -np.inf
    ended: int = 0
    shares_frames: bool = False
    height_m: float | None = None
    placer: PersonPlacer | None = None
    stay: object = field(default_factory=object)

    @property
    def waiting(self) -> int:
        """Number of observations whose pose is still to come."""
        return self.buffer.count - self.settled

    def restart(self) -> None:
        """Forget all observations, as after a gap."""
        self.buffer.count = self.settled = self.ended = 0
        self.stay = object()


class PendingFrames(NamedTuple):
    """Frames of one person that are to be lifted now.

    Attributes:
        track_id: The person's id.
        seen: The person's observations.
        frames: Number of frames that become final, the newest but ``lookahead``.
        lookahead: Number of known frames after them.
        camera: Turns keypoints into rays, if the network takes rays.
        height_m: The person's height, if the network takes it.
        placing: How the person is placed; None if nothing says where.
        stay: That of the track.
        last: No frame of this stay follows.
    """

    track_id: TrackId
    seen: Observations
    frames: int
    lookahead: int
    camera: Intrinsics | None = None
    height_m: float | None = None
    placing: PersonPlacing | None = None
    stay: object = None
    last: bool = False

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

    def __init__(self, runner: Runner, options: StreamOptions, policies: InputPolicies) -> None:
        frames, training_fps = runner.manifest.frames, runner.manifest.training_fps
        tolerance = policies.rate_tolerance if frames > 1 else None
        self._new_rate = functools.partial(FrameRate, options.fps, training_fps, tolerance)
        self.rate = self._new_rate()
        self.counters = StreamCounters()
        self.image_size = options.image_size
        self._camera = StreamCamera(
            options.knowledge, runner.manifest.conditions, options.placement
        )
        self._warnings: dict[str, None] = {}
        self._runner = runner
        self._options = options
        self._check_reach()
        faster = FASTEST if options.fps is None else max(options.fps / training_fps, 1.0)
        # Beyond a short window, as far back as a missing joint is held.
        self._remembered = max(frames, policies.hold_frames + 1)
        # A live network takes each frame at once, and its poses wait for others.
        self._step = runner.manifest.step
        if self._step is not None:
            self._remembered += self._step.lookahead
        waiting = options.lookahead + options.hop
        self._capacity = int(np.ceil(self._remembered * faster)) + waiting
        self._tracks: dict[TrackId, Track] = {}
        self._now = -np.inf
        self._refused = self._arrived = np.inf
        self._leftover: list[PendingFrames] = []

    def __len__(self) -> int:
        """Return the number of people who are followed."""
        return len(self._tracks)

    @property
    def stays(self) -> frozenset[object]:
        """Those of the people who are followed."""
        return frozenset(track.stay for track in self._tracks.values())

    def warnings(self) -> tuple[str, ...]:
        """Return what is unlikely about the keypoints of the people so far."""
        for track in self._tracks.values():
            self._judge(track)
        return (*self._camera.warnings(self.image_size), *self._warnings)

    def _judge(self, track: Track) -> None:
        if self.image_size is None or track.buffer.count < _JUDGED_LEAST:
            return
        seen = track.buffer.newest(self._capacity, -np.inf)
        skeleton = self._options.skeleton or "the pushed Keypoints"
        found = implausible(seen.points, seen.scores, self.image_size, skeleton)
        found += doubtful_up(seen.ups, seen.points)
        for warning in found:
            # The same with another share is not repeated.
            start = warning[-60:]
            if not any(known.endswith(start) for known in self._warnings):
                self._warnings[warning] = None

    def clear(self) -> None:
        """Forget all people."""
        self._tracks.clear()
        self._leftover.clear()

    def reset(self) -> None:
        """Forget all people, their pending frames and the clock, as if newly opened."""
        self.counters.dropped += sum(map(self._without_pose, self._tracks.values()))
        self.clear()
        self._now, self._refused = -np.inf, np.inf
        self.image_size = self._options.image_size
        self._camera.reset()
        self.rate = self._new_rate()

    def add_frame(
        self,
        detections: Sequence[Detection],
        timestamp: float,
        arrival: float,
        *,
        complete: bool = True,
        camera: CameraPose | None = None,
    ) -> None:
        """Add a frame.

        Args:
            detections: People in the frame.
            timestamp: Time of the frame, seconds.
            arrival: Time of its push, by ``time.perf_counter``.
            complete: They are all people in the frame; otherwise more may follow, and who is
                missing is known when a later frame comes.
            camera: Where the camera is; None if it is not known.

        Raises:
            StreamError: The frame does not follow those before.
        """
        self._check_people(detections)
        self._camera.check(detections, self.image_size)
        self._camera.check_pose(camera)
        self.rate.check(timestamp)
        self._follow_clock(timestamp, arrival)
        self._check_repeated(detections, timestamp)
        if self.image_size is None and detections:
            self.image_size = detections[0].image_size
        self._camera.note(detections, camera)
        if timestamp > self._now:
            self._add_absent(self._now, arrival, shared_only=True)
        self._now, self._refused, self._arrived = timestamp, np.inf, arrival
        if self.rate.observe(timestamp, arrival):
            self._check_reach()
        self._expire()
        for detection in detections:
            self._add(detection, timestamp, arrival)
        if complete:
            self._add_absent(timestamp, arrival)
            return
        together = [one for one in self._tracks.values() if one.last_time == timestamp]
        for track in together:
            track.shares_frames |= len(together) > 1

    def take_due(self) -> list[PendingFrames]:
        """Return the frames that are to be lifted now, and count them as settled."""
        due, self._leftover = self._leftover, []
        hop, lookahead = self._hop_and_lookahead()
        for track in self._tracks.values():
            frames = track.waiting - lookahead
            ended = track.ended - track.settled
            if frames < hop and ended < 1:
                continue
            frames = max(frames, ended)
            # More wait if the engine fell behind; in video mode each push is followed by this.
            kept = min(frames, hop if ended < 1 else lookahead + hop)
            self.counters.dropped += frames - kept
            known = track.waiting - frames
            track.settled += frames
            due.append(self._pending(track, kept, known))
        return due

    def _hop_and_lookahead(self) -> tuple[int, int]:
        """Return those of the options as far as the window reaches at the rate so far."""
        hop, lookahead = self._options.hop, self._options.lookahead
        if self._step is not None:
            return hop, 0
        if self._runner.center_only:
            return hop, lookahead
        interval_s, fps = self.rate.frame_interval_s, self.rate.assumed_fps
        within = frames_within_reach(self._runner.manifest.frames, interval_s, fps)
        reach = min(lookahead + hop - 1, within)
        hop = min(hop, reach + 1)
        return hop, reach + 1 - hop

    def drain(self) -> list[PendingFrames]:
        """Return all frames that still wait; the next frame of each person is a new start."""
        pending, self._leftover = self._leftover, []
        for track in self._tracks.values():
            pending += self._take_rest(track)
            track.restart()
        return pending

    def _add(self, detection: Detection, timestamp: float, arrival: float) -> None:
        self.counters.pushes += 1
        seen = not np.isnan(detection.points[:, 0]).all()
        track = self._tracks.get(detection.track_id)
        if track is None:
            track = self._join(detection.track_id) if seen else None
            if track is None:
                self.counters.unseen += not seen
                return
        track.last_time = timestamp
        if not seen:
            self._bridge(track, timestamp, arrival)
            return
        if timestamp - track.last_seen > self._longest_gap_s and track.buffer.count:
            self._end(track)
            track.restart()
            self.counters.resets += 1
        track.last_seen = timestamp
        if detection.height_m is not None:
            track.height_m = detection.height_m
        up = self._camera.up_of(detection)
        pose = AT_CAMERA if self._camera.pose is None else self._camera.pose
        self._drop_waiting(track)
        track.buffer.append(
            *(timestamp, arrival, detection.points, detection.scores, up),
            camera=pose,
            depths=detection.depths,
        )
        if track.buffer.count == _JUDGED_FRAMES:
            self._judge(track)

    def _add_absent(self, timestamp: float, arrival: float, *, shared_only: bool = False) -> None:
        """Note everyone who is followed but was not in a frame."""
        for track in self._tracks.values():
            if track.last_time < timestamp and (track.shares_frames or not shared_only):
                track.last_time = timestamp
                self._bridge(track, timestamp, arrival)

    def _bridge(self, track: Track, timestamp: float, arrival: float) -> None:
        """Add a frame that does not show a person; the frames before it wait no longer."""
        if track.buffer.count == 0 or timestamp - track.last_seen > self._longest_gap_s:
            self.counters.unseen += 1
            track.ended = track.buffer.count
            return
        self.counters.bridged += 1
        track.ended = track.buffer.count
        if self._runner.center_only:
            track.ended = 0
        pose = AT_CAMERA if self._camera.pose is None else self._camera.pose
        self._drop_waiting(track)
        track.buffer.append(timestamp, arrival, _UNSEEN, None, self._camera.up, pose)

    def _drop_waiting(self, track: Track) -> None:
        """Drop the frame that a live network has not taken yet, because another comes.

        What is kept of a person are then the frames that it took, among them those whose poses are
        still to come, however far the engine falls behind.
        """
        if self._step is not None and track.waiting:
            track.buffer.count -= 1
            self.counters.dropped += 1

    @property
    def _longest_gap_s(self) -> float:
        # Half an interval more, for frames that are a little late.
        longest = (self._options.max_gap_frames + 0.5) / self.rate.assumed_fps
        return max(longest, _LEAST_GAP_S) if self.rate.measured else longest

    def _follow_clock(self, timestamp: float, arrival: float) -> None:
        """Begin again if the clock of the timestamps was set, other than by a pause.

        Raises:
            StreamError: The frame is a little earlier than the one before: out of order.
        """
        back = self._now - timestamp
        if back > 0.0:
            if back <= _OUT_OF_ORDER_S and not timestamp > self._refused:
                self._refused = timestamp
                raise StreamError(
                    f"The timestamp {timestamp:.6f} s is earlier than {self._now:.6f} s, which was"
                    " pushed before.",
                    hint="Push frames in the order of their time.",
                )
        elif (
            not self._options.time_to_live_s < -back < np.inf
            or arrival - self._arrived > 0.5 * -back
        ):
            return
        self.counters.clock_jumps += 1
        for track in self._tracks.values():
            if back > 0.0:
                self._leftover += self._take_rest(track)
            else:
                self._end(track)
                self.counters.left += 1
        self._tracks.clear()
        self.rate.restart()
        self._now = -np.inf

    def _check_people(self, detections: Sequence[Detection]) -> None:
        if len({detection.track_id for detection in detections}) < len(detections):
            raise StreamError(
                "Two people in one frame have the same track id.",
                hint="Give each person a different track id.",
            )
        size = self.image_size
        for detection in detections:
            if detection.image_size != (size or detections[0].image_size):
                raise StreamError(
                    f"The image is {detection.image_size} pixels large; so far it was"
                    f" {size or detections[0].image_size}.",
                    hint="Open another stream for another camera.",
                )

    def _check_repeated(self, detections: Sequence[Detection], timestamp: float) -> None:
        for detection in detections:
            track = self._tracks.get(detection.track_id)
            if track is None or timestamp > track.last_time:
                continue
            hint = "Push each frame once; give several people different track ids."
            if timestamp > _SINGLE_PRECISE_S and timestamp == float(np.float32(timestamp)):
                hint = "It may have been a single-precision number: keep timestamps in double."
            raise StreamError(
                f"The timestamp {timestamp:.6f} s is not later than {track.last_time:.6f} s,"
                f" the last one of the person {detection.track_id!r}.",
                hint=hint,
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

    def _expire(self) -> None:
        """Forget people who were not seen for too long."""
        longest = self._options.time_to_live_s
        gone = [one for one in self._tracks.values() if self._now - one.last_seen > longest]
        for track in gone:
            self._end(track)
            del self._tracks[track.track_id]
            self.counters.left += 1

    def _end(self, track: Track) -> None:
        """Lift the last frames of a person who was lost, unless they are too old to act on."""
        if self._options.mode == "video":
            self._leftover += self._take_rest(track)
        else:
            self.counters.dropped += self._without_pose(track)

    def _take_rest(self, track: Track) -> list[PendingFrames]:
        """Return a person's last frames, which wait for later ones that will not come."""
        if self._without_pose(track) < 1:
            return []
        waiting = track.waiting
        track.settled += waiting
        return [self._pending(track, waiting, 0, last=True)]

    def _without_pose(self, track: Track) -> int:
        """Return the number of a person's frames whose pose was neither returned nor dropped."""
        if self._step is None:
            return track.waiting
        return track.waiting + min(track.settled, self._step.lookahead)

    def _pending(
        self, track: Track, frames: int, lookahead: int, *, last: bool = False
    ) -> PendingFrames:
        if self._step is not None:
            # Of someone who was away, those before that.
            seen = track.buffer.newest(self._remembered + frames, -np.inf)
        else:
            span = (self._remembered + 1) * self.rate.frame_interval_s
            newest = track.last_time
            if self._runner.center_only:
                newest -= (frames + lookahead) / self.rate.assumed_fps
            seen = track.buffer.newest(self._capacity, newest - span)
        camera, height_m = self._camera.told(track.height_m)
        placing = self._camera.placing(track.placer, track.height_m)
        track.placer = None if placing is None else placing.placer
        return PendingFrames(
            *(track.track_id, seen, frames, lookahead, camera, height_m, placing, track.stay, last)
        )
