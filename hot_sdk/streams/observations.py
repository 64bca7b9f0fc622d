"""Keep a person's keypoints as they arrive, in memory of fixed size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import StreamError, UsageError
from hot_sdk.keypoint_checks import checked_points, mark_missing
from hot_sdk.keypoints import Keypoints
from hot_sdk.readers.detections import checked_track_id
from hot_sdk.root.depth import checked_depth, depth_at
from hot_sdk.root.origin import PELVIS, THORAX
from hot_sdk.root.tracking import AT_CAMERA
from hot_sdk.skeletons import H36M17, in_h36m17

TrackId = int | str | None

_JOINTS = len(H36M17.joints)
DEPTH_JOINTS = (PELVIS, THORAX)
"""Joints at which depth is read."""

_ENTRY = np.dtype(
    [
        ("times", np.float64),
        ("arrivals", np.float64),
        ("points", np.float32, (_JOINTS, 2)),
        ("scores", np.float32, _JOINTS),
        ("ups", np.float64, 3),
        ("cameras", np.object_),
        ("depths", np.float64, len(DEPTH_JOINTS)),
    ]
)
UNKNOWN_UP = np.full(3, np.nan)
"""Stands for the up direction of a frame in which it is unknown."""

NO_DEPTHS = np.full(len(DEPTH_JOINTS), np.nan)
"""Stands for the depths of a frame without readings."""


class Detection(NamedTuple):
    """One person in one frame: points (17, 2), scores (17,), up (3,), NaN if said to be unknown.

    The depths are those of ``DEPTH_JOINTS``, meters.
    """

    track_id: TrackId
    points: NDArray[np.float32]
    scores: NDArray[np.float32] | None
    image_size: tuple[int, int]
    camera: Intrinsics | None = None
    up: NDArray[np.float64] | None = None
    height_m: float | None = None
    depths: NDArray[np.float64] = NO_DEPTHS


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
    known = keypoints.knowledge
    return Detection(
        keypoints.track_id if track_id is None else checked_track_id(track_id),
        points[0],
        None if scores is None else scores[0],
        keypoints.image_size,
        known.camera,
        None if known.up is None else known.up.reshape(3),
        known.height_m,
    )


def detection_of_array(
    values: NDArray[Any], skeleton: str, image_size: tuple[int, int], track_id: TrackId
) -> Detection:
    """Check one frame of joints, and convert it to the network's, as ``Keypoints`` do.

    Args:
        values: (joints, 2 or 3), or that of one frame or person: x and y in pixels, and the score.
        skeleton: Name of the joints' order.
        image_size: Width and height, pixels.
        track_id: The person's id.

    Raises:
        StreamError: There are several people or frames.
        KeypointsError: The values are no such joints.
    """
    if values.ndim == 3 and len(values) > 1:
        raise StreamError(
            f"An array of shape {values.shape} was pushed: {len(values)} people or frames.",
            hint="Push people one by one with the same timestamp and a track_id each.",
        )
    if values.ndim == 3:
        values = values[0]
    given = None
    if values.ndim == 2 and values.shape[1] == 3:
        values, given = values[:, :2], values[None, :, 2]
    checked = checked_points(values[None], skeleton)
    points, scores = in_h36m17(checked, mark_missing(checked, given, image_size), skeleton)
    one = None if scores is None else scores[0]
    return Detection(checked_track_id(track_id), points[0], one, image_size)


def with_depth(detection: Detection, depth: float | NDArray[np.floating]) -> Detection:
    """Return a person with the depth at ``DEPTH_JOINTS``.

    Args:
        detection: The person.
        depth: What ``checked_depth`` returned.
    """
    points = detection.points[list(DEPTH_JOINTS)]
    return detection._replace(depths=depth_at(depth, points, detection.image_size))


def with_depths(detections: Sequence[Detection], depth: ArrayLike) -> list[Detection]:
    """Return the people of a frame with their depths.

    Args:
        detections: The people.
        depth: An image, (height, width); or (people,), meters at each one's pelvis.

    Raises:
        UsageError: It is neither.
    """
    values = np.asarray(depth)
    if values.shape == (len(detections),):
        readings = [checked_depth(one) for one in values]
        return [with_depth(*pair) for pair in zip(detections, readings, strict=True)]
    image = checked_depth(values)
    if not isinstance(image, np.ndarray):
        raise UsageError(
            f"depth is one reading, and the frame shows {len(detections)} people.",
            hint="Give a sequence with one reading for each, or the image.",
        )
    return [with_depth(one, image) for one in detections]


class Observations(NamedTuple):
    """A person's keypoints, oldest first.

    Attributes:
        times: (frames,), seconds, as they were pushed.
        arrivals: (frames,), seconds of the monotonic clock at which they were pushed.
        points: (frames, 17, 2), pixels, NaN if missing.
        scores: (frames, 17), 0 to 1.
        ups: (frames, 3), the up direction along the camera's axes, NaN if unknown.
        cameras: (frames,), the ``CameraPose`` of each frame.
        depths: (frames, 2), at ``DEPTH_JOINTS``, meters, NaN if unknown.
    """

    times: NDArray[np.float64]
    arrivals: NDArray[np.float64]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]
    ups: NDArray[np.float64]
    cameras: NDArray[np.object_]
    depths: NDArray[np.float64]


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
        up: NDArray[np.float64] = UNKNOWN_UP,
        camera: CameraPose = AT_CAMERA,
        depths: NDArray[np.float64] = NO_DEPTHS,
    ) -> None:
        """Add points, (17, 2), and scores, (17,), or None if the detector has none; up is (3,)."""
        slot = self.count % self._capacity
        certain = 1.0 if scores is None else scores
        self._entries[slot] = (time, arrival, points, certain, up, camera, depths)
        self._entries[slot + self._capacity] = self._entries[slot]
        self.count += 1

    def newest(self, most: int, since: float) -> Observations:
        """Copy at most ``most`` of the newest observations, none older than ``since`` seconds."""
        kept = min(self.count, self._capacity, most)
        end = (self.count - 1) % self._capacity + 1 + self._capacity
        start = end - kept
        if since > -math.inf:
            start += int(np.searchsorted(self._entries["times"][start:end], since))
        part = self._entries[min(start, end - 1) : end]
        return Observations(*[part[name].copy() for name in Observations._fields])
