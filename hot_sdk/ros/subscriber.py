"""Receive people's 2D keypoints from ROS 2 as REP-155 has them, for a stream."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hot_sdk._base.closing import Closing
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import KeypointsError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.ros import names
from hot_sdk.ros.conversion import SECOND
from hot_sdk.ros.network import BEST_EFFORT, Network, Quality, messages
from hot_sdk.skeletons import skeleton_format

SKELETON = "openpose18"

SKELETON_2D = "skeleton2d"
"""The topic of a body, of type ``hri_msgs/Skeleton2D``."""

MOST_BODIES = 64
"""Bodies to whose keypoints one subscriber listens at once."""

# hri_msgs/Skeleton2D has OpenPose's 18 joints, but the left eye and ear before the right ones.
SKELETON_2D_JOINTS = (
    *("nose", "neck"),
    *("right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle"),
    *("left_eye", "right_eye", "left_ear", "right_ear"),
)
"""Names of the joints of ``hri_msgs/Skeleton2D``, in its order."""

_LARGEST_SHARE = 4.0
"""Coordinates are shares of the image's size; beyond this they are pixels."""

_LENSES = {
    "": None,
    "plumb_bob": False,
    "rational_polynomial": False,
    "equidistant": True,
    "fisheye": True,
}
"""Names of ``CameraInfo.distortion_model``, and whether OpenCV has it in ``cv2.fisheye``."""

_KEPT_FRAMES = 32
_OUT_OF_ORDER_NS = SECOND // 2
"""A message that is earlier by no more than this is late; else the clock was set, or a bag is
played again, which a stream notices."""


@dataclass(frozen=True)
class PeopleFrame:
    """The people of one image.

    Attributes:
        stamp_ns: When it was taken, nanoseconds since 1970: the stamp of the messages.
        timestamp: The same for a stream: seconds since the first frame of the subscriber.
        frame_id: The camera's optical frame, as the messages name it.
        people: One frame of keypoints each, whose ``track_id`` is the body's id.
    """

    stamp_ns: int
    timestamp: float
    frame_id: str
    people: tuple[Keypoints, ...]


@dataclass(eq=False)
class _Frame:
    arrived_s: float
    frame_id: str
    people: dict[str, Keypoints] = field(default_factory=dict)


class SkeletonSubscriber(Closing):
    """Receives ``hri_msgs/Skeleton2D`` of the bodies that ``/humans/bodies/tracked`` lists.

    A joint of confidence 0, or that is NaN, is missing. Messages of the same stamp are of one
    image.

    Args:
        image_size: Width and height of the image in pixels, of which the messages hold shares;
            None for that of the first ``CameraInfo``.
        camera_info: Topic of the camera's ``sensor_msgs/CameraInfo``.
        is_rectified: The keypoints are of the rectified image, without the lens's distortion.
        hold_s: Seconds for which a frame waits for the bodies that it still lacks.
        domain: ROS's domain; None for that of ``ROS_DOMAIN_ID``, or else 0.

    Attributes:
        late: Messages that came after their frame was returned, and were left out.

    Raises:
        UsageError: An argument is out of range, or DDS does not start.
        MissingDependencyError: cyclonedds is not installed.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int] | None = None,
        camera_info: str = "/camera_info",
        is_rectified: bool = False,
        hold_s: float = 0.05,
        domain: int | None = None,
    ) -> None:
        if not 0.0 <= hold_s < 10.0:
            raise UsageError(f"hold_s is {hold_s}.", hint="Give seconds from 0 to 10.")
        self.late = 0
        self._image_size = image_size
        self._is_rectified = is_rectified
        self._hold_s = hold_s
        self._frames: dict[int, _Frame] = {}
        self._first_ns: int | None = None
        self._last_ns = -1
        self._bodies: dict[str, Any] = {}
        self._intrinsics: Intrinsics | None = None
        self._network: Network | None = Network(domain)
        types = messages()
        # Best effort, so that both kinds of publishers are heard.
        self._quality = Quality(BEST_EFFORT)
        self._tracked = self._network.reader(names.TRACKED, types.IdsList, self._quality)
        self._cameras = self._network.reader(camera_info, types.CameraInfo, self._quality)
        self._order = np.array(
            [SKELETON_2D_JOINTS.index(one) for one in skeleton_format(SKELETON).joints]
        )

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None until a ``CameraInfo`` has come."""
        self._read_camera()
        return self._image_size

    @property
    def intrinsics(self) -> Intrinsics | None:
        """The camera's; None until the ``CameraInfo`` of a calibrated camera has come."""
        self._read_camera()
        return self._intrinsics

    @property
    def epoch_ns(self) -> int | None:
        """Unix time of the timestamp 0, nanoseconds; None before the first frame."""
        return self._first_ns

    def wait_for_camera(self, timeout_s: float) -> bool:
        """Wait for the camera's ``CameraInfo``; returns False if none came."""
        end = time.monotonic() + timeout_s
        while self.image_size is None or self._intrinsics is None:
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def take(self, timeout_s: float = 0.0) -> tuple[PeopleFrame, ...]:
        """Return the frames that are complete, or were held for long enough, in order.

        Args:
            timeout_s: Seconds to wait for the first of them.

        Raises:
            KeypointsError: A message is broken.
            UsageError: The subscriber is closed.
        """
        end = time.monotonic() + timeout_s
        while True:
            if self._network is None:
                raise UsageError("The subscriber is closed.", hint="Make another.")
            self._follow()
            if self.image_size is not None:
                self._read_skeletons(self._image_size)
            frames = self._complete()
            if frames or time.monotonic() >= end:
                return frames
            time.sleep(0.001)

    def close(self) -> None:
        """Leave ROS's network; closing twice is allowed."""
        network, self._network = self._network, None
        self._bodies.clear()
        if network is not None:
            network.close()

    def _follow(self) -> None:
        """Listen to the bodies that are tracked, and to no others."""
        assert self._network is not None
        listed = _taken(self._tracked)
        if not listed:
            return
        wanted = [one for one in listed[-1].ids if _is_part_of_topic(one)][:MOST_BODIES]
        for body in [one for one in self._bodies if one not in wanted]:
            del self._bodies[body]
        for body in wanted:
            if body not in self._bodies:
                topic = names.body_topic(body, SKELETON_2D)
                reader = self._network.reader(topic, messages().Skeleton2D, self._quality)
                self._bodies[body] = reader

    def _read_camera(self) -> None:
        if self._network is None or (self._image_size and self._intrinsics):
            return
        for info in _taken(self._cameras):
            if info.width and info.height and self._image_size is None:
                self._image_size = (info.width, info.height)
            if self._intrinsics is None:
                self._intrinsics = camera_of(info, is_rectified=self._is_rectified)

    def _read_skeletons(self, image_size: tuple[int, int] | None) -> None:
        assert image_size is not None
        for body, reader in self._bodies.items():
            for message in _taken(reader):
                stamp = message.header.stamp
                stamp_ns = stamp.sec * SECOND + stamp.nanosec
                if self._last_ns - _OUT_OF_ORDER_NS < stamp_ns <= self._last_ns:
                    self.late += 1
                    continue
                person = self._keypoints(message, body, image_size)
                frame = self._frames.get(stamp_ns)
                if frame is None:
                    frame = _Frame(time.monotonic(), message.header.frame_id)
                    self._frames[stamp_ns] = frame
                frame.people[body] = person

    def _keypoints(self, message: Any, body: str, image_size: tuple[int, int]) -> Keypoints:  # noqa: ANN401
        values = np.array([(one.x, one.y, one.c) for one in message.skeleton], dtype=np.float32)
        values = values[self._order]
        if np.nanmax(np.abs(values[:, :2]), initial=0.0) > _LARGEST_SHARE:
            raise KeypointsError(
                f"The keypoints of the body '{body}' are up to"
                f" {np.nanmax(np.abs(values[:, :2])):.4g}; expected shares of the image's size.",
                hint="hri_msgs/Skeleton2D holds x / width and y / height, not pixels.",
            )
        missing = ~np.isfinite(values).all(axis=1) | (values[:, 2] <= 0.0)
        points = np.where(missing[:, None], np.nan, values[:, :2] * image_size)
        scores = np.where(missing, 0.0, np.clip(values[:, 2], 0.0, 1.0))
        return Keypoints(
            points[None].astype(np.float32),
            scores[None].astype(np.float32),
            skeleton=SKELETON,
            image_size=image_size,
            track_id=body,
        )

    def _complete(self) -> tuple[PeopleFrame, ...]:
        found = []
        now = time.monotonic()
        for stamp_ns in sorted(self._frames):
            frame = self._frames[stamp_ns]
            whole = set(self._bodies) <= set(frame.people)
            if not whole and now - frame.arrived_s < self._hold_s:
                break  # Later frames wait as well, since a stream takes them in order.
            del self._frames[stamp_ns]
            if self._first_ns is None:
                self._first_ns = stamp_ns
            self._last_ns = stamp_ns
            seconds = (stamp_ns - self._first_ns) / SECOND
            people = tuple(frame.people.values())
            found.append(PeopleFrame(stamp_ns, seconds, frame.frame_id, people))
        return tuple(found)


def camera_of(info: Any, *, is_rectified: bool = False) -> Intrinsics | None:  # noqa: ANN401
    """Return the camera that a ``sensor_msgs/CameraInfo`` describes; None if not calibrated.

    Args:
        info: The message.
        is_rectified: Of the rectified image: the first columns of ``P``, without distortion.

    Raises:
        UsageError: The lens is of no known model, or the values cannot be a camera's.
    """
    fx, fy, cx, cy = (
        (info.p[at] for at in (0, 5, 2, 6)) if is_rectified else (info.k[at] for at in (0, 4, 2, 5))
    )
    if not fx > 0.0:
        return None
    lens = tuple(info.d)
    if is_rectified or not any(lens):
        return Intrinsics(fx, fy, cx, cy)
    if info.distortion_model not in _LENSES:
        raise UsageError(
            f"The lens's model is '{info.distortion_model:.40}'; expected one of"
            f" {', '.join(name for name in _LENSES if name)}.",
            hint="Give keypoints of the rectified image, and is_rectified.",
        )
    return Intrinsics(fx, fy, cx, cy, lens, fisheye=bool(_LENSES[info.distortion_model]))


def _taken(reader: Any) -> list[Any]:  # noqa: ANN401
    """Return what a reader has; without the samples that say that a writer ended."""
    return [one for one in reader.take(N=_KEPT_FRAMES) if hasattr(one, "header")]


def _is_part_of_topic(body: str) -> bool:
    return body.isascii() and body.isidentifier() and "__" not in body and len(body) <= 60
