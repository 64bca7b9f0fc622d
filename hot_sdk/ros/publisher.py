"""Publish the poses of a stream to ROS 2."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hot_sdk._base.closing import Closing
from hot_sdk.errors import StreamError, UsageError
from hot_sdk.root.placement import CAMERA_FRAME
from hot_sdk.ros import names
from hot_sdk.ros.bags import BagWriter
from hot_sdk.ros.conversion import SECOND, Outgoing, kind_of, messages_of, optical_frame
from hot_sdk.ros.network import RELIABLE, Network, Quality, checked_reliability, messages
from hot_sdk.streams import StreamPose
from hot_sdk.streams.observations import TrackId
from hot_sdk.streams.stream import checked_seconds

CAMERA_LINK = "camera_link"
"""The frame of a camera's body, of which ``CAMERA_FRAME`` is the optical one."""

_FORGOTTEN_S = 10.0
"""Without a pose for so long, a body's topics disappear."""

_OUT_OF_ORDER_S = 0.5
"""A frame that is earlier by no more than this is out of order; else the clock was set."""

_QUALITIES = {
    names.TF: Quality(depth=100),
    names.TF_STATIC: Quality(depth=1, latched=True),
}


class PosePublisher(Closing):
    """Publishes people's poses as ROS 2 messages, over DDS, without ROS; any thread may call it.

    ``docs/ros.md`` lists the topics, types and frames. Joints that are not valid are NaN or absent,
    never a guess.

    Args:
        domain: ROS's domain; None for that of ``ROS_DOMAIN_ID``, or else 0.
        reliability: ``reliable``, which every subscriber can receive; or ``best_effort``, which
            loses messages rather than send them again, and which subscribers that ask for
            reliable ones do not get. Transforms are always reliable.
        is_relative: Positions are relative to each person's root, in a frame of their own; for a
            stream that does not know where people are, whose joints would all be NaN. Their axes
            are forward, left and up of the camera, or of the robot if the stream knows it.
        frame_id: Name of the frame of positions; None for that of the poses.
        epoch_ns: Unix time of the timestamp 0, nanoseconds: stamps are this plus the timestamps.
            None takes the first pose's frame as old as its delay now.
        announces: Say on ``/humans/bodies/tracked`` which bodies there are; False if the detector
            of their keypoints says so.
        bag: A folder for a bag of all messages, which must not exist; None for no bag.
        publishes: Send the messages; False only records them, at the time of their stamps.

    Raises:
        UsageError: An argument is unknown or out of range, DDS does not start, or the bag exists
            or cannot be written.
        MissingDependencyError: cyclonedds, or for a bag rosbags, is not installed.
    """

    def __init__(
        self,
        *,
        domain: int | None = None,
        reliability: str = RELIABLE,
        is_relative: bool = False,
        frame_id: str | None = None,
        epoch_ns: int | None = None,
        announces: bool = True,
        bag: str | Path | None = None,
        publishes: bool = True,
    ) -> None:
        if not publishes and bag is None:
            raise UsageError("Nothing is published nor recorded.", hint="Give the name of a bag.")
        self._quality = Quality(checked_reliability(reliability))
        self._is_relative = is_relative
        self._frame_id = frame_id
        self._epoch_ns = epoch_ns
        self._announces = announces
        self._bodies: dict[TrackId, str] = {}
        self._seen: dict[TrackId, float] = {}
        self._shown: set[str] = set()
        self._writers: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._last = -np.inf
        self._last_frame = CAMERA_FRAME
        self._stamp_ns = 0
        self._is_open, self._is_oriented = True, False
        self._network = Network(domain) if publishes else None
        try:
            messages()
            self._bag = None if bag is None else BagWriter(bag)
        except BaseException:
            if self._network is not None:
                self._network.close()
            raise

    @property
    def epoch_ns(self) -> int | None:
        """Unix time of the timestamp 0, nanoseconds; None before the first pose."""
        return self._epoch_ns

    def publish(self, poses: Sequence[StreamPose], timestamp: float) -> int:
        """Publish the poses of all people of one frame.

        Args:
            poses: Poses of different people; none if the frame shows nobody, which says so to
                subscribers.
            timestamp: Time of the frame, seconds, as it was pushed to the stream.

        Returns:
            How many messages were sent or recorded; those that nobody subscribes to are neither
            built nor counted unless they are recorded.

        Raises:
            StreamError: The publisher is closed, the timestamp is out of order, or
                is not that of a pose, or a person has two poses.
            UsageError: The poses are relative, and not in meters.
        """
        seconds = checked_seconds(timestamp)
        with self._lock:
            if not self._is_open:
                raise StreamError("The publisher is closed.", hint="Make another.")
            self._check(poses, seconds)
            stamp_ns = self._begin(poses, seconds) + round(seconds * SECOND)
            if stamp_ns < 0:
                raise StreamError(
                    f"The timestamp {seconds} is before 1970.", hint="Give another epoch_ns."
                )
            self._last = seconds
            return self._publish(poses, seconds, stamp_ns)

    def wait_for_subscribers(self, topics: Sequence[str], timeout_s: float) -> bool:
        """Announce topics, and wait until each of them has a subscriber.

        ROS gives a subscriber nothing of what was published before it was there.

        Args:
            topics: Names, such as ``/poses/markers``.
            timeout_s: Seconds.

        Returns:
            False if one of them had none within the time, or nothing is published.

        Raises:
            UsageError: A topic is none of those that are published.
        """
        end = time.monotonic() + timeout_s
        while True:
            with self._lock:
                if self._network is None:
                    return False
                waiting = [
                    one for one in topics if not self._writer(one).get_matched_subscriptions()
                ]
            if not waiting or time.monotonic() > end:
                return not waiting
            time.sleep(0.01)

    def close(self) -> None:
        """Leave ROS's network, and complete the bag; closing twice is allowed.

        Raises:
            UsageError: The bag cannot be written.
        """
        with self._lock:
            self._is_open = False
            self._writers.clear()
            network, self._network = self._network, None
            if network is not None:
                network.close()
            bag, self._bag = self._bag, None
            if bag is not None:
                bag.close()

    def _check(self, poses: Sequence[StreamPose], seconds: float) -> None:
        if self._last - _OUT_OF_ORDER_S < seconds <= self._last:
            raise StreamError(
                f"The frame of {seconds:.6f} s comes after that of {self._last:.6f} s.",
                hint="Publish each frame once, with all its people, in order.",
            )
        if any(pose.timestamp != seconds for pose in poses):
            raise StreamError(
                f"A pose is not of the frame of {seconds:.6f} s.",
                hint="Group poses by their timestamp; hot_sdk.ros.by_frame does.",
            )
        if len({pose.track_id for pose in poses}) != len(poses):
            raise StreamError("A person has two poses.", hint="Give each person a track_id.")

    def _begin(self, poses: Sequence[StreamPose], seconds: float) -> int:
        """Return the Unix time of the timestamp 0."""
        if self._epoch_ns is None:
            delay_s = max((pose.delay_s for pose in poses), default=0.0)
            self._epoch_ns = time.time_ns() - round((seconds + delay_s) * SECOND)
        return self._epoch_ns

    def _orient(self, frame_id: str, stamp_ns: int) -> bool:
        """Say once how the frame of a camera is turned that the caller did not name."""
        is_ours = frame_id == CAMERA_FRAME and self._frame_id is None and not self._is_relative
        if not is_ours or self._is_oriented:
            return False
        self._is_oriented = True
        return self._send(optical_frame(stamp_ns, CAMERA_LINK, CAMERA_FRAME))

    def _publish(self, poses: Sequence[StreamPose], seconds: float, stamp_ns: int) -> int:
        self._stamp_ns = stamp_ns
        for pose in poses:
            self._seen[pose.track_id] = seconds
            if pose.track_id not in self._bodies:
                self._bodies[pose.track_id] = self._new_id(pose.track_id)
        frame_id = self._frame_id or (poses[0].frame_id if poses else self._last_frame)
        self._last_frame = frame_id
        sent = int(bool(poses) and self._orient(frame_id, stamp_ns))
        seen = {self._bodies[pose.track_id] for pose in poses}
        outgoing = messages_of(
            poses,
            stamp_ns,
            bodies=self._bodies,
            is_relative=self._is_relative,
            frame_id=frame_id,
            gone=sorted(self._shown - seen),
            announces=self._announces,
        )
        sent += sum(self._send(one) for one in outgoing)
        self._shown = seen
        self._forget(seconds)
        return sent

    def _send(self, outgoing: Outgoing) -> bool:
        topic, message = outgoing.topic, None
        quality = _QUALITIES.get(topic, self._quality)
        if self._network is not None:
            writer = self._writer(topic)
            if quality.latched or writer.get_matched_subscriptions():
                message = outgoing.build()
                writer.write(message)
        if self._bag is not None:
            message = outgoing.build() if message is None else message
            now_ns = self._stamp_ns if self._network is None else time.time_ns()
            self._bag.write(topic, message, now_ns, quality)
        return message is not None

    def _writer(self, topic: str) -> Any:  # noqa: ANN401
        assert self._network is not None
        if topic not in self._writers:
            quality = _QUALITIES.get(topic, self._quality)
            self._writers[topic] = self._network.writer(topic, kind_of(topic), quality)
        return self._writers[topic]

    def _new_id(self, track_id: TrackId) -> str:
        """Return an id for a body that no other has."""
        plain = name = names.body_id(track_id)
        number = 2
        while name in self._bodies.values():
            name, number = f"{plain}_{number}", number + 1
        return name

    def _forget(self, seconds: float) -> None:
        """End the topics of bodies that were not seen for long."""
        gone = [who for who, last in self._seen.items() if seconds - last > _FORGOTTEN_S]
        for track_id in gone:
            del self._seen[track_id]
            start = names.body_topic(self._bodies.pop(track_id), "")
            for topic in [one for one in self._writers if one.startswith(start)]:
                del self._writers[topic]


def by_frame(poses: Iterable[StreamPose]) -> tuple[tuple[float, tuple[StreamPose, ...]], ...]:
    """Group what a stream returned by frame: timestamps, and the poses of each, in order."""
    frames: dict[float, list[StreamPose]] = {}
    for pose in poses:
        frames.setdefault(pose.timestamp, []).append(pose)
    return tuple((timestamp, tuple(frames[timestamp])) for timestamp in sorted(frames))
